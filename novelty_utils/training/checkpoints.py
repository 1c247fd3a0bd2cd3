"""The state of an unfinished training in a file: found again by what was asked for, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from novelty_utils.files import write_atomically


def path(folder: str | Path, asked: object, tensors: Iterable[Tensor]) -> Path:
    """The file in `folder` for exactly these values (compared by their `repr`) and tensors (by their contents)."""
    key = hashlib.sha256(f"{asked!r} {digest(tensors)}".encode()).hexdigest()
    return Path(folder) / f"{key[:16]}.pt"


def digest(tensors: Iterable[Tensor]) -> str:
    """Sha256, in hexadecimal, over types, shapes and contents."""
    seen = hashlib.sha256()
    for tensor in tensors:
        seen.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        seen.update(tensor.detach().cpu().contiguous().numpy().data)
    return seen.hexdigest()


def write(file: Path, state: dict[str, Any]) -> None:
    """The state behind its sha256, 32 bytes. Raises InputError if it cannot be written."""
    # in memory first: torch would make a RuntimeError of a full disk
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_atomically(file, lambda stream: stream.write(hashlib.sha256(content).digest() + content))


def read(file: Path, device: torch.device) -> dict[str, Any] | None:
    """What `write` wrote, on the device; None, with a warning, if the file is damaged, and None if there is none."""
    if not file.exists():
        return None
    with contextlib.suppress(OSError):
        if (state := unpack(file.read_bytes(), device)) is not None:
            return state
    warnings.warn(f"the checkpoint {file} is damaged: training starts anew", stacklevel=2)
    return None


def unpack(written: bytes, device: torch.device) -> dict[str, Any] | None:
    """The state in the bytes of a file that `write` wrote, on the device; None if they are damaged."""
    content = written[32:]
    if hashlib.sha256(content).digest() != written[:32]:  # torch.load would not notice a weight that has changed
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # about other formats than ours
            state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # the sha256 is no secret: behind it may stand anything, of which torch makes almost any error
        return None
    return state if isinstance(state, dict) else None
