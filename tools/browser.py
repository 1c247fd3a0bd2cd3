"""Find the Chromium that the browser check drives, or install one.

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


def install() -> None:
    """Try the system's package where that is allowed without a password, then playwright's download."""
    print("browser check: installing Chromium ...", flush=True)
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and (not sudo or shutil.which("sudo")):
        apt = [*sudo, "apt-get"]
        commands.insert(0, [*apt, "install", "-y", "--no-install-recommends", "chromium"])
        commands.insert(0, [*apt, "update"])
    for command in commands:
        if subprocess.run(command, capture_output=True).returncode == 0 and find():
            return


def main() -> int:
    if not find():
        install()
    if find():
        return 0
    print("browser check: no Chromium here and none could be installed: put chromium on the PATH", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
