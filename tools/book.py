"""Build the book: run every notebook in its smallest tier, then let jupyter-book render the pages.

    python tools/book.py

Everything lands in _build: executed/ (runs with their records, kept while nothing they depend on changes), src/ (what
jupyter-book reads) and html/ (the book).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import jupytext
import nbformat
import papermill  # noqa: F401  its progress bar is set up before TQDM_DISABLE is
from dask.system import CPU_COUNT

import coverage_page
import ledger_page
import peeking_page
import second_looks_page
from crossref import ROOT
from novelty_utils.errors import InputError
from novelty_utils.ledger import claims
from novelty_utils.records import provenance, replications, store
from novelty_utils.runs import execution

BUILD = Path("_build")  # relative: the parameters of a run are printed in the book
STAGE, EXECUTED, HTML = BUILD / "src", BUILD / "executed", BUILD / "html"
SMOKE = {"tier": "smoke"}  # with the data set that the notebook has by default, an embedded one


class BookError(RuntimeError):
    """The book could not be built: one line that says why."""


def execute(source: Path) -> Path:
    """Run one notebook with MyST kept, or find the run of exactly this state of affairs again.

    Returns the executed .ipynb; its metadata has the entry `run` (see `_describe`). Raises RunError or InputError.
    """
    folder = EXECUTED / source.stem
    done = folder / f"{_key(source)}.ipynb"
    if done.exists():
        print(f"{source}: nothing has changed since its last run", flush=True)
        return done
    shutil.rmtree(folder, ignore_errors=True)  # with its checkpoints: none made by other code may be resumed
    folder.mkdir(parents=True)
    plain, run = folder / f"{source.stem}.ipynb", folder / "run.ipynb"
    nbformat.write(jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent"), plain)
    parameters, values = execution.check(plain, SMOKE | {"results": str(folder / "results")})
    values = {"dataset": parameters.dataset} | values
    print(f"{source}: running it with {_show(values)} ...", flush=True)
    started = time.perf_counter()
    execution.run_papermill(plain, values, run)
    seconds = round(time.perf_counter() - started)
    _describe(run, source, values, seconds)
    print(f"{source}: done in {seconds} s", flush=True)
    return run.replace(done)


def execute_all(sources: list[Path]) -> dict[str, Path]:
    """`execute`, one notebook per core: on networks of the smallest tier several threads only wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(min(CPU_COUNT, len(sources)), get_context("spawn")) as pool:
        running = [pool.submit(execute, source) for source in sources]
        try:
            return {source.stem: run.result() for source, run in zip(sources, running, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _key(source: Path) -> str:
    """Changes with everything that can change the outcome of a run."""
    digest = hashlib.sha256(f"{sys.version} {sorted(SMOKE.items())}".encode())
    for path in [source, Path("requirements.txt"), Path(__file__), *_files("novelty_utils"), *_files("results")]:
        digest.update(f"\n{path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


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


def stage(executed: dict[str, Path]) -> None:
    """Lay out in _build/src what jupyter-book reads: pages, configuration, executed notebooks, runtimes, ledger."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree("book", STAGE / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(name, STAGE)
    (STAGE / "notebooks").mkdir()
    for name, path in executed.items():
        shutil.copy(path, STAGE / "notebooks" / f"{name}.ipynb")
    (STAGE / "book" / "runtimes.md").write_text(_runtimes(executed.values()), encoding="utf-8")
    (STAGE / "book" / "speeds.md").write_text(_speeds(Path("results/bench")), encoding="utf-8")
    (STAGE / "book" / "times.md").write_text(_times(executed), encoding="utf-8")
    coverage_page.write_parts(STAGE / "book", "results")
    peeking_page.write_parts(STAGE / "book", "results")
    table = claims.ledger("results")
    ledger_page.write_parts(STAGE / "book", table, replications.read("results", *executed))
    second_looks_page.write_parts(STAGE / "book", table, "results", ledger_page.NAMES)


def _runtimes(executed: Iterable[Path]) -> str:
    head = ["notebook", "parameters", "seconds", "python", "torch", "hardware", "commit"]
    found = [nbformat.read(path, as_version=4).metadata["run"] for path in executed]
    return _table(head, [[run[name] for name in head] for run in found])


def _speeds(folder: Path) -> str:
    """The benchmarks that were kept, a table each, under a line that says what and where."""
    parts = []
    for file in sorted(folder.glob("*.json")):
        kept = json.loads(file.read_text(encoding="utf-8"))
        on = f"{kept['machine']['gpu']}, torch {kept['machine']['torch']}, commit {kept['commit'][:7]}"
        for title, rows in kept["tables"].items():
            cells = [[row["what"], f"{row['value']:g}", row["unit"]] for row in rows]
            parts.append(f"**{title}** ({on}):\n\n{_table(['', 'measured', 'unit'], cells)}")
    return "\n".join(parts)


def _times(papers: Iterable[str]) -> str:
    """How long the recorded runs took: a box to unfold for each notebook, in it a table for each hardware."""
    boxes = []
    for paper in papers:
        tables: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in store.read(paper, "results"):
            tables[provenance.hardware(record.machine)][_kind(record)].append(record.seconds)
        parts = [f"**{hardware}**\n\n{_medians(kinds)}\n" for hardware, kinds in sorted(tables.items())]
        if parts:
            boxes.append(f"```{{admonition}} {paper}\n:class: dropdown\n\n{''.join(parts)}```\n")
    return "\n".join(boxes)


def _medians(kinds: dict[tuple[str, str], list[float]]) -> str:
    rows = [[run, f"{median(took):,.0f}", len(took), trained] for (run, trained), took in sorted(kinds.items())]
    return _table(["run", "seconds", "records", "trained"], rows)  # the longest last: a phone cuts it off


def _kind(record: store.Record) -> tuple[str, str]:
    """Tier, data and protocol of a run, and what it trained: what decides most about its length."""
    run = [record.tier, record.dataset, record.parameters.get("protocol", "")]
    names = list(record.training)
    shown = names[:5] + [f"{len(names) - 5} more"] * (len(names) > 5)  # ablations are a dozen
    return ", ".join(filter(None, run)), ", ".join(shown)


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(word).replace('|', '/') for word in line)} |\n" for line in lines)


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
    try:
        sources = sorted(Path("notebooks").glob("*.py"))
        stage(execute_all(sources))
        render()
    except (InputError, execution.RunError, BookError) as error:
        print(f"make book: {error}", file=sys.stderr)
        return 1
    print(f"\nThe book is ready: open {HTML}/index.html, or, so that search works too,")
    print(f"    python3 -m http.server --directory {HTML} 8000    and then http://localhost:8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
