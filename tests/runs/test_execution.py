"""The strict check of parameters, and the two ways to run a notebook, on a notebook of four small cells."""

import gc
import linecache
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_notebook import SCHEMA, write_notebook

from novelty_utils import cli
from novelty_utils.errors import InputError
from novelty_utils.records import store
from novelty_utils.records.schema import NOT_THE_EXPERIMENT, Record, Result
from novelty_utils.runs import execution

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_task_left_over():
    """A kernel that was killed leaves a task of asyncio, whose report on being collected parses code (for carets in a
    traceback). Within `ast.parse` of the next test that would be a SystemError of Python 3.11."""
    yield
    gc.collect()


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_notebook(tmp_path)


# --- finding, reading and checking ---


def test_find_notebook_by_name_from_a_folder_below_and_by_path(notebook, monkeypatch):
    assert execution.find_notebook("tiny") == notebook
    assert execution.find_notebook("notebooks/tiny.ipynb").samefile(notebook)
    monkeypatch.chdir(notebook.parent)
    assert execution.find_notebook("tiny") == notebook


def test_find_notebook_lists_what_there_is(notebook):
    write_notebook(notebook.parents[1], name="other")
    with pytest.raises(InputError, match="'icz' is not known: choose one of other, tiny"):
        execution.find_notebook("icz")
    with pytest.raises(InputError, match=r"'gone\.ipynb' is not a file"):
        execution.find_notebook("gone.ipynb")


