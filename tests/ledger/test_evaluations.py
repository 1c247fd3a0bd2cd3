"""The ledger as Hugging Face's evaluation results: read by their own library, and traced back to our records."""

import json

import pandas as pd
import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
from test_claims import put

from novelty_utils.ledger import claims, evaluations
from novelty_utils.records import replications

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[pd.DataFrame, list[dict]]:
    """A ledger of three records, one made again elsewhere; and what is read back from its file of entries."""
    folder = tmp_path_factory.mktemp("written")
    put(folder / "results", {("CLS", "auroc"): (0.91, 0.90, 0.92), ("ICS", "auroc"): 0.92004}, day=1)
    put(folder / "results", {("CLS", "auroc"): 0.93, ("ICS", "auroc"): 0.94}, seed=1, day=2)
    put(folder / "results", {("CLS", "auroc"): 0.5, ("ICS", "auroc"): 0.4}, class_name="4", day=3)
    put(folder / "results" / replications.FOLDER, {("CLS", "auroc"): 0.91, ("ICS", "auroc"): 0.92}, day=4)
    table = claims.ledger(folder / "results")
    path = evaluations.write(table, folder / "results", folder)
    return table, yaml.safe_load(path.read_text(encoding="utf-8"))


def test_there_is_one_entry_for_each_claim_that_can_be_judged(written):
    table, entries = written
    judged = table[table.ours.notna()]
    assert len(entries) == len(judged) >= 5
    assert [one["value"] for one in entries] == judged.ours.round(4).tolist()
    assert len({(one["dataset"]["id"], one["dataset"]["task_id"]) for one in entries}) == len(entries)


def test_the_format_s_own_library_reads_every_entry_and_loses_nothing_but_the_evidence(written):
    _, entries = written
    again = eval_result_entries_to_yaml(parse_eval_result_entries(entries))
    assert again == [{name: value for name, value in one.items() if name != "evidence"} for one in entries]


def test_a_field_that_the_format_does_not_have_would_be_noticed(written):
    one = {**written[1][0], "unknown": "x"}
    assert "unknown" not in eval_result_entries_to_yaml(parse_eval_result_entries([one]))[0]


def test_an_entry_names_its_records_commits_images_and_the_command(written):
    _, entries = written
    (one,) = [e for e in entries if e["dataset"]["task_id"].startswith("ics; Table 4; CLS, auroc; one_class_4000; 3;")]
    evidence = one["evidence"]
    assert len(evidence["records"]) == 3  # two seeds, of which the first was made again
    assert sum(path.startswith("repeats/ics/mnist/3-demo-s0-") for path in evidence["records"]) == 1
    assert evidence["checksums"] == {"mnist": "abc"} and one["dataset"]["revision"] == "abc"
    assert evidence["commits"] == ["None"] and evidence["command"].startswith("for s in 0 1; do novelty run ics ")
    assert one["date"].startswith("2026-01-04")
    assert one["notes"].startswith("auroc, from 0.") and one["notes"].endswith("demo tier; seeds: 2")


def test_what_is_tiny_or_long_stays_a_number(tmp_path):
    """YAML 1.1 takes 1e-05 for text."""
    line = dict.fromkeys(claims.COLUMNS, "") | {"printed": 0.1, "low": 0.0, "high": 0.1, "seeds": 1.0, "dataset": "d"}
    record = {"created": "2026-01-01", "code": {"commit": "c"}, "data": {"name": "d", "checksum": "abc"}}
    (tmp_path / "r.json").write_text(json.dumps(record))
    values = [1e-5, -3e-5, 123456.7, 0.0001]
    table = pd.DataFrame([line | {"ours": value, "records": "r.json"} for value in values])
    read = yaml.safe_load(evaluations.write(table, tmp_path, tmp_path).read_text(encoding="utf-8"))
    assert [one["value"] for one in read] == [0, 0, 123456.7, 0.0001]
