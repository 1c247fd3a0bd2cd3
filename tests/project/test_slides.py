"""Slides hold the notebooks' own words, equations and functions."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright

import slides
from browser import find
from crossref import ROOT

pytestmark = pytest.mark.slow

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("name", slides.WEEKS)
def test_the_slides_of_a_week_are_the_cells_of_its_notebook(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    made = list(slides.slides(notebook))
    assert made[0].source.splitlines()[0] == notebook.cells[0].source.splitlines()[0]
    functions = [cell.source for cell in made if cell.cell_type == "code"]
    assert functions
    assert set(functions) <= {cell.source for cell in notebook.cells if cell.cell_type == "code"}
    text = "\n".join(cell.source for cell in made if cell.cell_type == "markdown")
    assert text.count("\n## ") >= 5
    assert "$$" in text
    assert not re.search(r"\{\w+\}`|^```\{|^:::", text, re.MULTILINE)
    assert "## Exercises" not in text


def test_a_section_gives_its_first_words_its_equation_its_function_and_its_figure():
    picture = new_output("display_data", data={"image/png": PIXEL})
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# T\n\n[badge](x)\n\nOne thought. Another."),
            new_markdown_cell(
                "(x)=\n## S\n\nSee {eq}`a` and {doc}`the page <b>`.\n\n```{math}\n:label: a\n1 + 1\n```\n\nMore."
            ),
            new_markdown_cell("## Opened\n\nSo it is:\n\n$$\n3\n$$\n\nand\n\n$$\n4\n$$"),
            new_code_cell("def f():\n    pass", metadata={"tags": ["define"]}),
            new_code_cell("plot()", outputs=[picture] * 5),
            new_markdown_cell("## Exercises\n\n$$2$$"),
            new_code_cell("plot()", outputs=[picture]),
        ]
    )
    image = f"![](data:image/png;base64,{PIXEL})"
    assert [(cell.source, cell.metadata.slideshow.slide_type) for cell in slides.slides(notebook)] == [
        ("# T\n\nOne thought. Another.", "slide"),
        ("## S\n\nSee and the page.", "slide"),
        ("$$\n1 + 1\n$$", "subslide"),
        ("## Opened\n\nSo it is:\n\n$$\n3\n$$", "slide"),
        ("$$\n4\n$$", "subslide"),
        ("def f():\n    pass", "subslide"),
        (image, "subslide"),
        (image, "subslide"),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("slides")
    slides.build(folder)
    return sorted(folder.iterdir())


def test_a_file_of_slides_for_each_week(files):
    assert [path.name for path in files] == [f"week{n}_{name}.slides.html" for n, name in enumerate(slides.WEEKS, 1)]
    for path in files:
        assert path.read_text(encoding="utf-8").count("<section") > 20


LEAVES = """() => Reveal.getSlides().filter(slide => {
    const {h, v} = Reveal.getIndices(slide);
    Reveal.slide(h, v);
    const parts = [...slide.querySelectorAll("p, pre, img, svg, h1, h2")].map(part => part.getBoundingClientRect());
    return parts.some(part => part.right > innerWidth || part.bottom > innerHeight || part.top < 0);
}).map(slide => slide.textContent.trim().slice(0, 60))"""


def test_slides_are_whole_without_a_network(files):
    """Every formula is set, nothing leaves the screen, and nobody outside the file is asked for anything."""
    program = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for path in files:
            page, asked = browser.new_page(viewport={"width": 1280, "height": 800}), []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("pageerror", lambda error: pytest.fail(str(error)))
            page.route(re.compile(r"^https?:"), lambda route: route.abort())
            page.goto(path.as_uri(), timeout=120_000)
            page.wait_for_function("window.Reveal?.isReady()", timeout=120_000)
            page.evaluate("Reveal.configure({transition: 'none'})")
            assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
            assert page.locator("mjx-container").count() > 10
            assert page.locator("[data-mml-node=merror]").count() == 0
            assert "$" not in page.evaluate("document.querySelector('.slides').textContent")
            assert page.evaluate(LEAVES) == []
            page.close()
        browser.close()
