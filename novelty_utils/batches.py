"""Which images a detector sees, and when: the order of its batches, and who can share a program.

An order is a function of the detector's seed alone, fixed before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from novelty_utils.params import InputError


@dataclass
class Detector:
    """One network to train and the images it may see.

    `sets` names the sub-batches of its loss: int64 (m,) indices into the images, for example
    ``{"typical": ..., "atypical": ...}``. An epoch is one pass over the first of them.
    """

    model: nn.Module
    sets: dict[str, Tensor]
    seed: int
    name: str = "detector"


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


def check_sets(detectors: Sequence[Detector], images: Tensor, steps: int, epochs: int, batch: int) -> None:
    """Raise InputError for a count below 1 and for a set that is empty or points outside the images."""
    counts = {"detectors": len(detectors), "steps": steps, "epochs": epochs, "batch": batch}
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"fit needs at least one of each, but {name} is {count}")
    for detector in detectors:
        if not detector.sets:
            raise InputError(f"detector {detector.name}: no set of images; name at least one")
        for name, index in detector.sets.items():
            where = f"detector {detector.name}: the set {name!r}"
            if index.dtype != torch.int64 or index.ndim != 1:
                raise InputError(f"{where} must hold indices, int64 (m,), not {index.dtype} {tuple(index.shape)}")
            if not len(index):
                raise InputError(f"{where} is empty; give it at least one image")
            if int(index.min()) < 0 or int(index.max()) >= len(images):
                raise InputError(f"{where} points outside the {len(images)} images")


def groups(detectors: Sequence[Detector], batch: int, stack: bool) -> list[list[int]]:
    """Which detectors make one program: those with batches of the same shape; without stacking, each its own."""
    if not stack:
        return [[i] for i in range(len(detectors))]
    alike: dict[tuple, list[int]] = {}
    for i, detector in enumerate(detectors):
        shape = tuple((name, min(batch, len(index))) for name, index in detector.sets.items())
        alike.setdefault(shape, []).append(i)
    return list(alike.values())


@dataclass
class Plan:
    """Which images a detector sees at which step: int32 (steps, batch) per set."""

    orders: dict[str, Tensor]
    per_epoch: int

    @property
    def steps(self) -> int:
        return len(next(iter(self.orders.values())))

    @property
    def size(self) -> int:
        return next(iter(self.orders.values())).shape[1]


def plan(detector: Detector, epochs: int, batch: int) -> Plan:
    """The order for so many epochs, drawn by the detector's seed."""
    # Permutations follow each other without a cut, so the remainder of an epoch opens the next one: no image is lost.
    first = next(iter(detector.sets.values()))
    per_epoch = steps_per_epoch(len(first), batch)
    generator = torch.Generator().manual_seed(detector.seed)
    orders = {}
    for name, index in detector.sets.items():
        size = min(batch, len(index))
        need = epochs * per_epoch * size
        rounds = [torch.randperm(len(index), generator=generator) for _ in range(math.ceil(need / len(index)))]
        orders[name] = index[torch.cat(rounds)[:need]].to(torch.int32).view(-1, size)
    return Plan(orders, per_epoch)


def abreast(plans: Sequence[Plan], name: str) -> Tensor:
    """The orders of one set for several detectors: int32 (steps, detectors, batch); one that ends early begins anew."""
    every = torch.arange(max(plan.steps for plan in plans))
    return torch.stack([plan.orders[name][every % plan.steps] for plan in plans], 1)
