"""ELPV: a small package in the layout of elpv-dataset, and what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from novelty_utils.data import datasets, protocols, solar_cells
from novelty_utils.errors import InputError

COUNT = 3 * solar_cells.BLOCK + 70  # four blocks and a part of the fifth
BLOCKS = {1: [0, 3], 2: [1, 4], 3: [2]}  # that are the test part, by third
PROBABILITY = (0.0, 0.0, 1 / 3, 1.0)  # by place, in turn


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Photographs in one grey each, its place in the file; monocrystalline in even places."""
    data = tmp_path / solar_cells.PACKAGE / "data"
    (data / "images").mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise SystemExit('nobody shall import it')")
    lines = []
    for place in range(COUNT):
        Image.new("L", (300, 300), place).save(data / "images" / f"cell{place:04d}.png")
        probability, kind = PROBABILITY[place // 2 % 4], ("mono", "poly")[place % 2]
        lines.append(f"images/cell{place:04d}.png  {probability!r:20} {kind}\n")
    (data / "labels.csv").write_text("".join(lines))
    parts = [data / "labels.csv", *sorted((data / "images").iterdir())]
    monkeypatch.setattr(
        solar_cells, "SHA256", hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    )
    monkeypatch.syspath_prepend(tmp_path)
    return data


def places(cell: str, third: int) -> tuple[list[int], list[int], list[int]]:
    """By hand: those of sound training cells, of sound and of defective test cells."""
    mine = range(0 if cell == "mono" else 1, COUNT, 2)
    probability = {place: PROBABILITY[place // 2 % 4] for place in mine}
    test = [place for place in mine if place // 60 in BLOCKS[third]]
    sound = [place for place in mine if probability[place] == 0]
    broken = [place for place in test if probability[place] == 1]
    return [place for place in sound if place not in test], [place for place in sound if place in test], broken


@pytest.mark.parametrize(("cell", "third"), [("mono", 1), ("poly", 2), ("mono", 3)])
def test_sound_cells_train_and_both_kinds_of_one_third_test(package, cell, third):
    read = datasets.load(f"elpv_{cell}_{third}", side=8)
    assert read.images.shape[1:] == (1, 8, 8) and read.images.dtype == torch.uint8
    assert read.classes == ("functional", "defective")
    grey = read.images[:, 0, 0, 0].numpy()
    for wanted, label, test in zip(places(cell, third), (0, 0, 1), (False, True, True), strict=True):
        part = ((read.labels == label) & (read.is_test == test)).numpy()
        np.testing.assert_array_equal(grey[part], wanted)
    assert not ((read.labels == 1) & ~read.is_test).any()


def test_nothing_is_learnt_from_defective_cells(package):
    data = datasets.load("elpv_mono_2", side=8)
    split = protocols.split("simo", data, solar_cells.FUNCTIONAL, 0)
    for part in (split.train, split.held_out):
        assert (data.labels[part] == solar_cells.FUNCTIONAL).all() and not data.is_test[part].any()
    with pytest.raises(InputError, match="0 training images"):
        protocols.split("simo", data, solar_cells.DEFECTIVE, 0)


def test_without_the_package_the_remedy_is_told():
    with pytest.raises(InputError, match=r"pip install elpv-dataset$"):
        datasets.load("elpv_poly_1")


@pytest.mark.parametrize("fault", ["a pixel", "a label", "a missing file", "no table", "another table"])
def test_other_files_than_the_published_ones_are_refused(package, fault):
    first = package / "images" / "cell0000.png"
    table = package / "labels.csv"
    if fault == "a pixel":
        Image.new("L", (300, 300), 1).save(first)
    elif fault == "a label":
        table.write_text(table.read_text().replace("1.0", "0.0", 1))
    elif fault == "a missing file":
        first.unlink()
    elif fault == "no table":
        table.unlink()
    else:
        table.write_text("path,probability,kind\n")
    with pytest.raises(InputError, match="does not hold the published files: pip install --force-reinstall") as caught:
        datasets.load("elpv_mono_1")
    assert "\n" not in str(caught.value)
