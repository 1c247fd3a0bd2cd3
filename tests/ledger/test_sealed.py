"""How old the rules of the ledger are, in a small history of their own and in the real one."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import sealed_page
from novelty_utils.ledger import claims, sealed, staleness
from novelty_utils.records import store

FIRST_VERDICT = datetime(2026, 11, 25, 2, tzinfo=UTC)  # the ledger was first computed in the commit after the margins
YOUNGER = {"LEARNED", "VARIES", "RESTARTS"}  # what a training is called dead by: 2026-11-29, after three had been found
DAYS = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in range(1, 5)]


def forget() -> None:
    for name in ("_tree", "_git", "_moves"):
        getattr(staleness, name).cache_clear()


@pytest.fixture
def history(tmp_path, monkeypatch):
    """Four versions of two files, the first under another name."""
    monkeypatch.setattr(staleness, "ROOT", tmp_path)
    old, moved = "novelty_utils/old.toml", f'"{sealed.MARGINS}" = "novelty_utils/old.toml"\n'
    edits = [
        {old: "a = 1\n[cell]\nf1 = 0.03\nauroc = 0.02\n", sealed.COLLAPSE: "LEARNED = 0.8\nMORE = 1\n"},
        {sealed.MARGINS: "a = 1\n[cell]\nf1 = 0.03\nauroc = 0.03\n", staleness.MOVED: moved, old: None},
        {sealed.MARGINS: "a = 2\n[cell]\nf1 = 0.03\nauroc = 0.03\n", sealed.COLLAPSE: "LEARNED = 0.9\nMORE = 1\n"},
        {sealed.MARGINS: "# a word\na = 1\n[cell]\nf1 = 0.03\nauroc = 0.03\nnew = 5\n"},
    ]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for day, files in zip(DAYS, edits, strict=True):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).unlink() if text is None else (tmp_path / name).write_text(text)
        commit(tmp_path, day)
    forget()
    yield tmp_path
    forget()


def commit(folder: Path, day: datetime) -> None:
    dates = {"GIT_AUTHOR_DATE": day.isoformat(), "GIT_COMMITTER_DATE": day.isoformat()}
    for words in (["add", "-A"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=folder, check=True, env=os.environ | dates)


def test_a_rule_is_as_old_as_its_value(history):
    found = {rule.name: (rule.value, DAYS.index(rule.since) + 1) for rule in sealed.rules()}
    assert found == {
        "a": (1, 4),  # it was 1 before, but 2 in between
        "cell.f1": (0.03, 1),  # a file that moved, a comment: the same value
        "cell.auroc": (0.03, 2),
        "cell.new": (5, 4),
        "LEARNED": (0.9, 3),
        "MORE": (1, 1),
    }


def test_records_from_before_a_rule_are_counted():
    rule = sealed.Rule("a", 1, DAYS[1])
    made = [SimpleNamespace(created=day.isoformat()) for day in (DAYS[0], DAYS[1], DAYS[2])]
    assert sealed.made_before(rule, made) == 1
    assert "| 2026-01-02 | `a` 1 | 1 |" in sealed_page.told([rule], made)


def test_without_a_history_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(staleness, "ROOT", tmp_path)
    forget()
    assert sealed.rules() == []
    assert "cannot be told" in sealed_page.told([], [])
    forget()


@pytest.mark.prose
def test_no_margin_is_younger_than_the_first_verdict():
    """A margin that is changed with results in view fails here, and has to be named."""
    rules = sealed.rules()
    assert len(rules) > 20
    assert {rule.name for rule in rules if rule.since > FIRST_VERDICT} == YOUNGER
    records = [record for paper in claims.PAPERS for record in store.read(paper, staleness.ROOT / "results")]
    assert sum(sealed.made_before(rules[0], [record]) for record in records) < len(records) / 2
