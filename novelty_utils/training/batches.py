"""Which images a network sees in training, and when.

The order of its batches is a function of the job's seed alone, fixed before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from novelty_utils.errors import InputError


@dataclass
class Job:
    """One network to train and the images it may see.

    `sets` names the sub-batches of its loss: int64 (m,) indices into the images, for example
    ``{"typical": ..., "atypical": ...}``. An epoch is one pass over the first of them.
    """

    model: nn.Module
    sets: dict[str, Tensor]
    seed: int
    name: str = "network"


def epochs_for(steps: int, images: int, batch: int) -> int:
    """The number of epochs, at least 1, that comes closest to so many optimiser steps on so many images."""
    return max(1, round(steps / steps_per_epoch(images, batch)))


def steps_per_epoch(images: int, batch: int) -> int:
    """How many steps `fit` makes in an epoch of so many images; what does not fill a batch opens the next epoch."""
    return max(1, images // min(batch, images))


def check_images(images: Tensor) -> None:
    """Raise InputError unless the images are uint8 (n, c, h, w)."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise InputError(f"images must be uint8 (n, c, h, w), not {images.dtype} {tuple(images.shape)}")


def check_sets(jobs: Sequence[Job], images: Tensor, objectives: int, epochs: int, batch: int) -> None:
    """Raise InputError for a count below 1 and for a set that is empty or points outside the images."""
    counts = {"jobs": len(jobs), "objectives": objectives, "epochs": epochs, "batch": batch}
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"fit needs at least one of each, but {name} is {count}")
    for job in jobs:
        if not job.sets:
            raise InputError(f"{job.name}: no set of images; name at least one")
        for name, index in job.sets.items():
            where = f"{job.name}: the set {name!r}"
            if index.dtype != torch.int64 or index.ndim != 1:
                raise InputError(f"{where} must hold indices, int64 (m,), not {index.dtype} {tuple(index.shape)}")
            if not len(index):
                raise InputError(f"{where} is empty; give it at least one image")
            if int(index.min()) < 0 or int(index.max()) >= len(images):
                raise InputError(f"{where} points outside the {len(images)} images")


@dataclass
class Schedule:
    """Which images a network sees at which step: int32 (steps, batch) per set."""

    orders: dict[str, Tensor]
    per_epoch: int

    @property
    def steps(self) -> int:
        return len(next(iter(self.orders.values())))

    @property
    def size(self) -> int:
        return next(iter(self.orders.values())).shape[1]


def schedule(job: Job, epochs: int, batch: int) -> Schedule:
    """The order for so many epochs, drawn by the job's seed."""
    # Permutations follow each other without a cut, so the remainder of an epoch opens the next one: no image is lost.
    first = next(iter(job.sets.values()))
    per_epoch = steps_per_epoch(len(first), batch)
    generator = torch.Generator().manual_seed(job.seed)
    orders = {}
    for name, index in job.sets.items():
        size = min(batch, len(index))
        need = epochs * per_epoch * size
        rounds = [torch.randperm(len(index), generator=generator) for _ in range(math.ceil(need / len(index)))]
        orders[name] = index[torch.cat(rounds)[:need]].to(torch.int32).view(-1, size)
    return Schedule(orders, per_epoch)
