"""The file of a fitted detector: written whole, and opened only where everything in it fits together.

Anybody may have written what is opened here, so nothing is allocated because a number in the file says so.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from novelty_utils.errors import InputError, visible
from novelty_utils.files import reachable
from novelty_utils.training import checkpoints

if TYPE_CHECKING:
    from novelty_utils.detectors import Detector

FORMAT = 2
DIGEST = 32  # bytes of a sha256, before the archive that torch writes
MOST_VALUES = 2**26  # of an image that a detector is for: a colour one of 4,729 x 4,729
LIBRARIES = ("torch", "numpy", "scikit-learn")  # whose versions a file names
TYPES = {
    "source": str,
    "versions": dict,
    "arguments": dict,
    "shape": list,
    "weights": dict,
    "fitted": dict,
    "held_out_scores": Tensor,
    "threshold": float,
    "examples": Tensor,
    "about": dict,
}  # of what a file holds, beside its format and the name of the detector


def write(path: str | Path, detector: Detector, source: str) -> None:
    """Write a fitted detector, whose notebook's definitions have the digest `source`. Raises InputError."""
    content = {
        "format": FORMAT,
        "detector": [detector.notebook, type(detector).__name__],
        "source": source,
        "versions": {library: metadata.version(library) for library in LIBRARIES},
        "arguments": detector.arguments(),
        "shape": list(detector.shape),
        "weights": detector.network.state_dict(),
        "fitted": detector.fitted,
        "held_out_scores": torch.from_numpy(detector.held_out_scores_),
        "threshold": detector.threshold_,
        "examples": detector.examples_,
        "about": detector.about,
    }
    checkpoints.write(Path(path), content)


