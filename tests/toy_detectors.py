"""A notebook of small detectors, in place of those of the book."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from novelty_utils import detectors
from novelty_utils.training import checkpoints

IMPORTS = """
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from novelty_utils import training
from novelty_utils.detectors import Detector
from torch import nn
"""
DETECTOR = '''
@dataclass(kw_only=True, eq=False)
class Distance(Detector):
    """From the mean of the training images, seen through a random linear layer."""

    notebook = "toy"
    power: Annotated[float, Field(gt=0)] = 1.0
    norm: Literal["l1", "l2"] = "l2"

    def build(self, shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 5))

    def codes(self, images, index):
        return training.apply(self.network, images, index).double()

    def learn(self, images, train, held_out, *, epochs, device, checkpoint):
        self.asked = epochs, checkpoint
        self.network.eval()
        self.fitted = {"mean": self.codes(images, train).mean(0)}

    def score(self, images, index):
        away = self.codes(images, index) - self.fitted["mean"]
        return (away.norm(p=int(self.norm[1]), dim=1) ** self.power).numpy()


@dataclass(kw_only=True, eq=False)
class Squared(Distance):
    side = 6
    power: float = field(default=2.0, init=False)  # fixed
'''


def write(folder: Path, name: str, *cells: tuple[str, list[str]]) -> None:
    code = [{"cell_type": "code", "source": source, "metadata": {"tags": tags}} for source, tags in cells]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": code}), encoding="utf-8")


def given_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of notebooks, one of which defines detectors: `toy`. For a fixture."""
    write(tmp_path, "toy", (IMPORTS, ["define"]), ("raise RuntimeError", []), (DETECTOR, ["define", "hide-input"]))
    write(tmp_path, "prose", ("a = 1", []))
    monkeypatch.setattr(detectors, "notebooks", lambda: tmp_path)
    detectors.load.cache_clear()
    yield tmp_path
    detectors.load.cache_clear()
    sys.modules.pop("novelty_utils.detectors.toy", None)


def pictures(n: int, high: int = 100, shape: tuple[int, ...] = (1, 4, 4)) -> torch.Tensor:
    return torch.randint(0, high, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def changed(file: Path, **entries: object) -> None:
    """Write a saved detector again with other entries."""
    content = checkpoints.unpack(file.read_bytes(), torch.device("cpu"))
    checkpoints.write(file, content | entries)
