"""Parts of a notebook, executed in the test's own process."""

import json
from pathlib import Path

from novelty_utils import cli, notebook_cells

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def names_after(name: str, until: str, replaced: dict[str, str] | None = None, **parameters) -> dict:
    """The notebook's names after its cells up to the text `until`, with these parameters and texts replaced.

    A text that does not occur is an error before anything runs: a reworded line would run the long training, unseen.
    """
    found = _up_to(name, until)
    for old in replaced or {}:
        assert any(old in source for source, _ in found), f"{name} has no {old!r} before {until!r} any more"
    names = {"__name__": "notebook"}
    for source, tags in found:
        for old, new in (replaced or {}).items():
            source = source.replace(old, new)
        exec(compile(source, "notebook", "exec"), names)
        if "parameters" in tags:
            names |= parameters
    return names


def names_of_page(name: str, **parameters) -> dict:
    """The notebook's names after all of its cells, with these parameters; its figures are drawn and not shown."""
    compiled = notebook_cells.compiled(notebook_cells.code_cells(NOTEBOOKS / f"{name}.ipynb"))
    with notebook_cells.fresh_main() as names, notebook_cells.unseen_figures():
        for cell, parts in compiled:
            notebook_cells.execute(parts, names)
            names.update(parameters if "parameters" in cell.tags else {})
    return names


def _up_to(name: str, until: str) -> list[tuple[str, list[str]]]:
    """The code cells and their tags, the last one cut off where the text `until` begins."""
    found = []
    for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source, end, _ = "".join(cell["source"]).partition(until)
            found.append((source, cell["metadata"].get("tags", [])))
            if end:
                return found
    raise AssertionError(f"{name} has no {until!r} any more")


def names_of(name: str, *parts: str, given: dict | None = None, **parameters) -> dict:
    """The names of those cells that hold one of these texts, and of the parameters; `given` is there before them."""
    names = {"__name__": "notebook"} | (given or {})
    for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        source, tagged = "".join(cell["source"]), "parameters" in cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and (tagged or any(part in source for part in parts)):
            exec(compile(source, "notebook", "exec"), names)
            names |= parameters if tagged else {}
    return names


def refused(name: str, arguments: list[str], capsys) -> str:
    """The line with which a run is refused: exit code 2, nothing before it but a progress bar, nothing written."""
    before = sorted(Path().rglob("*"))
    notebook = str(NOTEBOOKS / f"{name}.ipynb")
    assert cli.main(["run", notebook, "--headless", "-p", "results=r", *arguments]) == 2
    *before_it, error = capsys.readouterr().err.splitlines()
    assert error.startswith("novelty: ")
    assert all("image" in line or not line for line in before_it)
    assert sorted(Path().rglob("*")) == before
    return error
