"""nbgrader's settings for the course; `make assignments` puts a copy into the course folder that it builds.

nbgrader reads it as code. It runs no kernel: students' code runs in the sandbox of `grading`, which lies beside this file.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "packages")]

from grading import marking
from nbgrader import preprocessors

c = get_config()  # noqa: F821  nbgrader defines it
c.CourseDirectory.course_id = "novelty"
c.CourseDirectory.root = str(HERE)
# "Anna Beispiel_123_assignsubmission_file/ics.ipynb" of Moodle, with or without the folder, and
# "beispielanna_late_123_456_ics-1.ipynb" of Canvas
c.FileNameCollectorPlugin.named_regexp = (
    r".*/(?P<student_id>[^/_]+)_(?i:LATE_)?"
    r"(?:\d+_assignsubmission_file_?/?|\d+_\d+_)(?P<file_id>ics|nln|crbnd|ade_gan)\b[^/]*$"
)
c.NbGrader.log_level = "WARN"
c.Examine.seconds = 60.0  # of processor time for one cell or one call
c.Autograde.sanitize_preprocessors = [
    marking.StartClean,
    preprocessors.OverwriteCells,
    preprocessors.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    marking.Examine,
    marking.SaveMarks,
    preprocessors.AssignLatePenalties,
    preprocessors.CheckCellMetadata,
]
