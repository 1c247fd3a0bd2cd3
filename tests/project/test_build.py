"""Running notebooks for the book: reused while nothing changes, run again when anything does, clear when one fails."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import book
import editions
import times_page
from novelty_utils.errors import InputError
from novelty_utils.records import store
from novelty_utils.runs import checking, execution

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


X = book.Run("x", Path("notebooks/x.py"), {})


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
    path = book.execute(X)
    notebook = nbformat.read(path, as_version=4)
    assert "{eq}`eq-x`" in notebook.cells[0].source
    injected = next(cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert "hide-input" in injected.metadata.tags
    assert notebook.cells[-1].outputs[0].text == f"smoke {path.parent}/results 1\n"
    assert "papermill" not in notebook.metadata
    assert notebook.metadata.run.parameters == "dataset=digits, tier=smoke"
    before = path.stat().st_mtime_ns
    capsys.readouterr()
    assert book.execute(X).stat().st_mtime_ns == before
    assert "nothing has changed" in capsys.readouterr().out
    book.stage({"x": path}, [])
    assert Path("_build/src/notebooks/x.ipynb").read_bytes() == path.read_bytes()
    table = Path("_build/src/book/runtimes.md").read_text().splitlines()
    assert table[0].startswith("| notebook | parameters | seconds |")
    assert table[2].startswith("| notebooks/x.py | dataset=digits, tier=smoke | ")
    assert Path("_build/src/book/times.md").read_text() == ""  # there are no records


@pytest.mark.parametrize(
    "name", ["notebooks/x.py", "novelty_utils/room.py", "results/x/record.json", "requirements.txt"]
)
def test_whatever_a_run_depends_on_makes_it_run_again(clone, name):
    before = book._key(X)
    (clone / name).write_text((clone / name).read_text() + "\n")
    assert book._key(X) != before


@pytest.mark.parametrize("name", ["novelty_utils/new.py", "novelty_utils/published/new.csv", "results/x/new.json"])
def test_a_new_file_makes_it_run_again_too(clone, name):
    before = book._key(X)
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text("")
    assert book._key(X) != before


def test_checkpoints_and_compiled_files_do_not(clone):
    before = book._key(X)
    for name in ("results/.checkpoints/a.pt", "novelty_utils/__pycache__/room.pyc"):
        (clone / name).parent.mkdir(parents=True)
        (clone / name).write_text("")
    assert book._key(X) == before


def test_a_failing_cell_fails_the_build_in_one_line_and_leaves_no_run(clone):
    (clone / "notebooks" / "x.py").write_text(NOTEBOOK + "\n# %%\nraise KeyError('who knows')\n")
    with pytest.raises(execution.RunError) as error:
        book.execute(X)
    assert "\n" not in str(error.value)
    assert "KeyError: 'who knows'" in str(error.value)
    assert [path.name for path in Path("_build/executed/x").glob("*/*.ipynb")] == ["run.failed.ipynb"]
    with pytest.raises(execution.RunError):  # and it fails again
        book.execute(X)


def test_of_several_notebooks_each_is_run_and_a_failure_is_told_in_one_line(clone, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (clone / "notebooks" / "y.py").write_text(NOTEBOOK)
    runs = book.asked(editions.Edition())
    assert [path.name for path in book.execute_all(runs).values()] == ["x.ipynb", "y.ipynb"]
    runs[1].source.write_text(NOTEBOOK + "\n# %%\nraise KeyError('who knows')\n")
    with pytest.raises(execution.RunError, match="KeyError: 'who knows'"):
        book.execute_all(runs)


PARENT = """
import os, signal, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import book
if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), book._end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 120)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_build_leaves_no_worker(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    paths = os.pathsep.join([str(book.ROOT / "tools"), str(book.ROOT)])
    command = [sys.executable, str(tmp_path / "parent.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, timeout=110)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)  # it has ended, long before the worker's two minutes: who held it is gone


def test_an_edition_says_with_which_parameters_a_page_is_made_and_which_further_runs_there_are(clone):
    (clone / "book" / "runs.yml").write_text(
        "pages: {x: {class_name: '5'}}\nfurther: [{of: x, name: demo, title: Another tier, parameters: {tier: demo}}]\n"
    )
    edition = editions.read(Path("book/runs.yml"))
    runs = book.asked(edition)
    assert [(run.page, run.parameters) for run in runs] == [("x", {"class_name": "5"}), ("x_demo", {"tier": "demo"})]
    executed = book.execute_all(runs)
    assert nbformat.read(executed["x"], 4).metadata.run.parameters == "dataset=digits, tier=smoke, class_name=5"
    assert nbformat.read(executed["x_demo"], 4).cells[-1].outputs[0].text.startswith("demo ")
    book.stage(executed, edition.further)
    toc = yaml.safe_load(Path("_build/src/_toc.yml").read_text())
    assert toc["chapters"] == [{"file": "notebooks/x", "sections": [{"file": "notebooks/x_demo"}]}]
    shown = nbformat.read("_build/src/notebooks/x_demo.ipynb", 4)
    assert shown.cells[0].source.startswith("# Another tier\n") and "`tier=demo`" in shown.cells[0].source
    assert shown.cells[-1].outputs[0].text.startswith("demo ")
    assert "(eq)=" not in str(shown.cells)


@pytest.mark.parametrize("file", ["runs.yml", "demo.yml"])
def test_the_committed_editions_can_be_run_and_show_two_further_runs_of_every_paper(file, monkeypatch):
    monkeypatch.chdir(book.ROOT)
    edition = editions.read(Path("book") / file)
    named = {*edition.pages, *(one.page for one in edition.further)}
    for run in book.asked(edition):
        paired = run.source.with_suffix(".ipynb")
        if book._has_parameters(paired):
            checked, _ = checking.check(paired, book.SMOKE | run.parameters)
            assert (checked.tier == "demo") == (file == "demo.yml" and run.page in named)
    counted = Counter(one.of for one in edition.further)
    assert all(counted[paper] >= 2 for paper in ("ics", "nln", "crbnd", "ade_gan"))


def test_what_an_edition_costs_is_said_first_and_a_wrong_parameter_is_refused_before_anything_runs(monkeypatch, capsys):
    monkeypatch.chdir(book.ROOT)
    demo = book.asked(editions.read(Path("book/demo.yml")))
    book.costs([run for run in demo if run.source.stem == "nln"])
    said = capsys.readouterr().out
    assert said.startswith("3 to run, 0 finished\n")
    assert re.search(
        r"^nln, fashion_mnist, demo: about \d\.\d\d h with \d+ at a time \(median of \d+ records", said, re.M
    )
    book.costs([book.Run("ics", Path("notebooks/ics.py"), {})])  # the smallest tier: minutes
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="depth"):
        book.costs([book.Run("crbnd", Path("notebooks/crbnd.py"), {"depth": "7"})])


def test_a_page_of_a_further_run_keeps_what_was_put_out_and_the_headings_that_lead_there():
    figure = {"mystnb": {"figure": {"name": "fig-a", "caption": "C"}}}
    cells = [
        new_markdown_cell("# Title"),
        new_markdown_cell("(label)=\n## Empty\ntext"),
        new_code_cell("x = 1"),
        new_markdown_cell("## Full\n```bash\n## no heading\n```\n### Inner\ntext {eq}`eq-a`"),
        new_code_cell("plot()", outputs=[new_output("stream", text="1")], metadata=figure),
        new_markdown_cell("### Recorded"),
        new_code_cell("3", outputs=[new_output("stream", text="3")], metadata={"tags": [editions.SAME]}),
        new_markdown_cell("### Unseen"),
        new_code_cell("4", outputs=[new_output("stream", text="4")], metadata={"tags": ["remove-output"]}),
        new_markdown_cell("### Next"),
        new_code_cell("2", outputs=[new_output("stream", text="2")], metadata={"tags": ["hide-input"]}),
    ]
    one = editions.Further(of="x", name="of_five", title="Five", parameters={"class_name": "5"})
    page = editions.page(new_notebook(cells=cells), one)
    assert [cell.source for cell in page.cells[1:]] == ["## Full", "### Inner", "plot()", "### Next", "2"]
    assert page.cells[3].metadata == {
        "mystnb": {"figure": {"name": "fig-a-of-five", "caption": "C"}},
        "tags": ["hide-input"],
    }
    assert page.cells[5].metadata.tags == ["hide-input"]
    assert cells[4].metadata == figure  # the run itself is left alone


def test_a_further_run_leaves_out_what_it_would_only_repeat_after_its_record():
    same = {"tags": [editions.SAME]}
    cells = [new_code_cell(source, metadata=tags) for source, tags in (("1", same), ("2", {}))]
    cells += [new_code_cell("records.write_run(2)"), new_code_cell("3", metadata=same), new_code_cell("4")]
    kept = editions.part(new_notebook(cells=cells)).cells
    assert [cell.source for cell in kept] == ["1", "2", "records.write_run(2)", "4"]
    assert len(cells) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pages: [", "is not YAML"),
        ("pages: {x: {seed: 1}}", r"pages\.x\.seed: Input should be a valid string"),
        ("further: [{of: x, name: A b, title: T, parameters: {}}]", r"further\.0\.name: String should match"),
        ("page: {}", "page: Extra inputs are not permitted"),
        (
            "further: [{of: x, name: a, title: T, parameters: {}}, {of: x, name: a, title: T, parameters: {}}]",
            "x_a twice",
        ),
    ],
)
def test_a_file_of_runs_that_cannot_be_read_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "runs.yml").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        editions.read(tmp_path / "runs.yml")
    assert "\n" not in str(refused.value)


