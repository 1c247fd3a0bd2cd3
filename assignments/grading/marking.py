"""The steps of `nbgrader autograde` that are our own: start from a clean sheet, examine in the sandbox, save the marks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader import preprocessors
from nbgrader.api import Gradebook
from nbgrader.utils import compute_checksum
from traitlets import Float

from . import clean, exam, sandbox

TAMPERING = re.compile(
    r"\bget_ipython|\b_getframe|\b(?:__)?builtins|\bsys\.modules|\bsettrace|\b__(?:globals|code|subclasses)__|"
    r"\b(?:import|from) (?:ctypes|gc|inspect)\b"
)


class StartClean(preprocessors.NbGraderPreprocessor):
    """Build the notebook anew from the text of its cells: no metadata, outputs or HTML of the student's survive.

    Known cells get the metadata that they were released with; graded cells that are gone are put at the end, which is a
    good place, because a test needs nothing but what the exercises define. Prose is cleaned. The text of locked cells is
    restored by OverwriteCells afterwards.
    """

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            released = gradebook.find_notebook(about["notebook"], about["assignment"])
            points = {cell.name: cell.max_score for cell in released.grade_cells}
            solutions = {cell.name for cell in released.solution_cells}
            sources = {cell.name: cell for cell in released.source_cells}
            metadata = {
                name: _metadata(cell, name in solutions, points.get(name))
                for name, cell in sources.items()
            }
            cells = []
            for cell in reversed(nb.cells):  # of two with one name the last counts
                known = cell.metadata.get("nbgrader", {})
                name = known.get("grade_id") if isinstance(known, dict) else None
                cells.append(
                    _anew(
                        cell,
                        metadata.pop(name, None) if isinstance(name, str) else None,
                    )
                )
            cells.reverse()
            for name in sorted(points.keys() & metadata.keys()):
                self.log.warning(
                    "Cell '%s' is gone from the submission: put back at its end", name
                )
                cells.append(_anew(sources[name], metadata[name]))
        language = {"language_info": {"name": "python"}}
        return new_notebook(cells=cells, metadata=language), resources


def _metadata(cell, solution, points):
    known = {
        "grade_id": cell.name,
        "locked": cell.locked,
        "solution": solution,
        "grade": points is not None,
    }
    known |= {
        "task": False,
        "schema_version": 3,
        "cell_type": cell.cell_type,
        "checksum": cell.checksum,
    }
    return known | ({"points": points} if points is not None else {})


def _anew(cell, nbgrader):
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    if cell.cell_type == "code":
        return new_code_cell(cell.source, metadata=metadata)
    fresh = new_markdown_cell(cell.source, metadata=metadata)
    if not nbgrader or compute_checksum(fresh) != nbgrader["checksum"]:
        fresh.source = clean.markdown(cell.source, cell.get("attachments"))
    return fresh


class Examine(preprocessors.NbGraderPreprocessor):
    """Run a submission in the sandbox and its tests out here; the marks go on in `resources`."""

    seconds = Float(
        60.0,
        help="Processor seconds for one cell, and for one call of a student's function",
    ).tag(config=True)

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        root = Path(__file__).resolve().parents[1]  # the course folder
        paper = nbformat.read(
            root / "source" / about["assignment"] / f"{about['notebook']}.ipynb", 4
        )
        _keep_only(Path(resources["metadata"]["path"]), about["notebook"])
        written = {exam.about(cell).get("grade_id"): cell.source for cell in nb.cells}
        marks = resources["marks"] = {}
        with sandbox.Sandbox(root / "packages", self.seconds) as student:
            examiner = exam.Exam(paper, student)
            for cell in nb.cells:
                if cell.cell_type != "code":
                    continue
                run = _run(student, exam.visible(cell.source))
                if exam.is_test(cell):
                    name = cell.metadata.nbgrader.grade_id
                    marks[name] = examiner.test(name, written)
                    cell.outputs = _told(marks[name])
                else:
                    cell.outputs = run
        _suspect(
            nb, marks, _other_name(examiner.world.get("student"), about["student"])
        )
        for name, mark in marks.items():
            if mark.share is None:
                self.log.warning(
                    "%s: %s needs review: %s", about["student"], name, mark.why
                )
        return nb, resources


def _keep_only(folder: Path, name: str) -> None:
    """Other files of a submission could be opened from formgrader, as pages of its own."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if (
            path.name not in {f"{name}.ipynb", "timestamp.txt"}
            or path.is_symlink()
            or path.parent != folder
        ):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _run(student: sandbox.Sandbox, source: str) -> list[NotebookNode]:
    """Execute a cell; its outputs, built from plain text and verified pictures."""
    try:
        told = student.ask("run", source)
    except (sandbox.GoneError, sandbox.FailedError) as error:
        return [_error("NotFinished", str(error), "")]
    if not isinstance(told, dict):
        return []
    outputs = []
    if text := told.get("text"):
        outputs.append(new_output("stream", name="stdout", text=_plain(text)))
    for data in list(told.get("pictures") or [])[:5]:
        if good := clean.picture(data, "image/png"):
            outputs.append(new_output("display_data", data={"image/png": good}))
    error = told.get("error")
    if isinstance(error, dict):
        name, text, trace = (
            _plain(error.get(key, "")) for key in ("name", "text", "trace")
        )
        slow = "Stopped: its time was used up.\n" if told.get("slow") else ""
        outputs.append(_error(name, text, slow + trace))
    return outputs


