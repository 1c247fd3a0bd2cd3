"""The page about a scored folder: one file that needs no network, with the images that are worth a look.

Its template escapes whatever it is given; nothing here marks a text as safe.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from novelty_utils.detectors import Detector
from novelty_utils.errors import InputError, visible
from novelty_utils.evaluation import neighbours, statistics
from novelty_utils.files import write_atomically
from novelty_utils.screening import histogram, pictures

TOP, BORDERLINE, LISTED = 24, 12, 50  # most anomalous images, those next to the threshold, unreadable ones by name
WIDE = 200  # pixels of a picture on the page, at most
SMALL = 64  # a picture of no more pixels is kept without loss
HEAT = colormaps["magma"]
FEW_BITS = "uses {} of 16 bits"  # a note about an image that leaves most levels unused, always the last
BITS = FEW_BITS.format(r"(\d+)")
TEMPLATE = Path(__file__).with_name("report.html")


class Found(NamedTuple):
    """A scored folder: its files, float64 scores (n,), NaN where a file has none, notes by number, and the
    threshold that normal images seldom exceed."""

    folder: Path
    files: Sequence[Path]
    scores: np.ndarray
    notes: dict[int, str]
    threshold: float

    @property
    def scored(self) -> np.ndarray:
        """The numbers of the images that have a score, int64 (m,)."""
        return np.flatnonzero(~np.isnan(self.scores))

    @property
    def unscored(self) -> list[int]:
        return np.flatnonzero(np.isnan(self.scores)).tolist()

    @property
    def above(self) -> int:
        return int((self.scores > self.threshold).sum())

    @property
    def unlike(self) -> int:
        """How many images differ from all that were fitted, in size or colour."""
        return sum(not re.fullmatch(BITS, self.notes[n]) for n in self.scored.tolist() if n in self.notes)

    @property
    def bits(self) -> list[int]:
        """How many of 16 bits the images use that leave most levels unused."""
        noted = (re.search(f"{BITS}$", self.notes[n]) for n in self.scored.tolist() if n in self.notes)
        return [int(found[1]) for found in noted if found]


class Shown(NamedTuple):
    """One drawing: its content as an address, what it is in words, what stands below it, whether its pixels are few."""

    source: str
    alt: str
    caption: str
    coarse: bool


def write(path: Path, model: Detector, found: Found) -> None:
    """Write the page about what was found. Raises InputError if it cannot be written."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(**_content(model, found))
    write_atomically(path, lambda file: file.write(page.encode()))


def _content(model: Detector, found: Found) -> dict[str, Any]:
    top, borderline = worth_a_look(found)
    cards = _cards(model, found, [*top, *borderline])
    held_out = model.held_out_scores_
    rejected = int((held_out > model.threshold_).sum())
    low, high = statistics.share_interval(rejected, len(held_out))
    return {
        "folder": visible(found.folder),
        "detector": visible(repr(model)),
        "about": model.about,
        "count": len(found.scored),
        "above": found.above,
        "threshold": f"{model.threshold_:.4g}",
        "rejected": rejected,
        "held_out": len(held_out),
        "share": f"{rejected / len(held_out):.1%}",
        "interval": f"{low:.1%} to {high:.1%}",
        "expected": [round(share * len(found.scored)) for share in (rejected / len(held_out), low, high)],
        "least": f"{1 / (1 + len(held_out)):.2g}",
        "top": cards[: len(top)],
        "borderline": cards[len(top) :],
        "redraws": type(model).redraw is not Detector.redraw,
        "drawing": histogram.drawing(found.scores[found.scored], held_out, model.threshold_),
        "unscored": [(visible(found.files[n]), visible(found.notes[n])) for n in found.unscored[:LISTED]],
        "unscored_count": len(found.unscored),
        "unlike": found.unlike,
    }


