"""Run a notebook with parameters, strictly: through papermill, or headless where there is no Jupyter.

The parameters are those that `checking` has let pass. Cells are counted as a kernel counts them: the first code cell
that is not empty is cell 1.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from novelty_utils import notebook_cells
from novelty_utils.errors import InputError
from novelty_utils.files import LONGEST_NAME, first_there, is_folder, reachable, remove_empty
from novelty_utils.records import provenance
from novelty_utils.runs import worker

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]  # processes have numbers of their own on each
ROOM = 40  # bytes that a notebook's name has more while it runs: NAME.HOST-PID.partial.ipynb
REFUSALS = (InputError.__name__, "DamagedRecordError")  # by name: they come from another process


class RunError(RuntimeError):
    """A notebook did not run to its end: one line that names the fault and what is left of the run."""


# --- with Jupyter --------------------------------------------------------------------------------------------------


def run_papermill(notebook: Path, values: Mapping[str, Any], output: Path, results: str = "results") -> Path:
    """Execute a notebook in a kernel, in the current folder, and write it to `output` once it ran to its end.

    Shows a progress bar on a terminal. Returns `output`. `results` is the folder of its records.
    Raises InputError if Jupyter is missing, `output` cannot be written or a cell raises one, and RunError if a cell
    fails otherwise or once records are written, the kernel dies or the notebook exits early; what ran is then
    NAME.failed.ipynb beside `output`.
    """
    if not all(importlib.util.find_spec(name) for name in ("papermill", "ipykernel")):
        raise InputError('papermill or ipykernel is missing: pip install "novelty-utils[run]", or add --headless')
    there = _make_room(output, notebook)
    partial = output.with_suffix(f".{HOST}-{os.getpid()}.partial.ipynb")
    failed = output.with_suffix(".failed.ipynb")
    before = _records(notebook, results)
    try:
        _papermill(notebook, values, partial)
    except (Exception, KeyboardInterrupt) as error:
        kept = _kept(notebook, results, before)
        if getattr(error, "ename", "") in REFUSALS and not kept:
            partial.unlink(missing_ok=True)
            remove_empty(output.parent, there)
            raise InputError(getattr(error, "evalue", "")) from None
        left = "nothing was executed"
        if partial.exists():
            left = f"what ran is in {partial.replace(failed)}"
        left += kept
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted; {left}") from None
        raise RunError(f"{notebook.name} failed: {notebook_cells.fault(error)}; {left}") from error
    partial.replace(output)
    failed.unlink(missing_ok=True)
    return output


def _records(notebook: Path, results: str) -> dict[Path, int]:
    """The files that may hold records of a notebook, with the times of their last change."""
    with contextlib.suppress(OSError):
        return {file: file.stat().st_mtime_ns for file in Path(results, notebook.stem).glob("*/*.json")}
    return {}


def _kept(notebook: Path, results: str, before: Mapping[Path, int]) -> str:
    """What to say of a run that failed and has written records: its tables may be at fault, the records stay."""
    written = _records(notebook, results).items() - before.items()
    return f"; its records are written, {len(written)} in {Path(results, notebook.stem)}" if written else ""


def _papermill(notebook: Path, values: Mapping[str, Any], output: Path) -> None:
    import papermill

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it logs of a failure is in the exception
    # No progress bars in the kernel: nobody watches, and every move of one would be kept. It reads this as it begins,
    # which this process has done.
    with _environment(TQDM_DISABLE="1", OMP_NUM_THREADS=str(provenance.threads()), **worker.KEEP_MEMORY):
        done = papermill.execute_notebook(
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output)),  # it formats the paths
            dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=sys.stderr.isatty(),
            start_timeout=120,  # a busy machine is slow, not broken: papermill's patience is 60 s, and 4 s for output
            iopub_timeout=60,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # notes on encryption, and a stack on Ctrl-C
        )
    if done.metadata.papermill.exception:  # papermill calls sys.exit(0) in a cell a success and skips the rest
        raise RuntimeError("a cell called sys.exit(), those after it did not run")


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for this process and those that it starts meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _make_room(output: Path, notebook: Path) -> Path:
    """Make the folder of `output`; returns what of it was there before, that folder or one above.

    Raises InputError where that cannot be, or where `output` would destroy the notebook.
    """
    if len(os.fsencode(output.name)) > LONGEST_NAME - ROOM:
        raise InputError(
            f"output={str(output)!r} has a name of more than {LONGEST_NAME - ROOM} bytes: give a shorter one"
        )
    with reachable("output", str(output)):
        if output.suffix != ".ipynb" or is_folder(output):
            raise InputError(f"output={str(output)!r} is not a notebook: give a file name that ends in .ipynb")
        if output.resolve() == notebook.resolve():
            raise InputError(f"output={str(output)!r} is the notebook itself: give another file")
        if output.exists() and not _made_by_a_run(output):
            raise InputError(f"output={str(output)!r} is there, and no run has written it: give another file")
        there = first_there(output.parent.absolute())
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output={str(output)!r}: its folder cannot be made ({error.strerror})") from error
    if not os.access(output.parent, os.W_OK):
        raise InputError(f"output={str(output)!r}: its folder cannot be written to")
    _clear_partial(output)
    return there


def _made_by_a_run(output: Path) -> bool:
    try:
        return "papermill" in json.loads(output.read_text(encoding="utf-8"))["metadata"]
    except (ValueError, KeyError, TypeError):
        return False


def _clear_partial(output: Path) -> None:
    """Remove what runs for this output have left that were killed on this machine; those that go on keep theirs."""
    with contextlib.suppress(OSError):  # it takes some room, and nothing else
        for path in output.parent.iterdir():
            found = re.fullmatch(rf"{re.escape(output.stem)}\.{HOST}-([0-9]+)\.partial\.ipynb", path.name)
            if found and not _runs(int(found[1])):
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OverflowError:
        return False
    except OSError as error:
        return error.errno == errno.EPERM  # it is somebody else's
    return True


# --- without Jupyter -----------------------------------------------------------------------------------------------


def run_headless(notebook: Path, values: Mapping[str, Any], results: str = "results") -> None:
    """Execute the code cells of a notebook in this process: no kernel, no IPython, no figures on the screen.

    The value of a cell's last expression is printed, as is the traceback of a failing cell.
    `results` is the folder of its records. Raises InputError, before anything runs, for a cell that is not plain
    Python, or if a cell raises one, and RunError if a cell fails otherwise, exits, or raises one once records are
    written.
    """
    before = _records(notebook, results)
    ready = notebook_cells.compiled(notebook_cells.code_cells(notebook))
    with (
        notebook_cells.fresh_main() as namespace,
        notebook_cells.unseen_figures(),
        _environment(OMP_NUM_THREADS=str(provenance.threads())),
    ):
        ran = namespace["In"]
        for cell, parts in ready:
            ran.append(cell.source)
            try:
                notebook_cells.execute(parts, namespace)
            except (Exception, SystemExit) as error:
                kept = _kept(notebook, results, before)
                if isinstance(error, InputError) and not kept:  # it does not fit the data, say: the line says it all
                    raise
                notebook_cells.print_traceback(error, namespace)
                raise RunError(f"{cell.filename} failed: {notebook_cells.fault(error)}{kept}") from error
            if "parameters" in cell.tags:
                namespace.update(values)
            sys.stdout.flush()  # a batch job's log shall not lag hours behind