def test_read_schema_executes_the_two_tagged_cells_only_and_in_silence(notebook, capsys):
    notebook = write_notebook(notebook.parents[1], schema=f"print('checking')\n{SCHEMA}p")
    schema, defaults = execution.read_schema(notebook)
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
    assert execution.check(path, {"beta": "2"})[1] == {"beta": 2.0}


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
        execution.read_schema(write_notebook(tmp_path, **cells))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', '{"cells": []}']
)
def test_read_schema_refuses_a_file_that_is_no_notebook(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.ipynb"):
        execution.read_schema(path)


def test_the_outcome_of_a_run_is_not_run_again(notebook):
    text = notebook.read_text().replace('["schema"]', '["injected-parameters"]')
    notebook.write_text(text)
    with pytest.raises(InputError, match="run the original notebook"):
        execution.read_schema(notebook)


def test_check_returns_the_whole_run_and_only_the_given_values(notebook):
    parameters, values = execution.check(notebook, {"dataset": "mnist", "class_name": "3", "beta": "1e-3"})
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
        execution.check(notebook, text)
    assert "\n" not in str(caught.value)


def test_check_lets_the_user_put_right_what_ails_a_default(notebook):
    Path("results").write_text("a file")
    with pytest.raises(InputError, match="results"):
        execution.check(notebook, {})
    assert execution.check(notebook, {"results": "elsewhere"})[1] == {"results": "elsewhere"}


def test_default_output_names_what_was_changed(notebook):
    def name(**text):
        return execution.default_output(notebook, execution.check(notebook, text)[0])

    assert name() == Path("runs/tiny-digits-0-smoke-s0.ipynb")
    assert name(beta="0.5", seed="7") == Path("runs/tiny-digits-0-smoke-s7.ipynb")
    assert name(note="PCA,ICS", beta="1e-5") == Path("runs/tiny-digits-0-smoke-s0-beta-1e-05-note-PCA,ICS.ipynb")


def test_default_output_is_one_safe_file_name_per_run(notebook, tmp_path):
    names = set()
    for folder in ("a b", "a_b", "x/a b", "b" * 200):
        for label in ("one", "two"):
            (tmp_path / folder / label).mkdir(parents=True)
        parameters, _ = execution.check(notebook, {"dataset": f"folder:{tmp_path / folder}", "class_name": "one"})
        output = execution.default_output(notebook, parameters)
        assert output.parent == Path("runs")
        assert len(output.name) < 200
        assert not set(output.name) & set(' :/\\*?"<>|')
        names.add(output)
    assert len(names) == 4


# --- what it left ---


def test_the_records_of_a_run_are_those_of_its_parameters_and_classes_the_newest_of_each(notebook):
    def checked(**text):
        return execution.check(notebook, {"dataset": "mnist", **text})[0]

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
    assert execution.recorded("tiny", checked(class_name="4")) == []
    four = [put("4", day=day) for day in (1, 3, 2)][1]
    drawn = [put(name) for name in ("draw0_b", "draw1_a")]
    for other in ({"seed": "1"}, {"beta": "2"}, {"tier": "demo"}, {"dataset": "digits"}):
        put("4", checked(**other))
    Path("results/tiny/mnist/3-smoke-s0-0.json").write_text("{")
    assert execution.recorded("tiny", checked(class_name="all")) == [first, four, last, *drawn]
    assert execution.recorded("tiny", checked(class_name="4")) == [four]
    assert execution.recorded("tiny", checked(class_name="3")) == []
    assert execution.recorded("tiny", checked(class_name="4", results="mine")) == []


# --- with Jupyter ---


def test_a_failed_papermill_run_leaves_only_the_failed_notebook(notebook, capfd):
    with pytest.raises(execution.RunError) as caught:
        execution.run_papermill(notebook, {"act": "fail"}, Path("out/{x}.ipynb"))  # papermill would format the braces
    assert str(caught.value) == "tiny.ipynb failed: ValueError: two lines; what ran is in out/{x}.failed.ipynb"
    assert [path.name for path in Path("out").iterdir()] == ["{x}.failed.ipynb"]
    assert "ValueError" in Path("out/{x}.failed.ipynb").read_text()
    assert "two lines" not in capfd.readouterr().err  # a dying kernel may say something of its own


@pytest.mark.parametrize("headless", [True, False])
def test_a_run_whose_tables_are_refused_keeps_its_records_and_what_ran(notebook, headless, capfd):
    line = ["run", "tiny", "-p", "act=tables", "-p", "results=mine", *(["--headless"] if headless else [])]
    assert cli.main([*line, *([] if headless else ["--output", "out.ipynb"])]) == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert "failed: InputError: another.json is not a record of a run" in told
    assert told.endswith("; its records are written, 1 in mine/tiny")
    assert Path("mine/tiny/digits/record.json").is_file()
    if not headless:
        assert "what ran is in out.failed.ipynb" in told
        assert "another.json" in Path("out.failed.ipynb").read_text()


def test_a_killed_run_is_cleared_away_by_the_next_one(notebook):
    line = [sys.executable, "-m", "novelty_utils.cli", "run", "tiny", "--output", "out/a.ipynb", "-p", "act=pause"]
    process = subprocess.Popen(line, start_new_session=True)
    end = time.monotonic() + 60
    while not Path("waiting").exists() and time.monotonic() < end:
        time.sleep(0.05)
    (left,) = Path("out").glob("a.*.partial.ipynb")
    others = [f"b.{execution.HOST}-{process.pid}.partial.ipynb", f"a.000000-{process.pid}.partial.ipynb"]
    for name in others:  # another run's, and that of another machine which has a process of this number
        Path("out", name).touch()
    execution._clear_partial(Path("out/a.ipynb"))
    assert left.exists(), "that of a run that goes on"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    execution.run_papermill(notebook, {}, Path("out/a.ipynb"))
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(["a.ipynb", *others])


def test_a_notebook_that_leaves_early_is_a_failure(notebook):
    with pytest.raises(execution.RunError, match=r"sys\.exit"):
        execution.run_papermill(notebook, {"act": "leave"}, Path("out.ipynb"))
    assert Path("out.failed.ipynb").is_file()
    assert not Path("out.ipynb").exists()


def test_ctrl_c_stops_the_kernel_and_passes_through(notebook):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"interrupted; what ran is in out\.failed\.ipynb"):
            execution.run_papermill(notebook, {"act": "wait"}, Path("out.ipynb"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not Path("out.ipynb").exists()


def test_plain_papermill_with_a_wrong_value_fails_in_the_schema_cell(notebook):
    import papermill

    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            str(notebook), None, {"beta": "0.5"}, kernel_name="python3", language="python", progress_bar=False
        )
    assert caught.value.source == SCHEMA
    assert caught.value.ename == "InputError"
    assert not Path("results").exists()


def test_a_kernel_of_papermill_draws_no_bars(notebook, monkeypatch):
    import papermill

    def executed(*_, **__):
        seen.append(os.environ.get("TQDM_DISABLE"))
        Path("out.partial.ipynb").touch()
        raise KeyboardInterrupt

    seen: list[str | None] = []
    monkeypatch.setattr(papermill, "execute_notebook", executed)
    for before in (None, "0"):
        monkeypatch.setenv("TQDM_DISABLE", before) if before else monkeypatch.delenv("TQDM_DISABLE", raising=False)
        with pytest.raises(KeyboardInterrupt):
            execution.run_papermill(notebook, {}, Path("out.ipynb"))
        assert os.environ.get("TQDM_DISABLE") == before
    assert seen == ["1", "1"]


def test_papermill_needs_jupyter_and_room_for_the_outcome(notebook, monkeypatch):
    Path("file").touch()
    Path("folder.ipynb").mkdir()
    before = sorted(Path().rglob("*"))
    for output in ("out.txt", ".ipynb", "folder.ipynb", "file/out.ipynb", notebook, "notebooks/tiny.ipynb"):
        with pytest.raises(InputError, match=r"^output="):
            execution.run_papermill(notebook, {}, Path(output))
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: None if name == "ipykernel" else name)
    with pytest.raises(InputError, match=r'pip install "novelty-utils\[run\]"'):
        execution.run_papermill(notebook, {}, Path("new/out.ipynb"))
    assert sorted(Path().rglob("*")) == before


