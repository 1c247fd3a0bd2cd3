"""Images and labels -> the training, held-out and test images of a named protocol, with its card.

The labels of the test part stay inside the split until `reveal` is called, once, for the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from novelty_utils.data import Dataset
from novelty_utils.params import InputError

HELD_OUT_SHARE = 0.2  # of the class, where it has fewer images than `one_class` would like to train on
HELD_OUT_TENTH = 0.1  # of the normal training images, in `simo` and `miso`; the NLN paper mentions no held-out part
NLN_LEAK = (
    "the paper picks model, K, L and alpha by AUROC on the test part, and its public code scales the two parts of a "
    "score by their extremes over the test part"
)


@dataclass(frozen=True)
class Split:
    """Index sets into a data set: int64 vectors. `train` and `held_out` hold normal images only."""

    protocol: str
    normal: tuple[str, ...]
    train: Tensor
    held_out: Tensor
    test: Tensor
    _novel: Tensor = field(repr=False)
    leak: str = ""

    def reveal(self) -> np.ndarray:
        """The test labels, int64 (len(test),): 1 = novel, 0 = normal. For metrics only."""
        return self._novel.numpy().astype(np.int64)

    def card(self) -> pd.DataFrame:
        """One row per part: how many images, of which kind, and what they may be used for."""
        novel = int(self._novel.sum())
        rows = [
            ("training", len(self.train), 0, "fit the network and what works on its features"),
            ("held out", len(self.held_out), 0, "scale scores, set thresholds, spot over-fitting"),
            ("test", len(self.test) - novel, novel, "metrics, once"),
        ]
        return pd.DataFrame(rows, columns=["part", "normal", "novel", "may be used to"]).set_index("part")


def one_class(data: Dataset, normal: int, n_train: int, seed: int) -> Split:
    """Train on `n_train` images of one class, test on the whole official test part (ICS, section 4.1.1).

    The subset is a seeded draw; the rest of the class's training part is held out. A class with too few images
    keeps a fifth of them held out. Raises InputError if a part would be empty.
    """
    leak = "a decision threshold tuned on test images, labels included, flatters balanced accuracy; AUROC needs none"

    def size(n: int) -> int:
        return min(n_train, int(n * (1 - HELD_OUT_SHARE)))

    return _split(data, f"one_class_{n_train}", normal, [normal], size, seed, leak)


def simo(data: Dataset, single: int, seed: int) -> Split:
    """Single inlier, multiple outliers: the class `single` is normal, every other class is novel (NLN, section 4.1).

    A seeded tenth of the class's training part is held out, at least one image, and the rest trains; the test part is
    the whole official one. Raises InputError if a part would be empty.
    """
    return _split(data, "simo", single, [single], _all_but_a_tenth, seed, NLN_LEAK)


def miso(data: Dataset, single: int, seed: int) -> Split:
    """Multiple inliers, single outlier: the class `single` is novel, every other class is normal (NLN, section 4.1).

    A seeded tenth of all normal training images together is held out, so the classes are held out in about equal
    shares; otherwise as `simo`.
    """
    normal = [label for label in range(len(data.classes)) if label != single]
    return _split(data, "miso", single, normal, _all_but_a_tenth, seed, NLN_LEAK)


def _all_but_a_tenth(n: int) -> int:
    return n - max(1, int(n * HELD_OUT_TENTH))


def _split(
    data: Dataset, protocol: str, single: int, normal: list[int], size: Callable[[int], int], seed: int, leak: str
) -> Split:
    """Train on a draw of `size(n)` of the n normal training images and hold out the rest; test on the test part."""
    is_normal = torch.isin(data.labels, torch.tensor(normal, dtype=torch.int64))
    pool = torch.nonzero(~data.is_test & is_normal).flatten()
    test = torch.nonzero(data.is_test).flatten()
    novel = ~is_normal[test]
    count = size(len(pool))
    if count < 2 or novel.all() or not novel.any():
        raise InputError(
            f"dataset={data.name!r}, class_name={data.classes[single]!r} under {protocol}: {len(pool)} training "
            f"images, {int((~novel).sum())} normal and {int(novel.sum())} other test images; at least 3, 1 and 1 are "
            "needed"
        )
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(1000 * seed + single))]
    names = tuple(data.classes[label] for label in normal)
    return Split(protocol, names, order[:count], order[count:], test, novel, leak)
