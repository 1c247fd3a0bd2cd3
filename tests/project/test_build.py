"""Running notebooks for the book: reused while nothing changes, run again when anything does, clear when one fails."""

import json
import re
from pathlib import Path

import nbformat
import pytest

import book
from novelty_utils.records import store
from novelty_utils.runs import execution

pytestmark = pytest.mark.slow

NOTEBOOK = """# %% [markdown]
# # Title with {eq}`eq-x`

# %% tags=["parameters"]
dataset = "digits"
class_name = "3"
tier = "demo"
seed = 0
device = "auto"
results = "results"

# %% tags=["schema"]
from pathlib import Path

from novelty_utils.params import RunParameters


class Parameters(RunParameters):
    pass


p = Parameters.check(globals())

# %%
Path(results).mkdir(parents=True, exist_ok=True)
print(tier, results, Path("novelty_utils/room.py").read_text())
"""


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A small clone, as the current folder."""
    for name, text in {
        "notebooks/x.py": NOTEBOOK,
        "novelty_utils/room.py": "1",
        "results/x/record.json": "{}",
        "requirements.txt": "",
        "book/index.md": "# Start\n\n```{include} runtimes.md\n```\n",
        "_config.yml": "title: T\nexecute: {execute_notebooks: 'off'}\nonly_build_toc_files: true\n",
        "_toc.yml": "format: jb-book\nroot: book/index\nchapters: [{file: notebooks/x}]\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_notebook_runs_in_the_smoke_tier_with_myst_kept_and_is_then_reused(clone, capsys):
    path = book.execute(Path("notebooks/x.py"))
    notebook = nbformat.read(path, as_version=4)
    assert "{eq}`eq-x`" in notebook.cells[0].source
    injected = next(cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert "hide-input" in injected.metadata.tags
    assert notebook.cells[-1].outputs[0].text == "smoke _build/executed/x/results 1\n"
    assert "papermill" not in notebook.metadata
    assert notebook.metadata.run.parameters == "dataset=digits, tier=smoke"
    before = path.stat().st_mtime_ns
    capsys.readouterr()
    assert book.execute(Path("notebooks/x.py")).stat().st_mtime_ns == before
    assert "nothing has changed" in capsys.readouterr().out
    book.stage({"x": path})
    assert Path("_build/src/notebooks/x.ipynb").read_bytes() == path.read_bytes()
    table = Path("_build/src/book/runtimes.md").read_text().splitlines()
    assert table[0].startswith("| notebook | parameters | seconds |")
    assert table[2].startswith("| notebooks/x.py | dataset=digits, tier=smoke | ")
    assert Path("_build/src/book/times.md").read_text() == ""  # there are no records


@pytest.mark.parametrize(
    "name", ["notebooks/x.py", "novelty_utils/room.py", "results/x/record.json", "requirements.txt"]
)
def test_whatever_a_run_depends_on_makes_it_run_again(clone, name):
    before = book._key(Path("notebooks/x.py"))
    (clone / name).write_text((clone / name).read_text() + "\n")
    assert book._key(Path("notebooks/x.py")) != before


@pytest.mark.parametrize("name", ["novelty_utils/new.py", "novelty_utils/published/new.csv", "results/x/new.json"])
def test_a_new_file_makes_it_run_again_too(clone, name):
    before = book._key(Path("notebooks/x.py"))
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text("")
    assert book._key(Path("notebooks/x.py")) != before


def test_checkpoints_and_compiled_files_do_not(clone):
    before = book._key(Path("notebooks/x.py"))
    for name in ("results/.checkpoints/a.pt", "novelty_utils/__pycache__/room.pyc"):
        (clone / name).parent.mkdir(parents=True)
        (clone / name).write_text("")
    assert book._key(Path("notebooks/x.py")) == before


def test_a_failing_cell_fails_the_build_in_one_line_and_leaves_no_run(clone):
    (clone / "notebooks" / "x.py").write_text(NOTEBOOK + "\n# %%\nraise KeyError('who knows')\n")
    with pytest.raises(execution.RunError) as error:
        book.execute(Path("notebooks/x.py"))
    assert "\n" not in str(error.value)
    assert "KeyError: 'who knows'" in str(error.value)
    assert [path.name for path in sorted(Path("_build/executed/x").glob("*.ipynb"))] == ["run.failed.ipynb", "x.ipynb"]


def test_of_several_notebooks_each_is_run_and_a_failure_is_told_in_one_line(clone, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (clone / "notebooks" / "y.py").write_text(NOTEBOOK)
    sources = [Path("notebooks/x.py"), Path("notebooks/y.py")]
    assert [path.parent.name for path in book.execute_all(sources).values()] == ["x", "y"]
    sources[1].write_text(NOTEBOOK + "\n# %%\nraise KeyError('who knows')\n")
    with pytest.raises(execution.RunError, match="KeyError: 'who knows'"):
        book.execute_all(sources)


def test_a_warning_of_jupyter_book_fails_the_build_and_is_shown(clone):
    (clone / "notebooks" / "x.py").write_text(NOTEBOOK.replace("{eq}", "{doc}"))
    book.stage({"x": book.execute(Path("notebooks/x.py"))})
    with pytest.raises(book.BookError, match=r"(?s)WARNING: .*eq-x.*jupyter-book found faults"):
        book.render()


def test_a_kept_benchmark_becomes_a_table_that_says_where_it_was_measured(tmp_path):
    rows = [{"what": "a way", "value": 1.5, "unit": "ms/step"}]
    kept = {"machine": {"gpu": "a GPU", "torch": "2.0"}, "commit": "0123456789", "tables": {"Speed": rows}}
    (tmp_path / "gpu.json").write_text(json.dumps(kept))
    expected = "**Speed** (a GPU, torch 2.0, commit 0123456):\n\n|  | measured | unit |\n| --- | --- | --- |\n"
    assert book._speeds(tmp_path) == expected + "| a way | 1.5 | ms/step |\n"


def write_record(dataset: str, seconds: float, trained: str, tier: str = "demo", gpu: str | None = None, **parameters):
    record = store.Record(
        version=1, paper="x", tier=tier, dataset=dataset, class_name="3", seed=0,
        parameters=parameters, data={"name": dataset, "checksum": str(seconds)},
        results=[store.Result(method="A", metric="auroc", value=0.9)],
        training={name: {"seconds": 1} for name in trained}, machine={"cpu": "C", "threads": 1, "gpu": gpu},
        code={"commit": None}, seconds=seconds, peak_memory_mb=1, created="2000-01-01T00:00:00",
    )  # fmt: skip
    store.write(record, "results")


def test_the_times_of_records_become_a_table_for_each_hardware(clone):
    for seconds in (10, 20.4, 3000):
        write_record("a", seconds, "AB", protocol="simo")
    write_record("b", 1234, "AB", protocol="simo")
    write_record("b", 7, "A", protocol="simo")
    write_record("a", 8, "ABCDEFG")  # no protocol
    write_record("b", 5, "A", tier="paper", gpu="G", protocol="simo")
    head = ["| run | seconds | records | trained |", "| --- | --- | --- | --- |"]
    assert book._times(["nothing", "x"]).splitlines() == [
        "```{admonition} x", ":class: dropdown", "",
        "**C, 1 thread**", "", *head,
        "| demo, a | 8 | 1 | A, B, C, D, E, 2 more |",
        "| demo, a, simo | 20 | 3 | A, B |",
        "| demo, b, simo | 7 | 1 | A |",
        "| demo, b, simo | 1,234 | 1 | A, B |", "",
        "**G**", "", *head,
        "| paper, b, simo | 5 | 1 | A |", "", "```",
    ]  # fmt: skip


@pytest.mark.prose
def test_every_committed_record_is_counted_in_the_table_of_times(monkeypatch):
    monkeypatch.chdir(book.ROOT)
    for paper in sorted(path.stem for path in Path("notebooks").glob("*.py")):
        counted = sum(int(number) for number in re.findall(r"\d \| (\d+) \| .*\|$", book._times([paper]), re.MULTILINE))
        assert counted == len(store.read(paper, "results")) > 0