def refuse_too_large(shape: Sequence[int]) -> None:
    """Raise InputError for images of a shape that no file is opened with."""
    if math.prod(shape) > MOST_VALUES:
        told = f"images of shape {tuple(shape)} have {math.prod(shape):,} values each"
        raise InputError(f"{told}: a detector takes at most {MOST_VALUES:,}, give smaller ones")


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote, on the processor. Raises InputError if it is damaged or of another format."""
    with reachable("detector", str(path)):
        if not Path(path).is_file():
            raise InputError(f"{path} is not a file: give one that a detector was saved to")
        written = Path(path).read_bytes()
    saved = checkpoints.unpack(written, torch.device("cpu")) if _is_stored(written) else None
    if saved is None or "detector" not in saved or type(saved.get("format")) is not int:
        raise _damaged(path)
    if saved["format"] != FORMAT and 0 <= saved["format"] < 1000:
        raise InputError(f"{path} has format {saved['format']}, and this version reads {FORMAT}: fit it again")
    if saved["format"] != FORMAT or not _is_whole(saved):
        raise _damaged(path)
    return saved


def refuse_other_version(path: str | Path, saved: Mapping[str, Any], source: str) -> None:
    """Raise InputError unless the definitions of its notebook still have the digest that they had when it was saved."""
    if saved["source"] != source:
        told = visible(", ".join(f"{library} {version}" for library, version in saved["versions"].items())[:200])
        notebook = saved["detector"][0]
        raise InputError(f"{path} was saved by another version of notebook {notebook} ({told}): fit it again")


def restored(path: str | Path, kind: type[Detector] | None, saved: Mapping[str, Any], device: torch.device) -> Detector:
    """The detector of this class with what `read` has read. Raises InputError where the two do not fit together."""
    if kind is None:
        raise _damaged(path)
    try:
        return _restored(kind, saved, device)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what anybody may have written into a file makes a detector raise almost anything
        raise _damaged(path) from error


def _damaged(path: str | Path) -> InputError:
    return InputError(f"{path} is damaged or no saved detector: save it again with novelty fit --save")


# --- whether it is what `write` wrote ------------------------------------------------------------------------------


def _is_stored(written: bytes) -> bool:
    """Whether it is an archive as large as what is in it: nothing is packed, or there twice in the same place."""
    try:
        with zipfile.ZipFile(io.BytesIO(written[DIGEST:])) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error):
        return False
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    return stored and sum(entry.file_size for entry in entries) <= len(written)


def _is_whole(saved: Mapping[str, Any]) -> bool:
    """Whether a saved detector has everything that `write` writes, each of its type, with scores that are numbers."""
    if not all(isinstance(saved.get(entry), kind) for entry, kind in TYPES.items()):
        return False
    detector, held_out, examples = saved["detector"], saved["held_out_scores"], saved["examples"]
    return (
        isinstance(detector, list)
        and [type(word) for word in detector] == [str, str]
        and all(type(word) is str for pair in saved["versions"].items() for word in pair)
        and _is_shape(saved["shape"])
        and all(type(one) in (int, float, str, bool) for one in saved["arguments"].values())
        and all(isinstance(one, Tensor) for part in ("weights", "fitted") for one in saved[part].values())
        and all(map(_is_dense, [*saved["weights"].values(), *saved["fitted"].values(), held_out, examples]))
        and (held_out.dtype, held_out.ndim) == (torch.float64, 1)
        and len(held_out) > 0
        and bool(held_out.isfinite().all() and (held_out.diff() >= 0).all())
        and math.isfinite(saved["threshold"])
        and examples.dtype == torch.uint8
        and examples.ndim == 4
        and len(examples) > 0
        and _is_about(saved["about"])
    )


def _is_shape(shape: list[Any]) -> bool:
    """Of images (c, h, w), which a folder of images is brought to before it is scored."""
    plain = [type(side) for side in shape] == [int, int, int]
    return plain and min(shape) > 0 and max(shape) < MOST_VALUES and math.prod(shape) <= MOST_VALUES


def _is_dense(one: Tensor) -> bool:
    """Whether it has all of its values in memory: one that is sparse, or repeats a few, may pretend to any size."""
    if one.layout != torch.strided or one.device.type != "cpu":
        return False
    return one.numel() * one.element_size() <= one.untyped_storage().nbytes()


def _is_about(about: Mapping[Any, Any]) -> bool:
    """Whether what our pages and tables take from it is as `fit` leaves it; a caller may have added other values."""
    counts = [about[name] for name in ("fitted", "held_out", "grey") if name in about]
    ends = [about[name] for name in ("widths", "heights", "aspects") if name in about]
    share = about.get("false_alarms", 0.1)
    return (
        all(type(count) is int and 0 <= count < 2**63 for count in counts)
        and type(share) is float
        and 0 < share < 1
        and len(ends) in (0, 3)
        and all(isinstance(pair, list) and [type(one) in (int, float) for one in pair] == [True, True] for pair in ends)
        and all(0 < low <= high < 2**31 for low, high in ends)
    )


# --- the detector --------------------------------------------------------------------------------------------------


def _restored(kind: type[Detector], saved: Mapping[str, Any], device: torch.device) -> Detector:
    """The detector with what was saved; it has scored one image, as parts that do not fit raise errors then."""
    detector, examples = kind(**saved["arguments"]), saved["examples"]
    side = detector.side
    if tuple(examples.shape[1:]) != (*saved["shape"][:1], *(saved["shape"][1:] if side is None else (side, side))):
        raise ValueError("examples of another shape")
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # where a network of any size takes no memory
        planned = detector.build(tuple(examples.shape[1:]))
    if _plan(planned.state_dict()) != _plan(saved["weights"]):
        raise ValueError("weights of another network")
    detector.begin(saved["shape"])
    detector.network.load_state_dict(saved["weights"], assign=True)  # in the memory layout they were trained in
    detector.network.eval().to(device)
    detector.fitted = saved["fitted"]
    detector.held_out_scores_, detector.threshold_ = saved["held_out_scores"].numpy(), saved["threshold"]
    detector.examples_, detector.about = examples, saved["about"]
    detector.prepare()
    detector.score(examples[:1], torch.arange(1))
    return detector


def _plan(weights: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (one.dtype, one.shape) for name, one in weights.items()}
