"""The state of an unfinished training in a file: found again by what was asked for, written whole or not at all."""

from __future__ import annotations

import hashlib
import pickle
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
        seen.update(tensor.detach().cpu().contiguous().numpy())
    return seen.hexdigest()


def write(file: Path, state: dict[str, Any]) -> None:
    """Raises InputError if the folder cannot be written."""
    write_atomically(file, lambda stream: torch.save(state, stream))


def read(file: Path, device: torch.device) -> dict[str, Any] | None:
    """What `write` wrote, on the device; None, with a warning, if the file is damaged, and None if there is none."""
    if not file.exists():
        return None
    try:
        return torch.load(file, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        warnings.warn(f"the checkpoint {file} is damaged: training starts anew", stacklevel=2)
        return None
