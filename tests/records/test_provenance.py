"""The machine and the code that a record names."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import threadpoolctl
import torch

from novelty_utils.params import RunParameters
from novelty_utils.records import provenance, store
from novelty_utils.runs import execution


def test_the_commit_is_that_of_this_clone():
    root = Path(provenance.__file__).parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    assert provenance.code("ics")["commit"] == head.stdout.strip()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """The package in a folder that is no clone."""
    (tmp_path / "novelty_utils").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "novelty_utils" / "records" / "provenance.py"))
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
        provenance._clone.cache_clear()  # as in a new process
        provenance._notebook.cache_clear()
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
    before = provenance.code("ics")["package"]
    assert before == first[0], "what is edited while a process runs is not what it runs"
    assert hashes()[0] != first[0]


def test_a_run_names_the_code_of_its_beginning_not_of_its_end(elsewhere):
    provenance._clone.cache_clear()
    store.RunMeter()
    (elsewhere / "novelty_utils" / "params.py").write_text("edited = 'while it ran'")
    begun = provenance.code("ics")["package"]
    provenance._clone.cache_clear()  # as a run that begins now
    assert provenance.code("ics")["package"] != begun
    provenance._clone.cache_clear()


def test_a_script_with_a_history_of_its_own_has_no_cells(clone, monkeypatch):
    untouched = ran(monkeypatch)
    monkeypatch.setattr(sys.modules["__main__"], "In", 3, raising=False)
    assert provenance.code("ics") == untouched


LINES = {"parameters": "seed = 0\ntier = 'demo'", "loss": "loss = x.abs()", "last": "x = 1"}


@pytest.fixture
def clone(elsewhere) -> Path:
    tagged = {"parameters": {"tags": ["parameters"]}}
    code = [{"cell_type": "code", "source": s, "metadata": tagged.get(n, {})} for n, s in LINES.items()]
    (elsewhere / "notebooks").mkdir()
    (elsewhere / "notebooks" / "ics.ipynb").write_text(json.dumps({"cells": code}))
    return elsewhere


def ran(monkeypatch, *sources: str) -> dict:
    monkeypatch.setattr(sys.modules["__main__"], "In", ["", *sources], raising=False)
    return provenance.code("ics")


@pytest.mark.parametrize("parameters", ["# a note", "# Parameters\nseed = 3\n", "seed = 3\ntier = 'paper'"])
def test_other_parameters_are_the_same_notebook(clone, monkeypatch, parameters):
    monkeypatch.setattr(provenance, "_git", lambda *words: ("abc" if words[0] == "rev-parse" else "", ""))
    untouched = ran(monkeypatch)
    assert untouched["dirty"] is False
    assert ran(monkeypatch, *LINES.values()) == untouched
    assert ran(monkeypatch, LINES["parameters"], parameters, LINES["loss"] + "\n") == untouched


def test_a_run_of_an_edited_copy_finds_its_checkpoints_again_at_its_end(clone, monkeypatch):
    parameters = RunParameters.check(
        {"dataset": "digits", "class_name": "3", "tier": "demo", "seed": 0, "device": "cpu", "results": str(clone)}
    )
    store._scratch.cache_clear()
    ran(monkeypatch, *LINES.values())
    untouched = store.scratch("ics", parameters)
    store._scratch.cache_clear()
    ran(monkeypatch, LINES["parameters"], "loss = x.square()")
    begun = store.scratch("ics", parameters)
    assert begun != untouched, "weights of another loss"
    ran(monkeypatch, LINES["parameters"], "loss = x.square()", "print(loss)")
    assert store.scratch("ics", parameters) == begun
    store._scratch.cache_clear()


@pytest.mark.parametrize(
    "edited", ["tier = novel = 3", "loss = x.square()", "x = 2\nloss = x.abs()", "weight = 3", "x = (", "%time x"]
)
def test_a_cell_that_is_not_the_notebooks_makes_a_run_dirty_and_is_in_its_hash(clone, monkeypatch, edited):
    monkeypatch.setattr(provenance, "_git", lambda *words: ("abc" if words[0] == "rev-parse" else "", ""))
    untouched = ran(monkeypatch)
    found = ran(monkeypatch, LINES["parameters"], edited)
    assert found["dirty"] is True
    assert found["notebook"] != untouched["notebook"]
    assert ran(monkeypatch, edited, edited + " ")["notebook"] != found["notebook"], "run twice is not run once"


COPY = """
from novelty_utils.records import provenance
found = provenance.code("ics")
print("dirty", found["dirty"], "hash", found["notebook"])
"""


@pytest.mark.parametrize("headless", [True, False])
def test_of_what_ran_only_the_cells_that_are_not_the_notebooks_count(tmp_path, monkeypatch, headless):
    """In a real kernel and headless: its parameters, others injected, its schema, and a cell of the reader's own."""
    own = nbformat.read(Path(provenance.__file__).parents[2] / "notebooks" / "ics.ipynb", 4).cells
    own = [cell for cell in own if {"parameters", "schema"} & set(cell.metadata.get("tags", []))]
    file, out = tmp_path / "ics.ipynb", tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[*own, nbformat.v4.new_code_cell(COPY)]), file)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        execution.run_headless(file, {"seed": 3}) if headless else execution.run_papermill(file, {"seed": 3}, out)
    said = said.getvalue() if headless else "".join(nbformat.read(out, 4).cells[-1].outputs[0].text)
    assert said == f"dirty True hash {ran(monkeypatch, COPY)['notebook']}\n"


