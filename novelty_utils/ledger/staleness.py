"""What has changed since a record was made: the package, the code of its notebook, the data, the parameters.

Told from the git history: code counts as changed if it parses to something else, so a comment or a docstring does not
count, and of the notebook only what runs up to the writing of its record. A file that has moved is the same file: its
earlier path stands in moved.toml. Without the history it cannot be told.
"""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from novelty_utils.records.store import Record

ROOT = Path(__file__).parents[2]
PACKAGE = "novelty_utils"
MOVED = f"{PACKAGE}/moved.toml"
UNMOVED = ROOT / "results" / "unmoved.json"
WRITES = ("records.write(", "records.write_run(")  # a notebook's cell with one of these is the last one that counts
NO_PART = {"parameters", "colab"}  # the tags of cells that a record does not rest on
# Modules that show and keep results, but have no part in them; also under the names that they had before.
ONLY_TELL = {"records", "schema", "provenance", "files", "plots", "published", "readings", "repeats", "progress"}
ONLY_TELL |= {"ledger", "evaluation.statistics", "evaluation.movable", "saved_detectors"}
TODAY = "today"  # in place of a commit: the files as they are now


class Import(NamedTuple):
    """from module import name as called."""

    module: str
    name: str
    called: str


class Target(NamedTuple):
    """What an import reads: a file of the package, a name in it (none for all of it), and what that is called."""

    path: str
    name: str
    called: str


def reasons(record: Record, newest: Record, method: str = "") -> list[str]:
    """What differs now from when the record was made, as short words; none if it is up to date.

    newest: the latest record on the same images, which tells the parameters and the checksum of today. Code that has
    changed does not count where it has been measured that it gives the same numbers, for all methods or for this one.
    """
    found = ["uncommitted code"] if record.code.get("dirty") else []
    if record.data["checksum"] != newest.data["checksum"]:
        found.append("images")
    if set(record.parameters) - set(newest.parameters):
        found.append("parameters")
    if _gives_the_same(record.paper, record.code["commit"], method):
        return found
    return found + list(_code(record.paper, record.code["commit"]))


def _gives_the_same(paper: str, commit: str | None, method: str) -> bool:
    """Whether tools/unmoved.py has found today's golden values with the code of this commit."""
    measured = _unmoved().get(paper, {})
    if measured.get("golden") != golden_digest(paper):  # of other values: it tells nothing about today's
        return False
    at = measured["commits"].get(commit, {"same": [], "moved": []})
    return method in at["same"] or (not method and bool(at["same"]) and not at["moved"])


@lru_cache
def _unmoved() -> dict[str, Any]:
    return json.loads(UNMOVED.read_text(encoding="utf-8")) if UNMOVED.is_file() else {}


@lru_cache
def golden_digest(paper: str) -> str:
    """Of the golden values of a notebook, which the tests hold today's code to; empty where there are none."""
    file = ROOT / "tests" / "golden" / f"{paper}.json"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


@lru_cache
def _code(notebook: str, commit: str | None) -> tuple[str, ...]:
    path = f"notebooks/{notebook}.ipynb"
    now, then = _read(path, TODAY), _before(path, commit)
    if commit is None or now is None or then is None:
        return ("history missing",)
    changed = [] if now == then or _executed(now, TODAY) == _executed(then, commit) else ["notebook"]
    return (*changed, *(_name(module) for module in sorted(_modules(now)) if _differs(module, commit)))


def _differs(module: str, commit: str) -> bool:
    now, then = _read(module, TODAY), _before(module, commit)
    if now is None or then is None:
        return True
    return now != then and _meaning(now, TODAY) != _meaning(then, commit)


