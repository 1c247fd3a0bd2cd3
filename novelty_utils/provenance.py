"""Where a number comes from: the machine that a run used, and the code that it ran."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from novelty_utils import __version__
from novelty_utils.engines import pick_device


def machine(device: str = "auto") -> dict[str, Any]:
    """Processor or GPU, threads and the versions that can move a number; no GPU where a run on `device` uses none."""
    gpu = torch.cuda.get_device_name() if pick_device(device).type == "cuda" else None
    versions = {name: metadata.version(name) for name in ("torch", "torchvision", "numpy", "scikit-learn")}
    versions |= {"scikit-image": metadata.version("scikit-image"), "python": platform.python_version()}
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu, **versions}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def code(paper: str) -> dict[str, Any]:
    """The commit and hashes of the package and of the notebook's code; `dirty` if a tracked file differs, None if git
    did not say."""
    package = Path(__file__).parent
    differs = _git("status", "--porcelain", "--untracked-files=no", "--", ":!results")
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return {
        "version": __version__,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if differs is None else bool(differs),
        "package": digest.hexdigest()[:16],
        "notebook": _notebook_hash(paper),
    }


def _git(*words: str) -> str | None:
    clone = Path(__file__).parents[1]
    if not (clone / ".git").exists():  # installed from a wheel: another project's commit would be a lie
        return None
    try:
        done = subprocess.run(["git", *words], cwd=clone, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _notebook_hash(paper: str) -> str | None:
    file = Path(__file__).parents[1] / "notebooks" / f"{paper}.ipynb"
    if not file.exists():
        return None
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def hardware(machine: dict[str, Any]) -> str:
    """The GPU, or the processor with the number of threads, of a record's or this machine's description."""
    return machine["gpu"] or f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] > 1)}"
