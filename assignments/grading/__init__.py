"""Grading: a sandbox for what students wrote, an examiner outside it, and a cleaner of what they say.

`make assignments` puts a copy into the course folder. The student's code runs in `student.py`, in a sandbox that
holds Python and the installed package and nothing else. Tests run out here, in `exam.py`; they call the student's
functions through a pipe, so that a submission never meets a test, an expected value or the gradebook.
"""
