"""Corrections to what jupyter-book 1.x makes of our pages."""

import re
from pathlib import Path

from PIL import Image

# 1.5 MB that draw the icons once more: the style sheet draws them, too.
ICONS = re.compile(r"\s*<(?:script|link)[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?")

PICTURE = re.compile(r'<img(?P<rest>(?: (?!loading)[^>]*)? src="(?P<name>[^"]+)"[^>]*>)')


def drop_thebe(app, pagename, templatename, context, doctree):
    """Remove sphinx-thebe's scripts: it adds them twice, a console error, and they point at a CDN."""
    context["script_files"][:] = [
        script
        for script in context.get("script_files", [])
        if "THEBE_JS_URL" not in (getattr(script, "attributes", {}).get("body") or "")
        and "sphinx-thebe" not in str(getattr(script, "filename", ""))
    ]


def number_by_page(app, env):
    """Let figures and tables count from 1 on every page, as they do in the paired notebooks."""
    for kinds in env.toc_fignumbers.values():
        for numbers in kinds.values():
            for position, label in enumerate(sorted(numbers, key=numbers.get), 1):
                numbers[label] = (position,)


def finish(app, exception):
    """In every page: no script of icons, names for the buttons that unfold the contents, pictures of 256 colours."""
    if exception or app.builder.format != "html":
        return
    sizes = {picture.name: lighter(picture) for picture in Path(app.outdir, "_images").glob("*.png")}

    def later(match):
        """A picture far below is sent when a reader comes near; its size is known at once, so nothing moves."""
        width, height = sizes.get(match["name"].rsplit("/", 1)[-1], (None, None))
        size = f' width="{width}" height="{height}"' if width and " width=" not in match[0] else ""
        return f'<img loading="lazy"{size}{match["rest"]}'

    for page in Path(app.outdir).rglob("*.html"):
        text = ICONS.sub("", page.read_text(encoding="utf-8"))
        text = text.replace("<summary><span", '<summary aria-label="The pages below"><span')
        text = text.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        text = PICTURE.sub(later, text)
        page.write_text(text, encoding="utf-8")


def lighter(picture):
    """A figure has few colours, and a palette of them makes half of it: no eye sees it. Returns its size."""
    with Image.open(picture) as whole:
        size, known = whole.size, whole.mode == "P"
        if not known:
            few = whole.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if not known:
        few.save(picture, optimize=True)
    return size


def setup(app):
    app.connect("env-check-consistency", number_by_page)  # after Sphinx has counted through all pages
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