# --- without Jupyter ---


def test_headless_shows_last_expressions_as_a_notebook_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = ["'quiet';", "'quiet'; # comment", "None", "x = 'quiet'", "1 + 1  # shown", "display(x)", "# only a comment"]
    execution.run_headless(write_notebook(tmp_path, *more), {"beta": 2.0})
    assert capsys.readouterr().out == "{'beta': 2.0}\n2\n'quiet'\n"


def test_headless_prints_the_numbers_of_a_styled_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = "import pandas as pd; table = pd.DataFrame({'AUROC': [0.875]}).style"
    execution.run_headless(write_notebook(tmp_path, table, "table", "display(table.set_caption('ICS'))"), {})
    out = capsys.readouterr().out
    assert out.count("AUROC\n0  0.875\n") == 2
    assert "ICS\n" in out


def test_headless_shows_the_source_of_a_failing_cell(notebook, capsys):
    with pytest.raises(execution.RunError) as caught:
        execution.run_headless(notebook, {"act": "fail"})
    assert str(caught.value) == "tiny.ipynb[cell 3] failed: ValueError: two lines"
    error = capsys.readouterr().err
    assert 'File "tiny.ipynb[cell 3]", line 8, in <module>\n    fail()\n' in error
    assert 'line 5, in fail\n    raise ValueError("two\\nlines")\n' in error
    assert "runs.py" not in error
    linecache.checkcache()
    assert linecache.getline("tiny.ipynb[cell 3]", 8) == "    fail()\n"


def test_headless_shows_one_line_for_an_input_error(notebook, capsys):
    with pytest.raises(InputError, match=r"^tier='huge'"):
        execution.run_headless(notebook, {"tier": "huge"})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "run", [execution.run_headless, lambda *asked: execution.run_papermill(*asked, Path("out.ipynb"))]
)
def test_a_damaged_record_is_bad_input_however_the_notebook_is_run(notebook, run):
    with pytest.raises(InputError, match=r"a\.json is not a record"):
        run(notebook, {"act": "refuse"})
    assert not list(Path().glob("out*"))


