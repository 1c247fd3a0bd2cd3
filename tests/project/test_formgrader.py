"""A teacher's browser on hostile answers: formgrader and feedback show them, nothing in them runs, no mark changes."""

import copy
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import submissions
from grading import clean
from nbconvert.filters import markdown2html
from nbgrader.api import Gradebook
from playwright.sync_api import sync_playwright

import assignments
from browser import find

EVIL = "<script>new Image().src = 'http://127.0.0.1:1/'; window.pwned = 1</script>"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


# --- the cleaner -----------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [(tag, name, value) for name, value in attrs] or [(tag, "", None)]


@pytest.mark.parametrize(
    "text",
    [
        submissions.ATTACK,
        "<script>a()</script>",
        "<img src=x onerror=a()>",
        '`<b title="`<img src=x onerror=a()>">',
        "[a](javascript:a()) <javascript:a()> ![a](http://x/y.png) [a]: javascript:a()",
        "a\n\n<!--\n\n--!>\n\n<img src=x onerror=a()>",
        "<div>\n\n&#91;x&#93;(javascript:a())\n\n&lt;img src=x onerror=a()&gt;",
        "```\n\n<script>a()</script>\n\n```",
        '```"><img/src=x/onerror=a()>\nx\n```',
        '```mermaid\nclick a href "javascript:a()"\n```',
        "$$\n<img src=x onerror=a()>\n$$\n\\begin{align}<svg onload=a()>\\end{align}",
        '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=a()&gt;">',
        '<noscript><p title="</noscript><img src=x onerror=a()>">',
        "![missing](attachment:missing.png) <b>x",
        "| a |\n|---|\n| <td onclick=a()> |",
        "> " * 2000 + "<script>a()</script>",
    ],
)
def test_a_cleaned_text_holds_no_element_and_no_attribute_that_could_act(text):
    shown = markdown2html(clean.markdown(text))
    assert {(tag, name) for tag, name, _ in Elements(shown).found} <= {(tag, "") for tag in clean.TAGS} | {
        ("img", "alt")
    }


def test_a_cleaned_text_still_reads_as_it_was_meant():
    text = "# T\n\n*a* and `b<c`, $x<y$.\n\n* one\n\n```\nfor x in y:\n\n    pass\n```\n\n| a |\n|---|\n| 1 |\n\n[d](http://e)"
    shown = markdown2html(clean.markdown(text))
    for part in ("<h1>T</h1>", "<em>a</em>", "<code>b&lt;c</code>", "$x&lt;y$", "<li>", "<td>1</td>", "d (http://e)"):
        assert part in shown
    assert re.sub("<.*?>", "", shown[shown.index("<pre>") :]).startswith("for x in y:\n\n    pass")
    assert "\\ href{javascript:a()}" in clean.markdown(r"$\href{javascript:a()}{x}$")


def test_a_drawing_in_an_answer_stays_and_a_false_one_goes():
    pictures = {
        "a.png": {"image/png": PIXEL},
        "b.png": {"image/png": '"><script>a()</script>'},
        "c": {"image/svg+xml": "x"},
    }
    shown = clean.markdown("![](attachment:a.png)", pictures)
    assert ("img", "src", f"data:image/png;base64,{PIXEL}") in Elements(shown).found
    for name in ("b.png", "c"):
        assert "src=" not in clean.markdown(f"![](attachment:{name})", pictures).replace("&lt;", "")
    assert clean.picture("PHN2Zz4=", "image/png") is None


# --- the browser -----------------------------------------------------------------------------------------------------


