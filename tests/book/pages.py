"""Open the pages of the built book in a Chromium that reaches nothing but this machine."""

import contextlib
import functools
import http.server
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, Page

from crossref import ROOT

HTML = ROOT / "_build" / "html"
DESK = {"width": 1300, "height": 1000}
SHOTS = ROOT / "_build" / "shots"
PAGES = sorted(
    path.relative_to(HTML).as_posix() for part in ("book", "notebooks") for path in HTML.glob(f"{part}/*.html")
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not write a line for every file."""

    def log_message(self, *_):
        pass


@dataclass
class Visit:
    """An open page, and what it complained about or asked of the world outside."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def dark(self) -> Iterator[Page]:
        """The page as a system in dark mode shows it."""
        self.page.emulate_media(color_scheme="dark")
        self.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        try:
            yield self.page
        finally:
            self.page.emulate_media(color_scheme="light")
            self.page.wait_for_function("document.documentElement.dataset.theme === 'light'")

    @contextlib.contextmanager
    def phone(self) -> Iterator[Page]:
        """The page in a narrow window."""
        self.page.set_viewport_size({"width": 390, "height": 844})
        try:
            yield self.page
        finally:
            self.page.set_viewport_size(DESK)


@dataclass
class Reader:
    """Opens pages of the book."""

    browser: Browser
    address: str

    def open(self, name: str) -> Visit:
        """Open one page, wait until its formulas are set, and write down what went wrong."""
        context = self.browser.new_context(viewport=DESK, color_scheme="light")
        context.set_default_timeout(120_000)  # a busy machine is slow, not broken
        visit = Visit(context.new_page())
        context.route("**/*", functools.partial(self._let_through, visit))
        visit.page.on("console", lambda line: visit.errors.append(line.text) if line.type == "error" else None)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.goto(self.address + name, wait_until="load")
        if visit.page.locator("article .math").count():
            visit.page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
            visit.page.evaluate("window.MathJax.startup.promise.then(() => true)")
        return visit

    def _let_through(self, visit: Visit, route) -> None:
        if urlparse(route.request.url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            visit.outside.append(route.request.url)
            route.abort()


class Visits(dict[str, Visit]):
    """Pages of one reader, each opened at its first use, in a wide window in light mode."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def __missing__(self, name: str) -> Visit:
        return self.setdefault(name, self.reader.open(name))


def shot(visit: Visit, name: str) -> Path:
    """Keep a picture of the whole page under _build/shots."""
    path = SHOTS / f"{name.replace('/', '_').removesuffix('.html')}.png"
    pictures = visit.page.locator("article img")
    pictures.evaluate_all(
        "pictures => Promise.all(pictures.map(p => (p.loading = 'eager', p.decode().catch(() => 0))))"
    )
    visit.page.screenshot(path=path, full_page=True, animations="disabled")  # no drawer half-way
    return path
