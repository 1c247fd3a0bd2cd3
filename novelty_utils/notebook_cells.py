"""The code cells of a notebook, and how they are executed in this process, without a kernel."""

from __future__ import annotations

import ast
import codeop
import contextlib
import io
import json
import linecache
import os
import re
import sys
import textwrap
import tokenize
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from novelty_utils.errors import InputError


class Cell(NamedTuple):
    """A code cell: what tracebacks call it, its text and its tags."""

    filename: str
    source: str
    tags: tuple[str, ...]


# --- finding, reading and checking ---------------------------------------------------------------------------------


def code_cells(notebook: Path) -> list[Cell]:
    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        code = [c for c in cells if c["cell_type"] == "code" and "".join(c["source"]).strip()]
        code = [("".join(c["source"]), tuple(c.get("metadata", {}).get("tags", []))) for c in code]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{notebook} cannot be read as a notebook (nbformat 4): {fault(error)}") from error
    if any("injected-parameters" in tags for _, tags in code):
        raise InputError(f"{notebook} is the outcome of a run and has its parameters in it: run the original notebook")
    return [Cell(f"{notebook.name}[cell {n}]", source, tags) for n, (source, tags) in enumerate(code, start=1)]


def fault(error: BaseException) -> str:
    """The type and message of an exception, on one line."""
    kind, message = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    return textwrap.shorten(f"{kind}: {message}", 400, placeholder=" ...")


def compiled(cells: list[Cell]) -> list[tuple[Cell, list[CodeType]]]:
    """Compile every cell to its parts, so that one that is not Python is found before the first one runs."""
    compiler = codeop.Compile()  # it carries `from __future__` on to the next cell, as a kernel does
    ready = []
    for cell in cells:
        try:
            tree = ast.parse(cell.source, cell.filename)
            # It takes a tree as well as text.
            parts = [compiler(part, cell.filename, mode) for part, mode in _parts(tree, cell.source)]  # type: ignore[arg-type]
        except SyntaxError as error:
            raise InputError(f"{cell.filename} {_why_not_python(cell.source, error)}") from None
        # Without a time stamp linecache never looks for a file of this name.
        linecache.cache[cell.filename] = (len(cell.source), None, cell.source.splitlines(True), cell.filename)
        ready.append((cell, parts))
    return ready


def _parts(tree: ast.Module, source: str) -> list[tuple[ast.mod, str]]:
    """The statements, and by itself the last expression whose value a notebook would show (mode single prints it)."""
    last = tree.body[-1:]
    if not last or not isinstance(last[0], ast.Expr) or _ends_in_semicolon(source):
        return [(tree, "exec")]
    return [(ast.Module(tree.body[:-1], []), "exec"), (ast.Interactive(last), "single")]


def _ends_in_semicolon(source: str) -> bool:
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.DEDENT, tokenize.ENDMARKER}
    words = [t.string for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in layout]
    return words[-1:] == [";"]


def _why_not_python(source: str, error: SyntaxError) -> str:
    number = error.lineno or 1
    line = source.splitlines()[number - 1]
    if re.match(r"\s*([\w, ]+=\s*)?[%!]|.*\?$", line):
        return f"line {number}: {line.strip()!r} needs Jupyter: leave out --headless or write it in Python"
    return f"line {number}: {error.msg}"


def execute(parts: list[CodeType], namespace: dict[str, Any]) -> None:
    for part in parts:
        exec(part, namespace)


@contextlib.contextmanager
def fresh_main() -> Iterator[dict[str, Any]]:
    """The namespace of a new module that stands in for `__main__`, where pickle and dataclasses look for classes.

    As in IPython, `In` there lists the cells that ran: `provenance` tells from it whether they are the notebook's.
    """
    module, before = ModuleType("__main__"), (sys.modules["__main__"], sys.displayhook)
    module.__dict__.update(display=_display, In=[])
    sys.modules["__main__"], sys.displayhook = module, lambda thing: None if thing is None else _display(thing)
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"], sys.displayhook = before


def _display(*things: Any, **_: Any) -> None:
    """What a kernel calls `display`, for a log: one `repr` per line."""
    for thing in things:
        if type(thing).__name__ == "Styler":  # of pandas, whose repr is an address and not the table
            if thing.caption:
                print(thing.caption)
            thing = thing.data
        print(repr(thing))


@contextlib.contextmanager
def unseen_figures() -> Iterator[None]:
    """Draw without a screen, and let `plt.show()` close the figures, as it does in a notebook."""
    os.environ["MPLBACKEND"] = "Agg"
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        yield
        return
    plt.switch_backend("Agg")
    show, plt.show = plt.show, lambda *_, **__: plt.close("all")
    try:
        yield
    finally:
        plt.close("all")
        plt.show = show


def print_traceback(error: BaseException, namespace: dict[str, Any]) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is not namespace:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace))
