"""What a teacher does to all submissions of an assignment at once: grading, marks, feedback, solutions."""

from __future__ import annotations

import csv
import multiprocessing
import re
import time
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGrader, NbGraderAPI

from . import exam, sandbox

COURSE = Path(__file__).resolve().parents[1]
LARGEST = 20 * 2**20  # bytes of a notebook
GRADEBOOK = f"sqlite:///{COURSE}/gradebook.db"


class OfficeError(RuntimeError):
    """A file that cannot be used: one line that says which and why."""


# --- grade -------------------------------------------------------------------------


def grade(assignment: str, students: list[str], jobs: int) -> int:
    """Autograde these students, or all who handed in; a line for each. Returns how many could not be graded."""
    sandbox.command(COURSE / "packages")  # says at once if there is no sandbox
    places = {
        p.parent.name: p for p in sorted((COURSE / "submitted").glob(f"*/{assignment}"))
    }
    started, failed = time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {}
        for student in students or places:
            if why := unfit(places.get(student), assignment):
                print(f"{student}: not graded: {why}")
                failed += 1
            else:
                running[pool.submit(grade_one, assignment, student)] = student
        for done in as_completed(running):
            ok, line = done.result()
            failed += not ok
            print(f"{running[done]}: {line}", flush=True)
    print(
        f"{len(running)} graded in {time.monotonic() - started:.0f} s, {failed} not graded"
    )
    return failed


def unfit(place: Path | None, assignment: str) -> str | None:
    """Why a folder cannot be graded, if so."""
    notebook = place / f"{assignment}.ipynb" if place else None
    if notebook is None or notebook.is_symlink() or not notebook.is_file():
        found = ", ".join(p.name for p in place.iterdir()) if place else "nothing"
        return f"no {assignment}.ipynb, but {found or 'nothing'}"
    size = notebook.stat().st_size
    return f"{size >> 20} MB are too many" if size > LARGEST else None


def grade_one(assignment: str, student: str) -> tuple[bool, str]:
    """Autograde one submission -> whether that went well, and what to tell the teacher."""
    warnings.filterwarnings(
        "ignore", module="nbgrader"
    )  # of its tables; nothing that a teacher could act on
    app = NbGrader()
    app.config_file_paths.append(str(COURSE))
    app.load_config_file()
    done = NbGraderAPI(config=app.config).autograde(
        assignment, student, force=True, create=True
    )
    if not done["success"]:
        said = (done.get("log") or done.get("error") or "").strip().splitlines()
        errors = [
            line.strip()
            for line in said
            if re.match(r"\s*\w+(Error|Exception)\b", line)
        ]
        return (
            False,
            f"not graded: {(errors or said or ['nbgrader does not say why'])[-1]}",
        )
    with Gradebook(GRADEBOOK) as gradebook:
        (notebook,) = gradebook.find_submission(assignment, student).notebooks
        tests = [g for g in notebook.grades if g.cell.name.endswith("-test")]
        review = sorted(g.cell.name for g in tests if g.needs_manual_grade)
        prose = sum(g.needs_manual_grade for g in notebook.grades) - len(review)
        points = (
            sum(g.auto_score or 0 for g in tests),
            sum(g.cell.max_score for g in tests),
        )
    line = f"{points[0]:g} of {points[1]:g} by tests, {prose} answers to read"
    return True, line + (f", to review: {', '.join(review)}" if review else "")


# --- students and marks --------------------------------------------------------------


def students(export: str) -> None:
    """Names, addresses and numbers from the gradebook that Moodle or Canvas has exported, into our own."""
    with Path(export).open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        head = set(lines.fieldnames or ())
        kinds = [
            (of_canvas, {"Student", "ID"}),
            (of_moodle, {"First name", "Email address"}),
        ]
        read = next((read for read, needed in kinds if needed <= head), None)
        if read is None:
            raise OfficeError(
                f"{export}: no export of Canvas (columns Student, ID) or of Moodle in English (First name, Last name, "
                f"Email address), but {', '.join(sorted(head)) or 'nothing'}"
            )
        people = dict(filter(None, map(read, lines)))
    with Gradebook(GRADEBOOK) as gradebook:
        for student, about in people.items():
            gradebook.update_or_create_student(student, **about)
    print(f"{len(people)} students")
    strangers = {p.name for p in (COURSE / "submitted").glob("*")} - people.keys()
    if strangers:
        print(f"handed in, and not among them: {', '.join(sorted(strangers))}")


