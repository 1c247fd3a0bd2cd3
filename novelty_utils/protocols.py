"""Images and labels -> the training, held-out and test images of a named protocol, with its card.

The labels of the test part stay inside the split until `reveal` is called, once, for the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from novelty_utils.data import Dataset
from novelty_utils.params import InputError

HELD_OUT_SHARE = 0.2  # of the class, where it has fewer images than the protocol would like to train on


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
            ("training", len(self.train), 0, "fit the network, the one-class classifier, the scaling of features"),
            ("held out", len(self.held_out), 0, "choose thresholds, watch for over-fitting"),
            ("test", len(self.test) - novel, novel, "metrics, once"),
        ]
        return pd.DataFrame(rows, columns=["part", "normal", "novel", "may be used to"]).set_index("part")


def one_class(data: Dataset, normal: int, n_train: int, seed: int) -> Split:
    """Train on `n_train` images of one class, test on the whole official test part (ICS, section 4.1.1).

    The subset is a seeded draw; the rest of the class's training part is held out. A class with too few images
    keeps a fifth of them held out. Raises InputError if a part would be empty.
    """
    name = data.classes[normal]
    pool = torch.nonzero(~data.is_test & (data.labels == normal)).flatten()
    count = min(n_train, int(len(pool) * (1 - HELD_OUT_SHARE)))
    test = torch.nonzero(data.is_test).flatten()
    novel = data.labels[test] != normal
    if count < 2 or novel.all() or not novel.any():
        raise InputError(
            f"dataset={data.name!r}, class_name={name!r}: {len(pool)} training images, {int((~novel).sum())} normal "
            f"and {int(novel.sum())} other test images; at least 3, 1 and 1 are needed"
        )
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(1000 * seed + normal))]
    leak = "a decision threshold tuned on test images, labels included, flatters balanced accuracy; AUROC needs none"
    return Split(f"one_class_{n_train}", (name,), order[:count], order[count:], test, novel, leak)
