"""notebooks/*.ipynb -> a set of slides for each week of the course, made of the notebook's own cells.

    python tools/slides.py          # after `make book`, so that the figures are there

A section becomes a slide: its heading and first paragraph. Below it come its displayed equations, the functions that it
defines, and its figures. Nothing is written for the slides alone, so they cannot disagree with the page. Each file
holds reveal.js and MathJax as well: a lecture needs no network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from crossref import ROOT

WEEKS = ("ics", "nln", "crbnd", "ade_gan")
TEMPLATE = Path(__file__).with_name("slides.html.j2")
INSIDE = {  # what a file of slides holds: a name in the template -> a file of an installed package
    "reveal_css": ("sphinx_revealjs", "_static/revealjs/dist/reveal.css"),
    "reveal_theme": ("sphinx_revealjs", "_static/revealjs/dist/theme/white.css"),
    "reveal_js": ("sphinx_revealjs", "_static/revealjs/dist/reveal.js"),
    "mathjax": ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js"),
}
EXECUTED = ROOT / "_build" / "src" / "notebooks"
SKIPPED = ("Setup", "Parameters", "Beside", "Under other", "Sweeps", "What the paper leaves", "What holds")
SKIPPED += ("Three takeaways", "Check yourself", "Exercises", "References")
SKIP = re.compile(rf"^## ({'|'.join(SKIPPED)})")
EQUATION = re.compile(r"^\$\$.*?^\$\$|^\$\$.+\$\$$", re.DOTALL | re.MULTILINE)
LINES, WORDS, FIGURES = 24, 60, 2  # of a function, of a paragraph; per section


def plain(text: str) -> str:
    """MyST as Markdown that a slide can show: equations as $$, other directives gone, roles as their text."""
    text = re.sub(r"```\{math\}\n(?::\w+:[^\n]*\n)*(.*?)```", r"$$\n\1$$", text, flags=re.DOTALL)
    text = re.sub(r"^(`{3,}|:{3,})\{.*?^\1\s*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\(.*\)=$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\$\$ *\([\w-]+\)$", "$$", text, flags=re.MULTILINE)
    text = re.sub(r"\{(?:cite\w*|eq)(?::\w)?\}`[^`]*`", "", text)
    return re.sub(r"\{\w+\}`([^`<]*?) *(?:<[^`]*>)?`", r"\1", text).strip()


def first_paragraph(text: str) -> str:
    """The first paragraph of prose, up to the sentence in which it grows too long for a slide."""
    parts = [part.strip() for part in text.split("\n\n")]
    prose = next((p for p in parts if p and not re.match(r"[#>|$`:*\[<!-]|\d+\.", p)), "")
    shown: list[str] = []
    for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z$])", " ".join(prose.split())):
        if shown and len(" ".join([*shown, sentence]).split()) > WORDS:
            break
        shown.append(sentence)
    return " ".join(shown)


def slides(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """The cells of a set of slides, with what kind of slide each begins."""
    title = notebook.cells[0].source.splitlines()[0]
    yield slide(new_markdown_cell(f"{title}\n\n{first_paragraph(plain(notebook.cells[0].source))}"), "slide")
    taking, figures = False, 0
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            text = plain(cell.source)
            if re.match(r"## ", text):
                taking, figures = not SKIP.match(text), 0
                if taking:
                    head, _, rest = text.partition("\n")
                    opening = first_paragraph(rest)
                    if opening.endswith((":", ",")) and (equation := EQUATION.search(text)):
                        opening += f"\n\n{equation[0]}"
                        text = text[equation.end() :]
                    yield slide(new_markdown_cell(f"{head}\n\n{opening}"), "slide")
            for equation in EQUATION.findall(text) if taking else ():
                yield slide(new_markdown_cell(equation), "subslide")
        elif taking:
            defines = re.search(r"^(def|class) ", cell.source, re.MULTILINE)
            if defines and "define" in cell.metadata.get("tags", []) and cell.source.count("\n") < LINES:
                yield slide(new_code_cell(cell.source), "subslide")
            pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
            for output in pictures[: FIGURES - figures]:
                figures += 1
                source = f"![](data:image/png;base64,{''.join(output.data['image/png'].split())})"
                yield slide(new_markdown_cell(source), "subslide")


def slide(cell: NotebookNode, kind: str) -> NotebookNode:
    cell.metadata.slideshow = {"slide_type": kind}
    return cell


def inside() -> dict[str, str]:
    """The programs and styles that the template puts into each file."""
    text = {
        name: (Path(find_spec(package).origin).parent / path).read_text(encoding="utf-8")
        for name, (package, path) in INSIDE.items()
    }
    text["reveal_theme"] = re.sub(r"@import[^;]*;", "", text["reveal_theme"])  # a font, which the system replaces
    return text


def build(folder: Path) -> None:
    """Write weekN_NAME.slides.html for each week."""
    folder.mkdir(parents=True, exist_ok=True)
    exporter = SlidesExporter(
        template_file=str(TEMPLATE), exclude_input_prompt=True, exclude_output_prompt=True, reveal_theme="white"
    )
    for week, name in enumerate(WEEKS, 1):
        executed = EXECUTED / f"{name}.ipynb"
        source = executed if executed.exists() else ROOT / "notebooks" / f"{name}.ipynb"
        if source != executed:
            print(f"slides of week {week}: without figures, as the book is not built (make book)", file=sys.stderr)
        cells = list(slides(nbformat.read(source, 4)))
        made = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}, "title": name})
        html, _ = exporter.from_notebook_node(made, resources=inside())
        (folder / f"week{week}_{name}.slides.html").write_text(html, encoding="utf-8")


if __name__ == "__main__":
    build(ROOT / "_build" / "course" / "slides")
