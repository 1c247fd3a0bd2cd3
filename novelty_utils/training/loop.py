"""Train one network or many, one after the other: the loop of all papers.

On a GPU the kernels of a step are recorded once and then launched together. Nothing random is drawn from a state that
has to be carried along: batches and draws are functions of (seed, step), so a resumed run ends in the same weights as
an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from novelty_utils.errors import InputError
from novelty_utils.progress import tqdm
from novelty_utils.training import batches, checkpoints
from novelty_utils.training.backends import Batch, Loss, Replayed, autocast, pick_device, pick_precision
from novelty_utils.training.batches import Job, Schedule

Draws = Callable[[torch.Generator, int], Batch]

CHECKPOINT_SECONDS = 60.0
DIVERGED = 1e4  # a loss that has grown by this factor over its first value will not come back


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite, or one that has run away."""


@dataclass(frozen=True)
class Objective:
    """One Adam update per batch: minimise ``loss(model, batch)["loss"]`` over the sub-modules named in `updates`.

    `loss` returns scalar tensors by name; all of them are logged. No name in `updates` means every parameter. Tensors
    by name under "kept" are not logged: the losses of the next objectives find them in the batch, graph and all.
    Several objectives alternate on the same batch, in order, each with its own optimiser (a GAN has two or three).
    """

    loss: Loss
    updates: tuple[str, ...] = ()
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class History:
    """What `fit` saw of one job: means of each loss term, row by row, and what the training cost."""

    terms: dict[str, list[float]]
    images: int
    seconds: float
    precision: str
    device: str


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
    jobs: Sequence[Job],
    images: Tensor,
    objectives: Sequence[Objective],
    *,
    epochs: int,
    batch: int,
    device: str = "auto",
    precision: str = "auto",
    draws: Draws | None = None,
    checkpoint: str | Path | None = None,
    replay: bool | None = None,
    rows: int = 1,
    label: str = "train",
) -> list[History]:
    """Train the networks of the jobs in place; afterwards they are in evaluation mode, on the device.

    images: uint8 (n, c, h, w), shared by all jobs; batches reach the loss as float32 in [0, 1], one entry per set, at
    most `batch` images each. `draws(generator, size)` adds random tensors (noise, latent codes) to each batch, `size`
    being the images of the first set in it. With `checkpoint`, a folder, an interrupted call resumes when it is
    repeated; the folder is the caller's to delete. `replay` overrides whether the kernels of a step are recorded and
    launched together (GPU: yes, CPU: it cannot): then the losses' Python code runs in the first steps only, so they
    must depend on model and batch alone. Loss terms are averaged over each epoch, or over each of `rows` equal parts
    of it where an epoch has that many steps.

    Raises InputError for an empty or out-of-range set, DivergedError when a loss is not finite or runs away.
    """
    batches.check_images(images)
    batches.check_sets(jobs, images, len(objectives), epochs, batch)
    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    replay = chosen.type == "cuda" if replay is None else replay
    if replay and chosen.type != "cuda":
        raise InputError("replay=True: kernels are recorded on a CUDA GPU only; leave it out or train there")
    context = [epochs, batch, precision, chosen.type, checkpoints.digest([images]) if checkpoint else None]
    resident = images.to(chosen)
    schedules = [batches.schedule(job, epochs, batch) for job in jobs]
    histories = []
    with tqdm(total=sum(one.steps for one in schedules), desc=label, unit="step", leave=False) as bar:
        for job, schedule in zip(jobs, schedules, strict=True):
            file = _checkpoint_file(checkpoint, job, objectives, context) if checkpoint else None
            run = _Run(job, schedule, resident, objectives, precision, draws, file, bar, replay)
            histories.append(run.train(rows))
    return histories


