"""What has changed since a record was made: in a small history of its own."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from novelty_utils.ledger import staleness

NOTEBOOK = ["from novelty_utils import scoring\nx = 1", "records.write(record, p.results)", "show(x)"]
MODULE = '"""A module."""\nfrom novelty_utils.lower import f\n\ndef g():\n    """Say g."""\n    return f()\n'


def commit(house: Path) -> str:
    """Commit all there is; the commit's name."""
    for words in (["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all", "--allow-empty"]):
        subprocess.run(["git", *words], cwd=house, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=house, capture_output=True, text=True).stdout.strip()


def notebook(*cells: str, parameters: str = "seed = 0", colab: str = "source = 'main'") -> str:
    markdown = {"cell_type": "markdown", "source": ["text"], "metadata": {}}
    code = [{"cell_type": "code", "source": [cell], "metadata": {}} for cell in cells]
    for tag, source in {"parameters": parameters, "colab": colab}.items():
        code.insert(0, {"cell_type": "code", "source": [source], "metadata": {"tags": [tag, "hide-input"]}})
    return json.dumps({"cells": [markdown, *code]})


@pytest.fixture
def house(tmp_path, monkeypatch) -> Path:
    """A clone with a notebook, three modules and one commit; what is edited afterwards is today."""
    monkeypatch.setattr(staleness, "ROOT", tmp_path)
    files = {
        "notebooks/ics.ipynb": notebook(*NOTEBOOK), "novelty_utils/scoring.py": MODULE,
        "novelty_utils/lower.py": "def f():\n    return 1\n", "novelty_utils/apart.py": "y = 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit(tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for name in ("_code", "_tree", "_git", "_moves", "_meaning", "_parsed", "_target", "_unmoved", "golden_digest"):
        getattr(staleness, name).cache_clear()


def reasons(house: Path, commit: str | None = "", checksum="abc", parameters=("a", "b"), dirty=False, method=""):
    if commit == "":
        asked = ["git", "rev-parse", "HEAD"]
        commit = subprocess.run(asked, cwd=house, capture_output=True, text=True, check=True).stdout.strip()
    newest = SimpleNamespace(paper="ics", data={"name": "d", "checksum": "abc"}, parameters=dict.fromkeys("ab"))
    data, code = {"name": "d", "checksum": checksum}, {"commit": commit, "dirty": dirty}
    record = SimpleNamespace(paper="ics", data=data, parameters=dict.fromkeys(parameters), code=code)
    forget()
    return staleness.reasons(record, newest, method)


def test_nothing_has_changed(house):
    assert reasons(house) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("novelty_utils/scoring.py", MODULE.replace("Say g.", "Say it.").replace("A module", "# Another module")),
        ("novelty_utils/scoring.py", "# a comment\n" + MODULE),
        ("novelty_utils/apart.py", "y = 2\n"),  # the notebook does not import it
        ("notebooks/ics.ipynb", notebook(*NOTEBOOK[:2], "show(x, y)")),  # after the record was written
        ("notebooks/ics.ipynb", notebook(NOTEBOOK[0] + "  # one", *NOTEBOOK[1:])),
        ("notebooks/ics.ipynb", notebook(*NOTEBOOK, parameters="seed = 1")),  # the record holds its own
        ("notebooks/ics.ipynb", notebook(*NOTEBOOK, colab="source = 'v1'")),  # which release it installs
    ],
)
def test_what_cannot_change_a_result_does_not_count(house, name, text):
    (house / name).write_text(text)
    assert reasons(house) == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("novelty_utils/scoring.py", MODULE.replace("return f()", "return 2 * f()"), "scoring"),
        ("novelty_utils/scoring.py", MODULE.replace("import f", "import h as f"), "scoring"),
        ("novelty_utils/lower.py", "def f():\n    return 2\n", "lower"),  # imported by what the notebook imports
        ("notebooks/ics.ipynb", notebook(NOTEBOOK[0].replace("1", "2"), *NOTEBOOK[1:]), "notebook"),
        ("notebooks/ics.ipynb", notebook(NOTEBOOK[0], NOTEBOOK[1].replace("record,", "other,"), "x"), "notebook"),
    ],
)
def test_other_code_is_named(house, name, text, reason):
    (house / name).write_text(text)
    assert reasons(house) == [reason]


