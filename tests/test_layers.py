"""Imports between the rooms of the package go downwards only, and nothing imports a notebook."""

import ast
from pathlib import Path

import pytest

import novelty_utils

PACKAGE = Path(novelty_utils.__file__).parent
NOTEBOOKS = PACKAGE.parent / "notebooks"

# From the ground up: a room imports rooms of lower floors. A new room gets its place here.
FLOORS = [
    {"params", "jobs", "progress"},
    {"files", "folders", "synthetic", "cells"},
    {"caltech", "jpegs"},
    {"data", "checkpoints", "batches"},
    {"protocols", "defects", "engines", "metrics", "plots", "published"},
    {"training", "scoring", "neighbours", "provenance", "schema"},
    {"collapse"},
    {"old_trainings"},
    {"records"},
    {"stale", "mixtures", "repeats"},
    {"evidence"},
    {"verdicts"},
    {"readings"},
    {"second_looks"},
    {"orders", "numbers"},
    {"claims"},
    {"runs"},
    {"grids"},
    {"plans"},
    {"sweeps"},
    {"cli"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def rooms_imported(source: str) -> set[str]:
    """The rooms of the package that a file imports, anywhere in it; `.` stands for a relative import."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("novelty_utils.")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(".")
        elif isinstance(node, ast.ImportFrom) and node.module == "novelty_utils":
            found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("novelty_utils."):
            found.add(node.module.split(".")[1])
    return found


def everything_imported(source: str) -> set[str]:
    """The first names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(source)))
    found = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("name", FILES)
def test_a_room_imports_lower_rooms_only(name):
    room, imported = room_of(FILES[name]), rooms_imported(FILES[name].read_text(encoding="utf-8"))
    assert "." not in imported, f"{name} has a relative import: write novelty_utils.ROOM"
    if name == "__init__.py":
        assert imported == set()
        return
    assert {room, *imported} <= FLOOR.keys(), f"give the new room a floor in {Path(__file__).name}"
    upwards = {other for other in imported - {room} if FLOOR[other] >= FLOOR[room]}
    assert not upwards, f"{name} imports {sorted(upwards)}, which is not below it"


@pytest.mark.parametrize("name", FILES)
def test_nothing_imports_a_notebook(name):
    notebooks = {"notebooks", *(file.stem for file in NOTEBOOKS.glob("*.py"))}
    assert not everything_imported(FILES[name].read_text(encoding="utf-8")) & notebooks


def test_a_notebook_imports_no_other_notebook():
    names = {file.stem: file for file in NOTEBOOKS.glob("*.py")}
    assert names
    for name, file in names.items():
        assert not everything_imported(file.read_text(encoding="utf-8")) & {"notebooks", *names.keys()}, name


def test_every_kind_of_import_is_seen():
    source = """
import novelty_utils.data as d
from novelty_utils import __version__, files
from novelty_utils.params import InputError
def later():
    from novelty_utils import cli
    import torch.nn
"""
    assert rooms_imported(source) == {"data", "files", "params", "cli"}
    assert rooms_imported("from . import data") == {"."}
    assert everything_imported(source) == {"novelty_utils", "torch"}
