"""The second readings of the papers (tools/second_look) run on random images and leave what they promise."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.slow

FILES = sorted(Path(__file__).parents[2].glob("tools/second_look/*.py"))
RUNS = [pytest.param(file, [], id=file.stem) for file in FILES]
RUNS += [
    pytest.param(file, ["--model", "vae", "--dataset", "fashion_mnist"], id="nln-vae")
    for file in FILES
    if file.stem == "nln"
]
FIELDS = {
    "paper",
    "dataset",
    "class",
    "seed",
    "checksum",
    "commit",
    "cpu",
    "torch",
    "seconds",
    "losses",
    "dead",
    "auroc",
}


def write_idx(path, array):
    """The format of MNIST: two zero bytes, the type 8 (uint8), the number of axes, their lengths, the bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def random_data(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        folder = tmp_path / name / "raw"
        folder.mkdir(parents=True)
        for part, count in (("train", 600), ("t10k", 100)):
            write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)))
            write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    monkeypatch.setenv("NOVELTY_DATA", str(tmp_path))


def numbers(value):
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize(("file", "options"), RUNS)
def test_twice_the_same_entry_of_finite_numbers(file, options, random_data, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location(f"second_look_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    output = tmp_path / "out" / f"{file.stem}.json"
    monkeypatch.setattr(sys, "argv", [file.name, "--class", "3", "--epochs", "1", "--output", str(output), *options])
    threads, found = torch.get_num_threads(), []
    try:
        for _ in range(2):
            module.main()
            (entry,) = json.loads(output.read_text(encoding="utf-8"))  # the second run took the place of the first
            found.append(entry)
    finally:
        torch.set_num_threads(threads)
    assert entry.keys() >= FIELDS
    assert entry["paper"] == file.stem
    assert all(math.isfinite(value) for value in numbers(entry))
    assert all(0 <= value <= 1 for value in numbers(entry["auroc"]))
    assert found[0]["auroc"] == found[1]["auroc"]
    assert found[0]["losses"] == found[1]["losses"]
