from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_detectors import given_to

from novelty_utils import detectors


@pytest.fixture
def toy(tmp_path_factory, monkeypatch) -> Iterator:
    """The small detectors, in place of those of the book."""
    for _ in given_to(tmp_path_factory.mktemp("notebooks"), monkeypatch):
        yield detectors.load("toy")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
