"""Fit a detector to a folder of normal images, and keep it in a file."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from novelty_utils.data import image_folders
from novelty_utils.detectors import EXAMPLE_BYTES, HELD_OUT, Detector
from novelty_utils.errors import InputError, visible
from novelty_utils.evaluation import statistics
from novelty_utils.files import first_there, locked, reachable, refuse_special, remove_empty, try_writing
from novelty_utils.progress import tqdm
from novelty_utils.screening import pictures
from novelty_utils.screening.pictures import Picture

SIDE = 32  # of the images of a detector that has no side of its own
LONGEST = 230  # bytes of a file's name: those of what is written beside it are longer
STATES = 4  # weights, two averages of Adam and one to spare: what a checkpoint takes of the disk


class Fitted(NamedTuple):
    """A detector and what it took: images that were copies of others, seconds; where it is kept."""

    model: Detector
    copies: int
    seconds: float
    path: Path

    def told(self) -> list[str]:
        """What there is to say: images, seconds, the rate of false alarms that the threshold stands for, the file."""
        model, about, scores = self.model, self.model.about, self.model.held_out_scores_
        above, held_out = int((scores > model.threshold_).sum()), len(scores)
        low, high = statistics.share_interval(above, held_out)
        share = f"{above} of {held_out} held-out images above it, {above / held_out:.1%}"
        needed = math.ceil(HELD_OUT / about["false_alarms"])  # so many that one of those held out may lie above
        copies = f"; {self.copies} copies of others left out" if self.copies else ""
        lines = [
            f"images:    {about['fitted']} fitted, {held_out} held out{copies}",
            f"fitted:    {model!r} in {self.seconds:.0f} s",
            f"threshold: {model.threshold_:.4g}: {share} (95 % interval: {low:.1%} to {high:.1%})",
        ]
        if needed > about["fitted"] + held_out:
            lines += [f"           for a rate of {about['false_alarms']:.2g}, at least {needed} images are needed"]
        if np.ptp(scores) == 0:
            lines += ["warning:   all held-out images have the same score: this detector tells nothing apart"]
        return [*lines, f"saved:     {visible(self.path)}, {self.path.stat().st_size / 1e6:.1f} MB"]


def fit(
    model: Detector,
    folder: str | Path,
    save: str | Path,
    *,
    side: int | None = None,
    epochs: int | None = None,
    device: str = "auto",
    false_alarms: float = 0.1,
    replace: bool = False,
) -> Fitted:
    """Fit `model` to every image under `folder`, all of them normal, and write it to `save`, whole or not at all.

    side: to which the images are brought, for a detector that has none of its own. Other arguments as for
    `Detector.fit`. Images whose pixels are the same count once: a copy among those held out would be none of the
    others. An interrupted call resumes when it is repeated, from a hidden folder beside `save`, which goes at the end.
    Raises InputError for an argument that this detector ignores, a file that is no image, for too few of them, for a
    `save` that is there already unless `replace`, that cannot be written, or that another process is writing.
    """
    folder, path = Path(folder), Path(save)
    _check_effects(model, epochs, device)
    side = _side(model, side)
    before = _check_target(path, replace)
    files = pictures.under(folder, without=[path])
    _check_count(len(files), folder)
    _check_memory(len(files), side)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with _reserved(path, unfinished, before):
            _check_target(path, replace)  # another process may just have finished
            images, about, copies = _read(files, side)
            _check_count(len(images), folder, copies)
            _check_room(model, images, path)
            started = time.perf_counter()
            how: dict[str, Any] = {"epochs": epochs, "device": device, "false_alarms": false_alarms}
            model.fit(images, **how, checkpoint=unfinished)
            model.about |= about
            _check_target(path, replace)  # nor is what came in the meantime written over
            model.save(path)
            shutil.rmtree(unfinished, ignore_errors=True)
    except KeyboardInterrupt:
        kept = any(unfinished.rglob("*.pt")) if unfinished.exists() else False
        raise KeyboardInterrupt("interrupted; the same command goes on from there" if kept else "") from None
    return Fitted(model, copies, time.perf_counter() - started, path)


# --- what is checked first -----------------------------------------------------------------------------------------


def _check_effects(model: Detector, epochs: int | None, device: str) -> None:
    """Raise InputError for what would change nothing."""
    name = type(model).__name__
    if epochs is not None and model.ignores("epochs"):
        raise InputError(f"--epochs {epochs}: {name} is not trained in epochs: leave it out")
    check_device(model, device)


def check_device(model: Detector, device: str) -> None:
    """Raise InputError for a GPU that would have nothing to do; the processor is where such a detector runs."""
    if device == "cuda" and model.ignores("device"):
        raise InputError(f"--device cuda: {type(model).__name__} runs on the processor alone: leave it out")


def _side(model: Detector, asked: int | None) -> int:
    name, own = type(model).__name__, model.side
    if asked is not None and own is not None:
        given = f"to {name} it is given as -p side={asked}"
        fixed = f"{name} takes {own} x {own} pixels: leave it out"
        raise InputError(f"--side {asked}: {given if 'side' in model.arguments() else fixed}")
    return own or asked or SIDE


def _check_target(path: Path, replace: bool) -> Path:
    """Raise InputError where the file cannot be kept; the nearest folder that is there already."""
    with reachable("--save", str(path)):
        there = first_there(path.absolute())
        taken = path.exists()
    if path.is_dir() or path.name in {"", ".."}:
        raise InputError(f"--save {str(path)!r} is a folder: give a file, such as {path / 'parts.pt'}")
    if len(os.fsencode(path.name)) > LONGEST:
        raise InputError(f"--save {str(path)!r} has a name of more than {LONGEST} bytes: give a shorter one")
    refuse_special(path, f"--save {str(path)!r}")
    if taken and not replace:
        raise InputError(f"--save {str(path)!r} is there already: give another name, or --replace")
    return there if there.is_dir() else there.parent


@contextlib.contextmanager
def _reserved(path: Path, unfinished: Path, before: Path) -> Iterator[None]:
    """A folder for checkpoints that can be written and that no other process uses; it goes if it is left empty."""
    try_writing(path.parent)
    unfinished.mkdir(parents=True, exist_ok=True)
    with locked(unfinished, f"--save {str(path)!r} is being written by another process: give another name, or wait"):
        try:
            yield
        finally:
            remove_empty(unfinished, before)


def _check_count(count: int, folder: Path, copies: int = 0) -> None:
    if count < 2 * HELD_OUT:
        told = f"holds {count} different images and {copies} copies" if copies else f"holds {count} images"
        raise InputError(f"{folder} {told}: at least {2 * HELD_OUT} are needed, and some hundreds to learn something")


def _check_memory(count: int, side: int) -> None:
    """Raise InputError for images that this machine could not hold: it might stop everything, not only us."""
    needed, there = 3 * count * side**2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        told = (
            f"{count} images of {side} x {side} pixels take {needed / 1e9:.1f} GB, and the memory has {there / 1e9:.1f}"
        )
        raise InputError(f"--side {side}: {told}: give a smaller side, or fewer images")


def _check_room(model: Detector, images: Tensor, path: Path) -> None:
    """Raise InputError where the disk has no room for what a training writes: better before it than after."""
    model.begin(images.shape[1:])
    weights = sum(one.numel() * one.element_size() for one in model.network.state_dict().values())
    kept = STATES * weights or images.numel()  # without a network, the images themselves
    needed = min(EXAMPLE_BYTES, images.numel()) + kept
    free = shutil.disk_usage(path.absolute().parent).free
    if free < needed:
        told = f"needs up to {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are free"
        raise InputError(f"--save {str(path)!r} {told}: make room, or give another place")


# --- the images ----------------------------------------------------------------------------------------------------


def _read(files: Sequence[Path], side: int) -> tuple[Tensor, dict[str, Any], int]:
    """The different images of these files, uint8 (n, c, side, side), what they are like, and how many were copies."""
    read: list[Picture] = []
    with tqdm(pictures.read(files, side), "read images", len(files), unit="image", leave=False, delay=2) as bar:
        for one in bar:
            if isinstance(one, InputError):
                raise one
            read.append(one)
    images = image_folders.stacked([one.small for one in read])
    digests = (hashlib.sha256(image.numpy().data).digest() for image in images)
    first = {digest: n for n, digest in reversed(list(enumerate(digests)))}
    image_folders.tell_dark(image_folders.few_bits(one.level) for one in read)
    about = {
        "widths": _ends(one.size[0] for one in read),
        "heights": _ends(one.size[1] for one in read),
        "aspects": _ends(one.size[0] / one.size[1] for one in read),
        "grey": sum(one.small.mode == "L" for one in read),
    }
    return images[torch.tensor(sorted(first.values()))], about, len(images) - len(first)


def _ends(values: Iterator[float]) -> list[float]:
    found = list(values)
    return [min(found), max(found)]
