"""The JPEG copies of CIFAR-10: an archive with a folder per class, as one uint8 tensor."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from novelty_utils.classes import CLASSES, is_clutter
from novelty_utils.data import image_folders
from novelty_utils.errors import InputError
from novelty_utils.files import write_atomically
from novelty_utils.progress import tqdm

Arrays = tuple[Tensor, Tensor, Tensor]  # images, labels, is_test


def load(folder: Path) -> Arrays:
    """`cifar10_jpeg.tar.gz` in `folder`: {train,test}/CLASS/NAME.jpg, sorted by these names.

    Returns images uint8 (n, 3, 32, 32), labels int64 (n,), is_test bool (n,). The decoded pixels are kept beside the
    archive with its sha256, where the folder can be written. Raises InputError, one line, if the archive is not there,
    is damaged, or holds anything but such images.
    """
    archive = folder / "cifar10_jpeg.tar.gz"
    if not archive.is_file():
        raise InputError(f"{archive} is not there: put the archive into this folder, or set NOVELTY_DATA to its folder")
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = folder / "cifar10_jpeg.npz"
    arrays = _read_kept(kept, digest)
    if arrays is None:
        arrays = _decode(archive)
        with suppress(InputError):  # a cache that cannot be written costs time in the next run, nothing else
            images, labels, is_test = (tensor.numpy() for tensor in arrays)
            write_atomically(kept, partial(np.savez, archive=digest, images=images, labels=labels, is_test=is_test))
    return arrays


def _read_kept(path: Path, digest: str) -> Arrays | None:
    """The arrays decoded earlier; None if there are none or they are damaged or of another archive: made anew then."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if kept["archive"] != digest:
                return None
            images, labels, is_test = (torch.from_numpy(kept[key]) for key in ("images", "labels", "is_test"))
            return images, labels, is_test
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def _decode(archive: Path) -> Arrays:
    try:
        found = sorted(_members(archive), key=lambda entry: entry[0])
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{archive} is truncated or damaged ({error}): put a whole copy in its place") from error
    if not found:
        raise InputError(f"{archive} holds no image: expected train/CLASS/NAME.jpg and test/CLASS/NAME.jpg")
    images = np.stack([pixels for _, pixels in found]).transpose(0, 3, 1, 2)
    labels = [CLASSES["cifar10_jpeg"].index(member.parts[1]) for member, _ in found]
    is_test = [member.parts[0] == "test" for member, _ in found]
    return torch.from_numpy(np.ascontiguousarray(images)), torch.tensor(labels), torch.tensor(is_test)


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, np.ndarray]]:
    """The images of the archive, read without unpacking it: a name inside it never becomes a path on the disk."""
    size, before = archive.stat().st_size, set()
    with (
        archive.open("rb") as file,
        tqdm.wrapattr(file, "read", total=size, desc="decode cifar10_jpeg") as seen,
        gzip.open(seen) as content,
        tarfile.open(fileobj=content, mode="r:") as tar,
    ):
        for info in tar:
            member = PurePosixPath(info.name)
            if info.isdir() or is_clutter(member.name):
                continue
            where = f"{member} in {archive}"
            inside = tar.extractfile(info) if _is_expected(info, member) else None
            if inside is None:
                raise InputError(f"{where} is not expected there: only train/CLASS/NAME.jpg and test/CLASS/NAME.jpg")
            if member in before:
                raise InputError(f"{where} is there twice: put a copy of the archive that holds it once in its place")
            before.add(member)
            yield member, _thumbnail(inside.read(), where)
        while content.read(1 << 20):  # to the end, where the check value of the whole file stands
            pass


def _is_expected(info: tarfile.TarInfo, member: PurePosixPath) -> bool:
    return (
        info.isfile()
        and len(member.parts) == 3
        and member.parts[0] in ("train", "test")
        and member.parts[1] in CLASSES["cifar10_jpeg"]
    )


def _thumbnail(jpeg: bytes, where: str) -> np.ndarray:
    with image_folders.readable(where), Image.open(io.BytesIO(jpeg)) as image:
        pixels = np.asarray(image.convert("RGB"))
        if pixels.shape != (32, 32, 3):
            raise ValueError(f"{image.width} x {image.height} pixels instead of 32 x 32")
    return pixels
