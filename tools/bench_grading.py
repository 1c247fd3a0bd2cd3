"""How long grading takes: made-up submissions of all assignments, graded as the teacher's page says.

    python tools/bench_grading.py 12 --jobs 2

Half of the students hand in the model solution, a quarter another right one, a quarter the release as it came.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

import assignments
from crossref import ROOT

sys.path.append(str(ROOT / "tests"))
import submissions

KINDS = ("reference", "otherwise", "reference", "untouched")


def hand_in(course: Path, name: str, students: int) -> None:
    solution, release = (nbformat.read(course / part / name / f"{name}.ipynb", 4) for part in ("source", "release"))
    for number in range(students):
        student = f"student {number:03}"
        made = submissions.ALL[name][KINDS[number % len(KINDS)]].edit(copy.deepcopy(release), solution, student)
        place = course / "submitted" / student / name
        place.mkdir(parents=True)
        nbformat.write(made, place / f"{name}.ipynb")


def grade(course: Path, name: str, jobs: int) -> float:
    """Seconds by the clock."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    start = time.monotonic()
    command = [sys.executable, "-m", "grading", "grade", name, "--jobs", str(jobs)]
    subprocess.run(command, cwd=course, env=environment, check=True, capture_output=True)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("students", type=int, nargs="?", default=12)
    parser.add_argument("--jobs", type=int, default=2)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        assignments.build(course)
        names, took = assignments.names(), {}
        for name in names:
            hand_in(course, name, words.students)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for name in names:
            took[name] = grade(course, name, words.jobs)
            print(f"{name}: {took[name]:.0f} s", flush=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    count, clock = words.students * len(names), sum(took.values())
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{count} submissions, {words.jobs} at a time: {clock:.0f} s, load {os.getloadavg()[1]:.1f}")
    each = used / count
    print(f"a submission: {each:.1f} s of processor time, its share of the program's start included")
    print(f"100 students with four assignments: {clock / count * 400 / 60:.0f} min at this rate,")
    print(f"{each * 400 / 60 / words.jobs:.0f} min where {words.jobs} cores have nothing else to do")


if __name__ == "__main__":
    main()
