"""Which notebook is meant, and the strict check of its parameters, on a notebook of four small cells."""

from pathlib import Path

import pytest
from tiny_notebook import SCHEMA, write_notebook

from novelty_utils.errors import InputError
from novelty_utils.records import store
from novelty_utils.records.schema import NOT_THE_EXPERIMENT, Record, Result
from novelty_utils.runs import checking


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_notebook(tmp_path)


def test_find_notebook_by_name_from_a_folder_below_and_by_path(notebook, monkeypatch):
    assert checking.find_notebook("tiny") == notebook
    assert checking.find_notebook("notebooks/tiny.ipynb").samefile(notebook)
    monkeypatch.chdir(notebook.parent)
    assert checking.find_notebook("tiny") == notebook


def test_find_notebook_lists_what_there_is(notebook):
    write_notebook(notebook.parents[1], name="other")
    with pytest.raises(InputError, match="'icz' is not known: choose one of other, tiny"):
        checking.find_notebook("icz")
    with pytest.raises(InputError, match=r"'gone\.ipynb' is not a file"):
        checking.find_notebook("gone.ipynb")


def test_read_schema_executes_the_two_tagged_cells_only_and_in_silence(notebook, capsys):
    notebook = write_notebook(notebook.parents[1], schema=f"print('checking')\n{SCHEMA}p")
    schema, defaults = checking.read_schema(notebook)
    assert capsys.readouterr().out == ""
    assert list(schema.model_fields)[-3:] == ["beta", "note", "act"]
    assert defaults == {
        "dataset": "digits", "class_name": "0", "tier": "smoke", "seed": 0, "device": "auto", "results": "results",
        "beta": 0.5, "note": "none", "act": "work",
    }  # fmt: skip
    assert not Path("results").exists()


def test_read_schema_resolves_annotations_kept_as_text(tmp_path):
    local = SCHEMA.replace("class Parameters", "Beta = float\nclass Parameters").replace("beta: float", "beta: Beta")
    path = write_notebook(tmp_path, schema=f"from __future__ import annotations\n{local}")
    assert checking.check(path, {"beta": "2"})[1] == {"beta": 2.0}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"schema": "p = 1"}, "defines 0 subclasses"),
        ({"schema": "import no_such_module"}, "cannot be read: ModuleNotFoundError"),
        ({"schema": "%pip install x"}, "needs Jupyter"),
        ({"schema": "import sys; sys.exit()"}, "its parameters cannot be read: SystemExit"),
        ({"first": "raise SystemExit(0)"}, "its parameters cannot be read: SystemExit"),
    ],
)
def test_read_schema_refuses_a_notebook_without_one(tmp_path, cells, message):
    with pytest.raises(InputError, match=message):
        checking.read_schema(write_notebook(tmp_path, **cells))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', '{"cells": []}']
)
def test_read_schema_refuses_a_file_that_is_no_notebook(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.ipynb"):
        checking.read_schema(path)


def test_the_outcome_of_a_run_is_not_run_again(notebook):
    text = notebook.read_text().replace('["schema"]', '["injected-parameters"]')
    notebook.write_text(text)
    with pytest.raises(InputError, match="run the original notebook"):
        checking.read_schema(notebook)


def test_check_returns_the_whole_run_and_only_the_given_values(notebook):
    parameters, values = checking.check(notebook, {"dataset": "mnist", "class_name": "3", "beta": "1e-3"})
    assert values == {"dataset": "mnist", "class_name": "3", "beta": 1e-3}
    assert (parameters.dataset, parameters.seed, parameters.beta) == ("mnist", 0, 1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"betta": "1"}, "unknown parameter 'betta'"),
        ({"seed": "1.5"}, "seed='1.5'"),
        ({"beta": "many"}, "beta='many'"),
        ({"beta": "-1"}, "beta='-1'"),
        ({"beta": "nan"}, "beta='nan'"),
        ({"class_name": 3}, "class_name=3 is not text: write '3'"),
        ({"beta": None}, "beta=None is not text"),
        ({"tier": "huge"}, "tier='huge'"),
        ({"class_name": "cat"}, "class_name='cat' is not a class of digits"),
        ({"dataset": "fashion_mnist", "class_name": "10"}, "not a class of fashion_mnist"),
        ({"dataset": "imagenet"}, "dataset='imagenet' is not known"),
        ({"dataset": "folder:nowhere"}, "nowhere is not a folder"),
    ],
)
def test_check_refuses_in_one_line(notebook, text, message):
    with pytest.raises(InputError, match=message) as caught:
        checking.check(notebook, text)
    assert "\n" not in str(caught.value)


