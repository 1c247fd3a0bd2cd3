"""assignments/*.py -> a course folder for nbgrader, _build/course, with what students get in release/.

    python tools/assignments.py

source/ has the solutions, the hidden tests and the rubrics, release/ none of them. release/ and gradebook.db are
written by nbgrader's own generate_assignment.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import slides
from crossref import ROOT
from pair import METADATA

ASSIGNMENTS, COURSE = ROOT / "assignments", ROOT / "_build" / "course"
CONFIG = "nbgrader_config.py"
SEED = "release_seed = 0"
FLAGS = {  # kind of a cell -> grade, solution, locked
    "given": (False, False, True),  # code that students need and may not change
    "solution": (False, True, False),  # code that they write
    "test": (True, False, True),  # code that checks it, for points
    "answer": (True, True, False),  # prose that they write and a reader marks
}


class AssignmentError(RuntimeError):
    """An assignment is not well formed, or nbgrader refused it: one line that says why."""


def names() -> list[str]:
    """The assignments, by the names of their papers."""
    return sorted(path.stem for path in ASSIGNMENTS.glob("*.py") if path.name != CONFIG)


def read(name: str, seed: int = 0) -> NotebookNode:
    """The source of one assignment as a notebook with nbgrader's metadata, with solutions and hidden tests.

    From `seed` and the name of a student follow the numbers that are the student's own.
    """
    text = (ASSIGNMENTS / f"{name}.py").read_text(encoding="utf-8").replace(SEED, f"release_seed = {seed}")
    notebook = jupytext.reads(text, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        short = cell.metadata.get("nbgrader")
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if short:
            cell.metadata["nbgrader"] = _metadata(name, short)
        # The same source gives the same file, and no two cells the same id.
        cell.id = hashlib.sha256(f"{number}\n{cell.source}".encode()).hexdigest()[:8]
    notebook = NotebookNode(cells=notebook.cells, metadata=METADATA, nbformat=4, nbformat_minor=5)
    nbformat.validate(notebook)
    return notebook


def _metadata(name: str, short: dict) -> dict:
    kind, grade_id = short["kind"], short["grade_id"]
    if kind not in FLAGS:
        raise AssignmentError(f"assignments/{name}.py, cell {grade_id}: kind {kind!r} is none of {', '.join(FLAGS)}")
    grade, solution, locked = FLAGS[kind]
    if grade != ("points" in short):
        raise AssignmentError(
            f"assignments/{name}.py, cell {grade_id}: points belong to graded cells, and to all of them"
        )
    known = {"grade": grade, "grade_id": grade_id, "locked": locked, "schema_version": 3, "solution": solution}
    return known | {"task": False} | ({"points": short["points"]} if grade else {})


def build(course: Path, of: list[str] | None = None) -> None:
    """Write or renew the sources and releases in the course folder; marks and submissions in it stay."""
    course.mkdir(parents=True, exist_ok=True)
    shutil.copy(ASSIGNMENTS / CONFIG, course / CONFIG)
    shutil.copytree(
        ASSIGNMENTS / "grading",
        course / "grading",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    install(course / "packages")
    seed = course / "seed.txt"  # stays as long as the course folder, so that a corrected release has the same numbers
    if not seed.exists():
        seed.write_text(f"{secrets.randbelow(10**9)}\n")
    for name in of or names():
        (course / "source" / name).mkdir(parents=True, exist_ok=True)
        nbformat.write(read(name, int(seed.read_text())), course / "source" / name / f"{name}.ipynb")
        nbgrader(course, "generate_assignment", name, "--create", "--force")


def install(folder: Path) -> None:
    """The package from a wheel, which holds no solution: all of the clone that a submission can see."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as built:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = Path(built).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    compileall.compile_dir(folder, quiet=1)  # once, and not for each submission


def nbgrader(course: Path, *words: str) -> None:
    """One of nbgrader's commands in the course folder. Raises AssignmentError with the last lines of its log."""
    beside = str(Path(sys.executable).parent)  # nbgrader calls the command alembic, which is there
    environment = os.environ | {"PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}
    command = [sys.executable, "-m", "nbgrader", *words]
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise AssignmentError(f"nbgrader {' '.join(words)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def main() -> int:
    try:
        build(COURSE)
        slides.build(COURSE / "slides")
    except AssignmentError as error:
        print(error, file=sys.stderr)
        return 1
    folder = COURSE.relative_to(ROOT)
    print(
        f"course folder: {folder}   for students: {folder}/release   Copy it out of the clone before you grade in it."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
