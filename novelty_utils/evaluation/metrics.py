"""AUROC with its interval, balanced accuracy and F1 with their threshold rules, and defect maps pixel by pixel.

Everywhere: y is 1 for novel and 0 for normal, and a higher score means more anomalous.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_curve, roc_auc_score

from novelty_utils.errors import InputError

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
    """Mean of the two classes' accuracies when scores above the threshold are called novel (ICS, eq. 5).

    Raises ValueError if a score is not finite.
    """
    above = _finite(scores).astype(np.float64) > threshold
    return float(balanced_accuracy_score(np.asarray(y) == 1, above))


def oracle_threshold(y: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of highest balanced accuracy on labelled images: it needs novel ones, so it is an oracle.

    To be used with `>`: halfway between two neighbouring scores, so that it separates unseen images as well as these.
    The same threshold has the largest difference between the true and the false positive rate, and with pixels instead
    of images it is the NLN authors' for segmentation. Two sorts, so that tens of millions of pixels take seconds.
    Raises ValueError if a score is not finite.
    """
    y, scores = np.asarray(y), _finite(scores)
    novel, normal = np.sort(scores[y == 1]), np.sort(scores[y != 1])
    true_positive = np.arange(len(novel), 0, -1) / len(novel)  # if the threshold lies just below each novel score
    false_positive = 1 - np.searchsorted(normal, novel) / len(normal)
    gain = true_positive - false_positive
    if gain.max() <= 0:
        return float(scores.max())  # nothing is novel
    lowest_novel = novel[len(gain) - 1 - np.argmax(gain[::-1])]
    highest_below = float(scores.max(where=scores < lowest_novel, initial=scores.min()))
    half = (float(lowest_novel) + highest_below) / 2
    return half if half < lowest_novel else highest_below  # neighbouring floats have nothing between them


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


def f1(y: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """F1 of the normal images when scores up to the threshold are called normal, in [0, 1] (CRBND, section 4).

    The *normal* class is the positive one here, as in that paper and nowhere else in this module.
    Raises ValueError if a score is not finite.
    """
    return float(f1_score(np.asarray(y) == 0, _finite(scores).astype(np.float64) <= threshold, zero_division=0.0))


def best_f1(y: np.ndarray, scores: np.ndarray) -> float:
    """The highest `f1` over all thresholds: an oracle, as it needs labelled novel images.

    Never below `trivial_f1`. Raises ValueError if there is no normal image or a score is not finite.
    """
    y, scores = np.asarray(y), np.asarray(scores, dtype=np.float64)
    if not (y == 0).any():
        raise ValueError("an F1 of the normal class needs a normal image, got none")
    precision, recall, _ = precision_recall_curve(y == 0, -scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max())


def trivial_f1(share: float) -> float:
    """F1 of calling every image normal where a share of them, in [0, 1], is novel: 2 (1 - share) / (2 - share)."""
    return 2 * (1 - share) / (2 - share)


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError("not every score is finite; did the training diverge?")
    return scores


# --- pixels --------------------------------------------------------------------------------------------------------


def pixel_auroc(masks: np.ndarray, maps: np.ndarray) -> float:
    """Area under the ROC curve over all pixels of all test images together, in [0, 1] (NLN, Table 5).

    masks: bool or uint8 (n, h, w), 1 = defective. maps: float (n, h, w), higher = more anomalous; float32 is sorted as
    it is, so that 100 million pixels need a few seconds and a second copy of the maps.
    Raises InputError where the shapes differ, and where all pixels or none are defective.
    """
    masks, maps = _checked(masks, maps)
    defective, sound = np.sort(maps[masks]), np.sort(maps[~masks])
    # Mann and Whitney: the share of pairs in the right order, ties by half. Sorted queries stay in the cache.
    below = np.searchsorted(sound, defective, "left").mean(), np.searchsorted(sound, defective, "right").mean()
    return float(sum(below) / 2 / len(sound))


def iou(masks: np.ndarray, maps: np.ndarray, threshold: float) -> float:
    """Intersection over union of the true defects and of what the maps show above the threshold, over all test images.

    Arguments and errors as for `pixel_auroc`.
    """
    masks, maps = _checked(masks, maps)
    found = maps > np.float64(threshold)  # a plain float would be rounded to the maps' float32, perhaps past a pixel
    return float((masks & found).sum() / (masks | found).sum())


def _checked(masks: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks, maps = np.asarray(masks), np.asarray(maps)
    if masks.shape != maps.shape:
        raise InputError(f"masks {masks.shape} and maps {maps.shape} differ in number or size: resize one of them")
    masks = masks.astype(bool)
    if not masks.any() or masks.all():
        raise InputError(f"masks: {masks.sum()} of {masks.size} pixels are defective; some must be, and some must not")
    if not np.isfinite(maps).all():
        raise InputError("maps: not every value is finite; did the training diverge?")
    return masks, maps
