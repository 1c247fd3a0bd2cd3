"""A teacher's browser on hostile answers: formgrader and feedback show them, nothing in them runs, no mark changes."""

import copy
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import submissions
from nbconvert.filters import markdown2html
from nbgrader.api import Gradebook
from playwright.sync_api import sync_playwright

import assignments
from browser import find
from crossref import ROOT

sys.path.insert(0, str(ROOT / "assignments"))
from grading import clean

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


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course with two graded submissions: one attacks in all places at once, one in outputs."""
    folder = tmp_path_factory.mktemp("formgrader") / "course"
    assignments.build(folder, ["ics"])
    solution, release = (nbformat.read(folder / part / "ics" / "ics.ipynb", 4) for part in ("source", "release"))
    for student in ("attacks", "shows"):
        place = folder / "submitted" / student / "ics"
        place.mkdir(parents=True)
        submission = submissions.HOSTILE[student].edit(copy.deepcopy(release), solution, student)
        nbformat.write(submission, place / "ics.ipynb")
        (place / "evil.html").write_text(EVIL)
    assignments.nbgrader(folder, "autograde", "ics")
    assignments.nbgrader(folder, "generate_feedback", "ics")
    return folder


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
