"""Slides hold the notebooks' own words, equations and functions."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import slides
from crossref import ROOT

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
        ("def f():\n    pass", "subslide"),
        (image, "subslide"),
        (image, "subslide"),
    ]


def test_a_file_of_slides_for_each_week(tmp_path):
    slides.build(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [f"week{n}_{name}.slides.html" for n, name in enumerate(slides.WEEKS, 1)]
    for path in files:
        assert path.read_text(encoding="utf-8").count("<section") > 20
