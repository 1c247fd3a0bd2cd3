"""Submissions of all sorts through the real `nbgrader autograde`: each gets exactly the marks it should.

A submission is the release as a student would have edited it. One course folder and gradebook for all of them.
"""

import copy
import re

import nbformat
import pytest
import submissions
from nbformat import NotebookNode
from nbgrader.api import Gradebook

import assignments

TIMEOUT = 15  # seconds for a cell, so that endless loops end soon


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder in which everything of `submissions` has been handed in and autograded."""
    folder = tmp_path_factory.mktemp("course")
    assignments.build(folder)
    for name, by_student in submissions.ALL.items():
        solution, release = (nbformat.read(folder / part / name / f"{name}.ipynb", 4) for part in ("source", "release"))
        for student, submission in by_student.items():
            place = folder / "submitted" / student / name
            place.mkdir(parents=True)
            nbformat.write(submission.edit(copy.deepcopy(release), solution), place / f"{name}.ipynb")
        assignments.nbgrader(folder, "autograde", name, f"--ExecuteAndProve.timeout={TIMEOUT}")
    return folder


def grades(course, name, student) -> dict[str, tuple[float | None, bool]]:
    """Automatic points of each graded cell, and whether it waits for a reader."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        (notebook,) = gradebook.find_submission(name, student).notebooks
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades}


def graded_cells(name) -> dict[str, NotebookNode]:
    """The metadata of the graded cells of an assignment."""
    found = (cell.metadata.get("nbgrader", {}) for cell in assignments.read(name).cells)
    return {about["grade_id"]: about for about in found if about.get("grade")}


CASES = [(name, student) for name, by_student in submissions.ALL.items() for student in by_student]


@pytest.mark.parametrize(("name", "student"), CASES)
def test_a_submission_gets_the_marks_it_should(course, name, student):
    submission, got = submissions.ALL[name][student], grades(course, name, student)
    tests = {grade_id: about["points"] for grade_id, about in graded_cells(name).items() if not about["solution"]}
    assert submission.lost <= tests.keys()
    assert {grade_id: got[grade_id][0] for grade_id in tests} == {
        grade_id: 0 if grade_id in submission.lost else points for grade_id, points in tests.items()
    }
    assert not any(got[grade_id][1] for grade_id in tests), "no test waits for a reader"


@pytest.mark.parametrize("name", submissions.ALL)
def test_prose_waits_for_a_reader_if_there_is_any(course, name):
    answers = {grade_id for grade_id, about in graded_cells(name).items() if about["solution"]}
    assert answers
    for student, expected in {"reference": (None, True), "untouched": (0, False)}.items():
        got = grades(course, name, student)
        assert {got[grade_id] for grade_id in answers} == {expected}


@pytest.mark.parametrize(
    ("student", "cell", "message"),
    [
        ("dies", "closeness-test", "the kernel died or could not be stopped"),
        ("deaf", "closeness-test", "NotFinished|CellTimeoutError"),
        ("loops", "closeness-test", "CellTimeoutError"),
        ("prints", "closeness-test", "closeness is .* was expected"),
    ],
)
def test_the_submission_says_why(course, student, cell, message):
    notebook = nbformat.read(course / "autograded" / student / "ics" / "ics.ipynb", 4)
    (cell,) = [other for other in notebook.cells if other.metadata.get("nbgrader", {}).get("grade_id") == cell]
    text = "\n".join(line for output in cell.outputs for line in output.get("traceback", []))
    assert re.search(message, text)


def test_feedback_and_export_work_offline(course):
    assignments.nbgrader(course, "generate_feedback", "ics", "--student=reference")
    assert list(course.glob("feedback/reference/ics/*.html"))
    assignments.nbgrader(course, "export", "--to", "grades.csv")
    assert "reference" in (course / "grades.csv").read_text()