def test_a_run_of_a_notebook_that_is_not_there_is_refused(clone):
    with pytest.raises(InputError, match="there is no notebook z: choose from x"):
        book.asked(editions.Edition(pages={"z": {}}))
    with pytest.raises(InputError, match=r"RUNS=gone\.yml cannot be read"):
        editions.read(Path("gone.yml"))


def test_a_notebook_without_parameters_is_run_as_it_is(clone):
    (clone / "notebooks" / "y.py").write_text("# %% [markdown]\n# # Evidence\n\n# %%\nprint('nothing is trained')\n")
    executed = nbformat.read(book.execute(book.Run("y", Path("notebooks/y.py"), {})), 4)
    assert executed.cells[-1].outputs[0].text == "nothing is trained\n"


def test_a_run_that_was_cut_off_keeps_its_folder_and_one_of_other_code_is_cleared(clone):
    folder = Path("_build/executed/x")
    (folder / book._key(X) / "results").mkdir(parents=True)
    (folder / "other").mkdir()
    book.execute(X)
    assert [path.name for path in folder.iterdir()] == [book._key(X)]


def test_a_warning_of_jupyter_book_fails_the_build_and_is_shown(clone):
    (clone / "notebooks" / "x.py").write_text(NOTEBOOK.replace("{eq}", "{doc}"))
    book.stage({"x": book.execute(X)}, [])
    with pytest.raises(book.BookError, match=r"(?s)WARNING: .*eq-x.*jupyter-book found faults"):
        book.render()


