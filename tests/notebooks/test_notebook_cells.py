"""Parts of a notebook, executed: what is asked for has to be there."""

import json

import notebook_cells
import pytest
from notebook_cells import names_after


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    cells = [("seed = 0", ["parameters"]), ("steps = 500\nraise_if = steps > 9 and 1 / 0", []), ("x = seed", [])]
    written = [{"cell_type": "code", "source": [source], "metadata": {"tags": tags}} for source, tags in cells]
    (tmp_path / "small.ipynb").write_text(json.dumps({"cells": written}))
    monkeypatch.setattr(notebook_cells, "NOTEBOOKS", tmp_path)


def test_the_names_are_those_of_the_replaced_text_and_the_given_parameters():
    names = names_after("small", "x = seed", {"steps = 500": "steps = 5"}, seed=3)
    assert (names["steps"], names["seed"], "x" in names) == (5, 3, False)


@pytest.mark.parametrize(
    ("until", "old"), [("x = seed", "steps = 600"), ("raise_if", "x = seed"), ("gone", "steps = 500")]
)
def test_a_text_that_is_gone_is_an_error_before_anything_runs(until, old):
    with pytest.raises(AssertionError, match=r"small has no .* any more"):
        names_after("small", until, {old: "steps = 5"})
