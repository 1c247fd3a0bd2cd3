"""What a notebook may point at: the pages and labels of the book, its references, and the public addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jupytext
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = {"amsmath", "colon_fence", "deflist", "dollarmath", "linkify", "substitution", "tasklist"}
PARSER = create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS, dmath_double_inline=True), RendererHTML)


@dataclass(frozen=True)
class Book:
    """The book as a notebook sees it."""

    site: str  # published address, ends with /
    repository: str  # such as https://github.com/owner/name
    branch: str
    references: BibliographyData
    titles: dict[str, str]  # page, such as book/protocols -> its title
    labels: dict[str, tuple[str, str]]  # (label)= -> its page, the heading that follows

    def colab(self, page: str) -> str:
        """The address that opens the paired notebook of `page` in Colab."""
        repository = self.repository.removeprefix("https://github.com/")
        return f"https://colab.research.google.com/github/{repository}/blob/{self.branch}/{page}.ipynb"


def read_book(root: Path = ROOT) -> Book:
    """Collect addresses from _config.yml, titles and labels from book/*.md and notebooks/*.py under `root`."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    titles, labels = {}, {}
    for path in sorted([*root.glob("book/*.md"), *root.glob("notebooks/*.py")]):
        page = path.relative_to(root).with_suffix("").as_posix()
        titles[page], headings = _headings(_markdown(path))
        labels |= {label: (page, heading) for label, heading in headings.items()}
    return Book(
        site=config["html"]["baseurl"].rstrip("/") + "/",
        repository=config["repository"]["url"],
        branch=config["repository"]["branch"],
        references=parse_file(str(root / "book" / "references.bib")),
        titles=titles,
        labels=labels,
    )


def _markdown(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = jupytext.reads(text, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def _headings(text: str) -> tuple[str, dict[str, str]]:
    """The first heading, and each (label)= with the heading that follows it."""
    title, labels, waiting = "", {}, []
    tokens = PARSER.parse(text)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "myst_target":
            waiting.append(token.content)
            continue
        if token.type == "heading_open":
            title = title or following.content
            labels |= dict.fromkeys(waiting, following.content)
        waiting = []
    return title, labels


def cite(entry: Entry, form: str) -> str:
    """`form` filled with authors and year, linked where the entry has a doi, a url or an arXiv number."""
    text, fields = form.format(_authors(entry), entry.fields.get("year", "n.d.")), entry.fields
    address = fields.get("url", "")
    if "eprint" in fields:
        address = address or f"https://arxiv.org/abs/{fields['eprint']}"
    if "doi" in fields:
        address = f"https://doi.org/{fields['doi']}"
    return f"[{text}]({address})" if address else text


def _authors(entry: Entry) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [str(Text.from_latex(" ".join(person.prelast_names + person.last_names))) for person in people]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
