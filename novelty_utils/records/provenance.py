"""Where a number comes from: the machine that a run used, and the code that it ran."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from novelty_utils import __version__, notebook_cells

NO_CLONE = "the package does not lie in a clone"
PATIENCE = 20  # seconds


def machine(device: str = "auto") -> dict[str, Any]:
    """Processor or GPU, threads and the versions that can move a number; no GPU where a run on `device` uses none."""
    import torch  # here, as it takes a second that looking at records need not pay

    from novelty_utils.training import pick_device

    gpu = torch.cuda.get_device_name() if pick_device(device).type == "cuda" else None
    versions = {name: metadata.version(name) for name in ("torch", "torchvision", "numpy", "scikit-learn")}
    versions |= {"scikit-image": metadata.version("scikit-image"), "python": platform.python_version()}
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu, **versions}


def threads() -> int:
    """How many a run takes: one, as their number changes its results, or what OMP_NUM_THREADS says."""
    given = os.environ.get("OMP_NUM_THREADS", "").strip()
    asked = int(given) if given.isascii() and given.isdecimal() and int(given) > 0 else 1
    return min(asked, 1024)  # more than any machine has, and no more than PyTorch can read


def limit_threads() -> None:
    """Take as many threads as `threads` says, in PyTorch and in the libraries below NumPy, from now on."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads())
    threadpool_limits(threads())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def code(paper: str) -> dict[str, Any]:
    """The commit and hashes of the package and of the notebook's code, as they were when this was first asked for.

    `dirty` if a tracked file differed then, or if a cell ran that the notebook of the clone does not have: an edited
    copy, say. Its cells are part of the hash. None if git did not say; `no_commit` is why.
    """
    known = _clone(Path(__file__).parents[2])
    own = _notebook(Path(__file__).parents[2] / "notebooks" / f"{paper}.ipynb")
    other = [] if own is None else _not_of(own)
    sources = None if own is None else [cell.source for cell in own] + other
    digest = None if sources is None else hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]
    return known | {"dirty": True if other else known["dirty"], "notebook": digest}


def package() -> str:
    """A hash of the code of the package as it is now."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache
def _clone(root: Path) -> dict[str, Any]:
    """Once for a process: what is edited while it runs is not what it runs."""
    commit, why = _git("rev-parse", "HEAD")
    differs, why = _git("status", "--porcelain", "--untracked-files=no", "--", ":!results") if commit else (None, why)
    known = {"version": __version__, "commit": commit, "dirty": None if differs is None else bool(differs)}
    return known | {"package": package()} | ({"no_commit": why} if why else {})


@lru_cache
def _notebook(file: Path) -> list[notebook_cells.Cell] | None:
    return notebook_cells.code_cells(file) if file.exists() else None


def _not_of(own: list[notebook_cells.Cell]) -> list[str]:
    """The cells that ran in this kernel, or headless, without being of this notebook; its parameters may be any."""
    known = {cell.source.strip() for cell in own}
    parameters = set().union(*(_assigned(cell.source) or set() for cell in own if "parameters" in cell.tags))
    history = getattr(sys.modules["__main__"], "In", [])
    ran = [source.strip() for source in history] if isinstance(history, list) else []  # a script's own In is none

    def foreign(source: str) -> bool:
        names = _assigned(source)
        return source not in known and (names is None or not names <= parameters)

    return [source for source in ran if foreign(source)]


def _assigned(source: str) -> set[str] | None:
    """The names that a cell assigns, if it does nothing else."""
    try:
        lines = ast.parse(source).body
    except SyntaxError:
        return None
    names = set()
    for target in chain.from_iterable(line.targets if isinstance(line, ast.Assign) else [None] for line in lines):
        if not isinstance(target, ast.Name):
            return None
        names.add(target.id)
    return names


def _git(*words: str) -> tuple[str | None, str]:
    """What git says, and why it says nothing, without the place of the clone."""
    clone = Path(__file__).parents[2]
    if not (clone / ".git").exists():  # installed from a wheel: another project's commit would be a lie
        return None, NO_CLONE
    try:
        done = subprocess.run(["git", *words], cwd=clone, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, f"git {words[0]} took more than {PATIENCE} seconds"
    except OSError as error:
        return None, f"git cannot be started ({error.strerror})"
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0].replace(str(clone), "the clone")
        return None, f"git {words[0]} failed: {said}"
    return done.stdout.strip(), ""


def hardware(machine: Mapping[str, Any]) -> str:
    """The GPU, or the processor with the number of threads, of a record's or this machine's description."""
    return machine["gpu"] or f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] > 1)}"
