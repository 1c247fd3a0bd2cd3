"""Whether a tag may be released: it names the version of the package, and CHANGELOG.md tells of it, with a date.

python tools/release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(tag: str, version: str, changelog: str) -> list[str]:
    """What stands against releasing this tag, a line each."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag} and the package {version}: tag v{version}, or change novelty_utils/__init__.py")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)': write down what is new, and the date")
    return found


def version() -> str:
    """The one place that says it."""
    (found,) = re.findall(r'__version__ = "(.+)"', (ROOT / "novelty_utils" / "__init__.py").read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("give one tag, such as v0.1.0", file=sys.stderr)
        return 2
    found = problems(arguments[0], version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    print("\n".join(found), end="\n" * bool(found), file=sys.stderr)
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
