"""tests/submissions.py -> the table in book/howto-teach.md of what right, wrong and hostile submissions get.

    python tools/marks_page.py

The marks in it are those that the tests demand of the real grading, cell by cell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import assignments
from crossref import ROOT

sys.path.append(str(ROOT / "tests"))
import submissions

PAGE = ROOT / "book" / "howto-teach.md"
START, END = "% submissions: written by tools/marks_page.py", "% submissions end"


def rows() -> Iterator[str]:
    yield "| assignment | the submission | points | not passed | waits for you |"
    yield "|---|---|--:|---|---|"
    for name, students in submissions.ALL.items():
        points = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader.points for c in tests(name)}
        for student, it in students.items():
            kept = sum(value for test, value in points.items() if test not in it.lost | it.review)
            missed = "all" if it.lost == points.keys() else short(it.lost, points)
            waits = "the notebook, flagged" if it.flagged else short(it.review, points)
            what = submissions.WHAT[student]
            yield f"| {name} | {what} | {kept:g} of {sum(points.values()):g} | {missed} | {waits} |"


def tests(name: str) -> list:
    """The test cells of an assignment."""
    cells = (c for c in assignments.read(name).cells if c.cell_type == "code")
    return [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]


def short(some: set[str], of: dict[str, float]) -> str:
    """Names of tests without their ending, in the order of the assignment."""
    return ", ".join(test.removesuffix("-test") for test in of if test in some)


def in_step(text: str) -> str:
    before, rest = text.split(START)
    return "\n".join([f"{before}{START}", "", *rows(), "", f"{END}{rest.split(END)[1]}"])


if __name__ == "__main__":
    PAGE.write_text(in_step(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
