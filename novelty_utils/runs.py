"""Run a notebook with parameters, strictly: through papermill, or headless where there is no Jupyter.

A notebook has a code cell tagged `parameters` (plain assignments with defaults) and one tagged `schema` (a subclass of
RunParameters). Those two alone are executed to check what the user typed, before torch or any data is loaded.
Cells are counted as a kernel counts them: the first code cell that is not empty is cell 1.
"""

from __future__ import annotations

import ast
import codeop
import contextlib
import hashlib
import importlib.util
import io
import json
import linecache
import logging
import os
import re
import sys
import textwrap
import tokenize
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from novelty_utils.params import InputError, RunParameters

REFUSALS = (InputError.__name__, "DamagedRecordError")  # by name: they come from another process


class RunError(RuntimeError):
    """A notebook did not run to its end: one line that names the fault and what is left of the run."""


class Cell(NamedTuple):
    """A code cell: what tracebacks call it, its text and its tags."""

    filename: str
    source: str
    tags: tuple[str, ...]


# --- finding, reading and checking ---------------------------------------------------------------------------------


def find_notebook(name: str) -> Path:
    """The notebook meant by `ics` (notebooks/ics.ipynb here or in a folder above) or by the path of an .ipynb.

    Raises InputError if there is none; the line lists the notebooks that were found.
    """
    if name.endswith(".ipynb"):
        if Path(name).expanduser().is_file():
            return Path(name).expanduser()
        raise InputError(f"notebook {name!r} is not a file: give the path of an .ipynb, or a name such as ics")
    found = {}
    for folder in (Path.cwd(), *Path.cwd().parents):
        for path in sorted((folder / "notebooks").glob("*.ipynb")):
            found.setdefault(path.stem, path)
    if name in found:
        return found[name]
    choice = f"choose one of {', '.join(found)}" if found else "no notebooks/*.ipynb here or above: go to the clone"
    raise InputError(f"notebook {name!r} is not known: {choice}, or give the path of an .ipynb")


def read_schema(notebook: Path) -> tuple[type[RunParameters], dict[str, Any]]:
    """The schema class of a notebook and its defaults (Python values), by executing the two tagged cells only.

    Raises InputError if the file is no notebook, a tag is missing or one of the two cells fails.
    """
    cells = _code_cells(notebook)
    tagged = [next((cell for cell in cells if tag in cell.tags), None) for tag in ("parameters", "schema")]
    if None in tagged:
        raise InputError(f"{notebook} has no cell tagged parameters or no cell tagged schema: it cannot take any")
    compiled = _compiled(tagged)
    with _fresh_main() as namespace, contextlib.redirect_stdout(io.StringIO()):
        try:
            for _, parts in compiled:
                _execute(parts, namespace)
        except InputError:
            pass  # the defaults alone do not pass, e.g. a file named like a folder; the user's text may put that right
        except Exception as error:
            raise InputError(f"{notebook}: its parameters cannot be read: {_fault(error)}") from error
    schemas = [thing for thing in namespace.values() if _is_schema(thing)]
    if len(schemas) != 1:
        raise InputError(f"{notebook}: its schema cell defines {len(schemas)} subclasses of RunParameters, not one")
    return schemas[0], {name: namespace[name] for name in schemas[0].model_fields if name in namespace}


def check(notebook: Path, text: Mapping[str, str]) -> tuple[RunParameters, dict[str, Any]]:
    """Check command-line text against a notebook's schema, before anything is loaded.

    Returns the parameters of the whole run, and the Python values of the names in `text` only, to inject.
    Raises InputError for an unknown name, a wrong type and a value that is not allowed.
    """
    schema, defaults = read_schema(notebook)
    parameters = schema.parse(defaults, text)
    return parameters, {name: getattr(parameters, name) for name in text}


def default_output(notebook: Path, parameters: RunParameters) -> Path:
    """Where a papermill run is written: runs/NAME-dataset-class-tier-sSEED, then every further change, .ipynb."""
    _, defaults = read_schema(notebook)
    p = parameters
    words = [notebook.stem, p.dataset, p.class_name, p.tier, f"s{p.seed}"]
    for name in type(p).model_fields:
        if name not in {"dataset", "class_name", "tier", "seed"} and getattr(p, name) != defaults.get(name):
            words += [name, str(getattr(p, name))]
    return Path("runs", _file_name("-".join(_file_name(word, 40) for word in words), 180) + ".ipynb")


