"""The course: what students get holds no solution, and every sort of submission gets exactly the marks it should.

Real submissions go through the real `nbgrader autograde`; what they are is told in submissions.py.
"""

import ast
import copy
import io
import itertools
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import submissions
from nbgrader.api import Gradebook

import assignments
import marks_page
from crossref import ROOT

pytestmark = pytest.mark.slow

SHORT, LONG = 8, 60  # seconds of processor time for a cell: of submissions that never end, and of others
NAMES = assignments.names()
PAGE = (ROOT / "book" / "course.md").read_text(encoding="utf-8")
TEACHER = (ROOT / "book" / "howto-teach.md").read_text(encoding="utf-8")
MARKED = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END \1", re.DOTALL)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A course folder as `make assignments` leaves it."""
    folder = tmp_path_factory.mktemp("built")
    assignments.build(folder)
    return folder


# --- what students get ---------------------------------------------------------------------------------------------


def secrets(name: str) -> set[str]:
    """The lines of one assignment that no student may see: solutions, hidden tests, model answers, rubrics."""
    secret, visible = set(), set()
    for cell in assignments.read(name).cells:
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "markdown":
            secret |= lines_of(cell.source)
        else:
            secret |= {line for match in MARKED.finditer(cell.source) for line in lines_of(match.group(2))}
            visible |= lines_of(MARKED.sub("", cell.source))
    return secret - visible


def lines_of(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 3}


def text_of(path: Path) -> str:
    """All text in a notebook, metadata and outputs included."""

    def strings(node) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict | list):
            for child in node.values() if isinstance(node, dict) else node:
                yield from strings(child)

    return "\n".join(text.rstrip("\n") for text in strings(json.loads(path.read_text(encoding="utf-8"))))


def test_there_is_one_assignment_for_each_paper():
    assert set(NAMES) == {"ics", "nln", "crbnd", "ade_gan"}


@pytest.mark.parametrize("name", NAMES)
def test_the_release_holds_one_notebook_and_nothing_secret(built, name):
    files = [path for path in (built / "release" / name).rglob("*") if path.is_file()]
    assert [path.name for path in files] == [f"{name}.ipynb"]
    secret, text = secrets(name), text_of(files[0])
    assert len(secret) > 100
    assert not secret & lines_of(text)
    assert not [line for line in secret if len(line) > 25 and line in text]
    assert not re.search(r"SOLUTION|HIDDEN|Model answer|Marks\.", text)


@pytest.mark.parametrize("name", NAMES)
def test_the_search_finds_what_it_looks_for(built, name):
    text = text_of(built / "source" / name / f"{name}.ipynb")
    long = {line for line in secrets(name) if len(line) > 25}
    assert sum(line in text for line in long) == len(long)


def test_a_copy_for_students_without_history_holds_no_secret():
    (words,) = re.findall(r"git archive (.*) -o \S+ HEAD (.*)\n", TEACHER)
    exclude = [word.strip("'\"") for word in words[1].split()]
    packed = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD", *exclude], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        text_of_file = {
            member.name: archive.extractfile(member).read().decode("utf-8", "replace")
            for member in archive
            if member.isfile()
        }
    assert {"notebooks/ics.ipynb", "book/index.md"} <= text_of_file.keys()
    text = "\n".join(text_of_file.values())
    for name in NAMES:
        assert not [line for line in secrets(name) if len(line) > 40 and line in text], name


@pytest.mark.parametrize("name", NAMES)
def test_hints_on_the_course_page_give_no_line_of_a_solution_away(name):
    assert not [line for line in secrets(name) if len(line) > 25 and line in PAGE]


@pytest.mark.parametrize("name", NAMES)
def test_the_release_runs_without_nbgrader_and_says_what_is_left_to_do(built, name):
    release = nbformat.read(built / "release" / name / f"{name}.ipynb", 4)
    code = [cell for cell in release.cells if cell.cell_type == "code"]
    assert "nbgrader" not in "".join(cell.source for cell in code)
    notebook = (ROOT / "notebooks" / "ics.py").read_text(encoding="utf-8")
    assert code[0].metadata.tags[0] == "colab" and code[0].source in notebook
    solution = nbformat.read(built / "source" / name / f"{name}.ipynb", 4)
    solved = submissions.Submission().edit(copy.deepcopy(release), solution, "anna")
    names = {"__name__": name}
    for cell in solved.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
    stubs = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("solution")]
    assert all(cell.source.rstrip().endswith("raise NotImplementedError()") for cell in stubs)


