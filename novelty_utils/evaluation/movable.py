"""Data beside a figure, for a page on which a reader moves its parameters; book/_static/movable.js draws it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Kind = Literal["neighbours", "threshold", "parts", "split"]


class Movable:
    """The last value of a cell that draws a figure. In the book a drawing takes its place; elsewhere nothing is seen.

    kind: a function of movable.js, which says what it reads. data: numbers, lists and arrays; four digits are kept.
    """

    def __init__(self, kind: Kind, **data: Any):
        self.kind, self.data = kind, data

    def _repr_html_(self) -> str:
        text = json.dumps(_short(self.data), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        return f'<script type="application/json" class="movable" data-kind="{self.kind}">{text}</script>'


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_short(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, (float, np.floating)) else getattr(value, "item", lambda: value)()


def sprite(*rows: Tensor) -> str:
    """Rows of pictures side by side as one image, for the page to cut: float (m, c, h, w) in [0, 1] to a data URI."""
    whole = np.vstack([torch.cat([*row], 2).permute(1, 2, 0).numpy() for row in rows])
    whole = (255 * whole).round().astype(np.uint8)
    grey = (whole == whole[..., :1]).all()
    file = io.BytesIO()
    Image.fromarray(whole[..., 0] if grey else whole).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
