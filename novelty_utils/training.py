"""Train one detector or many: the engine of all four papers.

A notebook writes a plain network and plain loss functions for *one* detector. `fit` trains a list of them, as one
stacked program on a GPU and one after the other on a CPU, where stacking would only cost time. Nothing random is
drawn from a state that has to be carried along: batches and draws are functions of (seed, step), so a resumed run
ends in the same weights as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from novelty_utils import batches, checkpoints
from novelty_utils.batches import Detector, epochs_for, steps_per_epoch  # noqa: F401  notebooks find them here
from novelty_utils.engines import Batch, Loss, Single, Stacked, pick_device, pick_precision
from novelty_utils.params import InputError

Draws = Callable[[torch.Generator, int], Batch]

CHECKPOINT_SECONDS = 60.0
DIVERGED = 1e4  # a loss that has grown by this factor over its first value will not come back


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite, or one that has run away."""


@dataclass(frozen=True)
class Step:
    """One Adam update per batch: minimise ``loss(model, batch)["loss"]`` over the sub-modules named in `updates`.

    `loss` returns scalar tensors by name; all of them are logged. No name in `updates` means every parameter.
    Several steps alternate on the same batch, in order, each with its own optimiser (a GAN has two or three).
    """

    loss: Loss
    updates: tuple[str, ...] = ()
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class History:
    """What `fit` saw of one detector: means of each loss term, row by row, and what the training cost."""

    terms: dict[str, list[float]]
    images: int
    seconds: float
    precision: str
    device: str
    stacked: int = field(default=1)


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose initial weights, drawn on the CPU, depend on `seed` alone; the global random state is kept."""
    with torch.random.fork_rng(devices=[]):
        _seed_everything(seed, torch.device("cpu"))
        return make()


def _seed_everything(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed: it reaches every device of the machine, and formats a stack trace while CUDA is asleep,
    # which costs more than a small network's whole step.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def fit(
    detectors: Sequence[Detector],
    images: Tensor,
    steps: Sequence[Step],
    *,
    epochs: int,
    batch: int,
    device: str = "auto",
    precision: str = "auto",
    draws: Draws | None = None,
    checkpoint: str | Path | None = None,
    stack: bool | None = None,
    rows: int = 1,
    label: str = "train",
) -> list[History]:
    """Train the detectors in place; afterwards they are in evaluation mode, on the device.

    images: uint8 (n, c, h, w), shared by all detectors; batches reach the loss as float32 in [0, 1], one entry per
    set, at most `batch` images each. `draws(generator, size)` adds random tensors (noise, latent codes) to each batch,
    `size` being the images of the first set in it. With `checkpoint`, a folder, an interrupted call resumes when it is
    repeated; the folder is the caller's to delete. `stack` overrides the choice between one program (GPU) and one
    detector after the other (CPU); in one program, dropout differs from what separate training would draw. Loss terms
    are averaged over each epoch, or over each of `rows` equal parts of it where an epoch has that many steps.

    Raises InputError for an empty or out-of-range set, DivergedError when a loss is not finite or runs away.
    """
    batches.check_images(images)
    batches.check_sets(detectors, images, len(steps), epochs, batch)
    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    stack = chosen.type == "cuda" if stack is None else stack
    context = [epochs, batch, precision, chosen.type, stack, checkpoints.digest([images]) if checkpoint else None]
    resident = images.to(chosen)
    groups = batches.groups(detectors, batch, stack)
    plans = [[batches.plan(detectors[i], epochs, batch) for i in group] for group in groups]
    total = sum(max(one.steps for one in group) for group in plans)
    histories: dict[int, History] = {}
    with tqdm(total=total, desc=label, unit="step", leave=False) as bar:
        for group, of_group in zip(groups, plans, strict=True):
            members = [detectors[i] for i in group]
            file = _checkpoint_file(checkpoint, members, steps, context) if checkpoint else None
            engine = (Stacked if stack else Single)([d.model for d in members], chosen, precision)
            run = _Run(members, of_group, engine, resident, steps, draws, file, bar)
            histories |= zip(group, run.train(rows), strict=True)
    return [histories[i] for i in range(len(detectors))]


class _Run:
    """One engine from its first step to its last, with log, checks and checkpoint."""

    def __init__(self, group, plans, engine, images, steps, draws, file, bar):
        self.group, self.plans, self.engine, self.images = group, plans, engine, images
        self.steps, self.draws, self.file, self.bar = steps, draws, file, bar
        self.last = max(plan.steps for plan in plans)
        self.round = max(plan.per_epoch for plan in plans)
        self.optimisers = [self._adam(step) for step in steps]
        self.orders = {n: [p.orders[n].to(images.device) for p in plans] for n in plans[0].orders}
        self.generators = [torch.Generator(images.device) for _ in group]
        self.log: list[dict[str, Tensor]] = []  # per step: term -> (detectors,)
        self.finished: dict[int, dict[str, Tensor]] = {}
        self.seconds = 0.0

    def _adam(self, step: Step) -> torch.optim.Adam:
        parameters = self.engine.parameters
        for part in step.updates:
            if not any(_inside(name, part) for name in parameters):
                there = ", ".join(sorted({name.split(".")[0] for name in parameters}))
                raise InputError(f"updates={step.updates}: the model has no parameters in {part!r}; it has {there}")
        chosen = [n for n in parameters if not step.updates or any(_inside(n, part) for part in step.updates)]
        mine = [parameters[name] for name in chosen if parameters[name].requires_grad]
        if not mine:
            raise InputError(f"updates={step.updates}: every parameter there is frozen (requires_grad is False)")
        return torch.optim.Adam(mine, lr=step.lr, betas=step.betas, fused=True)

    def train(self, rows: int) -> list[History]:
        at = self._resume()
        self.bar.update(at)
        started = saved = time.perf_counter()
        with torch.random.fork_rng(devices=[self.images.device] if self.images.is_cuda else []):
            while at < self.last:
                stop = min(at + self.round, self.last)
                for t in range(at, stop):
                    self._step(t)
                    self.bar.update(1)
                at = stop
                self._check(at)
                now = time.perf_counter()
                if self.file and (now - saved >= CHECKPOINT_SECONDS or at == self.last):
                    self.seconds, started, saved = self.seconds + now - started, now, now
                    self._save(at)
        self.seconds += time.perf_counter() - started
        for i, detector in enumerate(self.group):
            _write_state(_named_state(detector.model), self.finished[i])
            detector.model.eval()
        return [self._history(i, rows) for i in range(len(self.group))]

    def _step(self, t: int) -> None:
        batch = {name: self._gather(orders, t) for name, orders in self.orders.items()}
        _seed_everything(_step_seed(self.group[0], t), self.images.device)  # for dropout and the like
        if self.draws:
            batch |= self._draw(t)
        terms: dict[str, Tensor] = {}
        for s, (step, adam) in enumerate(zip(self.steps, self.optimisers, strict=True)):
            mine = adam.param_groups[0]["params"]
            adam.zero_grad()
            values = self.engine.terms(step.loss, batch)
            values["loss"].sum().backward(inputs=mine)
            adam.step()
            terms |= {name if name not in terms else f"{name}_{s + 1}": v.detach() for name, v in values.items()}
        self.log.append(terms)
        for i, plan in enumerate(self.plans):
            if t + 1 == plan.steps:  # the others may go on; this one is taken out as it is now
                self.finished[i] = self._slice(i)

    def _gather(self, orders: list[Tensor], t: int) -> Tensor:
        index = torch.stack([order[t % len(order)] for order in orders])
        return self.images[index].float().div_(255)

    def _draw(self, t: int) -> Batch:
        drawn = []
        size = self.plans[0].size
        for generator, detector in zip(self.generators, self.group, strict=True):
            generator.manual_seed(_step_seed(detector, t) + 1)  # the same seed would repeat the dropout's numbers
            drawn.append(self.draws(generator, size))
        return {name: torch.stack([d[name] for d in drawn]) for name in drawn[0]}

    def _state(self) -> dict[str, Tensor]:
        return {**self.engine.parameters, **self.engine.buffers}

    def _slice(self, i: int) -> dict[str, Tensor]:
        single = isinstance(self.engine, Single)
        return {n: (v if single else v[i]).detach().clone() for n, v in self._state().items()}

    def _rows(self, i: int, rows: int) -> dict[str, list[float]]:
        per, steps = self.plans[i].per_epoch, self.plans[i].steps
        rows = min(rows, per)
        table = {n: torch.stack([row[n][i] for row in self.log[:steps]]).cpu() for n in self.log[0]}
        # The last few steps of an epoch that do not fill a row belong to none.
        parts = {n: values.view(-1, per)[:, : per // rows * rows] for n, values in table.items()}
        return {n: values.reshape(-1, per // rows).mean(1).tolist() for n, values in parts.items()}

    def _check(self, at: int) -> None:
        begin = (at - 1) // self.round * self.round
        for name, first in self.log[0].items():
            rows = torch.stack([row[name] for row in self.log[begin:at]]).cpu()
            for i, (detector, plan) in enumerate(zip(self.group, self.plans, strict=True)):
                mine = rows[: max(0, plan.steps - begin), i]  # steps after its last one are nobody's
                value = float(mine.mean()) if len(mine) else 0.0
                if not math.isfinite(value) or abs(value) > DIVERGED * (1 + abs(float(first[i]))):
                    epoch = (begin + int((~mine.isfinite()).float().argmax())) // plan.per_epoch + 1
                    raise DivergedError(
                        f"detector {detector.name}: the term {name!r} reached {value:g} in epoch {epoch}; "
                        "lower the learning rate, or train with precision='fp32'"
                    )

    def _history(self, i: int, rows: int) -> History:
        size = sum(order[i].shape[1] for order in self.orders.values())
        share = self.seconds / len(self.group)
        device, precision = self.images.device.type, self.engine.precision
        return History(self._rows(i, rows), size * self.plans[i].steps, share, precision, device, len(self.group))

    def _save(self, at: int) -> None:
        payload = {
            "at": at,
            "seconds": self.seconds,
            "state": {name: value.detach() for name, value in self._state().items()},
            "adam": [adam.state_dict() for adam in self.optimisers],
            "finished": self.finished,
            "log": {name: torch.stack([row[name] for row in self.log]) for name in self.log[0]},
        }
        checkpoints.write(self.file, payload)

    def _resume(self) -> int:
        saved = checkpoints.read(self.file, self.images.device) if self.file else None
        if saved is None:
            return 0
        _write_state(self._state(), saved["state"])
        for adam, state in zip(self.optimisers, saved["adam"], strict=True):
            adam.load_state_dict(state)
        self.finished, self.seconds = saved["finished"], saved["seconds"]
        self.log = [{n: v[t] for n, v in saved["log"].items()} for t in range(saved["at"])]
        return saved["at"]


def _inside(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _step_seed(detector: Detector, t: int) -> int:
    return 2 * (detector.seed * 1_000_003 + t)


def _named_state(model: nn.Module) -> dict[str, Tensor]:
    return dict([*model.named_parameters(), *model.named_buffers()])


@torch.no_grad()
def _write_state(state: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, tensor in state.items():
        tensor.copy_(values[name])


def _checkpoint_file(folder: str | Path, group: list[Detector], steps: Sequence[Step], context: list) -> Path:
    """Named after everything that decides the outcome but the code of the losses, which the folder must stand for."""
    asked = [context, [(s.updates, s.lr, s.betas) for s in steps], [(d.name, d.seed, list(d.sets)) for d in group]]
    tensors = [t for d in group for t in [*d.sets.values(), *_named_state(d.model).values()]]
    return checkpoints.path(folder, asked, tensors)
