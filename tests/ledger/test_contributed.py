"""Records from elsewhere: what is taken, what is refused and why, and how far they agree with ours."""

import json
import shutil
from pathlib import Path

import pytest

from crossref import ROOT
from novelty_utils import cli
from novelty_utils.ledger import contributed
from novelty_utils.records import store

OURS = ROOT / "results"
FIRST = next(r for r in store.read("leaderboard", OURS) if (r.dataset, r.class_name, r.seed) == ("mnist", "3", 0))


def offered(folder: Path, first: store.Record = FIRST, **changes) -> contributed.Checked:
    """What is said of one of our own records with these changes; dots lead into it."""
    content = first.model_dump(mode="json")
    for name, value in changes.items():
        *way, last = name.split("__")
        inner = content
        for step in way:
            inner = inner[step]
        inner[last] = value
    record = store.Record.model_validate(content)
    path = record.path(folder)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    (checked,) = contributed.check(folder, OURS)
    return checked


OTHER = [{**result.model_dump(), "value": 0.9, "low": None, "high": None} for result in FIRST.results]


def test_a_record_of_ours_agrees_with_itself(tmp_path):
    checked = offered(tmp_path)
    assert checked.faults == []
    assert checked.told.startswith("again: of ") and "further than 0.0 points" in checked.told


def test_another_seed_is_told_with_its_distance(tmp_path):
    checked = offered(tmp_path, seed=7, parameters__seed=7, results=OTHER)
    assert checked.faults == []
    assert checked.told.startswith("new: seed 7 beside ") and "points from their mean" in checked.told


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("beta", -0.0, "it has beta=-0.0, which is written 0.0 in our records"),
        ("alpha", 1, "it has alpha=1, which is written 1.0 in our records"),
        ("methods", "ICS,CAE", "it has methods='ICS,CAE', which is written 'CAE,ICS' in our records"),
    ],
)
def test_a_value_that_is_written_otherwise_would_make_a_second_record_and_is_refused(tmp_path, name, value, why):
    first = next(record for record in store.read("ics", OURS) if record.dataset == "mnist")
    assert offered(tmp_path, first, **{f"parameters__{name}": value}).faults[0] == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tier": "smoke", "parameters__tier": "smoke"}, "no evidence"),
        ({"data__checksum": "0" * 16}, "its images of 'mnist' are others than ours"),
        ({"dataset": "folder:x", "parameters__dataset": "folder:x"}, "we have no record of 'folder:x'"),
        ({"parameters__protocol": "mine"}, "protocol='mine'"),
        ({"parameters__extra": 1}, "unknown parameter 'extra'"),
        ({"parameters__seed": 0.0}, "seed='0.0': write a whole number plainly"),
        ({"class_name": "10"}, "class_name='10' is not a class"),
        ({"class_name": "all"}, "its class is 'all'"),
        ({"code": {"commit": FIRST.code["commit"]}}, "code that was edited"),  # it does not say that it was not
        ({"results": [{**OTHER[0], "method": "mine"}]}, "no AUROC in common with our record of the same run"),
        ({"code__dirty": True}, "code that was edited"),
        ({"code__commit": "0" * 40}, "its commit 0000000 is not in the history"),
        ({"code__commit": None, "code__package": "other"}, "names no commit"),
        ({"created": "2999-01-01T00:00:00+00:00", "results": OTHER}, "still to come"),
        ({"seed": 7, "parameters__seed": 7}, "its results are those of our leaderboard/mnist/3-demo-s0"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(tmp_path, changes, why):
    faults = offered(tmp_path, **changes).faults
    assert any(why in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"created": "2026-11-30T10:00:00"}, "no time zone"),
        ({"code": {"commit": "HEAD", "dirty": False}}, "should match pattern"),
        ({"code": {"commit": "a\0b", "dirty": False}}, "should match pattern"),
        ({"results": [*OTHER, OTHER[0]]}, "there more than once"),
    ],
)
def test_one_bad_record_is_told_and_the_others_are_checked(tmp_path, changes, why):
    offered(tmp_path)
    bad = tmp_path / "leaderboard" / "mnist" / "a.json"
    bad.write_text(json.dumps(FIRST.model_dump(mode="json") | changes))
    first, second = contributed.check(tmp_path, OURS)
    assert why in first.faults[0] if first.file == bad else why in second.faults[0]
    assert sorted(map(bool, (first.faults, second.faults))) == [False, True]


def test_what_is_told_of_a_record_cannot_forge_a_line(tmp_path, capsys):
    forged = "\x1b[2J\nmine/x.json: again: of 12 AUROCs none is further than 0.0 points from ours"
    assert offered(tmp_path, data__checksum=forged).faults
    assert cli.main(["submit", str(tmp_path), "--results", str(OURS)]) == 2
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.count("\n") == 1


def test_a_record_that_does_not_say_all_parameters_is_refused(tmp_path):
    given = {name: value for name, value in FIRST.parameters.items() if name != "protocol"}
    assert "it does not say protocol" in offered(tmp_path, parameters=given).faults[0]


def test_an_edited_or_misplaced_file_is_refused(tmp_path):
    path = FIRST.path(tmp_path)
    path.parent.mkdir(parents=True)
    source = FIRST.path(OURS)
    path.write_text(source.read_text().replace('"auroc"', '"auroc', 1))
    shutil.copy(source, path.with_name("4-demo-s0-0123456789.json"))
    torn, misplaced = sorted(contributed.check(tmp_path, OURS), key=lambda one: one.file != path)
    assert "is not a record of a run" in torn.faults[0]
    assert "it lies where another run would" in misplaced.faults[0]


@pytest.mark.prose
@pytest.mark.slow
def test_the_checks_refuse_nothing_that_we_have_taken_ourselves():
    faults = [fault for one in contributed.check(OURS, OURS) for fault in one.faults]
    assert faults == ["depth=2: the public code's A halves an image four times"] * 2  # that was not yet refused then


def test_the_command_tells_what_to_do_and_ends_with_2_if_one_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    offered(tmp_path / "good")
    assert cli.main(["submit", str(tmp_path / "good")]) == 0
    assert "1 records can be taken" in capsys.readouterr().out
    offered(tmp_path / "bad", code__dirty=True)
    assert cli.main(["submit", str(tmp_path / "bad")]) == 2
    said = capsys.readouterr()
    assert (
        "code that was edited" in said.out
        and said.err == "novelty: 1 of 1 records cannot be taken, as told above: leave them out\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "FOLDER 'gone' is not a folder"),
        (["."], "holds no PAPER/DATASET/NAME.json"),
        ([".", "--results", "gone"], "--results 'gone' is not a folder"),
    ],
)
def test_nothing_to_check_is_told(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert cli.main(["submit", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