@pytest.mark.parametrize("call", ["records.write(record, p.results)", "records.write_run(record)"])
def test_a_cell_after_the_record_does_not_count_whichever_call_wrote_it(house, call):
    (house / "notebooks/ics.ipynb").write_text(notebook(NOTEBOOK[0], call, "show(x)"))
    commit(house)
    (house / "notebooks/ics.ipynb").write_text(notebook(NOTEBOOK[0], call, "show(y)"))
    assert reasons(house) == []
    (house / "notebooks/ics.ipynb").write_text(notebook(NOTEBOOK[0] + "0", call, "show(x)"))
    assert reasons(house) == ["notebook"]


@pytest.mark.parametrize("place", ["evaluation/statistics", "ledger/tables"])
def test_what_only_tells_of_results_does_not_count(house, place):
    name = place.replace("/", ".").rpartition(".")
    cells = [f"from novelty_utils.{name[0]} import {name[2]}\nx = 1", *NOTEBOOK[1:]]
    for text in ("y = 1", "y = 2"):
        file = house / f"novelty_utils/{place}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        (house / "notebooks/ics.ipynb").write_text(notebook(*cells))
        if text == "y = 1":
            commit(house)
    assert reasons(house) == []


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


# --- files that move ------------------------------------------------------------------------------------------------


def move(house: Path, *, handed_on: bool = False) -> None:
    """The two modules into packages, with the imports that lead there, and the table that tells of it."""
    for package in ("evaluation", "ground"):
        (house / "novelty_utils" / package).mkdir()
        (house / "novelty_utils" / package / "__init__.py").write_text("")
    (house / "novelty_utils/scoring.py").rename(house / "novelty_utils/evaluation/scores.py")
    (house / "novelty_utils/lower.py").rename(house / "novelty_utils/ground/lower.py")
    (house / "novelty_utils/evaluation/scores.py").write_text(MODULE.replace(".lower", ".ground.lower"))
    imported = "from novelty_utils.evaluation import scores as scoring"
    if handed_on:
        (house / "novelty_utils/ground/__init__.py").write_text("from novelty_utils.ground.lower import f\n")
        (house / "novelty_utils/evaluation/scores.py").write_text(MODULE.replace(".lower", ".ground"))
    moved_notebook = notebook(NOTEBOOK[0].replace("from novelty_utils import scoring", imported), *NOTEBOOK[1:])
    (house / "notebooks/ics.ipynb").write_text(moved_notebook)
    (house / "novelty_utils/moved.toml").write_text(
        '"novelty_utils/evaluation/scores.py" = "novelty_utils/scoring.py"\n'
        '"novelty_utils/ground/lower.py" = "novelty_utils/lower.py"\n'
    )


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("handed_on", [False, True])
def test_a_move_changes_nothing_and_a_line_after_it_does(house, handed_on):
    before = commit(house)
    move(house, handed_on=handed_on)
    assert reasons(house, before) == []
    after = commit(house)
    replace(house / "novelty_utils/ground/lower.py", "return 1", "return 2")
    assert reasons(house, before) == reasons(house, after) == ["ground.lower"]
    replace(house / "novelty_utils/evaluation/scores.py", "return f()", "return 2 * f()")
    assert reasons(house, before) == ["evaluation.scores", "ground.lower"]


def test_a_file_that_moved_twice_is_followed(house):
    first = commit(house)
    move(house)
    second = commit(house)
    (house / "novelty_utils/ground/lower.py").rename(house / "novelty_utils/low.py")
    replace(
        house / "novelty_utils/moved.toml",
        '"novelty_utils/ground/lower.py" =',
        '"novelty_utils/low.py" = "novelty_utils/ground/lower.py"\n"novelty_utils/ground/lower.py" =',
    )
    replace(house / "novelty_utils/evaluation/scores.py", ".ground.lower", ".low")
    assert reasons(house, first) == reasons(house, second) == []
    replace(house / "novelty_utils/low.py", "return 1", "return 2")
    assert reasons(house, first) == reasons(house, second) == ["low"]


def test_a_move_that_the_table_does_not_tell_counts_as_a_change(house):
    move(house)
    (house / "novelty_utils/moved.toml").unlink()
    assert reasons(house) == ["notebook", "evaluation.scores", "ground.lower"]


