"""AUROC with its interval, and balanced accuracy with its threshold rule.

Everywhere: y is 1 for novel and 0 for normal, and a higher score means more anomalous.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

CONFIDENCE = 0.95


def auroc(y: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve and its 95 % interval over test images, each in [0, 1].

    The interval is DeLong's (DeLong et al. 1988, eq. 5): the variance of the two sets of placements, each normal
    image's share of novel scores above it and each novel image's share of normal scores below it.
    It has no width where the classes are separated perfectly: such a test set is too easy to say more.
    Raises ValueError if a class is missing or a score is not finite.
    """
    y, scores = np.asarray(y), np.asarray(scores, dtype=np.float64)
    novel, normal = scores[y == 1], scores[y == 0]
    m, n = len(novel), len(normal)
    if not m or not n:
        raise ValueError(f"an AUROC needs both classes, got {m} novel and {n} normal images")
    value = float(roc_auc_score(y, scores))
    ranks = rankdata(np.concatenate([novel, normal]))
    of_novel = (ranks[:m] - rankdata(novel)) / n
    of_normal = 1 - (ranks[m:] - rankdata(normal)) / m
    variance = sum(v.var(ddof=1) / len(v) for v in (of_novel, of_normal) if len(v) > 1)
    half = norm.ppf(0.5 + CONFIDENCE / 2) * np.sqrt(variance)
    return value, float(max(0.0, value - half)), float(min(1.0, value + half))


def balanced_accuracy(y: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Mean of the two classes' accuracies when scores above the threshold are called novel (ICS, eq. 5)."""
    above = np.asarray(scores, dtype=np.float64) > threshold
    return float(balanced_accuracy_score(np.asarray(y) == 1, above))


def oracle_threshold(y: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of highest balanced accuracy on labelled images: it needs novel ones, so it is an oracle.

    To be used with `>`: halfway between two neighbouring scores, so that it separates unseen images as well as these.
    """
    scores = np.asarray(scores, dtype=np.float64)
    false_positive, true_positive, thresholds = roc_curve(y, scores, drop_intermediate=False)
    lowest_novel = thresholds[np.argmax(true_positive - false_positive)]
    highest_normal = scores[scores < lowest_novel].max()
    half = (lowest_novel + highest_normal) / 2
    return float(half if half < lowest_novel else highest_normal)  # neighbouring floats, or infinity: nothing is novel


def tuned_on_test(y: np.ndarray, scores: np.ndarray, seed: int, share: float = 0.2) -> float:
    """Balanced accuracy by the ICS paper's rule (footnote 3): tune on a random 20 % of the test set, score the rest.

    NaN if one of the two parts lacks a class.
    """
    y, scores = np.asarray(y), np.asarray(scores)
    order = np.random.default_rng(seed).permutation(len(y))
    tune, rest = np.split(order, [int(share * len(y))])
    if len(set(y[tune])) < 2 or len(set(y[rest])) < 2:
        return float("nan")
    return balanced_accuracy(y[rest], scores[rest], oracle_threshold(y[tune], scores[tune]))
