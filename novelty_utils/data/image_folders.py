"""Anybody's images, in class folders, mixed in size, mode and format, as one uint8 tensor (`folder:PATH`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from novelty_utils.errors import InputError
from novelty_utils.progress import tqdm


def load(root: Path, classes: tuple[str, ...], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """All images under `root`: uint8 (n, c, side, side), labels int64 (n,), is_test bool (n,).

    `root/train/CLASS/*` and `root/test/CLASS/*` are the parts where both folders exist; a class may then be missing in
    one of them, and what else lies in `root` is not looked at. Otherwise `root/CLASS/*` is split class by class, 70 %
    for training and 30 % for testing, always the same way; a class of one image has it for training.
    Order: part, class, file name. One channel if every image is grey by its mode (1, L, LA, 16 bit), else three.
    Images are turned upright (EXIF), put on white where transparent, scaled from 16 to 8 bits and resized, bilinear and
    antialiased; of an animation the first frame counts. Hidden files, Thumbs.db and desktop.ini do not count.
    Raises InputError, one line, for a folder without images and for any other file that is not a readable image.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        entries = [
            (file, label, part == "test")
            for part in ("train", "test")
            for label, files in _by_class(root / part, classes)
            for file in files
        ]
    else:
        entries = [
            (file, label, is_test)
            for label, files in _by_class(root, classes)
            for file, is_test in zip(files, thirty_percent(len(files)), strict=True)
        ]
    files, labels, is_test = zip(*entries, strict=True)
    return pictures(files, side), torch.tensor(labels), torch.tensor(is_test)


def _by_class(part: Path, classes: tuple[str, ...]) -> list[tuple[int, list[Path]]]:
    loose = [path for path in contents(part) if not path.is_dir()]
    if loose:
        raise InputError(f"{loose[0]} lies beside the class folders: move it into one of them or delete it")
    found = [(label, contents(part / name)) for label, name in enumerate(classes) if (part / name).is_dir()]
    if not found:
        raise InputError(f"{part} holds no class folder: give it one folder of images per class")
    for label, files in found:
        if not files:
            raise InputError(f"{part / classes[label]} holds no image: put some there or delete the folder")
    return found


def contents(folder: Path) -> list[Path]:
    """What a folder holds, sorted, as the order of a file system is arbitrary; without what file managers leave."""
    return sorted((path for path in folder.iterdir() if not is_clutter(path.name)), key=lambda path: path.name)


def is_clutter(name: str) -> bool:
    """Whether a file of this name is none of the user's: hidden, or left behind by a file manager."""
    return name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini"}


def thirty_percent(n: int) -> list[bool]:
    """Which of `n` images are for testing: 30 %, the same ones each time (none of a single image)."""
    order = np.random.RandomState(0).permutation(n)  # the one generator of numpy whose stream is frozen for good
    return (order < (3 * n + 5) // 10).tolist()


def pictures(files: Iterable[Path], side: int) -> Tensor:
    """These images, uint8 (n, c, side, side), read as `load` does: c = 1 if all are grey by their mode, else 3."""
    with tqdm(files, desc="read images", unit="image", leave=False, delay=2) as bar:  # gone before an error is told
        return stacked([upright(file).resize((side, side), Image.Resampling.BILINEAR) for file in bar])


def stacked(read: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size and of mode L or RGB: uint8 (n, c, h, w), c = 1 if all are grey, else 3."""
    mode = "L" if all(picture.mode == "L" for picture in read) else "RGB"
    pixels = np.stack([np.asarray(picture.convert(mode)) for picture in read])
    return torch.from_numpy(np.ascontiguousarray(pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)))


def upright(file: Path) -> Image.Image:
    """One image, upright, of mode L or RGB, in the size that it has. Raises InputError if it cannot be read."""
    with readable(str(file)), Image.open(file) as image:
        return _opaque(ImageOps.exif_transpose(image))


def _opaque(image: Image.Image) -> Image.Image:
    """Any mode to 8 bits: L if the mode is a grey one, else RGB, on white where the image is transparent."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image).astype(np.int64))
    mode = "L" if image.mode in {"1", "L", "LA"} else "RGB"
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def _eight_bits(pixels: np.ndarray) -> Image.Image:
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixel values beyond 16 bits; save it with 8 or 16 bits")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))  # 65535 / 255 = 257; Pillow itself would clip


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn whatever goes wrong while an image is read into an InputError that names it."""
    try:
        yield
    except Exception as error:  # a broken file makes Pillow raise almost anything
        cause = "no known image format" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise InputError(f"{where} is not a readable image ({cause}): repair, convert or delete it") from error


def one_line(error: Exception) -> str:
    """The reason in one line and without addresses: torchvision lists its mirrors, and the reason stands last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\S+://\S+", "the server", lines[-1])
