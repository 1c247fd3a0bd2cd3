"""What has changed since a record was made: the package, the code of its notebook, the data, the parameters.

Told from the git history: code counts as changed if it parses to something else, so a comment or a docstring does not
count, and of the notebook only what runs up to the writing of its record. Without the history it cannot be told.
"""

from __future__ import annotations

import ast
import json
import subprocess
from functools import lru_cache
from pathlib import Path

from novelty_utils.records import Record

ROOT = Path(__file__).parents[1]
WRITES = "records.write("  # the cell of a notebook that has this is the last one that counts
# Rooms that show and keep results, but have no part in them.
ONLY_TELL = {"records", "schema", "provenance", "files", "plots", "readings"}


def reasons(record: Record, newest: Record) -> list[str]:
    """What differs now from when the record was made, as short words; none if it is up to date.

    newest: the latest record on the same images, which tells the parameters and the checksum of today.
    """
    found = ["uncommitted code"] if record.code.get("dirty") else []
    if record.data["checksum"] != newest.data["checksum"]:
        found.append("images")
    if set(record.parameters) - set(newest.parameters):
        found.append("parameters")
    return found + list(_code(record.paper, record.code["commit"]))


@lru_cache
def _code(notebook: str, commit: str | None) -> tuple[str, ...]:
    path = f"notebooks/{notebook}.ipynb"
    now, then = _today(path), _at(commit, path)
    if now is None or then is None:
        return ("history missing",)
    changed = ["notebook"] if _executed(now) != _executed(then) else []
    for name in sorted(_rooms(now)):
        path = f"novelty_utils/{name}.py"
        if _meaning(_today(path) or "") != _meaning(_at(commit, path) or ""):
            changed.append(name)
    return tuple(changed)


def _today(path: str) -> str | None:
    return (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None


@lru_cache
def _at(commit: str | None, path: str) -> str | None:
    """A file as it was at a commit; None where that is not known here."""
    if commit is None or not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True, text=True)
    except OSError:  # there is no git
        return None
    return done.stdout if done.returncode == 0 else None


def _cells(notebook: str) -> list[str]:
    """The code of a notebook, but for its parameters: a record holds their values itself."""
    code = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in code if "parameters" not in cell["metadata"].get("tags", [])]


def _executed(notebook: str) -> list[str]:
    """The code of a notebook up to the cell that writes its record."""
    sources = _cells(notebook)
    last = next((n for n, source in enumerate(sources) if WRITES in source), len(sources) - 1)
    return [_meaning(source) for source in sources[: last + 1]]


@lru_cache
def _meaning(source: str) -> str:
    """What a source parses to, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree)


def _rooms(notebook: str) -> set[str]:
    """The rooms of the package that a notebook imports, and those that these import, as far as they take part."""
    found: set[str] = set()
    waiting = set(_imported("\n".join(_cells(notebook))))
    while waiting:
        name = waiting.pop()
        source = None if name in found | ONLY_TELL else _today(f"novelty_utils/{name}.py")
        if source is not None:
            found.add(name)
            waiting |= _imported(source)
    return found


@lru_cache
def _imported(source: str) -> frozenset[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "novelty_utils":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("novelty_utils."):
            names.add((node.module or "").split(".")[1])
    return frozenset(names)