def worth_a_look(found: Found) -> tuple[list[int], list[int]]:
    """Numbers of the images with the highest scores, falling, and of others next to the threshold, falling."""
    order = found.scored[np.argsort(-found.scores[found.scored], kind="stable")]
    top, rest = order[:TOP], order[TOP:]
    above = int((found.scores[rest] > found.threshold).sum())
    start = max(0, min(above - BORDERLINE // 2, len(rest) - BORDERLINE))
    return top.tolist(), rest[start : start + BORDERLINE].tolist()


# --- pictures ------------------------------------------------------------------------------------------------------


def _cards(model: Detector, found: Found, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What stands about each of these images."""
    shown = _drawings(model, [found.files[n] for n in numbers])
    p = model.p_values(found.scores[list(numbers)])
    return [
        {
            "name": visible(found.files[n]),
            "score": f"{found.scores[n]:.4g}",
            "above": bool(found.scores[n] > found.threshold),
            "p": f"{p[place]:.2g}",
            "note": visible(found.notes.get(n, "")),
            "shown": shown[place],
        }
        for place, n in enumerate(numbers)
    ]


def _drawings(model: Detector, files: Sequence[Path]) -> list[list[Shown]]:
    """Of each file the image, what the detector sees and makes of it, and the nearest one; none if it has gone."""
    shown: list[list[Shown]] = [[] for _ in files]
    there = {place: one for place, file in enumerate(files) if (one := _again(file, model.shape[1])) is not None}
    if not there:
        return shown
    images = pictures.pixels([small for _, small in there.values()], model.shape[0])
    sized, drawn = model.sized(images), model.reconstruct(images)
    near = _nearest(model.examples_, sized)
    for row, (place, (whole, _)) in enumerate(there.items()):
        name, mine = visible(files[place]), shown[place]
        mine.append(_picture(whole, f"{name}, as it is", "image"))
        mine.append(_picture(_image(sized[row]), f"{name}, as the detector sees it", "as seen"))
        if drawn is not None:
            again = (255 * drawn[row]).round().to(torch.uint8)
            away = (drawn[row] - sized[row].float() / 255).abs().mean(0)
            mine.append(_picture(_image(again), f"{name}, redrawn by the detector", "redrawn"))
            mine.append(_picture(_heat(away), f"where {name} and its redrawing differ", "difference"))
        mine.append(_picture(_image(near[row]), f"the fitted image most like {name}", "nearest fitted"))
    return shown


def _again(file: Path, side: int) -> tuple[Image.Image, Image.Image] | None:
    """An image that was scored, no larger than it is shown and as it was scored; None if it has gone since."""
    try:
        whole = pictures.upright(file)
    except InputError:
        return None
    small = pictures.small(whole, side)
    whole.thumbnail((WIDE, WIDE))
    return whole, small


def _nearest(examples: Tensor, sized: Tensor) -> Tensor:
    """Of the examples, the one whose pixels are nearest to each image: uint8 like `sized`."""
    queries, bank = (images.flatten(1).float() / 255 for images in (sized, examples))
    return examples[neighbours.nearest(queries, bank, 1)[1][:, 0]]


def _heat(away: Tensor) -> Image.Image:
    """Of differences, float32 (h, w): the largest is brightest."""
    shares = (away / away.max().clamp(min=1e-6)).numpy()
    return Image.fromarray((255 * np.asarray(HEAT(shares))[..., :3]).astype(np.uint8))


def _image(pixels: Tensor) -> Image.Image:
    """Of uint8 (c, h, w)."""
    return Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy())


def _picture(image: Image.Image, alt: str, caption: str) -> Shown:
    coarse = max(image.size) <= SMALL  # few pixels are kept as they are
    image.thumbnail((WIDE, WIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG" if coarse else "JPEG", **({"optimize": True} if coarse else {"quality": 85}))
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    return Shown(f"data:image/{'png' if coarse else 'jpeg'};base64,{content}", alt, caption, coarse)