def _plain(text: object) -> str:
    return str(text)[:21_000]


def _error(name: str, text: str, trace: str) -> NotebookNode:
    return new_output(
        "error",
        ename=name,
        evalue=text,
        traceback=(trace or f"{name}: {text}").splitlines(),
    )


def _told(mark: exam.Mark) -> list[NotebookNode]:
    """What stands below a test."""
    if mark.share == 1:
        return [
            new_output(
                "stream",
                name="stdout",
                text=f"passed{'. ' + mark.why if mark.why else ''}\n",
            )
        ]
    name = "NeedsReview" if mark.share is None else "NotPassed"
    return [
        _error(
            name,
            mark.why,
            f"{name}: {mark.why}"
            + (f"\n\nin the line  {mark.trace}" if mark.trace else ""),
        )
    ]


def _other_name(typed: object, student: str) -> list[str]:
    """A remark if the numbers of this notebook are those of somebody else than the one whose folder it lies in.

    Platforms turn names around and drop what is between them, so only the letters count.
    """
    if not isinstance(typed, str):
        return []  # nobody's: it ended before, or nothing was typed
    same = sorted(filter(str.isalnum, typed.lower())) == sorted(
        filter(str.isalnum, student.lower())
    )
    return (
        [] if same else [f"it was made as {typed[:80]!r} and handed in by {student!r}"]
    )


def _suspect(nb: NotebookNode, marks: dict[str, exam.Mark], remarks: list[str]) -> None:
    """Have a reader look at a submission of another name, or whose code reaches for the inside of Python."""
    found = set()
    for cell in nb.cells:
        if cell.cell_type == "code" and (
            exam.is_exercise(cell) or not exam.about(cell)
        ):
            found |= {match[0] for match in TAMPERING.finditer(_code(cell.source))}
    if found:
        remarks = [*remarks, f"its code names {', '.join(sorted(found))}"]
    tests = [cell for cell in nb.cells if exam.is_test(cell)]
    if remarks and tests:
        first = tests[0].metadata.nbgrader.grade_id
        marks[first].review = f"review this notebook: {'; '.join(remarks)}"
        tests[0].outputs.append(
            new_output("stream", name="stdout", text=marks[first].review + "\n")
        )


def _code(source: str) -> str:
    """Without comments and docstrings, where that can be told."""
    try:
        return ast.unparse(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return source


class SaveMarks(preprocessors.SaveAutoGrades):
    """Write the examiner's marks into the gradebook; prose, as nbgrader does it, waits for a reader."""

    def _add_score(self, cell, resources):
        mark = resources["marks"].get(cell.metadata.nbgrader.grade_id)
        if mark is None:
            super()._add_score(cell, resources)
            return
        grade = self.gradebook.find_grade(
            cell.metadata.nbgrader.grade_id,
            self.notebook_id,
            self.assignment_id,
            self.student_id,
        )
        grade.auto_score = (
            None
            if mark.share is None
            else mark.share * float(cell.metadata.nbgrader.points)
        )
        grade.needs_manual_grade = (
            mark.share is None or bool(mark.review) or grade.manual_score is not None
        )
        self.gradebook.db.commit()