def test_a_run_on_the_processor_is_none_of_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert provenance.machine()["gpu"] == "a GPU"
    assert provenance.machine("cpu")["gpu"] is None


@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("3", 3), ("", 1), ("0", 1), ("many", 1), ("２", 1)])
def test_a_run_has_one_thread_unless_told_otherwise(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said) if said is not None else monkeypatch.delenv("OMP_NUM_THREADS", False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        store.RunMeter()
        assert torch.get_num_threads() == threads == provenance.machine("cpu")["threads"]
        pools = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        assert pools == {threads}
    finally:
        torch.set_num_threads(before)
        threadpoolctl.threadpool_limits(before)


@pytest.fixture
def foreign(elsewhere, monkeypatch) -> Path:
    """A clone in front of whose git stands another: a script that the test writes."""
    (elsewhere / ".git").mkdir()
    (elsewhere / "bin").mkdir()
    monkeypatch.setenv("PATH", str(elsewhere / "bin"), prepend=":")
    provenance._clone.cache_clear()
    yield elsewhere / "bin" / "git"
    provenance._clone.cache_clear()


OWNED = "echo \"fatal: detected dubious ownership in repository at '$PWD'\" >&2; exit 128"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (OWNED, "git rev-parse failed: fatal: detected dubious ownership in repository at 'the clone'"),
        ("sleep 3", "git rev-parse took more than 0.2 seconds"),
        ('test "$1" = rev-parse && echo abc || sleep 3', "git status took more than 0.2 seconds"),
        (None, "git cannot be started (Permission denied)"),
    ],
)
def test_where_git_does_not_say_record_and_screen_say_why(foreign, monkeypatch, capsys, script, why):
    foreign.write_text(f"#!/bin/sh\n{script}\n")
    foreign.chmod(0o755 if script else 0o644)
    monkeypatch.setattr(provenance, "PATIENCE", 0.2)
    if script is None:
        monkeypatch.setenv("PATH", str(foreign.parent))
    store.RunMeter()
    assert f"which commit it ran, or if files differed: {why}\n" in capsys.readouterr().err
    code = provenance.code("ics")
    assert (code["no_commit"], code["dirty"]) == (why, None)  # and is not called clean
    assert code["commit"] == ("abc" if "status" in why else None)


def test_without_a_clone_nobody_is_told_but_the_record(elsewhere, capsys):
    provenance._clone.cache_clear()
    store.RunMeter()
    assert capsys.readouterr().err == ""
    assert provenance.code("ics")["no_commit"] == "the package does not lie in a clone"
    provenance._clone.cache_clear()


def test_a_commit_needs_no_reason():
    provenance._clone.cache_clear()
    assert "no_commit" not in provenance.code("ics")
