"""Anybody's images, in class folders, mixed in size, mode and format, as one uint8 tensor (`folder:PATH`)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from novelty_utils.classes import is_clutter
from novelty_utils.errors import InputError
from novelty_utils.progress import tell, tqdm

WHITE = 65535  # of 16 bits
PHOTOMETRIC, MIN_IS_WHITE = 262, 0  # a tag of TIFF, and its value where 0 is white


def load(root: Path, classes: tuple[str, ...], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """All images under `root`: uint8 (n, c, side, side), labels int64 (n,), is_test bool (n,).

    `root/train/CLASS/*` and `root/test/CLASS/*` are the parts where both folders exist; a class may then be missing in
    one of them, and what else lies in `root` is not looked at. Otherwise `root/CLASS/*` is split class by class, 70 %
    for training and 30 % for testing, always the same way; a class of one image has it for training.
    Order: part, class, file name. One channel if every image is grey by its mode (1, L, LA, 16 bit), else three.
    Images are turned upright (EXIF), put on white where transparent, scaled from 16 to 8 bits and resized, bilinear and
    antialiased; of an animation the first frame counts. Hidden files, Thumbs.db, desktop.ini and __MACOSX do not count.
    Tells of pictures that are in both parts, and of 16-bit images that use the darkest levels only.
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
    images = pictures(files, side)
    tell_shared(images, files, is_test)
    return images, torch.tensor(labels), torch.tensor(is_test)


def _by_class(part: Path, classes: tuple[str, ...]) -> list[tuple[int, list[Path]]]:
    loose = [path for path in contents(part) if not path.is_dir()]
    if loose:
        raise InputError(f"{loose[0]} lies beside the class folders: move it into one of them or delete it")
    found = [(label, files_of(part / name)) for label, name in enumerate(classes) if (part / name).is_dir()]
    if not found:
        raise InputError(f"{part} holds no class folder: give it one folder of images per class")
    for label, files in found:
        if not files:
            raise InputError(f"{part / classes[label]} holds no image: put some there or delete the folder")
    return found


def contents(folder: Path) -> list[Path]:
    """What a folder holds, sorted, as the order of a file system is arbitrary; without what file managers leave."""
    return sorted((path for path in folder.iterdir() if not is_clutter(path.name)), key=lambda path: path.name)


def files_of(folder: Path) -> list[Path]:
    """What a folder of images holds, as `contents`. Raises InputError for a folder in it: nothing is passed over."""
    found = contents(folder)
    for path in found:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder inside a folder of images: move what is in it up to {folder}, or, if it is a "
                f"class of its own, beside {folder.name}"
            )
    return found


def thirty_percent(n: int) -> list[bool]:
    """Which of `n` images are for testing: 30 %, the same ones each time (none of a single image)."""
    order = np.random.RandomState(0).permutation(n)  # the one generator of numpy whose stream is frozen for good
    return (order < (3 * n + 5) // 10).tolist()


def pictures(files: Iterable[Path], side: int) -> Tensor:
    """These images, uint8 (n, c, side, side), read as `load` does: c = 1 if all are grey by their mode, else 3."""
    read, bits = [], []
    with tqdm(files, desc="read images", unit="image", leave=False, delay=2) as bar:  # gone before an error is told
        for file in bar:
            image, level = opened(file)
            read.append(image.resize((side, side), Image.Resampling.BILINEAR))  # antialiased
            bits.append(few_bits(level))
    tell_dark(bits)
    return stacked(read)


def stacked(read: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size and of mode L or RGB: uint8 (n, c, h, w), c = 1 if all are grey, else 3."""
    mode = "L" if all(picture.mode == "L" for picture in read) else "RGB"
    pixels = np.stack([np.asarray(picture.convert(mode)) for picture in read])
    return torch.from_numpy(np.ascontiguousarray(pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)))


def opened(file: Path) -> tuple[Image.Image, int | None]:
    """One image in its own size, upright, L or RGB, on white where transparent; of 16-bit pixels the largest level.

    Raises InputError for what is not a readable image, and for pixels whose range nobody knows.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")  # for good, as catch_warnings is not for threads
    with readable(str(file)):
        if file.exists() and not file.is_file():
            raise ValueError("not a file")  # a pipe, which would be waited for
        # Not by its name: Pillow would map it into memory, and take a turned TIFF's width there for its height.
        with file.open("rb") as stream, Image.open(stream) as image:
            is_deep, inverted = _is_deep(image), getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == MIN_IS_WHITE
            is_halved = ";16" in str(image.tile)  # colours of 16 bits, of which Pillow keeps the upper 8
            turned = ImageOps.exif_transpose(image)
            if is_deep:
                return _eight_bits(turned, inverted)
            return _opaque(turned), 256 * int(np.asarray(turned.convert("RGB")).max()) + 255 if is_halved else None


def _is_deep(image: Image.Image) -> bool:
    """Whether its pixels are grey of 16 bits. Raises ValueError for those of which black and white are not known."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    is_deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if (image.mode == "I" and not is_deep) or (is_deep and image.format == "FITS"):  # whose 16 bits are signed
        raise ValueError("32-bit or signed pixels have no fixed range; save it with 8 or 16 bits")
    return is_deep


def _eight_bits(image: Image.Image, inverted: bool) -> tuple[Image.Image, int]:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > WHITE:
        raise ValueError("pixel values beyond 16 bits; save it with 8 or 16 bits")
    transparent = pixels == image.info.get("transparency", -1)
    if inverted:  # Pillow itself turns 8 bits round, and not these
        pixels = WHITE - pixels
    largest = int(pixels[~transparent].max(initial=0))
    pixels[transparent] = WHITE
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8)), largest  # 65535 / 255 = 257; Pillow would clip


def _opaque(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits as L if it is a grey one, else RGB, on white where the image is transparent."""
    mode = "L" if image.mode in {"1", "L", "LA"} else "RGB"
    if image.has_transparency_data:
        clear = image.info.get("transparency")
        if isinstance(clear, tuple) and max(clear) > 255:  # the pixels come with 8 bits, so that none is equal
            raise ValueError("a transparent colour of 16 bits; save it with 8 bits")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def few_bits(level: int | None) -> int:
    """How many of 16 bits an image with this largest level uses, 0 if most of them or if it is of 8, or black.

    Cameras of 10, 12 or 14 bits write into files of 16.
    """
    bits = (level or 0).bit_length()
    return bits if bits <= 14 else 0


def tell_dark(bits: Iterable[int]) -> None:
    """`bits`: of each image as `few_bits` has it; it is judged alone, whatever the others are like."""
    dark = [used for used in bits if used]
    if dark:
        most = max(dark)
        tell(
            f"{len(dark)} images of 16 bits use {most} of them or fewer: of 256 grey levels {2 ** max(most - 8, 0)} "
            f"are left; multiply their pixels by {2 ** (16 - most)} if a camera of {most} bits wrote them"
        )


def tell_shared(images: Tensor, files: Sequence[Path], is_test: Sequence[bool]) -> None:
    """Say how many test images are training images as well, pixel by pixel: copies and links, whatever their names."""
    shown = [image.numpy().tobytes() for image in images]
    training = {pixels: file for pixels, file, test in zip(shown, files, is_test, strict=True) if not test}
    both = [(training[p], f) for p, f, test in zip(shown, files, is_test, strict=True) if test and p in training]
    if both:
        tell(
            f"{len(both)} of {sum(is_test)} test images are training images as well, such as {both[0][1]} and "
            f"{both[0][0]}: their scores say nothing about new images; take them out of one part"
        )


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
