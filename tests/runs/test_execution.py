"""The two ways to run a notebook, on a notebook of four small cells."""

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