def sections(name: str) -> str:
    return "\n".join(
        re.findall(r"^# ##+ .*", (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_reading_names_sections_that_exist(name):
    (until,) = re.findall(r"up to \*(.*?)\*", assignments.read(name).cells[0].source)
    assert until in sections(name)
    for page, told in re.findall(r"<\.\./notebooks/(\w+)>`:([^;|]*)", PAGE):
        assert all(named in sections(page) for named in re.findall(r"\*(.*?)\*", told)), page


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_says_its_points_minutes_and_difficulty(name):
    cells = assignments.read(name).cells
    heads = [cell.source.splitlines()[0] for cell in cells if cell.source.startswith("## ")]
    told = [
        re.fullmatch(r"## \d+\. [^()]+ \((\d+) points?, (\d+) minutes, (easy|medium|hard)\)", head) for head in heads
    ]
    assert all(told), heads
    tests = [
        c.metadata.nbgrader.points
        for c in cells
        if c.cell_type == "code" and "points" in c.metadata.get("nbgrader", {})
    ]
    assert sum(int(head[1]) for head in told) == sum(tests)
    assert 100 <= sum(int(head[2]) for head in told) <= 140  # "about two hours"


@pytest.mark.parametrize("name", NAMES)
def test_every_graded_cell_has_points_and_they_add_up_to_what_the_course_page_says(name):
    about = [cell.metadata.nbgrader for cell in assignments.read(name).cells if "nbgrader" in cell.metadata]
    assert len({cell["grade_id"] for cell in about}) == len(about)
    points = {
        by_hand: sum(cell["points"] for cell in about if cell["grade"] and cell["solution"] is by_hand)
        for by_hand in (False, True)
    }
    assert all(cell["points"] > 0 for cell in about if cell["grade"])
    (row,) = re.findall(rf"^\| .*notebooks/{name}>.*\| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert tuple(map(int, row)) == (points[False], points[True], points[False] + points[True])


@pytest.mark.parametrize("name", NAMES)
def test_every_test_has_a_hidden_part_and_follows_something_to_write(name):
    kinds = [cell for cell in assignments.read(name).cells if "nbgrader" in cell.metadata]
    for before, cell in itertools.pairwise(kinds):
        if cell.metadata.nbgrader["grade"] and cell.cell_type == "code":
            assert before.metadata.nbgrader["solution"] or before.metadata.nbgrader["grade"]
            hidden = [match.group(2) for match in MARKED.finditer(cell.source) if match.group(1) == "HIDDEN TESTS"]
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse("".join(hidden))))


@pytest.mark.parametrize("name", NAMES)
def test_every_check_says_what_was_expected(name):
    for cell in assignments.read(name).cells:
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
            checks = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
            assert checks
            assert all(check.msg is not None for check in checks), cell.metadata.nbgrader["grade_id"]


PERSONAL = {  # what is asked for with numbers of one's own
    "ics": {"times-too-small": "times_too_small", "leaks": "leaks"},
    "nln": {"price": "best_and_chosen", "leaks": "leaks"},
    "crbnd": {"slope": "error", "trivial": "share_for_f1", "leaks": "leaks", "trivial-fall": "trivial_fall"},
    "ade_gan": {"rounds": "rounds_from", "leaks": "leaks", "missed-by": "missed_by"},
}


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_of_a_neighbour_earns_nothing(name):
    """Whatever anna found is right for her and wrong for five others; and so it is in another year."""

    def solved(student: str, seed: int = 1) -> dict:
        world = {"__name__": name}
        for cell in assignments.read(name, seed).cells:
            about = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and about and not about["grade"]:
                source = cell.source.replace('student = "reference"', f"student = {student!r}")
                exec(compile(source, name, "exec"), world)
        return world

    tests = {c.metadata.nbgrader.grade_id: c.source for c in assignments.read(name).cells if "nbgrader" in c.metadata}
    anna = solved("anna")
    worlds = [solved(other) for other in ("ben", "Anne", "anna2", "4711", "zoë")] + [solved("anna", seed=2)]
    for grade_id, variable in PERSONAL[name].items():
        test = compile(tests[f"{grade_id}-test"], grade_id, "exec")
        exec(test, dict(anna))
        for world in worlds:
            exec(test, dict(world))
            with pytest.raises(AssertionError):
                exec(test, world | {variable: anna[variable]})


def test_a_cell_of_unknown_kind_or_without_points_is_refused():
    with pytest.raises(assignments.AssignmentError, match="cell a: kind 'tset' is none of given"):
        assignments._metadata("ics", {"kind": "tset", "grade_id": "a"})
    with pytest.raises(assignments.AssignmentError, match="cell b: points belong to graded cells"):
        assignments._metadata("ics", {"kind": "test", "grade_id": "b"})


# --- marks ---------------------------------------------------------------------------------------------------------

GROUPS = [("ics", submissions.STUCK), ("ics", submissions.HOSTILE), ("ics", submissions.ICS)]  # the slowest first
GROUPS += [(name, students) for name, students in submissions.ALL.items() if name != "ics"]
CASES = [(name, student) for name, students in GROUPS for student in students]


@pytest.fixture(scope="module")
def graded(built, tmp_path_factory) -> dict[tuple[str, str], Path]:
    """The course folder in which each submission has been autograded; two at a time, as there are two cores."""

    def grade(group) -> dict[tuple[str, str], Path]:
        name, students = group
        folder = tmp_path_factory.mktemp("course") / "course"
        shutil.copytree(built, folder)
        solution, release = (nbformat.read(folder / part / name / f"{name}.ipynb", 4) for part in ("source", "release"))
        for student, submission in students.items():
            place = folder / "submitted" / student / name
            place.mkdir(parents=True)
            nbformat.write(submission.edit(copy.deepcopy(release), solution, student), place / f"{name}.ipynb")
        seconds = SHORT if students is submissions.STUCK else LONG
        assignments.nbgrader(folder, "autograde", name, f"--Examine.seconds={seconds}")
        return {(name, student): folder for student in students}

    with ThreadPoolExecutor(2) as pool:
        return {case: folder for part in pool.map(grade, GROUPS) for case, folder in part.items()}


def grades(graded, name, student) -> dict[str, tuple[float | None, bool]]:
    """Automatic points of each graded cell, and whether it waits for a reader."""
    with Gradebook(f"sqlite:///{graded[name, student] / 'gradebook.db'}") as gradebook:
        (notebook,) = gradebook.find_submission(name, student).notebooks
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades}


def graded_cells(name) -> dict[str, dict]:
    """nbgrader's metadata of the graded cells of an assignment."""
    found = (cell.metadata.get("nbgrader", {}) for cell in assignments.read(name).cells)
    return {about["grade_id"]: about for about in found if about.get("grade")}


@pytest.mark.parametrize(("name", "student"), CASES)
def test_a_submission_gets_the_marks_it_should(graded, name, student):
    submission, got = submissions.ALL[name][student], grades(graded, name, student)
    tests = {grade_id: about["points"] for grade_id, about in graded_cells(name).items() if not about["solution"]}
    assert submission.lost | submission.review <= tests.keys()
    expected = tests | dict.fromkeys(submission.lost, 0) | dict.fromkeys(submission.review)
    assert {grade_id: got[grade_id][0] for grade_id in tests} == expected
    waiting = {grade_id for grade_id in tests if got[grade_id][1]}
    assert waiting == (submission.review or ({next(iter(tests))} if submission.flagged else set()))


def test_the_teachers_page_has_the_table_of_these_marks():
    assert marks_page.in_step(TEACHER) == TEACHER, "run: python tools/marks_page.py"
    assert sum(line.startswith(f"| {name} |") for line in marks_page.rows() for name in NAMES) == len(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_prose_waits_for_a_reader_if_there_is_any(graded, name):
    answers = {grade_id for grade_id, about in graded_cells(name).items() if about["solution"]}
    assert answers
    for student, expected in {"reference": (None, True), "untouched": (0, False)}.items():
        got = grades(graded, name, student)
        assert {got[grade_id] for grade_id in answers} == {expected}


def outputs(graded, student, cell) -> str:
    """All text below one cell of a graded notebook of the first assignment; below all cells if `cell` is None."""
    notebook = nbformat.read(graded["ics", student] / "autograded" / student / "ics" / "ics.ipynb", 4)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    cells = [c for c in cells if cell in (None, c.metadata.get("nbgrader", {}).get("grade_id"))]
    found = [output for c in cells for output in c.outputs]
    return "\n".join("\n".join(output.get("traceback", [])) + output.get("text", "") for output in found)


@pytest.mark.parametrize(
    ("student", "cell", "message"),
    [
        ("dies", "closeness-test", "its process ended"),
        ("dies late", "verdict-test", "its process ended"),
        ("deaf", "verdict-test", "it could not be interrupted"),
        ("loops", "verdict-test", f"NeedsReview: .*stopped after {SHORT} s of processor time"),
        ("greedy", "closeness-test", "closeness raised MemoryError"),
        ("prints", "closeness-test", "closeness is .* was expected"),
        ("patches", "closeness-test", "review this notebook: .*_getframe"),
        ("searches", None, r"looked at \d\d+ files; found \[\]"),
        ("plants 1", None, "planted in [12]\n"),
        ("plants 2", None, r"found \[\]"),
        ("talks", None, "[0-9]{8} more characters"),
    ],
)
def test_the_graded_notebook_says_why(graded, student, cell, message):
    assert re.search(message, outputs(graded, student, cell))


def test_nothing_that_runs_in_a_browser_is_left(graded):
    for student in ("attacks", "shows"):
        notebook = json.loads((graded["ics", student] / "autograded" / student / "ics" / "ics.ipynb").read_text())
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        assert {kind for output in outputs for kind in output.get("data", {})} <= {"text/plain", "image/png"}
        prose = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
        assert not any("<script" in text for text in prose)


def test_graded_notebooks_stay_small(graded):
    for name, student in CASES:
        assert (graded[name, student] / "autograded" / student / name / f"{name}.ipynb").stat().st_size < 2**20


def test_feedback_and_marks_come_out(graded):
    folder = graded["crbnd", "reference"]
    assignments.nbgrader(folder, "generate_feedback", "crbnd", "--student=reference")
    assert list(folder.glob("feedback/reference/crbnd/*.html"))
    assignments.nbgrader(folder, "export", "--to", "grades.csv")
    assert "reference" in (folder / "grades.csv").read_text()
