"""Write a file whole or not at all, and leave no empty folder behind."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

from novelty_utils.errors import InputError


def write_atomically(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write(file)` fill a temporary file beside `path`, then rename it: a reader never sees half of it.

    The folder is made if need be. Raises InputError, and leaves nothing behind, if the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to") from error
    finally:
        with contextlib.suppress(OSError):  # a path that could not be written may not be one that can be looked at
            temporary.unlink(missing_ok=True)


def remove_empty(folder: Path, there: Path) -> None:
    """Remove a folder and those above it as far as they are empty, but not `there`, which was there before."""
    folder = folder.absolute()
    for one in (folder, *folder.parents):
        if one == there.absolute():
            return
        with contextlib.suppress(OSError):  # it is not empty, or was never made
            one.rmdir()
