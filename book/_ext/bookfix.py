"""Two corrections to what jupyter-book 1.x makes of our pages."""


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


def setup(app):
    app.connect("env-check-consistency", number_by_page)  # after Sphinx has counted through all pages
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