def test_a_kept_benchmark_becomes_a_table_that_says_where_it_was_measured(tmp_path):
    rows = [{"what": "a way", "value": 1.5, "unit": "ms/step"}]
    kept = {"machine": {"gpu": "a GPU", "torch": "2.0"}, "commit": "0123456789", "tables": {"Speed": rows}}
    (tmp_path / "gpu.json").write_text(json.dumps(kept))
    expected = "**Speed** (a GPU, torch 2.0, commit 0123456):\n\n|  | measured | unit |\n| --- | --- | --- |\n"
    assert times_page.speeds(tmp_path) == expected + "| a way | 1.5 | ms/step |\n"


def write_record(dataset: str, seconds: float, trained: str, tier: str = "demo", gpu: str | None = None, **parameters):
    record = store.Record(
        version=1, paper="x", tier=tier, dataset=dataset, class_name="3", seed=0,
        parameters=parameters, data={"name": dataset, "checksum": str(seconds)},
        results=[store.Result(method="A", metric="auroc", value=0.9)],
        training={name: {"seconds": 1} for name in trained}, machine={"cpu": "C", "threads": 1, "gpu": gpu},
        code={"commit": None}, seconds=seconds, peak_memory_mb=1, created="2000-01-01T00:00:00Z",
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
    assert times_page.times(["nothing", "x"]).splitlines() == [
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
    papers = {path.stem for path in Path("notebooks").glob("*.py")}
    total = 0
    for paper in sorted(paper for paper in papers if not paper.endswith("_evidence")):  # those train nothing
        counted = sum(
            int(number) for number in re.findall(r"\d \| (\d+) \| .*\|$", times_page.times([paper]), re.MULTILINE)
        )
        assert counted == len(store.read(paper, "results")), paper
        total += counted
    assert total > 700


def test_pages_are_made_anew_only_where_something_has_changed(clone, monkeypatch):
    made = []
    monkeypatch.setattr(book, "execute_all", lambda _: {"x": Path("_build/executed/x/key/x.ipynb")})
    monkeypatch.setattr(book, "stage", lambda *_: book.HTML.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(book, "render", lambda: made.append(1))
    monkeypatch.setattr(book, "ROOT", clone)
    monkeypatch.setattr(book, "costs", lambda _: None)  # there are no paired notebooks
    monkeypatch.setattr(book.sys, "argv", ["book.py"])
    (clone / "book" / "runs.yml").write_text("pages: {}\n")
    assert book.main() == book.main() == 0
    assert len(made) == 1
    for page in (clone / "book" / "runs.yml", clone / "book" / "new.md", clone / "_config.yml"):
        page.write_text("pages: {x: {class_name: '5'}}\n")
        assert book.main() == 0
    assert len(made) == 4
