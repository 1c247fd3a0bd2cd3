"""From single results to an interval, and from an interval to a verdict; the margins are in published/margins.toml."""

from __future__ import annotations

import math
import statistics
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from scipy.stats import t

from novelty_utils.evaluation.statistics import half_width, pooled_deviation
from novelty_utils.ledger.evidence import Sample

REPRODUCED, BETTER, NOT_REPRODUCED = "reproduced", "better", "not reproduced"
MIXED, NOT_ATTEMPTED = "mixed within noise", "not attempted"
BELOW, ABOVE = "below so far", "above so far"  # of a training that was short, or died
OPEN, CONTESTED = "open", "contested"  # at full length, without a second look; or it found something else
VERDICTS = (REPRODUCED, BETTER, MIXED, BELOW, ABOVE, OPEN, CONTESTED, NOT_REPRODUCED, NOT_ATTEMPTED)
ENOUGH_FREEDOM = 5  # repetitions, over all classes, from which the deviation between seeds counts as measured


class Margins(BaseModel):
    """What published/margins.toml holds: fractions, fixed before any verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    confidence: float
    cell: dict[str, float]
    mean: dict[str, float]
    ordering: dict[str, float]
    seed_deviation: dict[str, float]


@lru_cache
def margins() -> Margins:
    """The margins of this version of the package."""
    text = files("novelty_utils.ledger.published").joinpath("margins.toml").read_text(encoding="utf-8")
    return Margins.model_validate(tomllib.loads(text))


class Part(NamedTuple):
    """What the half width of an interval is made of: its square sums weight · (deviation² · seeds + images)."""

    weight: float
    seeds: float
    images: float
    deviation: float
    assumed: bool = False  # from margins.toml, where a reader may take another one; never below `floor`
    floor: float = 0.0


class Estimate(NamedTuple):
    """A mean with its interval; `seeds` is the smallest number of seeds that any class has."""

    value: float
    low: float
    high: float
    seeds: int
    assumed: bool  # the deviation between seeds is the one in the margins, not a measured one
    parts: tuple[Part, ...] = ()

    def scaled(self, factor: float) -> tuple[Part, ...]:
        """The parts of an interval that is `factor` times as wide."""
        return tuple(part._replace(weight=part.weight * factor**2) for part in self.parts)


def estimate(
    samples: Sequence[Sample], like: Sequence[Sample], assumed_deviation: float, confidence: float
) -> Estimate:
    """The mean over classes of the means over seeds, with an interval.

    The classes are those the number is about, so they add no variance. Seeds do: their deviation, pooled over the
    classes of `like`, the same experiment on all classes. And so do the test images, by the recorded error: all seeds
    share them, so more seeds do not make it smaller.
    """
    classes = by_class(samples)
    known = seed_deviation(like)
    deviation, freedom = known or (assumed_deviation, math.inf)
    errors = [statistics.fmean(s.error for s in of_class) for of_class in classes]
    part = Part(
        weight=(float(t.ppf(0.5 + confidence / 2, freedom)) / len(classes)) ** 2,
        seeds=sum(1 / len(of_class) for of_class in classes),
        images=sum(error**2 for error in errors),
        deviation=deviation,
        assumed=known is None,
    )
    half = half_of([part])
    value = statistics.fmean(statistics.fmean(s.value for s in of_class) for of_class in classes)
    return Estimate(value, value - half, value + half, min(map(len, classes)), known is None, (part,))


def half_of(parts: Sequence[Part]) -> float:
    """Half the width of the interval."""
    return math.sqrt(sum(part.weight * (part.deviation**2 * part.seeds + part.images) for part in parts))


def of_draws(samples: Sequence[Sample], confidence: float) -> Estimate:
    """The mean over random draws of classes, each with a training of its own, with Student's interval over draws.

    It is twice as wide in variance as that of the mean: the printed mean is over other draws.
    """
    draws = [statistics.fmean(s.value for s in of_draw) for of_draw in by_class(samples)]
    value, low, _ = mean_of_blocks(draws, confidence)
    half = math.sqrt(2) * (value - low)
    parts = (Part(1.0, 0.0, half**2, 0.0),)
    return Estimate(value, value - half, value + half, min(map(len, by_class(samples))), False, parts)


def by_class(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The same samples, those of one class of a data set together."""
    classes = defaultdict(list)
    for sample in samples:
        classes[sample.dataset, sample.class_name].append(sample)
    return list(classes.values())


def seed_deviation(samples: Sequence[Sample]) -> tuple[float, int] | None:
    """The deviation between seeds, pooled over classes, and its degrees of freedom; None where these are too few."""
    deviation, freedom = pooled_deviation([s.value for s in of_class] for of_class in by_class(samples))
    return None if freedom < ENOUGH_FREEDOM else (deviation, freedom)


def mean_of_blocks(differences: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Mean of paired differences, one per block, and Student's interval over blocks; unbounded for a single one."""
    value, half = statistics.fmean(differences), half_width(differences, confidence)
    return value, value - half, value + half


# --- verdicts: what an interval of a difference, ours minus printed or more minus less, says ------------------------


def same_number(low: float, high: float, margin: float, more_is_better: bool = True) -> str:
    """Reproduced if the whole interval lies within the margin, better or not reproduced if beyond it on one side.

    Where more is not better, as of a deviation or of a curve that should be flat, neither side of it is reproduced.
    """
    if -margin <= low and high <= margin:
        return REPRODUCED
    if low > margin:
        return BETTER if more_is_better else NOT_REPRODUCED
    return NOT_REPRODUCED if high < -margin else MIXED


def may_refute(verdict: str, difference: float, full: bool, looked: bool, disagree: bool) -> str:
    """What is left of a "not reproduced" without the evidence that it takes.

    full: as much training as the paper's, and none of it died. looked: another implementation, that lived, was run on
    the same classes; `disagree`: it reaches what ours does not, or another reading of the paper does.
    """
    if verdict != NOT_REPRODUCED:
        return verdict
    if looked and disagree:
        return CONTESTED
    if not full:
        return BELOW if difference < 0 else ABOVE
    return NOT_REPRODUCED if looked else OPEN


def greater(low: float, high: float, no_difference: float) -> str:
    """Reproduced if the interval is above zero; not, if below zero or too close to it to matter."""
    if high < 0 or (-no_difference <= low and high <= no_difference):
        return NOT_REPRODUCED
    return REPRODUCED if low > 0 else MIXED