class _Run:
    """One job from its first step to its last, with log, checks and checkpoint."""

    def __init__(
        self,
        job: Job,
        schedule: Schedule,
        images: Tensor,
        objectives: Sequence[Objective],
        precision: str,
        draws: Draws | None,
        file: Path | None,
        bar: tqdm,
        replay: bool,
    ):
        self.job, self.schedule, self.images, self.objectives = job, schedule, images, objectives
        self.precision, self.draws, self.file, self.bar, self.replay = precision, draws, file, bar, replay
        self.model = job.model.to(images.device).to(memory_format=torch.channels_last).train()
        self.optimisers = [self._adam(objective) for objective in objectives]
        self.orders = {name: order.to(images.device) for name, order in schedule.orders.items()}
        self.generator = torch.Generator(images.device)
        self.names: list[str] = []  # of the loss terms
        self.log: list[Tensor] = []  # per step: (terms,)
        self.seconds = 0.0

    def _adam(self, objective: Objective) -> torch.optim.Adam:
        parameters, updates = dict(self.model.named_parameters()), objective.updates
        for part in updates:
            if not any(_inside(name, part) for name in parameters):
                there = ", ".join(sorted({name.split(".")[0] for name in parameters}))
                raise InputError(f"updates={updates}: the model has no parameters in {part!r}; it has {there}")
        chosen = [n for n in parameters if not updates or any(_inside(n, part) for part in updates)]
        mine = [parameters[name] for name in chosen if parameters[name].requires_grad]
        if not mine:
            raise InputError(f"updates={updates}: every parameter there is frozen (requires_grad is False)")
        return torch.optim.Adam(
            mine, lr=objective.lr, betas=objective.betas, fused=True, capturable=self.images.is_cuda
        )

    def train(self, rows: int) -> History:
        at, last, per_epoch = self._resume(), self.schedule.steps, self.schedule.per_epoch
        self.bar.update(at)
        update = Replayed(self._update) if self.replay else self._update  # as an attribute it would outlive this run
        started = saved = time.perf_counter()
        with torch.random.fork_rng(devices=[self.images.device] if self.images.is_cuda else []):
            while at < last:
                for t in range(at, at + per_epoch):
                    self._step(t, update)
                    self.bar.update(1)
                at += per_epoch
                self._check(at)
                now = time.perf_counter()
                if self.file and (now - saved >= CHECKPOINT_SECONDS or at == last):
                    self.seconds, started, saved = self.seconds + now - started, now, now
                    self._save(self.file, at)
        self.seconds += time.perf_counter() - started
        self.model.eval()
        return self._history(rows)

    def _step(self, t: int, update: Callable[[Batch], Tensor]) -> None:
        inputs = {name: order[t] for name, order in self.orders.items()}
        seed = 2 * (self.job.seed * 1_000_003 + t)
        _seed_everything(seed, self.images.device)  # for dropout and the like
        if self.draws:  # + 1, as the same seed would repeat the dropout's numbers
            drawn = self.draws(self.generator.manual_seed(seed + 1), self.schedule.size)
            if taken := self.orders.keys() & drawn.keys():
                raise InputError(f"draws: {', '.join(sorted(taken))} is the name of a set of images; give another one")
            inputs |= drawn
        self.log.append(update(inputs))

    def _update(self, inputs: Batch) -> Tensor:
        """The optimisers' turns on one batch; the loss terms (terms,)."""
        batch = {n: self.images[v].float().div_(255) if n in self.orders else v for n, v in inputs.items()}
        batch = {n: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for n, v in batch.items()}
        terms: dict[str, Tensor] = {}
        for number, (objective, adam) in enumerate(zip(self.objectives, self.optimisers, strict=True), start=1):
            adam.zero_grad()
            with autocast(self.images.device, self.precision):
                values = objective.loss(self.model, batch)
            batch |= values.pop("kept", {})
            values = {name: value.float().reshape(()) for name, value in values.items()}
            values["loss"].backward(inputs=adam.param_groups[0]["params"])
            adam.step()
            terms |= {name if name not in terms else f"{name}_{number}": v.detach() for name, v in values.items()}
        self.names = list(terms)
        return torch.stack(list(terms.values()))

    def _rows(self, rows: int) -> dict[str, list[float]]:
        per = self.schedule.per_epoch
        rows = min(rows, per)
        table = dict(zip(self.names, torch.stack(self.log, 1).cpu(), strict=True))
        # The last few steps of an epoch that do not fill a row belong to none.
        parts = {n: values.view(-1, per)[:, : per // rows * rows] for n, values in table.items()}
        return {n: values.reshape(-1, per // rows).mean(1).tolist() for n, values in parts.items()}

    def _check(self, at: int) -> None:
        """Raise DivergedError if a loss term ran away in the epoch that ends at this step."""
        per_epoch = self.schedule.per_epoch
        mine = torch.stack(self.log[at - per_epoch : at], 1).cpu()
        for name, values, first in zip(self.names, mine, self.log[0].cpu(), strict=True):
            mean = float(values.mean())
            if not math.isfinite(mean) or abs(mean) > DIVERGED * (1 + abs(float(first))):
                raise DivergedError(
                    f"{self.job.name}: the term {name!r} reached {mean:g} in epoch {at // per_epoch}; "
                    "lower the learning rate, or train with precision='fp32'"
                )

    def _history(self, rows: int) -> History:
        size = sum(order.shape[1] for order in self.orders.values())
        images = size * self.schedule.steps
        return History(self._rows(rows), images, self.seconds, self.precision, self.images.device.type)

    def _save(self, file: Path, at: int) -> None:
        payload = {
            "at": at,
            "seconds": self.seconds,
            "state": {name: value.detach() for name, value in _named_state(self.model).items()},
            "adam": [adam.state_dict() for adam in self.optimisers],
            "names": self.names,
            "log": torch.stack(self.log),
        }
        checkpoints.write(file, payload)

    def _resume(self) -> int:
        saved = checkpoints.read(self.file, self.images.device) if self.file else None
        if saved is None:
            return 0
        _write_state(_named_state(self.model), saved["state"])
        for adam, state in zip(self.optimisers, saved["adam"], strict=True):
            adam.load_state_dict(state)
        self.seconds, self.names, self.log = saved["seconds"], saved["names"], list(saved["log"])
        return saved["at"]


def _inside(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _named_state(model: nn.Module) -> dict[str, Tensor]:
    return dict([*model.named_parameters(), *model.named_buffers()])


@torch.no_grad()
def _write_state(state: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, tensor in state.items():
        tensor.copy_(values[name])


def _checkpoint_file(folder: str | Path, job: Job, objectives: Sequence[Objective], context: list) -> Path:
    """Named after everything that decides the outcome but the code of the losses, which the folder must stand for."""
    asked = [context, [(o.updates, o.lr, o.betas) for o in objectives], (job.name, job.seed, list(job.sets))]
    return checkpoints.path(folder, asked, [*job.sets.values(), *_named_state(job.model).values()])
