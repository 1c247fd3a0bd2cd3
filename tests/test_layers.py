"""Imports between the wings of the package go downwards only, and nothing imports a notebook."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import novelty_utils

PACKAGE = Path(novelty_utils.__file__).parent
NOTEBOOKS = PACKAGE.parent / "notebooks"

# From the ground up: a module imports its own wing and those below it.
WINGS = [
    {"errors", "classes", "params", "files", "progress", "notebook_cells", "interrupts"},
    {"data"},
    {"training"},
    {"records"},
    {"evaluation"},
    {"runs"},
    {"ledger"},
    {"detectors", "saved_detectors"},
    {"screening"},
    {"commands"},
    {"cli"},
]
HEIGHT = {wing: height for height, wings in enumerate(WINGS) for wing in wings}


def wings_imported(source: str) -> set[str]:
    """The wings of the package that a file imports, anywhere in it; `.` stands for a relative import."""
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


def wing_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("name", FILES)
def test_a_wing_imports_lower_wings_only(name):
    wing, imported = wing_of(FILES[name]), wings_imported(FILES[name].read_text(encoding="utf-8"))
    assert "." not in imported, f"{name} has a relative import: write novelty_utils.WING"
    if name == "__init__.py":
        assert imported == set()
        return
    assert {wing, *imported} <= HEIGHT.keys(), f"give the new wing a place in {Path(__file__).name}"
    upwards = {other for other in imported - {wing} if HEIGHT[other] > HEIGHT[wing]}
    assert not upwards, f"{name} imports {sorted(upwards)}, which is not below it"


def test_inside_a_wing_nothing_goes_round_in_circles():
    sources = {name: file.read_text(encoding="utf-8") for name, file in FILES.items()}
    graph = {name: {other for other in modules_imported(source) if other in FILES} for name, source in sources.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def modules_imported(source: str) -> set[str]:
    """The files of the package that a file imports as it is loaded: not in functions, not for type checkers."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("novelty_utils"):
            folder = "/".join(node.module.split(".")[1:])
            inside = [f"{folder}/{alias.name}.py".lstrip("/") for alias in node.names]
            found |= {name if name in FILES else f"{folder}.py" for name in inside}
    return found


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
    assert wings_imported(source) == {"data", "files", "params", "cli"}
    assert wings_imported("from . import data") == {"."}
    assert everything_imported(source) == {"novelty_utils", "torch"}


def test_every_file_of_tests_has_a_name_of_its_own():
    """Without packages, pytest takes two files of one name for one."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)) > 50
