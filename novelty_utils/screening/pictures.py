"""The images under a folder, read one by one as `folder:PATH` is, several at a time and never many in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from novelty_utils.data import image_folders
from novelty_utils.errors import InputError
from novelty_utils.files import is_folder, reachable, user_path

READERS = min(4, os.cpu_count() or 1)  # threads: Pillow lets others run while it decodes
AHEAD = 256  # images that may be read before they are asked for
PIXELS = 2**26  # and at most so many pixels of them: 256 images of 512 x 512


class Picture(NamedTuple):
    """One image of a folder: brought to a side, of mode L or RGB; the width and height that its file has; of 16-bit
    pixels the largest level."""

    small: Image.Image
    size: tuple[int, int]
    level: int | None


def root(given: str) -> Path:
    """The folder in `folder:PATH`. Raises InputError for anything else."""
    if not given.startswith("folder:"):
        raise InputError(f"{given!r} is not folder:PATH: write folder:{given}")
    path = user_path("folder:PATH, PATH", given.removeprefix("folder:"))
    with reachable("folder", given):
        if not is_folder(path):
            raise InputError(f"{given!r}: {path} is not a folder; give one with images")
    return path


def under(folder: Path, without: Collection[Path] = ()) -> list[Path]:
    """Every file in a folder and in those inside it, sorted folder by folder; no hidden one and no Thumbs.db.

    A folder that is linked to is looked into, once. `without`: files that are left out.
    Raises InputError for a folder that cannot be read, and where there is no file.
    """
    left_out = {path.resolve() for path in without}
    try:
        found = list(_walk(folder, left_out))
    except OSError as error:
        where = error.filename or folder
        raise InputError(f"{where} cannot be read ({error.strerror}): check the permissions") from error
    if not found:
        raise InputError(f"{folder} holds no image: give a folder with images, directly or in folders")
    return found


def _walk(folder: Path, left_out: Collection[Path]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = _entries(folder, left_out, seen)
    while waiting:  # not a function that calls itself: folders may lie deeper in each other than Python's calls may
        path = waiting.pop()
        if path.is_dir():
            waiting += _entries(path, left_out, seen)
        else:
            yield path


def _entries(folder: Path, left_out: Collection[Path], seen: set[tuple[int, int]]) -> list[Path]:
    """What a folder holds, the first one last; nothing if it has been seen."""
    about, names = folder.stat(), {path.name for path in left_out}  # a path is resolved only where it may be meant
    if (about.st_dev, about.st_ino) in seen:  # otherwise a link to a folder above would never end
        return []
    seen.add((about.st_dev, about.st_ino))
    return [
        path
        for path in reversed(image_folders.contents(folder))
        if path.name not in names or folder.resolve() / path.name not in left_out
    ]


def read(files: Iterable[Path], side: int) -> Generator[Picture | InputError]:
    """Each image, or what is wrong with it, in order; at most `AHEAD` of them are in memory, or fewer large ones."""
    waiting: deque[Future[Picture | InputError]] = deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        for file in files:
            waiting.append(pool.submit(_read, file, side))
            if len(waiting) > at_once(AHEAD, side):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def at_once(most: int, side: int) -> int:
    """How many images of this side are held at a time: `most`, or fewer, down to one, where they are large."""
    return max(1, min(most, PIXELS // side**2))


def _read(file: Path, side: int) -> Picture | InputError:
    try:
        whole, level = image_folders.opened(file)
    except InputError as error:
        return error
    return Picture(small(whole, side), whole.size, level)


def small(whole: Image.Image, side: int) -> Image.Image:
    """An image as it is fitted and scored, before its channels: side x side, bilinear and antialiased."""
    return whole.resize((side, side), Image.Resampling.BILINEAR)


def pixels(read: Sequence[Image.Image], channels: int) -> Tensor:
    """Small images, uint8 (n, channels, h, w): 1 makes them grey, 3 coloured."""
    return image_folders.stacked([one.convert("L" if channels == 1 else "RGB") for one in read])


def upright(file: Path) -> Image.Image:
    """One image as `folder:PATH` reads it, in its own size. Raises InputError."""
    return image_folders.opened(file)[0]
