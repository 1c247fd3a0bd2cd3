"""The page of coverage: what is counted, what is missing, and that text from records cannot break the page."""

import re
from pathlib import Path

import pytest

import coverage_page
from novelty_utils.records import store
from novelty_utils.runs import pending, sweep_file

ROOT = Path(__file__).parents[2]
RECORD = store.Record(
    version=1, paper="ics", tier="demo", dataset="mnist", class_name="0", seed=0, parameters={"bn": "torch"},
    data={"name": "mnist", "checksum": "abc"}, results=[store.Result(method="ICS", metric="auroc", value=0.5)],
    training={"ICS": {"seconds": 1}}, machine={"gpu": None, "cpu": "slow", "threads": 1}, code={"commit": None},
    seconds=1800.0, peak_memory_mb=1, created="2000-01-01T00:00:00Z",
)  # fmt: skip


def write(folder: Path, **changes) -> None:
    record = RECORD.model_copy(update=changes)
    record.parameters = RECORD.parameters | {"seed": record.seed, "tier": record.tier}
    store.write(record.model_validate(record.model_dump()), folder)


def test_classes_and_seeds_are_counted_by_tier(tmp_path):
    for name in ("0", "1"):
        for seed in (0, 1):
            write(tmp_path, class_name=name, seed=seed)
    write(tmp_path, class_name="1", tier="paper")
    write(tmp_path, class_name="2", tier="smoke")
    said = coverage_page.there(tmp_path)
    assert "2.0 hours of computing in the demo tier, 0.5 at full length" in said
    assert "| ICS | MNIST, one class | 2 of 10 (0, 1), 2 seeds | 1 of 10 (1) |" in said


def test_the_fewest_seeds_of_a_class_are_told(tmp_path):
    write(tmp_path, class_name="0")
    write(tmp_path, class_name="1", seed=0)
    write(tmp_path, class_name="1", seed=1)
    assert "| 2 of 10 (0, 1) |" in coverage_page.there(tmp_path)


def test_text_of_a_record_stays_text(tmp_path):
    write(tmp_path, dataset="<script>|", class_name="0")
    said = coverage_page.there(tmp_path)
    assert "<script>" not in said and "&lt;script&gt;&#124;" in said


def test_what_is_missing_comes_in_the_order_of_the_list_and_goes_when_it_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    listed = sweep_file.read(coverage_page.FULL, {"results": str(tmp_path)})
    said = coverage_page.missing(listed)
    assert said.startswith(f"{len(listed)} of the {len(listed)} runs")
    papers = [
        line.split("|")[1].strip() for line in said.splitlines() if re.match(r"\| (ICS|NLN|CRBND|ADe-GAN) ", line)
    ]
    assert papers[:2] == ["NLN", "NLN"] and {"ICS", "CRBND", "ADe-GAN"} < set(papers)
    assert coverage_page.missing([]).startswith("Nothing")
    rivals = sweep_file.read(coverage_page.RIVALS, {"results": str(tmp_path)})
    said = coverage_page.missing(rivals, coverage_page.RIVALS)
    assert "`sweeps/rivals.yml`" in said and "| The rivals | AnoGAN | MNIST, miso | 0 | all ten |" in said
    monkeypatch.setattr(pending, "unfinished", lambda jobs: jobs[:1])
    assert coverage_page.missing(listed).startswith(f"1 of the {len(listed)} runs")


@pytest.mark.prose
@pytest.mark.parametrize("paper", coverage_page.TRAINED)
def test_every_paper_with_records_has_a_table(paper, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert f"**{coverage_page.TITLES[paper]}**" in coverage_page.there("results")


def test_hours_are_those_of_runs_that_train_the_same_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(pending, "_recorded", lambda job: store.read(job.paper, job.parameters.results))
    for protocol, seconds in (("miso", 3600.0), ("simo", 360.0)):
        asked = {"dataset": "mnist", "methods": "Mahalanobis,REAPER,Outlier Pursuit", "protocol": protocol}
        parameters = asked | {"seed": 0, "tier": "demo"}
        kept = RECORD.model_copy(update={"paper": "rivals", "seconds": seconds, "parameters": parameters})
        store.write(kept.model_validate(kept.model_dump()), tmp_path)
    rows = coverage_page.missing(
        sweep_file.read(coverage_page.RIVALS, {"results": str(tmp_path)}), coverage_page.RIVALS
    ).splitlines()
    hours = {tuple(cell.strip() for cell in row.split("|")[2:5]): row.split("|")[6].strip() for row in rows[4:]}
    cheap = "Mahalanobis, REAPER, Outlier Pursuit"
    assert (hours[cheap, "MNIST, miso", "1"], hours[cheap, "MNIST, simo", "1"]) == ("10.0", "1.0")
    assert hours["AnoGAN", "MNIST, miso", "0"] == "not known"
