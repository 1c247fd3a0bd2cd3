"""The benchmark runs to its end, on a few images, and its table can be kept; what it measures is not tested here."""

import json
import sys

import faiss
import pytest
import threadpoolctl
import torch
from tqdm import tqdm

import bench
import bench_neighbours

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, value in {"REPEATS": 2, "IMAGES": 16, "BATCH": 8, "AUROC_CLASSES": (0,), "AUROC_EPOCHS": 1}.items():
        monkeypatch.setattr(bench, name, value)
    for name, value in {"PYOD_EPOCHS": 1, "SIDE": {"cpu": 64, "cuda": 64}}.items():
        monkeypatch.setattr(bench, name, value)
    for name, value in {"BANK": 300, "QUERIES": 40, "TREE_QUERIES": 10, "TURNS": 1}.items():
        monkeypatch.setattr(bench_neighbours, name, value)
    yield
    torch.set_num_threads(threads)


def test_the_network_is_that_of_the_paper():
    network = bench.ics_autoencoder()
    assert sum(p.numel() for p in network.encoder.parameters()) == pytest.approx(0.458e6, rel=0.01)
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)


def test_the_table_is_printed_and_kept_where_asked(monkeypatch, tmp_path, capsys):
    file = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--output", str(file)])
    assert bench.main() == 0
    printed = capsys.readouterr().out
    report = json.loads(file.read_text())
    rows = [row for rows in report["tables"].values() for row in rows]
    assert all(row["what"] in printed for row in rows)
    assert {row["target"] for row in rows if row["target"]} == {
        ">= 0.95",
        ">= 1.3",
        "within 0.005",
        ">= 3",
        "<= 1.2",
        "<= 100",
        "1",
        "0",
    }
    assert all(row["met"] for row in rows if row["what"].startswith("same neighbours") and row["target"])
    assert all((row["met"] is None) == (not row["target"]) for row in rows)
    assert [p.name for p in tmp_path.iterdir()] == ["bench.json"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "measure", lambda: pytest.fail("measured"))
    for target in (tmp_path, tmp_path / "missing" / "bench.json"):
        monkeypatch.setattr(sys, "argv", ["bench", "--output", str(target)])
        assert bench.main() == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_table_of_the_neighbours_can_be_had_alone(monkeypatch, capsys):
    monkeypatch.setattr(bench_neighbours, "memory", list)
    assert bench_neighbours.main() == 0
    printed = capsys.readouterr().out
    assert "Neighbours on the CPU: 40 queries, 300 codes, L = 128, K = 5" in printed
    assert "ours / faiss flat, 1 thread" in printed and "ball tree, scaled up from 10 queries" in printed


def test_every_library_gets_the_same_threads_and_its_own_back():
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    with bench_neighbours.limited(2):
        assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (2, 2)
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {2}
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == before


def test_a_nearer_code_found_by_another_is_told():
    queries, bank = bench_neighbours.codes(4, 100)
    right = bench_neighbours.scikit_learn("brute", queries, bank)
    wrong = right.copy()
    wrong[0, -1] = (set(range(100)) - set(right[0])).pop()
    swapped = right[:, ::-1].copy()
    told = {r["what"]: r["met"] for r in bench_neighbours.against_rounding(queries, bank, right, swapped)}
    assert told["faiss flat found a nearer one"] is True
    told = {r["what"]: r["met"] for r in bench_neighbours.against_rounding(queries, bank, wrong, right)}
    assert told["faiss flat found a nearer one"] is False
    assert bench_neighbours.agreement("same", right, wrong)["met"] is False


def test_the_memory_of_a_search_is_seen(monkeypatch):
    monkeypatch.setattr(bench_neighbours.neighbours, "nearest", lambda *_: torch.ones(256, 2**18).sum())
    assert bench_neighbours.extra_memory(1, 1) >= 250


def test_a_table_of_ten_is_timed_in_every_way_and_one_way_does_not_move_a_weight(monkeypatch):
    monkeypatch.setattr(bench, "TABLE_STEPS", (2, 4))
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)
    rows = {r["what"]: r for r in bench.table_of_ten(bench.pyod_model, images, tqdm(disable=True))}
    assert rows.keys() >= bench.WAYS.keys()
    assert rows["largest change of a weight by replaying"]["met"] is True  # on a CPU both are the same program
    assert rows["launched / replayed"]["target"] == ">= 5"
