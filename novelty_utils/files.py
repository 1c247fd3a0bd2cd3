"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from novelty_utils.params import InputError


def write_atomically(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write(file)` fill a temporary file beside `path`, then rename it: a reader never sees half of it.

    The folder is made if need be. Raises InputError, and leaves nothing behind, if the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
