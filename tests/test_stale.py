"""What has changed since a record was made: in a small history of its own."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from novelty_utils import stale

NOTEBOOK = ["from novelty_utils import scoring\nx = 1", "records.write(record, p.results)", "show(x)"]
ROOM = '"""A room."""\nfrom novelty_utils.lower import f\n\ndef g():\n    """Say g."""\n    return f()\n'


def notebook(*cells: str, parameters: str = "seed = 0") -> str:
    markdown = {"cell_type": "markdown", "source": ["text"], "metadata": {}}
    code = [{"cell_type": "code", "source": [cell], "metadata": {}} for cell in cells]
    code.insert(0, {"cell_type": "code", "source": [parameters], "metadata": {"tags": ["parameters"]}})
    return json.dumps({"cells": [markdown, *code]})


@pytest.fixture
def house(tmp_path, monkeypatch) -> Path:
    """A clone with a notebook, three rooms and one commit; what is edited afterwards is today."""
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    files = {
        "notebooks/ics.ipynb": notebook(*NOTEBOOK), "novelty_utils/scoring.py": ROOM,
        "novelty_utils/lower.py": "def f():\n    return 1\n", "novelty_utils/apart.py": "y = 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (stale._code, stale._at, stale._meaning, stale._imported):
        cached.cache_clear()


def reasons(house: Path, commit: str | None = "", checksum="abc", parameters=("a", "b"), dirty=False) -> list[str]:
    if commit == "":
        asked = ["git", "rev-parse", "HEAD"]
        commit = subprocess.run(asked, cwd=house, capture_output=True, text=True, check=True).stdout.strip()
    newest = SimpleNamespace(paper="ics", data={"name": "d", "checksum": "abc"}, parameters=dict.fromkeys("ab"))
    data, code = {"name": "d", "checksum": checksum}, {"commit": commit, "dirty": dirty}
    record = SimpleNamespace(paper="ics", data=data, parameters=dict.fromkeys(parameters), code=code)
    forget()
    return stale.reasons(record, newest)


def test_nothing_has_changed(house):
    assert reasons(house) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("novelty_utils/scoring.py", ROOM.replace("Say g.", "Say it.").replace("A room", "# Another room")),
        ("novelty_utils/scoring.py", "# a comment\n" + ROOM),
        ("novelty_utils/apart.py", "y = 2\n"),  # the notebook does not import it
        ("notebooks/ics.ipynb", notebook(*NOTEBOOK[:2], "show(x, y)")),  # after the record was written
        ("notebooks/ics.ipynb", notebook(NOTEBOOK[0] + "  # one", *NOTEBOOK[1:])),
        ("notebooks/ics.ipynb", notebook(*NOTEBOOK, parameters="seed = 1")),  # the record holds its own
    ],
)
def test_what_cannot_change_a_result_does_not_count(house, name, text):
    (house / name).write_text(text)
    assert reasons(house) == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("novelty_utils/scoring.py", ROOM.replace("return f()", "return 2 * f()"), "scoring"),
        ("novelty_utils/lower.py", "def f():\n    return 2\n", "lower"),  # imported by what the notebook imports
        ("notebooks/ics.ipynb", notebook(NOTEBOOK[0].replace("1", "2"), *NOTEBOOK[1:]), "notebook"),
    ],
)
def test_other_code_is_named(house, name, text, reason):
    (house / name).write_text(text)
    assert reasons(house) == [reason]


def test_other_images_and_parameters_that_are_gone_are_named(house):
    assert reasons(house, checksum="abd") == ["images"]
    assert reasons(house, parameters=("a", "c")) == ["parameters"]
    assert reasons(house, parameters=("a",)) == []  # one that came later counts as its default


def test_code_that_was_not_committed_is_named(house):
    assert reasons(house, dirty=True) == ["uncommitted code"]


def test_without_git_it_cannot_be_told(house, monkeypatch):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=house, capture_output=True, text=True).stdout.strip()
    monkeypatch.setenv("PATH", "")
    assert reasons(house, commit=commit) == ["history missing"]


@pytest.mark.parametrize("commit", [None, "0" * 40])
def test_without_the_history_it_cannot_be_told(house, commit):
    assert reasons(house, commit=commit) == ["history missing"]
