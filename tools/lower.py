"""MyST of a notebook's Markdown cells -> the plain Markdown that Colab and Jupyter can show.

The list of constructs is closed: whatever is not lowered here is refused, so that nothing raw reaches a reader.
MyST's own parser finds the blocks and checks the result; this module only decides what each construct becomes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from docutils.nodes import make_id
from markdown_it.token import Token

from crossref import PARSER, Book, cite

TITLED_BY_NAME = {"note", "tip", "hint", "important", "warning"}
MYST_BLOCKS = {"fence", "colon_fence", "math_block", "math_block_label", "myst_target", "html_block"}
PLAIN_CONTAINERS = {
    "paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote",
    "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "link",
}  # fmt: skip
PLAIN = {f"{name}_{end}" for name in PLAIN_CONTAINERS for end in ("open", "close")} | {
    "inline", "text", "softbreak", "hardbreak", "code_inline", "code_block", "fence", "hr", "image",
    "math_inline", "math_block", "html_block",
}  # fmt: skip
ADVICE = {
    "math_inline_double": "a $$ formula needs a blank line before and after it",
    "amsmath": "write ```{math} instead of a bare LaTeX environment",
    "myst_line_comment": "a line that starts with % is a comment in MyST",
    "link_open": "write {doc}`text <../book/page>` for a page of the book",
    "html_inline": "write Markdown instead of HTML",
    "html_block": "write Markdown instead of HTML",
    "footnote_ref": "write it into the text",
}

ROLE = r"\{(?P<role>[\w:+.-]+)\}(?P<tick>`+)(?P<text>.+?)(?<!`)(?P=tick)(?!`)"
CODE = r"(?<!`)(?P<code>`+)(?!`).+?(?<!`)(?P=code)(?!`)"
INLINE = re.compile(f"{ROLE}|{CODE}|<!--.*?-->", re.DOTALL)
TITLED = re.compile(r"(?P<title>.+?)\s*<(?P<target>[^<>]+)>")
OPTION = re.compile(r":(?P<name>[\w-]+):\s*(?P<value>.*)")


class RefusedMystError(ValueError):
    """A construct that cannot be shown in the paired notebook; the message names it."""


@dataclass
class Numbers:
    """The labels of one notebook with their numbers: each kind counts from 1 in document order."""

    equations: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)


def lower_cells(cells: list[Any], page: str, book: Book) -> list[str]:
    """The plain Markdown of each cell: of a Markdown cell its text, of a code cell its caption or "".

    `cells` are nbformat cells, `page` is the notebook's name in the book, such as notebooks/ics.
    Raises RefusedMystError, which names the cell by its position (from 1) and the construct.
    """
    first = Lowering(page, book)
    first.lower(cells)  # a reference may look ahead: the first pass only counts
    return Lowering(page, book, known=first.numbers).lower(cells)


class Lowering:
    """One pass over a notebook; `known` holds the numbers of the pass before."""

    def __init__(self, page: str, book: Book, known: Numbers | None = None):
        self.page, self.book, self.known = page, book, known
        self.numbers = Numbers()
        self.quoted = False

    def lower(self, cells: list[Any]) -> list[str]:
        """Lower every cell in document order."""
        texts = []
        for position, cell in enumerate(cells, 1):
            try:
                texts.append(self._caption(cell) if cell.cell_type == "code" else self._markdown(cell.source))
            except RefusedMystError as error:
                raise RefusedMystError(f"cell {position} ({cell.source.strip()[:40]!r}): {error}") from None
        return texts

    def _markdown(self, text: str) -> str:
        lowered = self._text(text).strip("\n")
        _refuse_leftovers(PARSER.parse(lowered))
        return lowered

    def _caption(self, cell: Any) -> str:
        mystnb = cell.metadata.get("mystnb", {})
        if "figure" not in mystnb:
            return ""
        name, caption = mystnb["figure"].get("name"), mystnb["figure"].get("caption")
        if not name or not caption or not mystnb.get("image", {}).get("alt"):
            raise RefusedMystError('a figure needs {"figure": {"name", "caption"}, "image": {"alt"}}')
        return self._markdown(f"**Fig. {_count(self.numbers.figures, name)}.** {caption}")

    def _text(self, text: str) -> str:
        lines, done, start = text.split("\n"), [], 0
        for token in _blocks(text):
            first, last = token.map
            if first > start:
                done.append(self._inline("\n".join(lines[start:first])))
            done += lines[first:last] if _is_listing(token) else self._block(token, lines[first])
            start = last
        if start < len(lines):
            done.append(self._inline("\n".join(lines[start:])))
        return "\n".join(done)

    def _block(self, token: Token, line: str) -> list[str]:
        """The lines that replace a block which begins with `line`, indented like it."""
        indent = line[: len(line) - len(line.lstrip())]
        if line.lstrip()[0] not in "`~:$(<":
            raise RefusedMystError(f"{line.strip()!r}: a directive or formula starts its own line, not after - or >")
        if token.type in ("myst_target", "html_block"):
            return []
        if token.type in ("math_block", "math_block_label"):
            text = self._formula(token.content, token.info if token.type == "math_block_label" else "")
        else:
            name, _, argument = token.info.strip().removeprefix("{").partition("}")
            text = self._directive(name, argument.strip(), token.content)
        return [indent + line for line in text.split("\n")]

    def _directive(self, name: str, argument: str, content: str) -> str:
        options, body = _split_options(content)
        if name == "math":
            _only(name, options, "label")
            return self._formula(f"{argument}\n{body}", options.get("label", ""))
        if name != "admonition" and name not in TITLED_BY_NAME:
            raise RefusedMystError(f"directive {{{name}}} is not supported in a notebook")
        _only(name, options, "class")
        if name != "admonition":
            argument, body = name.capitalize(), f"{argument}\n{body}"
        return self._admonition(self._inline(argument), body.strip("\n"), options.get("class", "").split())

    def _admonition(self, title: str, body: str, styles: list[str]) -> str:
        outer, self.quoted = self.quoted, True
        text = self._text(body)
        self.quoted = outer
        if "dropdown" in styles:
            return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>\n"
        return "\n".join(f"> {line}".rstrip() for line in f"**{title}**\n\n{text}".split("\n"))

    def _formula(self, tex: str, label: str) -> str:
        tex = tex.strip()
        if "\n\n" in tex or re.search(r"(?<!\\)%", tex):
            raise RefusedMystError(f"formula {tex[:30]!r}: no blank line and no % comment inside")
        if r"\\" in tex:  # as Sphinx does
            tex = f"\\begin{{split}}\n{tex}\n\\end{{split}}"
        if label:
            tex += f" \\tag{{{_count(self.numbers.equations, label)}}}"
        # the > of a quoted line would become part of a formula that spans lines
        return f"$$ {' '.join(tex.split())} $$" if self.quoted else f"$$\n{tex}\n$$"

    def _inline(self, text: str) -> str:
        return INLINE.sub(self._replace, text)

    def _replace(self, match: re.Match) -> str:
        if match["code"]:
            return match.group()
        if not match["role"]:
            return ""  # a comment
        text = " ".join(match["text"].split())
        match match["role"]:
            case "eq":
                return f"({self._number('equations', text)})"
            case "numref":
                return f"Fig. {self._number('figures', text)}"
            case "cite:t":
                return ", ".join(self._cite(text, "{} ({})"))
            case "cite:p":
                return f"({'; '.join(self._cite(text, '{}, {}'))})"
            case "doc":
                return self._doc(text)
            case "ref":
                return self._ref(text)
        raise RefusedMystError(f"role {match.group()!r} is not supported in a notebook")

    def _number(self, kind: str, label: str) -> int:
        if self.known is None:
            return 0
        known = getattr(self.known, kind)
        if label not in known:
            raise RefusedMystError(f"{label!r} is not one of this notebook's {kind}: {', '.join(known) or 'none'}")
        return known[label]

    def _cite(self, text: str, form: str) -> Iterator[str]:
        for key in text.replace(" ", "").split(","):
            if key not in self.book.references.entries:
                raise RefusedMystError(f"{key!r} is not in the list of references")
            yield cite(self.book.references.entries[key], form)

    def _doc(self, text: str) -> str:
        title, target = _title_and_target(text)
        page = posixpath.normpath(posixpath.join("/", posixpath.dirname(self.page), target)).lstrip("/")
        if page not in self.book.titles:
            raise RefusedMystError(f"{target!r} is not a page of the book")
        return f"[{title or self.book.titles[page]}]({self.book.site}{page}.html)"

    def _ref(self, text: str) -> str:
        title, label = _title_and_target(text)
        if label not in self.book.labels:
            raise RefusedMystError(f"({label})= stands before no heading of the book")
        page, heading = self.book.labels[label]
        return f"[{title or heading}]({self.book.site}{page}.html#{make_id(label)})"


def _blocks(text: str) -> Iterator[Token]:
    """The outermost blocks that may need lowering, in document order."""
    for token in PARSER.parse(text):
        comment = token.content.lstrip().startswith("<!--")
        if token.type in MYST_BLOCKS and (token.type != "html_block" or comment):
            yield token


def _is_listing(token: Token) -> bool:
    return token.type == "fence" and not token.info.lstrip().startswith("{")


def _refuse_leftovers(tokens: list[Token]) -> None:
    for token in tokens:
        _refuse_leftovers(token.children or [])
        if not _is_plain(token):
            what = token.content.strip() or token.attrs.get("href") or token.markup
            raise RefusedMystError(f"{token.type} {what!r}: {ADVICE.get(token.type, 'not plain Markdown')}")


def _is_plain(token: Token) -> bool:
    match token.type:
        case "fence":
            return _is_listing(token)
        case "html_block":
            return bool(re.match(r"</?details>", token.content))
        case "text":
            return "$$" not in token.content
        case "link_open":
            return bool(re.match(r"https?://|mailto:", token.attrs["href"]))
        case "image":
            return bool(token.content) and token.attrs["src"].startswith("https://")
    return token.type in PLAIN


def _split_options(content: str) -> tuple[dict[str, str], str]:
    options, lines = {}, content.split("\n")
    while option := OPTION.fullmatch(lines[0].strip()):
        options[option["name"]] = option["value"].strip()
        lines.pop(0)
    return options, "\n".join(lines)


def _only(name: str, options: dict[str, str], allowed: str) -> None:
    if unknown := sorted(set(options) - {allowed}):
        raise RefusedMystError(f"option :{unknown[0]}: of {{{name}}} is not supported in a notebook")


def _count(numbers: dict[str, int], label: str) -> int:
    if label in numbers:
        raise RefusedMystError(f"label {label!r} is used twice")
    return numbers.setdefault(label, len(numbers) + 1)


def _title_and_target(text: str) -> tuple[str, str]:
    match = TITLED.fullmatch(text)
    return (match["title"], match["target"]) if match else ("", text)
