"""The progress bar of the package and the notebooks."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import std

SECONDS = 30.0


class tqdm(std.tqdm):  # noqa: N801  it is used like the one that it is made of
    """A progress bar that moves where somebody watches; in a log, a line every half minute and none before."""

    def __init__(self, *args: Any, **how: Any) -> None:
        if not _watched(how.get("file") or sys.stderr):
            how |= dict.fromkeys(("mininterval", "maxinterval", "delay"), SECONDS)
        super().__init__(*args, **how)


def _watched(file: TextIO) -> bool:
    """A terminal, or the output of a cell."""
    return file.isatty() or type(file).__module__.startswith("ipykernel")
