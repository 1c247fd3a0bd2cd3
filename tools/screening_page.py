"""The page "How to find the odd images in a folder": its commands are run, and what they print and show is put in.

python tools/screening_page.py    # writes the page's outputs and its picture anew
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from browser import find
from crossref import ROOT
from novelty_utils import cli

PAGE, PICTURE = ROOT / "book" / "howto-screen.md", ROOT / "book" / "_static" / "screening.png"
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)
TIMES = re.compile(r"in [\d.]+ s\b(, \d+ a second)?")


def walked(text: str, folder: Path) -> str:
    """The page with what its commands print when they are run in an empty folder, one after the other."""
    with contextlib.chdir(folder):
        return BLOCK.sub(_run, text)


def _run(block: re.Match) -> str:
    kind, source = block.groups()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        if kind == "python":
            exec(source, {})
            return block.group()
        line = source.partition("\n")[0]
        assert cli.main(shlex.split(line.removeprefix("$ novelty "))) == 0
    return f"```console\n{line}\n{said.getvalue()}```"


def untimed(text: str) -> str:
    """Without the times, which differ from machine to machine."""
    return TIMES.sub("in some time", text)


def photograph(report: Path, picture: Path) -> None:
    """What a browser shows of the report."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 620, "height": 735}, device_scale_factor=2, color_scheme="light")
        page.goto(report.absolute().as_uri())
        page.locator("figure.scores").evaluate("one => one.previousElementSibling.scrollIntoView()")
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(walked(PAGE.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")
        photograph(Path(folder, "found", "report.html"), PICTURE)
