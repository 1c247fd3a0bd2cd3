"""The notebooks as Colab runs them: in a fresh environment with Colab's versions, installed by their own first cell.

    python tools/colab.py                               # all with a badge, in the smoke tier, into _build/colab
    python tools/colab.py --python python3.13 ics nln   # these two, by another Python

Fails if a notebook does, or if pip would have touched what Colab brought.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import papermill
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from crossref import ROOT
from novelty_utils import notebook_cells

LISTED = ROOT / "tests" / "colab.txt"
FOLDER = ROOT / "_build" / "colab"
INSTALLS = re.compile(r'"novelty-utils(\[[\w,-]+\])? @ git\+')  # with the extras that a notebook asks for


def brought() -> list[Requirement]:
    """The packages that Colab brings, with their versions where these are known."""
    lines = LISTED.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def touched(report: Mapping[str, Any], there: Iterable[str]) -> list[str]:
    """What a report of pip (version 1) puts in the place of packages that are there, as name and version."""
    assert report["version"] == "1"
    new, names = [line["metadata"] for line in report["install"]], {canonicalize_name(name) for name in there}
    return sorted(f"{one['name']} {one['version']}" for one in new if canonicalize_name(one["name"]) in names)


def asked(notebook: Path) -> str | None:
    """The extras that a notebook installs with the package, such as "[pretrained]"; None if it installs nothing."""
    cells = [cell for cell in notebook_cells.code_cells(notebook) if "colab" in cell.tags]
    return (INSTALLS.search(cells[0].source)[1] or "") if cells else None


def prepare(base: str) -> Path:
    """A fresh environment with Colab's versions and its kernel, without our package; returns its Python."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([base, "-m", "venv", FOLDER / "env"], check=True)
    python = FOLDER / "env" / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python]
    subprocess.run([*install, "-r", LISTED], check=True)
    kernel = FOLDER / "jupyter" / "kernels" / "colab" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}), encoding="utf-8")
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", FOLDER]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return python


def run(notebook: Path, python: Path) -> list[str]:
    """Install and run one notebook in one kernel, in a folder that holds nothing else; what pip touched on the way."""
    folder, report = FOLDER / notebook.stem, FOLDER / f"{notebook.stem}.json"
    folder.mkdir()
    shutil.copy(notebook, folder)
    subprocess.run([python, "-m", "pip", "uninstall", "-qq", "-y", "novelty-utils"], check=True)
    (wheel,) = FOLDER.glob("*.whl")
    os.environ |= {"NOVELTY_UTILS_SOURCE": f"{wheel}{asked(notebook)}", "PIP_REPORT": str(report)}
    words = {"kernel_name": "colab", "language": "python", "progress_bar": False, "cwd": folder, "start_timeout": 120}
    papermill.execute_notebook(folder / notebook.name, folder / "run.ipynb", {"tier": "smoke"}, **words)
    return touched(json.loads(report.read_text(encoding="utf-8")), (one.name for one in brought()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="Colab's is 3.13 (default: the one that runs this)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks (default: all with a badge)")
    chosen = parser.parse_args()
    with_badge = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if asked(path) is not None]
    python = prepare(chosen.python)
    for name in ("PYTHONPATH", "PIP_CONSTRAINT"):
        os.environ.pop(name, None)
    os.environ |= {"JUPYTER_PATH": str(FOLDER / "jupyter"), "TQDM_DISABLE": "1"}
    failed = 0
    for notebook in [path for path in with_badge if path.stem in (chosen.names or [path.stem])]:
        started = time.perf_counter()
        try:
            found = run(notebook, python)
            told = f"pip would replace {', '.join(found)}" if found else "runs, and pip touches nothing of Colab's"
        except Exception as error:
            found, told = [notebook.stem], notebook_cells.fault(error)
        failed += bool(found)
        print(f"{notebook.stem}: {told} ({time.perf_counter() - started:.0f} s)", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
