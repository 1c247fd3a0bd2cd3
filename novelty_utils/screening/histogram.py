"""How scores are distributed, as numbers for a drawing: new images, held-out normal ones, and the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 40
WIDTH, HEIGHT = 640, 200  # of the drawing, in its own units


def drawing(new: np.ndarray, held_out: np.ndarray, threshold: float) -> dict[str, Any]:
    """Bars of both as shares of their own number, and where the threshold lies, in units of the drawing.

    new and held_out: float64 (n,) and (m,); n may be 0. The axis spans all held-out scores, and the middle 98 % of
    the new ones as far as twice that width away; a score beyond it counts in the last bar, and `beyond` says how many
    there are on the right.
    """
    low, high = _span(new, held_out, threshold)
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(values.clip(low, high), edges)[0] / max(1, len(values)) for values in (new, held_out)]
    tallest = max(float(share.max()) for share in shares)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "new": _bars(shares[0], tallest),
        "held_out": _bars(shares[1], tallest),
        "threshold": round((threshold - low) / (high - low) * WIDTH, 1),
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "beyond": int((new > high).sum()),
    }


def _span(new: np.ndarray, held_out: np.ndarray, threshold: float) -> tuple[float, float]:
    low, high = min(threshold, held_out.min()), max(threshold, held_out.max())
    reach = 2 * ((high - low) or 1)
    if len(new):
        left, right = np.quantile(new, [0.01, 0.99])
        low, high = min(low, max(left, low - reach)), max(high, min(right, high + reach))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _bars(shares: np.ndarray, tallest: float) -> list[dict[str, float]]:
    wide = WIDTH / BINS
    return [
        {"x": round(n * wide, 1), "width": round(wide, 1), "height": round(share / tallest * HEIGHT, 1)}
        for n, share in enumerate(shares.tolist())
        if share
    ]
