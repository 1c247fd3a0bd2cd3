"""The ledger takes each record once, and not once for every other: what grows is counted, not timed."""

from pathlib import Path

import pytest
from test_claims import put

from novelty_utils.ledger import evidence
from novelty_utils.ledger.evidence import Evidence
from novelty_utils.records import replications


def counted(monkeypatch, module, name: str) -> list[int]:
    calls, before = [], getattr(module, name)

    def call(*arguments):
        calls.append(1)
        return before(*arguments)

    monkeypatch.setattr(module, name, call)
    return calls


@pytest.mark.parametrize("seeds", [5, 20])
def test_the_newest_record_and_the_first_one_are_looked_up(tmp_path: Path, monkeypatch, seeds):
    for seed in range(seeds):
        for folder in (tmp_path, tmp_path / "repeats"):
            put(folder, {("ICS", "auroc"): 0.9}, "3", seed)
    newest, compared = counted(monkeypatch, evidence, "_images"), counted(monkeypatch, replications, "same_run")
    source = Evidence("ics", tmp_path)
    used = source.select("ICS", "auroc", {})
    assert len(used) == seeds
    source.provenance(used)
    assert len(newest) == 2 * seeds
    assert len(compared) == seeds
    assert len(replications.read(tmp_path, "ics")) == seeds
    assert len(compared) == 2 * seeds


def test_of_many_experiments_only_those_asked_for_are_looked_through(tmp_path, monkeypatch):
    for dataset in ("mnist", "fashion_mnist"):
        for seed in range(4):
            for rho in (1.0, 10.0):
                put(tmp_path, {("ICS", "auroc"): rho / 20}, "3", seed, dataset=dataset, rho=rho)
    source, seen = Evidence("ics", tmp_path), []
    monkeypatch.setattr(evidence, "_in_order", lambda groups: seen.extend(groups) or [])
    source.select("ICS", "auroc", {"rho": 1.0}, datasets=["mnist"])
    assert [[(s.dataset, s.value) for _, s in group] for group in seen] == [[("mnist", 0.05)] * 4]


def test_results_come_in_the_order_of_their_records_whatever_their_experiments(tmp_path):
    for seed in range(4):
        put(tmp_path, {("ICS", "auroc"): seed / 10}, "3", seed, rho=[1.0, 10.0][seed % 2])
    source = Evidence("ics", tmp_path)
    expected = [next(r.value for r in record.results) for record in source.records]
    assert [s.value for s in source.select("ICS", "auroc", {})] == expected
    assert [s.value for s in source.repetitions("ICS", "auroc")] == expected
