"""notebooks/*.py (the source, in MyST) -> notebooks/*.ipynb for Colab and Jupyter, in plain Markdown, without outputs.

    python tools/pair.py           write what has changed
    python tools/pair.py --check   write nothing, exit 1 if a notebook is out of step

The same source always gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from crossref import ROOT, Book, read_book
from lower import RefusedMystError, lower_cells
from novelty_utils.files import write_atomically

# No jupytext entry: saving the paired notebook in JupyterLab must never overwrite the source.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def render(source: str, page: str, book: Book) -> str:
    """The text of the paired .ipynb of one notebook. Raises RefusedMystError."""
    notebook = jupytext.reads(source, fmt="py:percent")
    opens_in_colab = any("colab" in cell.metadata.get("tags", []) for cell in notebook.cells)  # it installs the package
    cells = []
    for cell, text in zip(notebook.cells, lower_cells(notebook.cells, page, book), strict=True):
        if cell.cell_type == "markdown":
            cell.source = text
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        cells.append(cell)
        if cell.cell_type == "code" and text:
            cells.append(new_markdown_cell(text))
    _check_title(cells[0])
    if opens_in_colab:
        _add_badge(cells[0], book.colab(page))
    _strip(cells)
    notebook = NotebookNode(cells=cells, metadata=METADATA, nbformat=4, nbformat_minor=5)
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def _check_title(cell: NotebookNode) -> None:
    if cell.cell_type != "markdown" or not cell.source.startswith("# "):
        raise RefusedMystError("cell 1 is not a Markdown cell that starts with the title (# ...)")


def _add_badge(cell: NotebookNode, address: str) -> None:
    title, _, rest = cell.source.partition("\n")
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
    cell.source = f"{title}\n\n{badge}\n{rest}".rstrip("\n")


def _strip(cells: list[NotebookNode]) -> None:
    """Empty outputs, and cell ids that depend on the content only."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"c{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else "")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def pair(root: Path, check: bool) -> list[str]:
    """Write (or with `check` only compare) every paired notebook; return one line for each that was out of step."""
    book, lines = read_book(root), []
    for source in sorted(root.glob("notebooks/*.py")):
        page, target = f"notebooks/{source.stem}", source.with_suffix(".ipynb")
        try:
            text = render(source.read_text(encoding="utf-8"), page, book)
        except RefusedMystError as error:
            raise RefusedMystError(f"{page}.py: {error}") from None
        if target.exists() and target.read_bytes() == text.encode():
            continue
        lines.append(f"{page}.ipynb is out of step with {page}.py: run `make pair`" if check else f"wrote {page}.ipynb")
        if not check:
            write_atomically(target, lambda file, text=text: file.write(text.encode()))
    alone = [path for path in sorted(root.glob("notebooks/*.ipynb")) if not path.with_suffix(".py").exists()]
    if alone:
        raise RefusedMystError(f"notebooks/{alone[0].name} has no source {alone[0].stem}.py: write one or remove it")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a notebook is out of step")
    check = parser.parse_args().check
    try:
        lines = pair(ROOT, check)
    except RefusedMystError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines) or "every paired notebook is in step with its source")
    return int(check and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
