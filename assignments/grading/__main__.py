"""What a teacher does with all submissions of an assignment at once. Call it in the course folder.

python -m grading grade ics        run and mark what is in submitted/, several at a time
python -m grading students FILE    names and numbers from the gradebook that Moodle or Canvas has exported
python -m grading marks            marks.csv, and the same for the imports of Moodle and Canvas
python -m grading feedback ics     feedback/ics.zip, with the folder names of the platform's archive
python -m grading solutions ics    solutions/ics.ipynb, for students, after the deadline
"""

import argparse
import sys

from . import office, sandbox


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m grading", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("grade", help="run and mark what is in submitted/")
    one.add_argument("assignment")
    one.add_argument("students", nargs="*", help="only these")
    one.add_argument(
        "--jobs", type=int, default=2, help="submissions at a time (default: 2)"
    )
    commands.add_parser(
        "students", help="take names from an export of Moodle or Canvas"
    ).add_argument("file")
    commands.add_parser("marks", help="marks.csv, moodle.csv, canvas.csv")
    for name in ("feedback", "solutions"):
        commands.add_parser(name).add_argument("assignment")
    words = parser.parse_args()
    try:
        if words.command == "grade":
            return min(1, office.grade(words.assignment, words.students, words.jobs))
        if words.command == "marks":
            office.marks()
        elif words.command == "students":
            office.students(words.file)
        else:
            getattr(office, words.command)(words.assignment)
    except (sandbox.SandboxError, office.OfficeError) as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"there is no file {error.filename}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