def of_canvas(line: dict) -> tuple[str, dict] | None:
    """ "Beispiel, Anna" hands in as beispielanna: letters and digits alone, as in the names of Canvas's files."""
    last, _, first = (line["Student"] or "").partition(", ")
    about = {"first_name": first, "last_name": last, "lms_user_id": line["ID"]}
    student = re.sub(r"\W", "", last + first).lower()
    return (
        (student, about) if (line["ID"] or "").isdigit() else None
    )  # a line of points possible has no number


def of_moodle(line: dict) -> tuple[str, dict] | None:
    """Anna Beispiel hands in under her full name."""
    first, last = line["First name"], line.get("Last name") or line.get("Surname") or ""
    about = {"first_name": first, "last_name": last, "email": line["Email address"]}
    return (f"{first} {last}".strip(), about) if line["Email address"] else None


def marks() -> None:
    """Three tables: for people, for Moodle's import, for Canvas's. What waits for a reader is left empty."""
    with Gradebook(GRADEBOOK) as gradebook:
        # A column of nothing would take marks away, or make an assignment of that name.
        names = [a.name for a in gradebook.assignments if a.submissions]
        rows = [
            (student, [score(gradebook, student.id, name) for name in names])
            for student in gradebook.students
        ]
        write("marks.csv", ["student", *names], [[s.id, *row] for s, row in rows])
        head = ["First name", "Last name", "Email address", *names]
        # Some versions of Moodle give a line without an address to the student above it.
        told = [(s, [s.first_name, s.last_name, s.email, *row]) for s, row in rows]
        write("moodle.csv", head, known(told, "email"))
        head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names]
        most = [gradebook.find_assignment(name).max_score for name in names]
        told = [
            (s, [f"{s.last_name}, {s.first_name}", s.lms_user_id, "", "", "", *row])
            for s, row in rows
        ]
        possible = ["    Points Possible", "", "", "", "", *most]
        write("canvas.csv", head, [possible, *known(told, "lms_user_id")])


def known(told: list[tuple], by: str) -> list[list]:
    """The lines of students whom the platform can find; the others are named."""
    missing = [s.id for s, _ in told if not getattr(s, by)]
    if missing and len(missing) < len(told):
        print(f"without {by}, and so left out: {', '.join(missing)}")
    return [line for s, line in told if getattr(s, by)]


def score(gradebook: Gradebook, student: str, assignment: str) -> float | str:
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return ""
    return (
        ""
        if submission.needs_manual_grade
        else max(0.0, submission.score - (submission.late_submission_penalty or 0))
    )


def write(name: str, head: list[str], rows: list[list]) -> None:
    with (COURSE / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [head, *([text(value) for value in row] for row in rows)]
        )
    print(f"{name}: {len(rows)} lines")


def text(value: object) -> object:
    """A spreadsheet would run a name that begins like a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
        else value
    )


# --- feedback and solutions --------------------------------------------------------


def feedback(assignment: str) -> None:
    """One archive of all pages of feedback, each under the name by which the platform finds its student.

    Moodle looks at the folder, Canvas at the name of the file.
    """
    app = NbGrader()
    app.config_file_paths.append(str(COURSE))
    app.load_config_file()
    pattern = re.compile(app.config.FileNameCollectorPlugin.named_regexp)
    places = {}
    for path in sorted((COURSE / "downloaded" / assignment).rglob("*.ipynb")):
        if match := pattern.match(str(path)):
            own = re.search(r"([^/]*_assignsubmission_file_?)", str(path))
            places[match["student_id"]] = (
                f"{own[1]}/{assignment}.html" if own else f"{path.stem}.html"
            )
    pages = sorted(COURSE.glob(f"feedback/*/{assignment}/{assignment}.html"))
    with zipfile.ZipFile(
        COURSE / "feedback" / f"{assignment}.zip", "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for page in pages:
            student = page.parent.parent.name
            archive.write(page, places.get(student, f"{student}/{assignment}.html"))
    print(f"feedback/{assignment}.zip: {len(pages)} pages")


def solutions(assignment: str) -> None:
    """The assignment with solutions and model answers and without the hidden tests."""
    source = nbformat.read(COURSE / "source" / assignment / f"{assignment}.ipynb", 4)
    cells = list(solved(source))
    target = COURSE / "solutions" / f"{assignment}.ipynb"
    target.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=source.metadata), target)
    print(f"solutions/{target.name}")


def solved(source: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    for number, cell in enumerate(source.cells):
        text = exam.visible(cell.source)
        text = re.sub(
            r"^ *### (BEGIN|END) SOLUTION\n?", "", text, flags=re.MULTILINE
        ).rstrip("\n")
        make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        yield make(text, id=f"solution-{number}")
