"""Images and labels -> the training, held-out and test images of a named protocol, with its card.

The labels of the test part stay inside the split until `reveal` is called, once, for the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.params import Protocol

ONE_CLASS_TRAIN = 4000  # the training images of ICS
HELD_OUT_SHARE = 0.2  # of the class, where it has fewer images than `one_class` would like to train on
HELD_OUT_TENTH = 0.1  # of the normal training images, under the other protocols; no paper mentions a held-out part
# Images of a category: the CRBND paper names no limit and no split; earlier users of its protocol stopped at 150.
TRAIN_CAP, TEST_CAP = 105, 45
CLUTTER = "clutter"  # the category of Caltech-256 that is no category
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


def outlier_share(data: Dataset, normal: int, seed: int) -> Split:
    """One class is normal, and the test part is mixed by `mixture` afterwards (CRBND, section 4.1 and Fig. 3).

    Until then the split is that of `simo`: nine tenths of the class train, the test part is the whole official one.
    """
    leak = (
        "the best F1 over all thresholds needs labelled outliers; lambda was set 'experimentally', and the public code "
        "takes the autoencoder's epoch with the best AUROC on a part of the test images"
    )
    return _split(data, "outlier_share", normal, [normal], _all_but_a_tenth, seed, leak)


def split(protocol: Protocol, data: Dataset, label: int, seed: int) -> Split:
    """The split of a protocol by its name; `label` is the normal class, under `miso` the novel one."""
    if protocol == "one_class":
        return one_class(data, label, ONE_CLASS_TRAIN, seed)
    return {"simo": simo, "miso": miso, "outlier_share": outlier_share}[protocol](data, label, seed)


def mixture(split: Split, share: float, seed: int) -> Split:
    """The same split with all normal test images and so many random novel ones that they make up `share` of the test.

    share: in (0, 1). Raises InputError if that is no whole image, or more than the test part has.
    """
    normal, novel = split.test[~split._novel], split.test[split._novel]
    count = round(len(normal) * share / (1 - share)) if 0 < share < 1 else 0
    if not 1 <= count <= len(novel):
        # In tenths of a percent, rounded inwards: what the message offers has to work.
        lowest, highest = 1000 // (2 * len(normal) + 1) + 1, 1000 * len(novel) // (len(normal) + len(novel))
        advice = f"choose {lowest / 10:g} to {highest / 10:g} %" if lowest <= highest else "more others are needed"
        raise InputError(
            f"an outlier share of {100 * share:g} % cannot be filled: there are {len(normal)} normal test images and "
            f"{len(novel)} others; {advice}"
        )
    drawn = torch.randperm(len(novel), generator=torch.Generator().manual_seed(seed))[:count]
    test = torch.cat([normal, novel[drawn]])
    return replace(split, test=test, _novel=torch.arange(len(test)) >= len(normal))


def inlier_categories(data: Dataset, n: int, seed: int) -> Split:
    """`n` random categories are normal, and the test part holds as many outliers as normal images (CRBND, Table 1).

    Outliers come from the category "clutter" where the data set has one, otherwise from all that were not drawn. Of a
    category at most 105 images of the training part are used, a fifth of them held out, and 45 of the test part.
    Everything is drawn by `seed`. Raises InputError if there are too few categories, images or outliers.
    """
    # A folder of Caltech-256 has names such as 257.clutter.
    clutter = {label for label, name in enumerate(data.classes) if name.rpartition(".")[2] == CLUTTER}
    known = [label for label in range(len(data.classes)) if label not in clutter]
    most = len(known) if clutter else len(known) - 1  # someone has to be an outlier
    if not 1 <= n <= most:
        raise InputError(f"n_inlier={n}: {data.name} has {len(known)} categories; choose 1 to {most} of them")
    generator = torch.Generator().manual_seed(seed)
    normal = sorted(known[i] for i in torch.randperm(len(known), generator=generator)[:n].tolist())

    def some(wanted: Tensor, most: int) -> Tensor:
        index = torch.nonzero(wanted).flatten()
        return index[torch.randperm(len(index), generator=generator)[:most]]

    pools = [some((data.labels == label) & ~data.is_test, TRAIN_CAP) for label in normal]
    test = torch.cat([some((data.labels == label) & data.is_test, TEST_CAP) for label in normal])
    others = torch.tensor([*(clutter or {*known} - {*normal})])
    outliers = some(torch.isin(data.labels, others) & data.is_test, len(test))
    names = tuple(data.classes[label] for label in normal)
    if min(map(len, pools)) < 3 or not len(test) or len(outliers) < len(test):
        raise InputError(
            f"dataset={data.name!r}, normal {', '.join(names)}: {', '.join(str(len(pool)) for pool in pools)} training "
            f"images, {len(test)} normal and {len(outliers)} other test images; 3 of each category to train on, one to "
            "test, and as many others are needed"
        )
    size = [int(len(pool) * (1 - HELD_OUT_SHARE)) for pool in pools]
    train, held_out = (torch.cat(parts) for parts in zip(*map(_cut, pools, size), strict=True))
    novel = torch.arange(len(test) + len(outliers)) >= len(test)
    leak = "outliers from another source, such as clutter, differ in more than content; the split is not printed"
    return Split(f"inlier_categories_{n}", names, train, held_out, torch.cat([test, outliers]), novel, leak)


def _cut(index: Tensor, size: int) -> tuple[Tensor, Tensor]:
    return index[:size], index[size:]


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