def _name(path: str) -> str:
    """novelty_utils/data/folders.py -> data.folders, and of a package's __init__.py the package."""
    return path.removeprefix(f"{PACKAGE}/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- the files of a commit -----------------------------------------------------------------------------------------


def _read(path: str, commit: str | None) -> str | None:
    """A file as it was at a commit; None where it was not there or that is not known."""
    if commit == TODAY:
        return (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None
    blob = _tree(commit).get(path)
    return None if blob is None else _git("cat-file", "blob", blob)


def _before(path: str, commit: str | None) -> str | None:
    """Today's file as it was at a commit, wherever it lay then."""
    return next((then for name in _names(path) if (then := _read(name, commit)) is not None), None)


@lru_cache
def _tree(commit: str | None) -> dict[str, str]:
    """The content, by its name in git, of every file of a commit; empty where the commit is not known here."""
    lines = _git("ls-tree", "-r", commit, "--", PACKAGE, "notebooks") if commit else None
    return {path: about.split()[2] for about, _, path in (line.partition("\t") for line in (lines or "").splitlines())}


@lru_cache
def _git(*words: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
    except OSError:  # there is no git
        return None
    return done.stdout if done.returncode == 0 else None


def known(commit: str) -> bool | None:
    """Whether a commit is in the history here; None where there is no history."""
    if _git("rev-parse", "HEAD") is None:
        return None
    return _git("merge-base", "--is-ancestor", commit, "HEAD") is not None


@lru_cache
def _moves() -> dict[str, str]:
    """Each path by the one before it."""
    return tomllib.loads(_read(MOVED, TODAY) or "")


def versions(path: str) -> list[tuple[datetime, str]]:
    """Every committed version of a file, wherever it lay then, with the time of its commit: the latest first."""
    log = _git("log", "--format=%H %cI", "--", *_names(path)) or ""
    found = [(datetime.fromisoformat(when), _before(path, commit)) for commit, when in map(str.split, log.splitlines())]
    return [(when, text) for when, text in found if text is not None]


def _names(path: str) -> Iterator[str]:
    """A path of today, and those that the same file had before, the latest first."""
    moves, latest = _moves(), path
    yield path
    while latest in moves:
        yield (latest := moves[latest])


def _now(path: str) -> str:
    """The path of today of a file that once lay here."""
    after = {old: new for new, old in _moves().items()}
    while path in after:
        path = after[path]
    return path


# --- what they say -------------------------------------------------------------------------------------------------


def _cells(notebook: str) -> list[str]:
    """The code of a notebook, but for its parameters, which a record holds, and for how the package gets there."""
    code = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in code if NO_PART.isdisjoint(cell["metadata"].get("tags", []))]


def writes(source: str) -> bool:
    """Whether a cell writes the records of its run."""
    return any(call in source for call in WRITES)


def _executed(notebook: str, commit: str) -> list[tuple]:
    """The code of a notebook up to the cell that writes its record."""
    sources = _cells(notebook)
    last = next((n for n, source in enumerate(sources) if writes(source)), len(sources) - 1)
    return [_meaning(source, commit) for source in sources[: last + 1]]


@lru_cache
def _meaning(source: str, commit: str) -> tuple[str, frozenset[Target]]:
    """What a source says, and what it imports of the package, wherever that lies today."""
    imported = {target._replace(path=_now(target.path)) for target in _imported(source, commit)}
    return _parsed(source)[0], frozenset(target for target in imported if not _only_tells(target.path))


@lru_cache
def _parsed(source: str) -> tuple[str, frozenset[Import]]:
    """What a source parses to, without docstrings and imports of the package, and these imports."""
    tree = ast.parse(source)
    taken_out = _OurImports()
    taken_out.visit(tree)
    documented = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    for node in documented:
        if ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree), frozenset(taken_out.found)


class _OurImports(ast.NodeTransformer):
    """Takes the imports of the package out of a tree."""

    def __init__(self) -> None:
        self.found: set[Import] = set()

    def visit_Import(self, node: ast.Import) -> ast.Import | None:
        ours = [alias for alias in node.names if _is_ours(alias.name)]
        for alias in ours:
            module, _, name = alias.name.rpartition(".")
            self.found.add(Import(module or PACKAGE, name, alias.asname or alias.name))
        node.names = [alias for alias in node.names if alias not in ours]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        if node.module == "tqdm":  # where the progress bar came from before it was a module
            return None
        module = node.module or ""
        if not _is_ours(module):
            return node
        self.found |= {Import(module, alias.name, alias.asname or alias.name) for alias in node.names}
        return None


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def _only_tells(path: str) -> bool:
    return any({_name(name), _name(name).split(".")[0]} & ONLY_TELL for name in _names(path))


def _modules(notebook: str) -> set[str]:
    """The files of the package that a notebook imports, and those that these import, as far as they take part."""
    found: set[str] = set()
    waiting = {target.path for source in _cells(notebook) for target in _imported(source, TODAY)}
    while waiting:
        path = waiting.pop()
        if path not in found and not _only_tells(path):
            found.add(path)
            waiting |= {target.path for target in _imported(_read(path, TODAY) or "", TODAY)}
    return found


def _imported(source: str, commit: str) -> set[Target]:
    return {_target(asked, commit) for asked in _parsed(source)[1]}


@lru_cache
def _target(asked: Import, commit: str) -> Target:
    """What an import reads. A name that a package only hands on is found in the file that it comes from."""
    folder = asked.module.replace(".", "/")
    package = f"{folder}/__init__.py"
    for handed_on in _parsed(_read(package, commit) or "")[1]:
        if handed_on.called == asked.name:
            return _target(handed_on, commit)._replace(called=asked.called)
    places = (f"{folder}/{asked.name}.py", ""), (f"{folder}/{asked.name}/__init__.py", ""), (package, asked.name)
    found = next((place for place in places if _read(place[0], commit) is not None), (f"{folder}.py", asked.name))
    return Target(*found, asked.called)
