"""One score at several shares of outliers in the test (CRBND, Fig. 3): AUROC and F1, means over random mixtures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from novelty_utils.data import protocols
from novelty_utils.data.protocols import Split
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics
from novelty_utils.records.schema import Result, metric_at

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)  # of outliers in the test
DRAWS = 5  # mixtures for each share

# By share, the mixtures: positions in the test part int64 (m,) and labels int64 (m,), 1 = novel.
Mixtures = Mapping[float, list[tuple[np.ndarray, np.ndarray]]]


def drawn(split: Split, seed: int, shares: Iterable[float] = SHARES) -> Mixtures:
    """Five random mixtures of the test part for each share of outliers, drawn by `seed`.

    Raises InputError for a share that the test part cannot fill.
    """
    place = torch.zeros(int(split.test.max()) + 1, dtype=torch.int64)
    place[split.test] = torch.arange(len(split.test))
    found = {}
    for share in shares:
        mixed = [protocols.mixture(split, share, DRAWS * seed + draw) for draw in range(DRAWS)]
        found[share] = [(place[one.test].numpy(), one.reveal()) for one in mixed]
    return found


def fillable(split: Split, seed: int) -> Mixtures:
    """`drawn` at the usual shares, without those that the test part cannot fill: a line says which."""
    found: dict = {}
    for share in SHARES:
        try:
            found |= drawn(split, seed, [share])
        except InputError as error:
            print(f"left out: {error}")
    return found


def results(method: str, scores: np.ndarray, thresholds: Mapping[str, float], mixed: Mixtures) -> list[Result]:
    """AUROC, the best F1 and the F1 of each threshold for every share, mean over mixtures with lowest and highest.

    scores: float (n,) of the whole test part, higher = more anomalous. thresholds: by the name of the rule behind each.
    """
    found = []
    for share, draws in mixed.items():
        pairs = [(labels, scores[at]) for at, labels in draws]
        percent = round(100 * share)
        ranked = {metric_at("auroc", share=percent): [metrics.auroc(*both)[0] for both in pairs]}
        best = {metric_at("f1", rule="best", share=percent): [metrics.best_f1(*both) for both in pairs]}
        ruled = {
            metric_at("f1", rule=rule, share=percent): [metrics.f1(*both, threshold) for both in pairs]
            for rule, threshold in thresholds.items()
        }
        found += [_over_draws(method, metric, values) for metric, values in (ranked | best | ruled).items()]
    return found


def of_score(method: str, split: Split, test: np.ndarray, held_out: np.ndarray, seed: int) -> list[Result]:
    """The rows of `results` for one score under SIMO, its threshold rejecting 5 % of held-out normals; else no rows.

    test: float (len(split.test),). held_out: float (len(split.held_out),).
    """
    if split.protocol not in ("simo", "outlier_share"):
        return []
    return results(method, test, {"held_out": np.quantile(held_out, 0.95)}, fillable(split, seed))


def _over_draws(method: str, metric: str, values: list[float]) -> Result:
    low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Result(method=method, metric=metric, value=float(np.mean(values)), low=low, high=high)