def test_check_lets_the_user_put_right_what_ails_a_default(notebook):
    Path("results").write_text("a file")
    with pytest.raises(InputError, match="results"):
        checking.check(notebook, {})
    assert checking.check(notebook, {"results": "elsewhere"})[1] == {"results": "elsewhere"}


def test_default_output_names_what_was_changed(notebook):
    def name(**text):
        return checking.default_output(notebook, checking.check(notebook, text)[0])

    assert name() == Path("runs/tiny-digits-0-smoke-s0.ipynb")
    assert name(beta="0.5", seed="7") == Path("runs/tiny-digits-0-smoke-s7.ipynb")
    assert name(note="PCA,ICS", beta="1e-5") == Path("runs/tiny-digits-0-smoke-s0-beta-1e-05-note-PCA,ICS.ipynb")


def test_default_output_is_one_safe_file_name_per_run(notebook, tmp_path):
    names = set()
    for folder in ("a b", "a_b", "x/a b", "b" * 200):
        for label in ("one", "two"):
            (tmp_path / folder / label).mkdir(parents=True)
        parameters, _ = checking.check(notebook, {"dataset": f"folder:{tmp_path / folder}", "class_name": "one"})
        output = checking.default_output(notebook, parameters)
        assert output.parent == Path("runs")
        assert len(output.name) < 200
        assert not set(output.name) & set(' :/\\*?"<>|')
        names.add(output)
    assert len(names) == 4


# --- what it left ---


def test_the_records_of_a_run_are_those_of_its_parameters_and_classes_the_newest_of_each(notebook):
    def checked(**text):
        return checking.check(notebook, {"dataset": "mnist", **text})[0]

    def put(class_name, p=None, day=1):
        p = p or checked()
        record = Record(
            version=1, paper="tiny", tier=p.tier, dataset=p.dataset, class_name=class_name, seed=p.seed,
            parameters=p.model_dump(exclude=NOT_THE_EXPERIMENT), data={"name": "mnist", "checksum": str(day)},
            results=[Result(method="m", metric="auroc", value=0.5)], training={}, code={"commit": None}, seconds=1.0,
            machine={"cpu": "a processor", "threads": 1, "gpu": None}, peak_memory_mb=1,
            created=f"2000-01-0{day}T00:00:00Z",
        )  # fmt: skip
        store.write(record, "results")
        return record.path("results")

    last, first = put("9"), put("0")
    assert checking.recorded("tiny", checked(class_name="4")) == []
    four = [put("4", day=day) for day in (1, 3, 2)][1]
    drawn = [put(name) for name in ("draw0_b", "draw1_a")]
    for other in ({"seed": "1"}, {"beta": "2"}, {"tier": "demo"}, {"dataset": "digits"}):
        put("4", checked(**other))
    Path("results/tiny/mnist/3-smoke-s0-0.json").write_text("{")
    assert checking.recorded("tiny", checked(class_name="all")) == [first, four, last, *drawn]
    assert checking.recorded("tiny", checked(class_name="4")) == [four]
    assert checking.recorded("tiny", checked(class_name="3")) == []
    assert checking.recorded("tiny", checked(class_name="4", results="mine")) == []
