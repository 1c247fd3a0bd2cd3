"""A named data set as one uint8 tensor with labels and a checksum.

Names: `digits` (comes with scikit-learn), `mnist_sample` and `fashion_sample` (come with the package), `mnist`,
`fashion_mnist`, `cifar10`, `caltech256` (through torchvision, downloaded on first use), `cifar10_jpeg` (an archive that
is put into the cache by hand), `elpv_mono_1` to `elpv_poly_3` (with the package elpv-dataset) and `folder:PATH`
(anybody's images).
Whatever cannot be read ends in one `InputError` line that names the file and the remedy; nothing is skipped silently.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from novelty_utils.classes import class_names
from novelty_utils.data import caltech, cifar10_jpeg, image_folders, solar_cells
from novelty_utils.errors import InputError
from novelty_utils.files import first_there, reachable, remove_empty, user_path

Arrays = tuple[Tensor, Tensor, Tensor]  # images, labels, is_test, as in Dataset

# sha256 of the official files after gunzip: torchvision itself checks only what it downloads.
IDX_SHA256 = {
    "MNIST": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


@dataclass(frozen=True)
class Dataset:
    """One data set, whole, on the CPU. The same name and files give the same bits every time."""

    name: str  # as given to `load`
    images: Tensor  # uint8 (n, c, h, w), c = 1 or 3
    labels: Tensor  # int64 (n,), indices into `classes`
    is_test: Tensor  # bool (n,): the official test part
    classes: tuple[str, ...]
    checksum: str  # 16 hex digits: sha256 over shape, images, labels and is_test


def load(name: str, side: int = 32) -> Dataset:
    """Read the data set `name`; `side` is the height and width of the images of `folder:PATH`, caltech256 and elpv.

    For the others it means nothing: digits 8 x 8, mnist, fashion_mnist and their samples 28 x 28, cifar10 and
    cifar10_jpeg 32 x 32
    (see `to_side`). What `folder:PATH` may hold and how it is split is told in `image_folders.load`, the same of
    caltech256 in `caltech.load` and of elpv in `solar_cells.load`.
    Raises InputError, one line, for an unknown name and for a file that is missing, altered or unreadable.
    """
    _check_side(side)
    try:
        classes = class_names(name)
        if name.startswith("folder:"):
            root = Path(name.removeprefix("folder:")).expanduser()
            images, labels, is_test = image_folders.load(root, classes, side)
        elif name == "caltech256":
            images, labels, is_test = _caltech256(side)
        elif name.startswith("elpv_"):
            images, labels, is_test = solar_cells.load(name.removeprefix("elpv_"))
            images = to_side(images, side)
        else:
            images, labels, is_test = _NAMED[name]()
    except OSError as error:
        raise InputError(f"dataset={name!r} cannot be read ({error}): check this path and its permissions") from error
    return Dataset(name, images, labels, is_test, classes, _checksum(images, labels, is_test))


def cache_dir() -> Path:
    """The folder of downloaded data: the environment variable NOVELTY_DATA, else ~/.cache/novelty_data.

    Raises InputError if there is something else in its place.
    """
    given = os.environ.get("NOVELTY_DATA") or "~/.cache/novelty_data"
    folder = user_path("NOVELTY_DATA", given)
    with reachable("NOVELTY_DATA", given):
        if not first_there(folder.absolute()).is_dir():
            raise InputError(f"{folder} is not a folder: set NOVELTY_DATA to the one for data sets")
    return folder


def to_side(images: Tensor, side: int) -> Tensor:
    """Square images of `side` pixels: uint8 (n, c, h, w) -> uint8 (n, c, side, side), on the same device.

    Square images at most 4 pixels too small get a border of zeros (28 -> 32: two on each side, as in the ICS paper);
    all others are resized, bilinear and antialiased, which stretches images that are not square.
    """
    _check_side(side)
    height, width = images.shape[-2:]
    if height == width == side:
        return images
    if height == width and 0 < side - height <= 4:
        before = (side - height) // 2
        after = side - height - before
        return F.pad(images, (before, after, before, after))
    parts = (_resize(part, side) for part in images.split(4096))  # in parts, because interpolation works on floats
    return torch.cat(list(parts))


def _resize(images: Tensor, side: int) -> Tensor:
    resized = F.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8)


def _check_side(side: int) -> None:
    if side < 1:
        raise InputError(f"side={side} is not a size in pixels: give a whole number of at least 1")


def _checksum(images: Tensor, labels: Tensor, is_test: Tensor) -> str:
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for tensor in (images, labels, is_test):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]


# --- digits ----------------------------------------------------------------------------------------------------------


def _digits() -> Arrays:
    """1797 images of 8 x 8 pixels, 0..16 scaled to 0..255.

    There is no official split. The last 500 images are the test part: the file goes from writer to writer, so most of
    the test images come from writers that are not in the training part.
    """
    from sklearn.datasets import load_digits  # here, as it takes a second that the other data sets need not pay

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    is_test = torch.arange(len(images)) >= len(images) - 500
    return torch.from_numpy(images), torch.from_numpy(bunch.target).long(), is_test


# --- samples that come with the package ------------------------------------------------------------------------------

# Each with the data set that tools/samples.py has drawn it from.
SAMPLES = {
    "mnist_sample": ("mnist", Path(__file__).parent / "samples" / "mnist.npy.xz"),
    "fashion_sample": ("fashion_mnist", Path(__file__).parent / "samples" / "fashion_mnist.npy.xz"),
}
SAMPLE_SIZES = {False: 400, True: 100}  # images of each class: of the training part, of the test part


def _sample(name: str) -> Arrays:
    """5000 images of 28 x 28 pixels: 400 of each class train, 100 test."""
    _, path = SAMPLES[name]
    with lzma.open(path) as file:
        images = torch.from_numpy(np.load(file))
    of_part = [torch.arange(10).repeat_interleave(count) for count in SAMPLE_SIZES.values()]
    return images, torch.cat(of_part), torch.arange(len(images)) >= len(of_part[0])


# --- through torchvision ---------------------------------------------------------------------------------------------


def _mnist() -> Arrays:
    from torchvision import datasets  # here, as it takes a second that the other data sets need not pay

    return _idx(datasets.MNIST)


def _fashion_mnist() -> Arrays:
    from torchvision import datasets

    return _idx(datasets.FashionMNIST)


def _idx(source: type) -> Arrays:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    raw = Path(source.__name__, "raw")
    digests = {raw / file: digest for file, digest in IDX_SHA256[source.__name__].items()}
    _provide(source, digests, "sha256")
    # Not through the class itself: that would prefer a `processed` folder of old torchvision, which nobody has checked.
    raw = cache_dir() / raw
    train, test = (
        (read_image_file(raw / f"{part}-images-idx3-ubyte"), read_label_file(raw / f"{part}-labels-idx1-ubyte"))
        for part in ("train", "t10k")
    )
    return _join((train[0][:, None], train[1]), (test[0][:, None], test[1]))


def _cifar10() -> Arrays:
    from torchvision.datasets import CIFAR10

    folder = Path(CIFAR10.base_folder)
    digests = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
    _provide(CIFAR10, {folder / file: digest for file, digest in digests.items()}, "md5")
    parts = [CIFAR10(cache_dir(), train=train) for train in (True, False)]
    train, test = ((torch.from_numpy(p.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(p.targets)) for p in parts)
    return _join(train, test)


def _caltech256(side: int) -> Arrays:
    from torchvision.datasets import Caltech256

    root = cache_dir() / caltech.FOLDER
    if not root.exists():
        _download(Caltech256, [caltech.FOLDER])
    return caltech.load(root, side)


def _join(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Arrays:
    labels = torch.cat([train[1], test[1]]).long()
    return torch.cat([train[0], test[0]]), labels, torch.arange(len(labels)) >= len(train[1])


def _provide(source: type, digests: dict[Path, str], algorithm: str) -> None:
    """See that the cache holds the official files, by downloading the missing ones; `digests` by path in the cache."""
    missing = [file for file in digests if not (cache_dir() / file).is_file()]
    if missing:
        _download(source, missing)
    for file, digest in digests.items():
        path = cache_dir() / file
        if _file_digest(path, algorithm) != digest:
            raise InputError(
                f"{path} is truncated or altered: delete it and run again (it is then downloaded anew), "
                "or set NOVELTY_DATA to a folder with the official files"
            )


def _download(source: type, files: list[Path]) -> None:
    cache = cache_dir()
    there = first_there(cache.absolute())
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as fresh:
            source(fresh, download=True)  # checks the md5 of what it gets
            for file in files:
                if (cache / file).is_dir():  # another process was faster; a folder cannot be replaced
                    continue
                (cache / file).parent.mkdir(parents=True, exist_ok=True)
                Path(fresh, file).replace(cache / file)
    except (OSError, RuntimeError, HTTPException) as error:
        names, folder = ", ".join(file.name for file in files), files[0].parent
        raise InputError(
            f"{source.__name__} could not be downloaded ({image_folders.one_line(error)}): connect to the network, "
            f"or put {names} (unpacked) into {cache / folder}, or set NOVELTY_DATA to the folder that holds {folder}"
        ) from error
    finally:
        remove_empty(cache, there)  # a mistyped NOVELTY_DATA shall leave none


def _file_digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


_NAMED: dict[str, Callable[[], Arrays]] = {
    "digits": _digits,
    "mnist_sample": lambda: _sample("mnist_sample"),
    "fashion_sample": lambda: _sample("fashion_sample"),
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "cifar10_jpeg": lambda: cifar10_jpeg.load(cache_dir()),
}
