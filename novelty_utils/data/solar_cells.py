"""ELPV: photographs of solar cells under current, sound and broken ones, from the package elpv-dataset.

Buerhop-Lutz et al. 2018, Deitsch et al. 2019 and 2021: 2,624 grey photographs of 300 x 300 pixels, cut from 44 modules,
each with the probability of a defect that two experts agreed on. CC BY-NC-SA 4.0, so it is no part of this project.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from novelty_utils.data import image_folders
from novelty_utils.errors import InputError

PACKAGE = "elpv_dataset"
# Of labels.csv and then of every photograph, in its order.
SHA256 = "78ce8c6eb2b8fb03e9d864c92380dde91c030f2a7ee99f72186a42e27ad20ad0"
BLOCK = 60  # cells of a usual module; the photographs lie module after module, and no file says where one ends
FUNCTIONAL, DEFECTIVE = 0, 1


def load(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """The cells of one kind, with one third of the modules as the test part.

    name: "mono_1" to "mono_3" and "poly_1" to "poly_3". Returns uint8 (n, 1, 300, 300), labels int64 (n,), is_test bool
    (n,). Label 0 is functional (probability 0), 1 surely defective (probability 1); the cells that the experts were
    unsure about are left out. There is no official split. Of every three blocks of 60 photographs one is in the test
    part, so that hardly a module is in both. Broken cells of the other blocks are left out as well: no broken cell
    trains, and the sound ones that a broken one is held against come from the same modules.
    Raises InputError where the package is missing or its files are not the published ones.
    """
    folder = _folder()
    cell, third = name.split("_")
    kept = []
    for place, (path, probability, kind) in enumerate(_rows(folder)):
        is_test = place // BLOCK % 3 == int(third) - 1
        if kind == cell and (probability == 0 or (probability == 1 and is_test)):
            kept.append((path, DEFECTIVE if probability else FUNCTIONAL, is_test))
    files, labels, in_test = zip(*kept, strict=True)
    images = np.stack([_pixels(folder / file) for file in files])[:, None]
    return torch.from_numpy(images), torch.tensor(labels), torch.tensor(in_test)


def _folder() -> Path:
    """Where the installed package keeps labels.csv, without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        told = "90 MB, CC BY-NC-SA 4.0: not for commercial use"
        raise InputError(f"the solar cells come with the package elpv-dataset ({told}): pip install elpv-dataset")
    return Path(found.submodule_search_locations[0], "data")


def _rows(folder: Path) -> list[tuple[str, float, str]]:
    """(path, probability of a defect, mono or poly) of every photograph; the files are the published ones."""
    digest = hashlib.sha256()
    try:
        labels = (folder / "labels.csv").read_bytes()
        lines = csv.reader(labels.decode("ascii").splitlines(), delimiter=" ", skipinitialspace=True)
        rows = [(path, float(probability), kind) for path, probability, kind in lines]
        for part in (labels, *((folder / path).read_bytes() for path, *_ in rows)):
            digest.update(part)
    except (OSError, ValueError) as error:
        raise _altered(folder) from error
    if digest.hexdigest() != SHA256:
        raise _altered(folder)
    return rows


def _altered(folder: Path) -> InputError:
    return InputError(
        f"{folder} does not hold the published files: pip install --force-reinstall elpv-dataset==1.0.0.post1"
    )


def _pixels(file: Path) -> np.ndarray:
    with image_folders.readable(str(file)), Image.open(file) as image:
        return np.asarray(image.convert("L"))
