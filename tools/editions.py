"""Which runs the pages of the book are made of: a committed file, book/runs.yml or the one that RUNS names.

pages:                                                   # notebooks/NAME.py: its parameters; the rest are defaults
  ics: {dataset: mnist_sample}
further:                                                 # the same notebook once more, on a page below its own
  - {of: ics, name: pullover, title: "...", parameters: {dataset: fashion_sample, class_name: pullover}}

    python tools/editions.py          # the runs of book/runs.yml as JSON, one per job of continuous integration
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from novelty_utils.errors import InputError
from novelty_utils.ledger import staleness

Parameters = dict[str, str]
SAME = "same-in-every-run"  # the tag of a cell that no parameter changes: the page of the notebook itself shows it
UNSEEN = {SAME, "remove-output", "hide-cell"}  # nothing of these is on the page of a further run


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Further(_Strict):
    """One more run of a notebook, and the page that shows it."""

    of: str
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    parameters: Parameters

    @property
    def page(self) -> str:
        return f"{self.of}_{self.name}"


class Edition(_Strict):
    """The runs of one edition of the book."""

    pages: dict[str, Parameters] = {}
    further: list[Further] = []


def read(path: Path) -> Edition:
    """Raises InputError, one line, for a file that is none or that names something unknown."""
    try:
        found = Edition.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise InputError(f"RUNS={path} cannot be read ({error.strerror}): name a file such as book/runs.yml") from error
    except yaml.YAMLError as error:
        raise InputError(f"RUNS={path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"RUNS={path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    twice = {one.page for one in found.further if sum(other.page == one.page for other in found.further) > 1}
    if twice:
        raise InputError(f"RUNS={path} names {', '.join(sorted(twice))} twice: give each run a name of its own")
    return found


def listed(edition: Edition) -> list[dict[str, str]]:
    """Every run of an edition as `novelty run` takes it: its name, its notebook and its parameters."""
    runs = [(name, name, given) for name, given in edition.pages.items()]
    runs += [(one.page, one.of, one.parameters) for one in edition.further]
    return [
        {"name": name, "notebook": of, "parameters": " ".join(f"-p {key}={value}" for key, value in given.items())}
        for name, of, given in runs
    ]


def part(notebook: NotebookNode) -> NotebookNode:
    """A notebook without what a further run would only repeat after its record: nothing of it is on its page."""
    notebook = copy.deepcopy(notebook)
    writing = (n for n, cell in enumerate(notebook.cells) if staleness.writes(cell.source))
    written = next(writing, len(notebook.cells))
    notebook.cells[written:] = [cell for cell in notebook.cells[written:] if SAME not in cell.metadata.get("tags", [])]
    return notebook


def page(run: NotebookNode, one: Further) -> NotebookNode:
    """What an executed notebook shows, under the headings that lead there. Its text stands on the page of `one.of`."""
    cells, headings = [], []
    for cell in run.cells[1:]:
        if cell.cell_type == "markdown":
            headings = _under(headings, cell.source)
        elif cell.get("outputs") and UNSEEN.isdisjoint(cell.metadata.get("tags", [])):
            cells += [new_markdown_cell(heading) for heading in headings]
            cells.append(_renamed(cell, one))
            headings = []
    notebook = copy.deepcopy(run)
    notebook.cells = [new_markdown_cell(_opening(one)), *cells]
    return notebook


def _opening(one: Further) -> str:
    given = ", ".join(f"`{name}={value}`" for name, value in one.parameters.items())
    told = "What the pictures and tables show is told there."
    return f"# {one.title}\n\nThe notebook {{doc}}`{one.of}` once more, with {given}. {told}"


def _under(headings: list[str], text: str) -> list[str]:
    """The headings that are open after this text: a new one ends those of its level and below."""
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        level = len(line) - len(line.lstrip("#"))
        if not fenced and 2 <= level <= 6 and line[level : level + 1] == " ":
            headings = [one for one in headings if len(one) - len(one.lstrip("#")) < level] + [line]
    return headings


def _renamed(cell: NotebookNode, one: Further) -> NotebookNode:
    """The cell with its code folded, and with a name of its own for its figure."""
    cell = copy.deepcopy(cell)
    tags = cell.metadata.setdefault("tags", [])
    if "hide-input" not in tags:
        tags.append("hide-input")
    figure: dict[str, Any] = cell.metadata.get("mystnb", {}).get("figure", {})
    if "name" in figure:
        figure["name"] = f"{figure['name']}-{one.name.replace('_', '-')}"
    return cell


def contents(toc: dict[str, Any], further: list[Further]) -> dict[str, Any]:
    """The table of contents with the further runs below their notebooks."""
    toc = copy.deepcopy(toc)
    for chapter in [c for part in toc["parts"] for c in part["chapters"]] if "parts" in toc else toc["chapters"]:
        for one in further:
            if chapter["file"] == f"notebooks/{one.of}":
                chapter.setdefault("sections", []).append({"file": f"notebooks/{one.page}"})
    return toc


if __name__ == "__main__":  # for continuous integration: a job per run
    print(json.dumps(listed(read(Path(sys.argv[1] if sys.argv[1:] else "book/runs.yml")))))
