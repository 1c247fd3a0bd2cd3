"""What students wrote, made harmless before a browser shows it: no script, no link, no form, no foreign picture.

Formulas stay, and so does the look of ordinary Markdown. A text is rendered first and cleaned afterwards, because cleaning the
source and rendering what is left can bring back what was cleaned away.
"""

from __future__ import annotations

import base64
import binascii
import re
from html import escape

import bleach
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TAGS = set(
    "p br hr div span pre code blockquote em strong del sub sup ul ol li dl dt dd h1 h2 h3 h4 h5 h6 "  # noqa: SIM905
    "table thead tbody tfoot tr th td caption b i u img".split()
)
COMMANDS = re.compile(
    r"\\(?=(href|url|require|class|cssId|style|data|unicode)\b)"
)  # of formulas: they reach the page
PICTURE = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=\s]+)")
SIGNS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


def html(text: str) -> str:
    """HTML with the harmless elements and no attribute but the data of a picture."""
    cleaned = bleach.clean(
        text, tags=TAGS, attributes=_attribute, protocols={"data"}, strip=False
    )
    return COMMANDS.sub(r"\\ ", cleaned)


def _attribute(tag: str, name: str, value: str) -> bool:
    if tag == "img" and name == "alt":
        return True
    match = PICTURE.fullmatch(value) if tag == "img" and name == "src" else None
    return bool(match) and picture(match[2], match[1]) is not None


def picture(data: str, kind: str) -> str | None:
    """The base64 of a picture, encoded anew, or None where it is none of that kind."""
    try:
        raw = base64.b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(raw).decode() if raw.startswith(SIGNS[kind]) else None


class _Renderer(IPythonRenderer):
    """nbconvert's renderer, with addresses to read and not to click on."""

    def link(self, text, url, title=None):
        return f"{text} ({escape(url)})"


def markdown(source: str, attachments: object = None) -> str:
    """A Markdown cell as one block of cleaned HTML, which Markdown passes on as it is."""
    pictures = {}
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        kinds = kinds.items() if isinstance(kinds, dict) else ()
        pictures[name] = {
            kind: good
            for kind, data in kinds
            if kind in SIGNS and (good := picture(data, kind))
        }
    renderer = _Renderer(escape=False, exclude_anchor_links=True, attachments=pictures)
    try:
        rendered = html(MarkdownWithMath(renderer=renderer).render(source))
    except (
        Exception
    ):  # whatever a strange text does to a parser, a reader can still read it
        rendered = f"<pre>{escape(source)}</pre>"
    # An empty line would end the block, and what follows it would be Markdown again.
    lines = re.sub(
        r"\n[ \t\r\f\v]*(?=\n)", "\n<!-- -->", rendered.replace("\r", "")
    ).strip()
    return f"<div>\n{lines}\n</div>"
