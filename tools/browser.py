"""Find the programs that tests drive and pip does not bring, or install them: Chromium, and bubblewrap for the course.

python tools/browser.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """The path of a Chromium or Chrome: the system's own, or else the one that playwright has installed."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def from_the_system(package: str) -> list[list[str]]:
    """The commands that install a package of the system, where that is allowed without a password."""
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (sudo and not shutil.which("sudo")):
        return []
    apt = [*sudo, "apt-get"]
    return [[*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", package]]


def install() -> None:
    """Try the system's package, then playwright's download."""
    print("browser check: installing Chromium ...", flush=True)
    for command in [*from_the_system("chromium"), [sys.executable, "-m", "playwright", "install", "chromium"]]:
        if subprocess.run(command, capture_output=True).returncode == 0 and find():
            return


def main() -> int:
    if not shutil.which("bwrap"):
        for command in from_the_system("bubblewrap"):
            subprocess.run(command, capture_output=True)
    if not shutil.which("bwrap"):
        print("course: bubblewrap could not be installed, so its grading tests will fail", file=sys.stderr)
    if not find():
        install()
    if find():
        return 0
    print("browser check: no Chromium here and none could be installed: put chromium on the PATH", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
