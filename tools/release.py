"""Make the numbers of a release agree, and tell whether a tag may be set.

    python tools/release.py --prepare 0.2.0   # writes the version, the badges and what the notebooks install
    python tools/release.py v0.2.0            # exit 2, with a line for each thing that stands against this tag

Between releases all of them name the last one: what a reader opens in Colab is a notebook and a package that were
tested together.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from crossref import ROOT, read_book
from novelty_utils.files import write_atomically
from pair import pair

VERSION = "novelty_utils/__init__.py"


def problems(tag: str, version: str, changelog: str, branch: str) -> list[str]:
    """What stands against releasing this tag, a line each. `branch` is what the notebooks install."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag} and the package {version}: tag v{version}, or change {VERSION}")
    if branch != tag:
        found.append(f"the badges and the notebooks name {branch}: run python tools/release.py --prepare {version}")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)': write down what is new, and the date")
    return found


def version(root: Path = ROOT) -> str:
    """The one place that says it."""
    (found,) = re.findall(r'__version__ = "(.+)"', (root / VERSION).read_text(encoding="utf-8"))
    return found


def prepare(new: str, root: Path = ROOT) -> list[str]:
    """Write the version of the next release wherever the last one stands; returns the files that have changed."""
    book, last = read_book(root), version(root)
    owner = book.repository.removeprefix("https://github.com/")
    turned = {
        f'__version__ = "{last}"': f'__version__ = "{new}"',
        f"  branch: {book.branch} ": f"  branch: v{new} ",
        f"{book.repository}@{book.branch}": f"{book.repository}@v{new}",
        f"/{owner}/blob/{book.branch}/": f"/{owner}/blob/v{new}/",
    }
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    changed = [name for name in listed.splitlines() if _turned(root / name, turned)]
    return changed + pair(root, check=False)


def _turned(path: Path, turned: dict[str, str]) -> bool:
    if path.suffix not in {".py", ".md", ".yml"}:
        return False
    text = before = path.read_text(encoding="utf-8")
    for old, new in turned.items():
        text = text.replace(old, new)
    if text != before:
        write_atomically(path, lambda file: file.write(text.encode()))
    return text != before


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--prepare", new] if re.fullmatch(r"\d+\.\d+\.\d+", new):
            print("\n".join(prepare(new)) or f"everything names {new} already")
            return 0
        case [tag] if not tag.startswith("-"):
            changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
            found = problems(tag, version(), changelog, read_book().branch)
            print("\n".join(found), end="\n" * bool(found), file=sys.stderr)
            return 2 if found else 0
    print("give one tag, such as v0.1.0, or --prepare and a number, such as 0.2.0", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
