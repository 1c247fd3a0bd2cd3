"""The file of a fitted detector: written whole, and opened only where everything in it fits together.

Anybody may have written what is opened here, so nothing is allocated because a number in the file says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote, on the processor. Raises InputError if it is damaged or of another format."""
    with reachable("detector", str(path)):
        if not Path(path).is_file():
            raise InputError(f"{path} is not a file: give one that a detector was saved to")
        written = Path(path).read_bytes()
    saved = checkpoints.unpack(written, torch.device("cpu"))
    if saved is None or "detector" not in saved or type(saved.get("format")) is not int:
        raise _damaged(path)
    if saved["format"] != FORMAT:
        raise InputError(f"{path} has format {saved['format']}, and this version reads {FORMAT}: fit it again")
    if not _is_whole(saved):
        raise _damaged(path)
    return saved


def refuse_other_version(path: str | Path, saved: Mapping[str, Any], source: str) -> None:
    """Raise InputError unless the definitions of its notebook still have the digest that they had when it was saved."""
    if saved["source"] != source:
        told = visible(", ".join(f"{library} {version}" for library, version in saved["versions"].items()))
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


def _is_whole(saved: dict[str, Any]) -> bool:
    """Whether a saved detector has everything that `save` writes, each of its type, with scores that are numbers."""
    if not all(isinstance(saved.get(entry), kind) for entry, kind in TYPES.items()):
        return False
    detector, held_out, examples = saved["detector"], saved["held_out_scores"], saved["examples"]
    return (
        isinstance(detector, list)
        and [type(word) for word in detector] == [str, str]
        and [type(side) for side in saved["shape"]] == [int, int, int]
        and all(isinstance(one, Tensor) for part in ("weights", "fitted") for one in saved[part].values())
        and (held_out.dtype, held_out.layout, held_out.ndim) == (torch.float64, torch.strided, 1)
        and len(held_out) > 0
        and bool(held_out.isfinite().all() and (held_out.diff() >= 0).all())
        and math.isfinite(saved["threshold"])
        and examples.dtype == torch.uint8
        and examples.ndim == 4
        and len(examples) > 0
    )


def _restored(kind: type[Detector], saved: Mapping[str, Any], device: torch.device) -> Detector:
    """The detector with what was saved; it has scored one image, as parts that do not fit raise errors then."""
    detector, examples = kind(**saved["arguments"]), saved["examples"]
    side = detector.side
    if tuple(examples.shape[1:]) != (*saved["shape"][:1], *(saved["shape"][1:] if side is None else (side, side))):
        raise ValueError("examples of another shape")
    detector.begin(saved["shape"])
    types = {name: one.dtype for name, one in detector.network.state_dict().items()}
    if types != {name: one.dtype for name, one in saved["weights"].items()}:
        raise ValueError("weights of another network")
    detector.network.load_state_dict(saved["weights"], assign=True)  # in the memory layout they were trained in
    detector.network.eval().to(device)
    detector.fitted = saved["fitted"]
    detector.held_out_scores_, detector.threshold_ = saved["held_out_scores"].numpy(), saved["threshold"]
    detector.examples_, detector.about = examples, saved["about"]
    detector.prepare()
    detector.score(examples[:1], torch.arange(1))
    return detector
