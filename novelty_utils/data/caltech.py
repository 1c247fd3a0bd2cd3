"""Caltech-256: whether the unpacked archive is all there, and its images as one uint8 tensor."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from novelty_utils.data import image_folders
from novelty_utils.errors import InputError
from novelty_utils.params import CLASSES

FOLDER = Path("caltech256", "256_ObjectCategories")  # in the cache, as torchvision unpacks it
CATEGORIES = tuple(f"{number:03d}.{name}" for number, name in enumerate(CLASSES["caltech256"], start=1))
IMAGES = 30_607  # in the official archive; torchvision checks the archive, nobody what is left of it later


def load(root: Path, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """All images of the 257 folders in `root`: uint8 (n, 3, side, side), labels int64 (n,), is_test bool (n,).

    There is no official split: each category is split 70 % for training and 30 % for testing, always the same way.
    Order: category, file name. Images are read as `folders.pictures` does, grey ones with three equal channels.
    Only the files NAME.jpg directly in the folder of a category count; the official archive has two things more, a
    folder 056.dog/greg and a file 198.spider/RENAME2.
    Raises InputError, one line, if a category or images are missing, if something else lies beside the categories, if
    there are more images than in the official archive, and for an image that cannot be read.
    """
    _check_categories(root)
    found = [[path for path in image_folders.contents(root / name) if path.suffix == ".jpg"] for name in CATEGORIES]
    labels = [label for label, files in enumerate(found) for _ in files]
    if len(labels) != IMAGES:
        raise InputError(f"{root} holds {len(labels)} images NAME.jpg, not the official {IMAGES}: {_remedy(root)}")
    images = image_folders.pictures([file for files in found for file in files], side)
    is_test = [test for files in found for test in image_folders.thirty_percent(len(files))]
    return images, torch.tensor(labels), torch.tensor(is_test)


def _check_categories(root: Path) -> None:
    missing = [name for name in CATEGORIES if not (root / name).is_dir()]
    if missing:
        present = len(CATEGORIES) - len(missing)
        raise InputError(
            f"{root} holds {present} of the {len(CATEGORIES)} category folders, {missing[0]} is not among them: "
            + _remedy(root)
        )
    others = [path for path in image_folders.contents(root) if path.name not in CATEGORIES]
    if others:
        raise InputError(f"{others[0]} lies beside the {len(CATEGORIES)} category folders: move it away or delete it")


def _remedy(root: Path) -> str:
    return (
        f"delete {root} and run again (it is then downloaded anew), "
        "or set NOVELTY_DATA to a folder with the whole official archive, unpacked"
    )
