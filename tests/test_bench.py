"""The benchmark runs to its end, on a few images, and its table can be kept; what it measures is not tested here."""

import json
import sys

import pytest
import torch

import bench
from novelty_utils.params import InputError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, value in {"REPEATS": 2, "IMAGES": 16, "BATCH": 8, "AUROC_CLASSES": (0,), "AUROC_EPOCHS": 1}.items():
        monkeypatch.setattr(bench, name, value)
    for name, value in {"PYOD_SEEDS": (0,), "PYOD_EPOCHS": 1, "SIDE": {"cpu": 64, "cuda": 64}}.items():
        monkeypatch.setattr(bench, name, value)
    yield
    torch.set_num_threads(threads)


def test_the_network_is_that_of_the_notebook():
    network = bench.notebook_autoencoder()()
    assert sum(p.numel() for p in network.encoder.parameters()) == pytest.approx(0.458e6, rel=0.01)  # as in the paper
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)


def test_a_notebook_without_the_network_is_told_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "ics.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["a = 1"]}]}))
    monkeypatch.setattr(bench, "NOTEBOOK", tmp_path / "ics.ipynb")
    with pytest.raises(InputError, match="no longer defines normalised, dilated, Encoder"):
        bench.notebook_autoencoder()


def test_the_table_is_printed_and_kept_where_asked(monkeypatch, tmp_path, capsys):
    file = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--output", str(file)])
    assert bench.main() == 0
    printed = capsys.readouterr().out
    report = json.loads(file.read_text())
    rows = [row for rows in report["tables"].values() for row in rows]
    assert all(row["what"] in printed for row in rows)
    assert {row["target"] for row in rows if row["target"]} == {">= 0.95", "within 0.005", ">= 3"}
    assert all((row["met"] is None) == (not row["target"]) for row in rows)
    assert [p.name for p in tmp_path.iterdir()] == ["bench.json"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "measure", lambda: pytest.fail("measured"))
    for target in (tmp_path, tmp_path / "missing" / "bench.json"):
        monkeypatch.setattr(sys, "argv", ["bench", "--output", str(target)])
        assert bench.main() == 2
        assert capsys.readouterr().err.count("\n") == 1
