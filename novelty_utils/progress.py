"""What a run says besides its results: the progress bar of package and notebooks, and lines about what it was given."""

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


def tell(line: str) -> None:
    """Say, beside whatever bar is drawn, what somebody should know who gave this input; the run goes on."""
    std.tqdm.write(f"note: {line}", file=sys.stderr)


def _watched(file: TextIO) -> bool:
    """A terminal, or the output of a cell."""
    return file.isatty() or type(file).__module__.startswith("ipykernel")
