"""Every detector of the book, from a folder of images to the page about new ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from photos import white
from PIL import Image

from novelty_utils import cli, data, detectors
from novelty_utils.detectors import Detector
from novelty_utils.training import collapse

pytestmark = pytest.mark.slow

KINDS = [f"{name}.{own}" for name in detectors.names() for own in detectors.kinds(name)]


@pytest.fixture
def garments(here) -> Path:
    images = data.load("fashion_sample").images
    for folder, part in {"good": images[:40], "new": images[40:50]}.items():
        (here / folder).mkdir()
        for n, image in enumerate(part):
            Image.fromarray(image[0].numpy()).save(here / folder / f"{n:02}.png")
    white(here / "new/white.png", (28, 28))
    return here


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_fitted_kept_and_shown(kind, garments, monkeypatch):
    monkeypatch.setattr(collapse, "RESTARTS", 0)  # one epoch may pass for dead
    torch.set_num_threads(1)
    name, own = kind.split(".")
    short = "" if getattr(detectors.load(name), own).ignores("epochs") else "--epochs 1"
    assert cli.main(f"fit {kind} folder:good --save parts.pt {short} --device cpu".split()) == 0
    assert cli.main(["score", "parts.pt", "folder:new", "--to", "found", "--device", "cpu"]) == 0
    rows, model = pd.read_csv("found/scores.csv"), detectors.open("parts.pt", "cpu")
    images = data.image_folders.pictures([Path(path) for path in rows.path], model.shape[1])
    assert np.allclose(rows.score, model.decision_function(images), rtol=1e-4)
    page = Path("found/report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(rows) * (3 if type(model).redraw is Detector.redraw else 5)
