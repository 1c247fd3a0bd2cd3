"""Put the parts of a score on one scale. Higher scores mean more anomalous everywhere."""

from __future__ import annotations

import numpy as np


def standardise(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Scores in standard deviations above the mean of held-out normal images, float64 (m,) like `scores`.

    Each image is scored alone: nothing depends on which others are tested. Held-out scores that are all the same have
    no spread, and 1 stands in for it, so that the result is defined: the distance from that one value.
    Raises ValueError if `held_out`, (n,), is empty.
    """
    scores, held_out = np.asarray(scores, dtype=np.float64), np.asarray(held_out, dtype=np.float64)
    # Not std() == 0: the mean of equal numbers can miss them by a rounding error, which would be divided by.
    spread = held_out.std() if np.ptp(held_out) > 0 else 1.0
    return (scores - held_out.mean()) / spread


def min_max(scores: np.ndarray) -> np.ndarray:
    """Scores moved and stretched to [0, 1], float64 (m,); all zero if they are all the same.

    Transductive: the score of one test image depends on the others. The public code of the NLN authors scales the parts
    of its score this way before it adds them; here it serves an ablation only, `standardise` everything else.
    Raises ValueError if there are no scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    return (scores - scores.min()) / (np.ptp(scores) or 1.0)
