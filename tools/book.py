"""Build the book: run the notebooks as a file of runs says, then let jupyter-book render the pages.

    python tools/book.py                  # book/runs.yml: the smallest tier, on embedded data
    python tools/book.py book/demo.yml    # another edition

Everything lands in _build: executed/ (runs with their records, kept while nothing they depend on changes; one that was
cut off goes on from its checkpoints), src/ (what jupyter-book reads) and html/ (the book).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
import papermill  # noqa: F401  its progress bar is set up before TQDM_DISABLE is
import yaml
from dask.system import CPU_COUNT

import coverage_page
import editions
import holds_page
import ledger_page
import peeking_page
import sealed_page
import second_looks_page
import times_page
from crossref import ROOT
from novelty_utils import notebook_cells
from novelty_utils.errors import InputError
from novelty_utils.ledger import claims, evaluations, headlines
from novelty_utils.records import provenance, replications
from novelty_utils.runs import checking, execution, pending, sweep_file

BUILD = Path("_build")  # relative: the parameters of a run are printed in the book
STAGE, EXECUTED, HTML = BUILD / "src", BUILD / "executed", BUILD / "html"
SMALL = Path("book/runs.yml")
SMOKE = {"tier": "smoke"}  # where the file of runs names no other


class BookError(RuntimeError):
    """The book could not be built: one line that says why."""


class Run(NamedTuple):
    """One notebook to execute for one page."""

    page: str
    source: Path
    parameters: dict[str, str]


def asked(edition: editions.Edition) -> list[Run]:
    """Every notebook with the parameters of its page, then the further runs. Raises InputError for an unknown one."""
    sources = {path.stem: path for path in sorted(Path("notebooks").glob("*.py"))}
    if unknown := {*edition.pages, *(one.of for one in edition.further)} - sources.keys():
        raise InputError(f"there is no notebook {', '.join(sorted(unknown))}: choose from {', '.join(sources)}")
    pages = [Run(name, path, edition.pages.get(name, {})) for name, path in sources.items()]
    return pages + [Run(one.page, sources[one.of], one.parameters) for one in edition.further]


def costs(runs: list[Run]) -> None:
    """Print how long the runs that are not there yet will take, by recorded ones. The smallest tier has none: minutes.

    Raises InputError for a parameter that is not allowed, before anything runs.
    """
    jobs = []
    for run in runs:
        paired = run.source.with_suffix(".ipynb")
        if _has_parameters(paired):
            p, _ = checking.check(paired, SMOKE | run.parameters)
            if p.tier != "smoke" and not _place(run).exists():
                names = p.classes_of(p.dataset)
                classes = tuple(names[label] for label in p.labels())
                jobs.append(sweep_file.Job(run.source, run.parameters, p, classes))
    if jobs:
        pending.costs(jobs, jobs, min(CPU_COUNT, len(jobs)))


def execute(run: Run) -> Path:
    """Run one notebook with MyST kept, or find the run of exactly this state of affairs again.

    Returns the executed .ipynb; its metadata has the entry `run` (see `_describe`). Raises RunError or InputError.
    """
    done = _place(run)
    folder = done.parent
    if done.exists():
        print(f"{run.page}: nothing has changed since its last run", flush=True)
        return done
    for other in set((EXECUTED / run.page).glob("*")) - {folder}:  # checkpoints of other code may not be resumed
        shutil.rmtree(other)
    plain, executed = folder / "source" / f"{run.source.stem}.ipynb", folder / "run.ipynb"
    plain.parent.mkdir(parents=True, exist_ok=True)
    notebook = jupytext.reads(run.source.read_text(encoding="utf-8"), fmt="py:percent")
    nbformat.write(editions.part(notebook) if run.page != run.source.stem else notebook, plain)
    values = _values(plain, run.parameters | {"results": str(folder / "results")})
    print(f"{run.page}: running {run.source} {_show(values)} ...", flush=True)
    started = time.perf_counter()
    execution.run_papermill(plain, values, executed)
    seconds = round(time.perf_counter() - started)
    _describe(executed, run.source, values, seconds)
    print(f"{run.page}: done in {seconds} s", flush=True)
    return executed.replace(done)


def _place(run: Run) -> Path:
    """Where the run is once it is done."""
    return EXECUTED / run.page / _key(run) / f"{run.page}.ipynb"


def _has_parameters(notebook: Path) -> bool:
    """One that trains nothing has none."""
    return any("parameters" in cell.tags for cell in notebook_cells.code_cells(notebook))


def _values(notebook: Path, parameters: dict[str, str]) -> dict[str, Any]:
    """What is injected into a notebook; nothing into one that trains nothing and has no parameters."""
    if not _has_parameters(notebook):
        return {}
    checked, values = checking.check(notebook, SMOKE | parameters)
    return {"dataset": checked.dataset} | values


def execute_all(runs: list[Run]) -> dict[str, Path]:
    """`execute`, one notebook per core: on networks of the smallest tier several threads only wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if all(_place(run).exists() for run in runs):
        return {run.page: execute(run) for run in runs}
    with ProcessPoolExecutor(min(CPU_COUNT, len(runs)), get_context("spawn"), _end_with_parent) as pool:
        running = [pool.submit(execute, run) for run in runs]
        try:
            return {run.page: done.result() for run, done in zip(runs, running, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """A build that is killed, and not only interrupted, leaves no worker behind; a kernel ends with its worker."""
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _key(run: Run) -> str:
    """Changes with everything that can change the outcome of a run."""
    shared = [Path("requirements.txt"), Path(__file__), *_files("novelty_utils"), *_files("results")]
    return _digest(f"{sys.version} {sorted((SMOKE | run.parameters).items())}", [run.source, *shared])[:16]


def _made_of(executed: dict[str, Path], edition: editions.Edition) -> str:
    """Changes with everything that the pages are made of: runs, and with them records and package, text and tools."""
    text = [Path("_config.yml"), Path("_toc.yml"), *_files("book"), *_files("tools")]
    return _digest(f"{sorted(executed.items())} {edition}", text)


def _digest(words: str, files: list[Path]) -> str:
    digest = hashlib.sha256(words.encode())
    for path in files:
        digest.update(f"\n{path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: str) -> Iterator[Path]:
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.parts):
            yield path


def _describe(path: Path, source: Path, values: dict[str, Any], seconds: int) -> None:
    """Replace papermill's metadata (times, file names of this machine) by what a reader wants to know."""
    notebook, machine = nbformat.read(path, as_version=4), provenance.machine()
    notebook.metadata.pop("papermill", None)
    notebook.metadata["run"] = {
        "notebook": str(source),
        "parameters": _show(values),
        "seconds": seconds,
        "python": machine["python"],
        "torch": machine["torch"],
        "hardware": provenance.hardware(machine),
        "commit": (provenance.code(source.stem)["commit"] or "unknown")[:7],
    }
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("hide-input")
    nbformat.write(notebook, path)


def _show(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items() if name != "results")


def stage(executed: dict[str, Path], further: list[editions.Further]) -> None:
    """Lay out in _build/src what jupyter-book reads: pages, configuration, executed notebooks, runtimes, ledger."""
    papers = sorted(path.stem for path in Path("notebooks").glob("*.py"))
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree("book", STAGE / "book", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("_config.yml", STAGE)
    toc = yaml.safe_load(Path("_toc.yml").read_text(encoding="utf-8"))
    (STAGE / "_toc.yml").write_text(yaml.safe_dump(editions.contents(toc, further)), encoding="utf-8")
    (STAGE / "notebooks").mkdir()
    for name, path in executed.items():
        shutil.copy(path, STAGE / "notebooks" / f"{name}.ipynb")
    for one in further:
        shown = editions.page(nbformat.read(executed[one.page], as_version=4), one)
        nbformat.write(shown, STAGE / "notebooks" / f"{one.page}.ipynb")
    times_page.write_parts(STAGE / "book", executed.values(), papers)
    coverage_page.write_parts(STAGE / "book", "results")
    peeking_page.write_parts(STAGE / "book", "results")
    table = claims.ledger("results")
    ledger_page.write_parts(STAGE / "book", table, replications.read("results", *papers))
    evaluations.write(table, "results", STAGE / "book")
    sealed_page.write_parts(STAGE / "book", "results")
    second_looks_page.write_parts(STAGE / "book", "results", ledger_page.NAMES)
    holds_page.write_parts(STAGE / "book", headlines.headlines(table, "results"))


def render() -> None:
    """Let jupyter-book make the pages, every warning an error. Raises BookError with the warnings."""
    print("rendering the pages ...", flush=True)
    for old in (HTML, BUILD / ".doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", STAGE, "--path-output", "."]
    done = subprocess.run([*command, "-W", "-n", "--keep-going", "--all"], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        shown = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-20:]
        raise BookError("\n".join([*shown, "jupyter-book found faults, see above"]))


def main() -> int:
    os.chdir(ROOT)
    os.environ["TQDM_DISABLE"] = "1"  # for the kernels: a progress bar has no place on a page
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="?", type=Path, default=SMALL, help=f"the file of runs (default: {SMALL})")
    try:
        edition = editions.read(parser.parse_args().runs)
        runs = asked(edition)
        costs(runs)
        executed = execute_all(runs)
        made_of, kept = _made_of(executed, edition), HTML / ".made-of"
        if not kept.exists() or kept.read_text() != made_of:
            stage(executed, edition.further)
            render()
            kept.write_text(made_of)
    except (InputError, execution.RunError, BookError) as error:
        print(f"make book: {error}", file=sys.stderr)
        return 1
    print(f"\nThe book is ready: open {HTML}/index.html, or, so that search works too,")
    print(f"    python3 -m http.server --directory {HTML} 8000    and then http://localhost:8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