def test_an_input_error_of_a_cell_leaves_no_notebook_behind(notebook):
    before = sorted(Path().rglob("*"))
    with pytest.raises(InputError, match=r"^tier='huge'"):
        execution.run_papermill(notebook, {"tier": "huge"}, Path("new", "folder", "out.ipynb"))
    assert sorted(Path().rglob("*")) == before
    Path("mine").mkdir()
    with pytest.raises(InputError, match=r"^tier='huge'"):
        execution.run_papermill(notebook, {"tier": "huge"}, Path("mine", "out.ipynb"))
    assert list(Path("mine").iterdir()) == []


def test_headless_counts_an_early_exit_as_a_failure_and_passes_ctrl_c_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(execution.RunError, match="SystemExit"):
        execution.run_headless(write_notebook(tmp_path), {"act": "leave"})
    main = sys.modules["__main__"]
    with pytest.raises(KeyboardInterrupt):
        execution.run_headless(write_notebook(tmp_path, "raise KeyboardInterrupt"), {})
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = 1\n%matplotlib inline", r"\[cell 5\] line 2: '%matplotlib inline' needs Jupyter"),
        ("%%bash\nls", "line 1: '%%bash' needs Jupyter"),
        ("if True:\n    !ls", "line 2: '!ls' needs Jupyter"),
        ("files = !ls", "line 1: 'files = !ls' needs Jupyter"),
        ("print?", "line 1: 'print[?]' needs Jupyter"),
        ("return 3", r"\[cell 5\] line 1: 'return' outside function"),
        ("x = (1,", r"\[cell 5\] line 1: '\(' was never closed"),
    ],
)
def test_headless_refuses_what_is_not_python_before_anything_runs(tmp_path, monkeypatch, cell, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        execution.run_headless(write_notebook(tmp_path, cell), {})
    assert not Path("results").exists()


def test_headless_takes_a_modulo_at_the_start_of_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    execution.run_headless(write_notebook(tmp_path, "(7\n % 4)\n", "'''\n!ls\n'''; "), {})
    assert capsys.readouterr().out == "{'beta': 0.5}\n3\n"


def test_headless_classes_can_be_pickled_and_resolve_their_annotations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cell = """\
import pickle
from dataclasses import dataclass
from pydantic import BaseModel

@dataclass
class Point:
    x: Number

class Box(BaseModel):
    size: Number

Number = int
Box.model_rebuild()
pickle.loads(pickle.dumps(Point(1))), Box(size="3").size
"""
    execution.run_headless(write_notebook(tmp_path, "from __future__ import annotations", cell), {})
    assert capsys.readouterr().out.endswith("(Point(x=1), 3)\n")


def test_headless_closes_shown_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "svg")
    import matplotlib.pyplot as plt

    show = plt.show
    cell = """\
import os
import matplotlib
import matplotlib.pyplot as plt
plt.figure()
open_ = plt.get_fignums()
plt.show()
os.environ["MPLBACKEND"], matplotlib.get_backend().lower(), open_, plt.get_fignums()
"""
    execution.run_headless(write_notebook(tmp_path, cell), {})
    assert capsys.readouterr().out.endswith("('Agg', 'agg', [1], [])\n")
    assert plt.show is show


def test_headless_needs_neither_jupyter_nor_matplotlib(notebook):
    script = """\
import sys
missing = ("IPython", "ipykernel", "jupyter_client", "nbformat", "nbclient", "papermill", "matplotlib")
sys.modules.update(dict.fromkeys(missing))  # None here makes an import fail
from pathlib import Path
from novelty_utils.runs import execution
execution.run_headless(Path("notebooks/tiny.ipynb"), {})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "{'beta': 0.5}\n"), done.stderr