def test_where_the_progress_bar_comes_from_does_not_count(house):
    (house / "novelty_utils/scoring.py").write_text("from tqdm import tqdm\n" + MODULE)
    commit(house)
    (house / "novelty_utils/progress.py").write_text("class tqdm: pass\n")
    (house / "novelty_utils/scoring.py").write_text("from novelty_utils.progress import tqdm\n" + MODULE)
    assert reasons(house) == []


def test_what_a_package_hands_on_besides_does_not_count(house):
    move(house, handed_on=True)
    commit(house)
    (house / "novelty_utils/ground/other.py").write_text("z = 1\n")
    with (house / "novelty_utils/ground/__init__.py").open("a") as file:
        file.write("from novelty_utils.ground.other import z\n")
    assert reasons(house) == []


def test_the_same_name_from_another_file_is_a_change(house):
    (house / "novelty_utils/apart.py").write_text("def f():\n    return 1\n")
    commit(house)
    replace(house / "novelty_utils/scoring.py", "novelty_utils.lower", "novelty_utils.apart")
    assert reasons(house) == ["scoring"]


@pytest.mark.parametrize("line", ["import novelty_utils.lower", "import novelty_utils.lower as low"])
def test_a_plain_import_is_followed(house, line):
    (house / "notebooks/ics.ipynb").write_text(notebook(line, *NOTEBOOK[1:]))
    commit(house)
    (house / "novelty_utils/lower.py").write_text("def f():\n    return 2\n")
    assert reasons(house) == ["lower"]


def test_what_cannot_be_found_counts_as_changed(house):
    (house / "notebooks/ics.ipynb").write_text(notebook("from novelty_utils.gone import x", *NOTEBOOK[1:]))
    commit(house)
    assert reasons(house) == ["gone"]


def test_the_table_of_moves_leads_from_files_that_are_there():
    assert all((staleness.ROOT / path).is_file() or path in staleness._moves().values() for path in staleness._moves())
    assert (staleness.ROOT / staleness.MOVED).is_file()


# --- code that has changed and gives the same numbers ---------------------------------------------------------------


@pytest.fixture
def measured(house, monkeypatch):
    """Golden values of today, and a table of what an older commit gave of them."""
    (house / "tests/golden").mkdir(parents=True)
    (house / "tests/golden/ics.json").write_text('{"A, auroc": 0.5}')
    monkeypatch.setattr(staleness, "UNMOVED", house / "unmoved.json")
    commit(house)
    (house / "novelty_utils/lower.py").write_text("def f():\n    return 2\n")

    def write(commits: dict, digest: str = "") -> None:
        forget()
        of_ics = {"golden": digest or staleness.golden_digest("ics"), "commits": commits}
        staleness.UNMOVED.write_text(json.dumps({"ics": of_ics}))

    return write


def test_what_gives_the_golden_values_with_the_code_of_then_has_not_moved(house, measured):
    then = subprocess.run(["git", "rev-parse", "HEAD"], cwd=house, capture_output=True, text=True).stdout.strip()
    assert reasons(house, then) == ["lower"]
    measured({then: {"same": ["A"], "moved": ["B"]}})
    assert reasons(house, then, method="A") == []
    assert reasons(house, then, method="A", checksum="abd") == ["images"]  # other images are others all the same
    for method in ("B", "C", ""):  # C was in neither run, and with no method it is all of them
        assert reasons(house, then, method=method) == ["lower"]
    measured({then: {"same": ["A"], "moved": []}})
    assert reasons(house, then) == []
    measured({"f" * 40: {"same": ["A"], "moved": []}})
    assert reasons(house, then, method="A") == ["lower"]
    measured({then: {"same": ["A"], "moved": []}}, digest="of other values")
    assert reasons(house, then, method="A") == ["lower"]


def test_the_committed_table_is_of_todays_golden_values():
    table = json.loads((Path(staleness.__file__).parents[2] / "results" / "unmoved.json").read_text())
    assert table
    for paper, measured in table.items():
        assert measured["golden"] == staleness.golden_digest(paper), f"python tools/unmoved.py measures {paper} again"
        assert all(len(commit) == 40 for commit in measured["commits"])