def _file_name(text: str, longest: int) -> str:
    """`text` if it can stand in a file name; otherwise its readable end, told apart from its like by a digest."""
    if len(text) <= longest and re.fullmatch(r"[A-Za-z0-9_.,+-]+", text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_.,+-]+", "_", text).strip("_.")[9 - longest :]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _code_cells(notebook: Path) -> list[Cell]:
    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        code = [(c["source"], c.get("metadata", {}).get("tags", [])) for c in cells if c["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{notebook} cannot be read as a notebook (nbformat 4): {_fault(error)}") from error
    code = [(source if isinstance(source, str) else "".join(source), tags) for source, tags in code]
    code = [(source, tuple(tags)) for source, tags in code if source.strip()]
    if any("injected-parameters" in tags for _, tags in code):
        raise InputError(f"{notebook} is the outcome of a run and has its parameters in it: run the original notebook")
    return [Cell(f"{notebook.name}[cell {n}]", source, tags) for n, (source, tags) in enumerate(code, start=1)]


def _is_schema(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, RunParameters) and thing is not RunParameters


def _fault(error: BaseException) -> str:
    """The type and message of an exception, on one line."""
    kind, message = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    return textwrap.shorten(f"{kind}: {message}", 400, placeholder=" ...")


# --- with Jupyter --------------------------------------------------------------------------------------------------


def run_papermill(notebook: Path, values: Mapping[str, Any], output: Path) -> Path:
    """Execute a notebook in a kernel, in the current folder, and write it to `output` once it ran to its end.

    Shows a progress bar on a terminal. Returns `output`.
    Raises InputError if Jupyter is missing, `output` cannot be written or a cell raises one, and RunError if a cell
    fails otherwise, the kernel dies or the notebook exits early; what ran is then NAME.failed.ipynb beside `output`.
    """
    if not all(importlib.util.find_spec(name) for name in ("papermill", "ipykernel")):
        raise InputError('papermill or ipykernel is missing: pip install "novelty-utils[run]", or add --headless')
    _make_room(output, notebook)
    partial = output.with_suffix(f".{os.getpid()}.partial.ipynb")
    failed = output.with_suffix(".failed.ipynb")
    try:
        _papermill(notebook, values, partial)
    except (Exception, KeyboardInterrupt) as error:
        if getattr(error, "ename", "") in REFUSALS:
            partial.unlink(missing_ok=True)
            raise InputError(error.evalue) from None
        left = "nothing was executed"
        if partial.exists():
            left = f"what ran is in {partial.replace(failed)}"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted; {left}") from None
        raise RunError(f"{notebook.name} failed: {_fault(error)}; {left}") from error
    partial.replace(output)
    failed.unlink(missing_ok=True)
    return output


def _papermill(notebook: Path, values: Mapping[str, Any], output: Path) -> None:
    import papermill

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it logs of a failure is in the exception
    done = papermill.execute_notebook(
        *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output)),  # it formats the paths
        dict(values),
        kernel_name="python3",
        language="python",
        progress_bar=sys.stderr.isatty(),
        start_timeout=120,  # a busy machine is slow, not broken: papermill's own patience is 60 s, and 4 s for output
        iopub_timeout=60,
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # a note on encryption for every run, a stack on Ctrl-C
    )
    if done.metadata.papermill.exception:  # papermill calls sys.exit(0) in a cell a success and skips the rest
        raise RuntimeError("a cell called sys.exit(), those after it did not run")


def _make_room(output: Path, notebook: Path) -> None:
    """Make the folder of `output`; InputError where that cannot be, or where `output` would destroy the notebook."""
    if output.suffix != ".ipynb" or output.is_dir():
        raise InputError(f"output={str(output)!r} is not a notebook: give a file name that ends in .ipynb")
    if output.resolve() == notebook.resolve():
        raise InputError(f"output={str(output)!r} is the notebook itself: give another file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output={str(output)!r}: its folder cannot be made ({error.strerror})") from error
    if not os.access(output.parent, os.W_OK):
        raise InputError(f"output={str(output)!r}: its folder cannot be written to")


# --- without Jupyter -----------------------------------------------------------------------------------------------


def run_headless(notebook: Path, values: Mapping[str, Any]) -> None:
    """Execute the code cells of a notebook in this process: no kernel, no IPython, no figures on the screen.

    The value of a cell's last expression is printed, as is the traceback of a failing cell.
    Raises InputError, before anything runs, for a cell that is not plain Python, or if a cell raises one, and RunError
    if a cell fails otherwise or exits.
    """
    cells = _compiled(_code_cells(notebook))
    with _fresh_main() as namespace, _unseen_figures():
        for cell, parts in cells:
            try:
                _execute(parts, namespace)
            except InputError:  # what was asked for does not fit the data, for example: the line says it all
                raise
            except (Exception, SystemExit) as error:
                _print_traceback(error, namespace)
                raise RunError(f"{cell.filename} failed: {_fault(error)}") from error
            if "parameters" in cell.tags:
                namespace.update(values)
            sys.stdout.flush()  # a batch job's log shall not lag hours behind


def _compiled(cells: list[Cell]) -> list[tuple[Cell, list[CodeType]]]:
    """Compile every cell to its parts, so that one that is not Python is found before the first one runs."""
    compiler = codeop.Compile()  # it carries `from __future__` on to the next cell, as a kernel does
    ready = []
    for cell in cells:
        try:
            tree = ast.parse(cell.source, cell.filename)
            parts = [compiler(part, cell.filename, mode) for part, mode in _parts(tree, cell.source)]
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


def _execute(parts: list[CodeType], namespace: dict[str, Any]) -> None:
    for part in parts:
        exec(part, namespace)


@contextlib.contextmanager
def _fresh_main() -> Iterator[dict[str, Any]]:
    """The namespace of a new module that stands in for `__main__`, where pickle and dataclasses look for classes."""
    module, before = ModuleType("__main__"), sys.modules["__main__"]
    module.display = _display
    sys.modules["__main__"] = module
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"] = before


def _display(*things: Any, **_: Any) -> None:
    """What a kernel calls `display`, for a log: one `repr` per line."""
    for thing in things:
        print(repr(thing))


@contextlib.contextmanager
def _unseen_figures() -> Iterator[None]:
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


def _print_traceback(error: BaseException, namespace: dict[str, Any]) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is not namespace:
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace))