COLLECTED = {  # as the archives of Moodle and Canvas name the files of two students
    "attacks": ("moodle.zip", "attacks_1234567_assignsubmission_file/ics(1).ipynb"),
    "shows": ("canvas.zip", "shows_late_12345_67890_ics-1.ipynb"),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """Two submissions, collected and graded as the how-to says: one attacks everywhere, one in outputs."""
    folder = tmp_path_factory.mktemp("formgrader") / "course"
    assignments.build(folder, ["ics"])
    solution, release = (nbformat.read(folder / part / "ics" / "ics.ipynb", 4) for part in ("source", "release"))
    archives = folder / "downloaded" / "ics" / "archive"
    archives.mkdir(parents=True)
    for student, (archive, name) in COLLECTED.items():
        notebook = submissions.HOSTILE[student].edit(copy.deepcopy(release), solution, student)
        with zipfile.ZipFile(archives / archive, "w") as packed:
            packed.writestr(name, nbformat.writes(notebook))
    assignments.nbgrader(folder, "zip_collect", "ics")
    (folder / "submitted" / "attacks" / "ics" / "evil.html").write_text(EVIL)
    (folder / "submitted" / "nobody" / "ics").mkdir(parents=True)
    (folder / "submitted" / "nobody" / "ics" / "ics.docx").write_text("")
    said = office(folder, "grade", "ics", code=1)
    assert "attacks: 14 of 14 by tests, 2 answers to read\n" in said
    assert "nobody: not graded: no ics.ipynb, but ics.docx\n" in said
    assert re.search(r"^2 graded in \d+ s, 1 not graded$", said, re.MULTILINE)
    assert len(said.splitlines()) == 4
    assignments.nbgrader(folder, "generate_feedback", "ics")
    return folder


def office(course: Path, *words: str, code: int = 0) -> str:
    """What `python -m grading` prints in the course folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "grading", *words]
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def marks(course: Path) -> dict[str, tuple]:
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        submitted = [gradebook.find_submission("ics", student).notebooks[0] for student in ("attacks", "shows")]
        return {f"{n.id} {g.name}": (g.auto_score, g.manual_score) for n in submitted for g in n.grades}


@pytest.fixture(scope="module")
def formgrader(course):
    """Its address; the server of Jupyter that it runs in ends afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    environment = os.environ | {"HOME": str(course.parent), "JUPYTER_RUNTIME_DIR": str(course.parent / "runtime")}
    with (course.parent / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=course, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (course.parent / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/formgrader"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def visit(browser, address: str, text: str) -> None:
    """Open a page that has to show `text`; click what invites to; nothing may have run."""
    page, dialogs = browser.new_page(), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.route(re.compile(r"^https://"), lambda route: route.abort())
    page.goto(address, wait_until="load", timeout=120_000)
    assert text in page.inner_text("body")
    assert page.locator("#notebook iframe, #notebook form, #notebook script, #notebook svg").count() == 0
    assert page.locator("#notebook .rendered_html a").count() == 0
    page.wait_for_timeout(500)
    assert page.evaluate("window.pwned") is None
    assert not dialogs
    page.close()


@pytest.mark.slow
def test_the_page_would_notice_a_script_that_runs(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<div id=notebook>fine</div>{EVIL}")
    with pytest.raises(AssertionError, match="1 is None"):
        visit(browser, page.as_uri(), "fine")


@pytest.mark.slow
def test_nothing_of_a_hostile_submission_runs_in_formgrader_or_feedback(course, formgrader, browser):
    before = marks(course)
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        ids = {s: gradebook.find_submission("ics", s).notebooks[0].id for s in ("attacks", "shows")}
    for student, text in {"attacks": "Fine words.", "shows": "<script>window.pwned=1</script>"}.items():
        visit(browser, f"{formgrader}/submissions/{ids[student]}/", text)
        visit(browser, (course / "feedback" / student / "ics" / "ics.html").as_uri(), text)
    assert marks(course) == before
    assert sum(score for score, _ in before.values() if score is not None) == 2 * 14
    raw = course / "autograded" / "attacks" / "ics" / "ics.ipynb"
    notebook = nbformat.read(raw, 4)
    notebook.cells[0].source += EVIL
    nbformat.write(notebook, raw)
    with pytest.raises(AssertionError):
        visit(browser, f"{formgrader}/submissions/{ids['attacks']}/", "Fine words.")
    assert not list(course.glob("autograded/**/evil.html"))
    assert not list(course.glob("feedback/**/evil.html"))


# --- what goes back --------------------------------------------------------------------------------------------------


EXPORTS = {  # as the two platforms write their gradebooks
    "canvas.csv": (
        "Student,ID,SIS User ID,SIS Login ID,Section,ics (4711)\n"
        "    Points Possible,,,,,20\n"
        '"Shows, =1+1",77,s1,shows,A,\n"O\'Brien-Smith, Ann",78,s2,ann,A,\n"Student, Test",,,,A,\n'
    ),
    "moodle.csv": "First name,Last name,ID number,Email address\nAnna,Beispiel,,a@x.org\nattacks,,,b@x.org\n",
    "other.csv": "Vorname;Nachname\nAnna;Beispiel\n",
}


@pytest.mark.slow
def test_students_come_from_the_gradebook_of_the_platform(course):
    for name, text in EXPORTS.items():
        (course / f"export_{name}").write_text(text, encoding="utf-8-sig")
    assert "2 students\nhanded in, and not among them: attacks, nobody, shows\n" in office(
        course, "students", "export_canvas.csv"
    )
    office(course, "students", "export_moodle.csv")
    office(course, "students", "export_other.csv", code=2)
    office(course, "students", "missing.csv", code=2)
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        told = {s.id: (s.first_name, s.last_name, s.email, s.lms_user_id) for s in gradebook.students}
    assert told["obriensmithann"] == ("Ann", "O'Brien-Smith", None, "78")
    assert told["Anna Beispiel"] == ("Anna", "Beispiel", "a@x.org", None)
    assert told["attacks"] == ("attacks", "", "b@x.org", None)
    assert "student" not in told


@pytest.mark.slow
def test_marks_wait_for_the_reader_and_then_come_out_for_both_platforms(course):
    (course / "students.csv").write_text("id,first_name,last_name,email,lms_user_id\nshows,=1+1,Smith,s@x.org,77\n")
    assignments.nbgrader(course, "db", "student", "import", "students.csv")
    assert "without lms_user_id, and so left out: " in office(course, "marks")
    lines = (course / "marks.csv").read_text().splitlines()
    assert {"student,ics", "attacks,", "shows,"} <= set(lines)
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        for grade in gradebook.find_submission("ics", "shows").notebooks[0].grades:
            if grade.needs_manual_grade:
                grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    office(course, "marks")
    assert "shows,19.0" in (course / "marks.csv").read_text().splitlines()
    moodle = (course / "moodle.csv").read_text().splitlines()
    assert "'=1+1,Smith,s@x.org,19.0" in moodle
    assert all(line.split(",")[2] for line in moodle)
    canvas = (course / "canvas.csv").read_text().splitlines()
    assert canvas[0].startswith("Student,ID,SIS User ID,SIS Login ID,Section,")
    assert canvas[1] == "    Points Possible,,,,,20.0"
    assert '"Smith, =1+1",77,,,,19.0' in canvas
    assert all(line.rsplit(",", 5)[1] for line in canvas[2:])


@pytest.mark.slow
def test_feedback_is_packed_under_the_names_of_the_platform(course):
    """Moodle finds a student by the folder, Canvas by the two numbers in the name of the file."""
    office(course, "feedback", "ics")
    with zipfile.ZipFile(course / "feedback" / "ics.zip") as packed:
        assert sorted(packed.namelist()) == [
            "attacks_1234567_assignsubmission_file/ics.html",
            "shows_late_12345_67890_ics-1.html",
        ]


@pytest.mark.slow
def test_released_solutions_run_and_hold_no_hidden_test(course):
    office(course, "solutions", "ics")
    notebook = nbformat.read(course / "solutions" / "ics.ipynb", 4)
    source = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search("HIDDEN|### (BEGIN|END)|_expected", source)
    assert "**Model answer.**" in source
    world = {"__name__": "solutions"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, world)
    assert world["times_too_small"] > 0
