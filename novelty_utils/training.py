"""Train one detector or many: the engine of all four papers.

A notebook writes a plain network and plain loss functions for *one* detector. `fit` trains a list of them, one after
the other; on a GPU the kernels of a step are recorded once and then launched together. Nothing random is
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

from novelty_utils import batches, checkpoints
from novelty_utils.batches import Detector, epochs_for, steps_per_epoch  # noqa: F401  notebooks find them here
from novelty_utils.engines import Batch, Loss, Replayed, Single, Stacked, pick_device, pick_precision
from novelty_utils.params import InputError
from novelty_utils.progress import tqdm

Draws = Callable[[torch.Generator, int], Batch]

CHECKPOINT_SECONDS = 60.0
DIVERGED = 1e4  # a loss that has grown by this factor over its first value will not come back


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite, or one that has run away."""


@dataclass(frozen=True)
class Step:
    """One Adam update per batch: minimise ``loss(model, batch)["loss"]`` over the sub-modules named in `updates`.

    `loss` returns scalar tensors by name; all of them are logged. No name in `updates` means every parameter. Tensors
    by name under "kept" are not logged: the losses of the next steps find them in the batch, graph and all.
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
    stack: bool = False,
    replay: bool | None = None,
    rows: int = 1,
    label: str = "train",
) -> list[History]:
    """Train the detectors in place; afterwards they are in evaluation mode, on the device.

    images: uint8 (n, c, h, w), shared by all detectors; batches reach the loss as float32 in [0, 1], one entry per
    set, at most `batch` images each. `draws(generator, size)` adds random tensors (noise, latent codes) to each batch,
    `size` being the images of the first set in it. With `checkpoint`, a folder, an interrupted call resumes when it is
    repeated; the folder is the caller's to delete. `stack` trains all detectors as one program, which pays for
    networks of a few small layers on a GPU; dropout then differs from what separate training would draw. `replay`
    overrides whether the kernels of a step are recorded and launched together (GPU: yes, CPU: it cannot): then the
    losses' Python code runs in the first steps only, so they must depend on model and batch alone. Loss terms are
    averaged over each epoch, or over each of `rows` equal parts of it where an epoch has that many steps.

    Raises InputError for an empty or out-of-range set, DivergedError when a loss is not finite or runs away.
    """
    batches.check_images(images)
    batches.check_sets(detectors, images, len(steps), epochs, batch)
    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    replay = chosen.type == "cuda" if replay is None else replay
    if replay and chosen.type != "cuda":
        raise InputError("replay=True: kernels are recorded on a CUDA GPU only; leave it out or train there")
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
            run = _Run(members, of_group, engine, resident, steps, draws, file, bar, replay)
            histories |= zip(group, run.train(rows), strict=True)
    return [histories[i] for i in range(len(detectors))]


class _Run:
    """One engine from its first step to its last, with log, checks and checkpoint."""

    def __init__(self, group, plans, engine, images, steps, draws, file, bar, replay):
        self.group, self.plans, self.engine, self.images = group, plans, engine, images
        self.steps, self.draws, self.file, self.bar = steps, draws, file, bar
        self.last = max(plan.steps for plan in plans)
        self.round = max(plan.per_epoch for plan in plans)
        self.optimisers = [self._adam(step) for step in steps]
        self.orders = {name: batches.abreast(plans, name).to(images.device) for name in plans[0].orders}
        self.generator = torch.Generator(images.device)
        self.replay = replay
        self.names: list[str] = []  # of the loss terms
        self.log: list[Tensor] = []  # per step: (terms, detectors)
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
        return torch.optim.Adam(mine, lr=step.lr, betas=step.betas, fused=True, capturable=self.images.is_cuda)

    def train(self, rows: int) -> list[History]:
        at = self._resume()
        self.bar.update(at)
        update = Replayed(self._update) if self.replay else self._update  # as an attribute it would outlive this run
        started = saved = time.perf_counter()
        with torch.random.fork_rng(devices=[self.images.device] if self.images.is_cuda else []):
            while at < self.last:
                stop = min(at + self.round, self.last)
                for t in range(at, stop):
                    self._step(t, update)
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

    def _step(self, t: int, update: Callable[[Batch], Tensor]) -> None:
        inputs = {name: order[t] for name, order in self.orders.items()}
        _seed_everything(_step_seed(self.group[0], t), self.images.device)  # for dropout and the like
        if self.draws:
            inputs |= self._draw(t)
        self.log.append(update(inputs))
        for i, plan in enumerate(self.plans):
            if t + 1 == plan.steps:  # the others may go on; this one is taken out as it is now
                self.finished[i] = self._slice(i)

    def _draw(self, t: int) -> Batch:
        drawn, size = {}, self.plans[0].size
        for detector in self.group:
            if detector.seed not in drawn:
                # + 1, as the same seed would repeat the dropout's numbers
                drawn[detector.seed] = self.draws(self.generator.manual_seed(_step_seed(detector, t) + 1), size)
        if taken := self.orders.keys() & drawn[self.group[0].seed].keys():
            raise InputError(f"draws: {', '.join(sorted(taken))} is the name of a set of images; give another one")
        all_of_them = [drawn[detector.seed] for detector in self.group]
        return {name: torch.stack([one[name] for one in all_of_them]) for name in all_of_them[0]}

    def _update(self, inputs: Batch) -> Tensor:
        """The optimisers' turns on one batch; the loss terms (terms, detectors)."""
        batch = {n: self.images[v].float().div_(255) if n in self.orders else v for n, v in inputs.items()}
        terms: dict[str, Tensor] = {}
        for s, (step, adam) in enumerate(zip(self.steps, self.optimisers, strict=True)):
            mine = adam.param_groups[0]["params"]
            adam.zero_grad()
            values, kept = self.engine.terms(step.loss, batch)
            batch |= kept
            values["loss"].sum().backward(inputs=mine)
            adam.step()
            terms |= {name if name not in terms else f"{name}_{s + 1}": v.detach() for name, v in values.items()}
        self.names = list(terms)
        return torch.stack(list(terms.values()))

    def _state(self) -> dict[str, Tensor]:
        return {**self.engine.parameters, **self.engine.buffers}

    def _slice(self, i: int) -> dict[str, Tensor]:
        single = isinstance(self.engine, Single)
        return {n: (v if single else v[i]).detach().clone() for n, v in self._state().items()}

    def _rows(self, i: int, rows: int) -> dict[str, list[float]]:
        per, steps = self.plans[i].per_epoch, self.plans[i].steps
        rows = min(rows, per)
        table = dict(zip(self.names, torch.stack([row[:, i] for row in self.log[:steps]], 1).cpu(), strict=True))
        # The last few steps of an epoch that do not fill a row belong to none.
        parts = {n: values.view(-1, per)[:, : per // rows * rows] for n, values in table.items()}
        return {n: values.reshape(-1, per // rows).mean(1).tolist() for n, values in parts.items()}

    def _check(self, at: int) -> None:
        begin = (at - 1) // self.round * self.round
        since = torch.stack(self.log[begin:at]).cpu()
        for j, (name, first) in enumerate(zip(self.names, self.log[0].cpu(), strict=True)):
            rows = since[:, j]
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
        size = sum(order.shape[2] for order in self.orders.values())
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
            "names": self.names,
            "log": torch.stack(self.log),
        }
        checkpoints.write(self.file, payload)

    def _resume(self) -> int:
        saved = checkpoints.read(self.file, self.images.device) if self.file else None
        if saved is None or "names" not in saved:  # none, or of an older version
            return 0
        _write_state(self._state(), saved["state"])
        for adam, state in zip(self.optimisers, saved["adam"], strict=True):
            adam.load_state_dict(state)
        self.finished, self.seconds = saved["finished"], saved["seconds"]
        self.names, self.log = saved["names"], list(saved["log"])
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
