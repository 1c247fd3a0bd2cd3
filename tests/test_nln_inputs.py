"""What the notebooks of NLN refuse: one line, exit code 2, nothing written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from novelty_utils import cli

NOTEBOOK = str(Path(__file__).parents[1] / "notebooks" / "nln.ipynb")


def refused(arguments: list[str], capsys) -> str:
    before = sorted(Path().rglob("*"))
    assert cli.main(["run", NOTEBOOK, "--headless", "-p", "results=r", *arguments]) == 2
    *before_it, error = capsys.readouterr().err.splitlines()
    assert error.startswith("novelty: ")
    assert all("image" in line or not line for line in before_it)  # a progress bar at most
    assert sorted(Path().rglob("*")) == before
    return error


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("K=0", "K='0': input should be greater than or equal to 1"),
        ("alpha=1.01", "alpha='1.01': input should be less than or equal to 1"),
        ("alpha=-0.1", "alpha='-0.1'"),
        ("alpha=nan", "alpha='nan'"),
        ("L=0", "L='0'"),
        ("models=AE,BE", "'BE' is not one of AE, VAE, AAE, AE-res, AE-con"),
        ("models=AE,AE", "names a model twice"),
        ("models=", "is not one of"),
        ("protocol=both", "protocol='both'"),
        ("arch=new", "arch='new'"),
        ("K=5000", "K=5000: there are 1053 training codes; choose a K of at most 1053"),
    ],
)
def test_values_that_cannot_be(pair, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(["-p", pair], capsys)


def test_a_class_with_a_single_training_image(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 32, 32), dtype=np.uint8)
    for number, place in enumerate(("train/a", "train/b", "train/b", "test/a", "test/b")):
        folder = Path("photos", place)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(folder / f"{number}.png")
    pairs = ["-p", "dataset=folder:photos", "-p", "protocol=simo", "-p", "class_name=a"]
    assert "1 training images" in refused(pairs, capsys)
