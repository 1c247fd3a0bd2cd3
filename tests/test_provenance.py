"""The machine and the code that a record names."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from novelty_utils import provenance


def test_the_commit_is_that_of_this_clone():
    root = Path(provenance.__file__).parents[1]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    assert provenance.code("ics")["commit"] == head.stdout.strip()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """The package in a folder that is no clone."""
    (tmp_path / "novelty_utils").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "novelty_utils" / "provenance.py"))
    return tmp_path


def test_without_a_clone_there_is_no_commit_and_without_a_notebook_no_hash_of_it(elsewhere):
    code = provenance.code("ics")
    assert (code["commit"], code["notebook"]) == (None, None)


def test_the_hashes_follow_the_code_and_nothing_else(elsewhere):
    def notebook(code: str, prose: str, **cell) -> None:
        cells = [{"cell_type": "markdown", "source": [prose]}, {"cell_type": "code", "source": [code], **cell}]
        (elsewhere / "notebooks").mkdir(exist_ok=True)
        (elsewhere / "notebooks" / "ics.ipynb").write_text(json.dumps({"cells": cells}))

    def hashes() -> tuple[str, str]:
        code = provenance.code("ics")
        return code["package"], code["notebook"]

    notebook("a = 1", "prose")
    first = hashes()
    notebook("a = 1", "other prose", outputs=[1])
    assert hashes() == first
    notebook("a = 2", "prose")
    second = hashes()
    assert second[0] == first[0]
    assert second[1] != first[1]
    (elsewhere / "novelty_utils" / "params.py").write_text("changed = True")
    assert hashes()[0] != first[0]


def test_a_run_on_the_processor_is_none_of_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert provenance.machine()["gpu"] == "a GPU"
    assert provenance.machine("cpu")["gpu"] is None


def test_code_is_not_called_clean_where_git_did_not_say(monkeypatch):
    monkeypatch.setattr(provenance, "_git", lambda *words: None)
    assert provenance.code("ics")["dirty"] is None
