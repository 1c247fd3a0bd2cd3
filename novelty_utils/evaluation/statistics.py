"""Means over seeds and classes, their intervals, and the tests between methods: the only statistics of the book.

A class counts once, with the mean of its seeds. ± is half of Student's 95 % interval of a mean over classes; σ is the
standard deviation from seed to seed within a class, pooled over classes. book/protocols.md says so to the reader.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest, friedmanchisquare, studentized_range, t, wilcoxon

from novelty_utils.evaluation.metrics import CONFIDENCE
from novelty_utils.records.store import where

# --- seeds, then classes -------------------------------------------------------------------------------------------


def per_class(rows: pd.DataFrame, **at: Any) -> pd.Series:
    """The mean over seeds of each class, float (classes,) by class_name, sorted.

    rows: results of one score, with columns class_name, seed and value; `at` picks them from more, as `records.where`.
    """
    runs = where(rows, **at).groupby(["class_name", "seed"]).value.mean()
    return runs.groupby("class_name").mean()


def seed_deviation(rows: pd.DataFrame, **at: Any) -> float:
    """σ: the standard deviation from seed to seed within a class, pooled over classes; NaN if no class was repeated.

    Arguments as for `per_class`.
    """
    runs = where(rows, **at).groupby(["class_name", "seed"]).value.mean()
    return pooled_deviation(runs.groupby("class_name").agg(list))[0]


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups and its degrees of freedom; NaN and 0 where no group has two values.

    Its square is the mean of the groups' variances, each weighed by its size less one.
    """
    repeated = [values for values in groups if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    if not freedom:
        return math.nan, 0
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in repeated)
    return math.sqrt(squares / freedom), freedom


def share_interval(count: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share of which `count` of `n` draws are an example, exact (Clopper and Pearson, 1934).

    It is also that of the share of new draws above a threshold which was itself put between two of the n, with
    `count` of them above: that share follows a beta distribution, whatever the scores are (Wilks, 1941).
    """
    found = binomtest(count, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def half_width(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """±: half of Student's interval of the mean; infinite for a single value, NaN for none."""
    n = len(values)
    if n < 2:
        return math.inf if n else math.nan
    return float(t.ppf(0.5 + confidence / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)


# --- two at a time -------------------------------------------------------------------------------------------------


class Paired(NamedTuple):
    """What the differences of two scores on the same classes say."""

    mean: float
    half: float  # of the interval of the mean, see `half_width`
    median: float
    won: int  # classes on which the first is ahead
    n: int
    p: float  # two-sided, Wilcoxon's signed-rank test


def differences(more: pd.DataFrame, less: pd.DataFrame) -> pd.Series:
    """more - less by class, the mean over the seeds that both have; rows as for `per_class`."""
    more, less = (rows.groupby(["class_name", "seed"]).value.mean() for rows in (more, less))
    return (more - less).dropna().groupby("class_name").mean()


def paired(gains: pd.Series) -> Paired:
    """The mean of differences, one per class, with its interval and its test; all NaN where there is none."""
    if not len(gains):
        return Paired(math.nan, math.nan, math.nan, 0, 0, math.nan)
    p = float(wilcoxon(gains).pvalue) if (gains != 0).any() else 1.0
    won = int((gains > 0).sum())
    return Paired(float(gains.mean()), half_width(gains), float(gains.median()), won, len(gains), p)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p values, float (m,) in the order given (Holm 1979).

    The smallest times m, the next times m - 1 and so on; none below the one before it, none above 1.
    """
    p = np.asarray(p_values, dtype=float)
    order, m = np.argsort(p), len(p)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (m - np.arange(m))), 1)
    return adjusted


# --- many at a time, by ranks (Demšar 2006) -----------------------------------------------------------------


def mean_ranks(values: pd.DataFrame) -> pd.Series:
    """The mean rank of each column over the rows, 1 = highest, ties shared; best first."""
    return values.rank(axis=1, ascending=False).mean().sort_values()


def friedman(values: pd.DataFrame) -> float:
    """The p value of Friedman's test that all columns are alike; NaN for fewer than three of them or two rows."""
    n, k = values.shape
    return float(friedmanchisquare(*values.to_numpy().T).pvalue) if k > 2 and n > 1 else math.nan


def critical_difference(k: int, n: int, level: float = 1 - CONFIDENCE) -> float:
    """Nemenyi's: mean ranks of k methods over n blocks that differ by more are told apart, all pairs together."""
    q = studentized_range.ppf(1 - level, k, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(k * (k + 1) / (6 * n)))
