"""The built book, served on this machine."""

import functools
import http.server
import threading
from collections.abc import Iterator

import pytest
from pages import HTML, PAGES, SHOTS, Quiet, Reader, Visits
from playwright.sync_api import sync_playwright

from browser import find


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The pages must be there: these tests build nothing."""
    assert PAGES, "there is no book in _build/html: run `make book` first"
    SHOTS.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    """A browser and the address of the book, for the whole session."""
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield Reader(browser, f"http://127.0.0.1:{server.server_port}/")
        browser.close()
        server.shutdown()


@pytest.fixture(scope="session")
def visits(reader) -> Visits:
    return Visits(reader)
