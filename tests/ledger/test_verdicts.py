"""From results to intervals and from intervals to verdicts: hand-worked, and against scipy."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from novelty_utils.ledger import matching, published, verdicts
from novelty_utils.ledger.evidence import Sample
from novelty_utils.ledger.verdicts import ABOVE, BELOW, BETTER, CONTESTED, MIXED, NOT_REPRODUCED, OPEN, REPRODUCED


def sample(value, class_name="0", seed=0, error=0.0) -> Sample:
    return Sample("mnist", class_name, "demo", seed, "auroc", "", value, error, ())


FIVE = [sample(0.9 + shift, str(digit), seed) for digit in range(5) for seed, shift in ((0, 0.0), (1, 0.02))]


def test_the_deviation_between_seeds_is_pooled_over_classes():
    # Each class has two values 0.02 apart: variance 0.0002, one degree of freedom each.
    deviation, freedom = verdicts.seed_deviation(FIVE)
    assert (deviation, freedom) == (pytest.approx(math.sqrt(0.0002)), 5)


def test_classes_with_one_seed_say_nothing_about_it_and_few_repetitions_not_enough():
    more = [*FIVE, sample(0.1, "9")]
    assert verdicts.seed_deviation(more) == verdicts.seed_deviation(FIVE)
    assert verdicts.seed_deviation(FIVE[:8]) is None


def test_an_estimate_worked_by_hand():
    # Mean 0.91; variance 0.0002 / 2 seeds / 5 classes = 2e-5; t with 5 degrees of freedom is 2.5706.
    ours = verdicts.estimate(FIVE, FIVE, 0.5, 0.95)
    assert ours.value == pytest.approx(0.91)
    assert ours.high - ours.value == pytest.approx(2.5706 * math.sqrt(2e-5), rel=1e-4)
    assert ours.value - ours.low == pytest.approx(ours.high - ours.value)
    assert (ours.seeds, ours.assumed) == (2, False)


def test_a_single_run_takes_the_assumed_deviation_and_the_error_over_test_images():
    ours = verdicts.estimate([sample(0.8, error=0.03)], [sample(0.8)], 0.04, 0.95)
    assert ours.high == pytest.approx(0.8 + 1.95996 * 0.05, rel=1e-5)  # 3, 4, 5
    assert (ours.seeds, ours.assumed) == (1, True)


def test_more_seeds_narrow_the_part_of_the_seeds_but_not_that_of_the_test_images():
    def width(seeds: int) -> float:
        ours = verdicts.estimate([sample(0.8, seed=s, error=0.03) for s in range(seeds)], FIVE, 0.0, 0.95)
        return ours.high - ours.low

    assert width(1) > width(3) > width(1000) > 2 * 2.57 * 0.03


def test_classes_count_alike_however_many_seeds_they_have():
    uneven = [sample(1.0, "0", 0), sample(1.0, "0", 1), sample(1.0, "0", 2), sample(0.0, "1", 0)]
    ours = verdicts.estimate(uneven, uneven, 0.01, 0.95)
    assert ours.value == pytest.approx(0.5)
    assert ours.seeds == 1


def test_the_interval_over_blocks_is_students():
    differences = np.random.default_rng(0).normal(0.01, 0.03, 12)
    value, low, high = verdicts.mean_of_blocks(list(differences), 0.95)
    theirs = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (value, low, high) == pytest.approx((differences.mean(), theirs.low, theirs.high))


def test_one_block_has_no_bounds():
    assert verdicts.mean_of_blocks([0.3], 0.95) == (0.3, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.01, 0.02, REPRODUCED), (-0.03, 0.03, REPRODUCED), (0.031, 0.2, BETTER), (-0.2, -0.031, NOT_REPRODUCED),
        (0.02, 0.04, MIXED), (-0.04, 0.0, MIXED), (-0.2, 0.2, MIXED),
    ],
)  # fmt: skip
def test_a_number_is_reproduced_within_the_margin(low, high, verdict):
    assert verdicts.same_number(low, high, 0.03) == verdict


def test_a_larger_deviation_is_not_better():
    assert verdicts.same_number(0.04, 0.05, 0.03, more_is_better=False) == NOT_REPRODUCED
    assert verdicts.same_number(-0.05, -0.04, 0.03, more_is_better=False) == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, REPRODUCED), (0.001, 0.2, REPRODUCED), (-0.2, -0.01, NOT_REPRODUCED), (-0.01, 0.2, MIXED),
        (0.001, 0.004, NOT_REPRODUCED), (-0.004, 0.004, NOT_REPRODUCED), (-0.004, 0.006, MIXED),
    ],
)  # fmt: skip
def test_an_order_is_reproduced_above_zero_unless_it_does_not_matter(low, high, verdict):
    assert verdicts.greater(low, high, 0.005) == verdict


@pytest.mark.parametrize(
    ("difference", "full", "looked", "disagree", "verdict"),
    [
        (-0.1, False, False, False, BELOW), (0.1, False, True, False, ABOVE), (-0.1, True, False, False, OPEN),
        (-0.1, True, True, False, NOT_REPRODUCED), (-0.1, True, True, True, CONTESTED),
        (-0.1, False, True, True, CONTESTED),
    ],
)  # fmt: skip
def test_not_reproduced_takes_the_full_length_and_a_second_look_that_agrees(
    difference, full, looked, disagree, verdict
):
    assert verdicts.may_refute(NOT_REPRODUCED, difference, full, looked, disagree) == verdict
    for other in (REPRODUCED, BETTER, MIXED):
        assert verdicts.may_refute(other, difference, full, looked, disagree) == other


def test_draws_of_classes_are_a_sample_themselves():
    draws = [sample(value, f"draw{n}") for n, value in enumerate((0.7, 0.8, 0.9))]
    ours = verdicts.of_draws(draws, 0.95)
    # Deviation 0.1, over the root of 3; t with 2 degrees of freedom is 4.3027; the root of 2 for the other draws.
    assert ours.value == pytest.approx(0.8)
    assert ours.high - 0.8 == pytest.approx(0.1 / math.sqrt(3) * 4.3027 * math.sqrt(2), rel=1e-4)


def test_there_is_a_margin_and_a_deviation_for_every_metric_that_is_compared():
    limits = verdicts.margins()
    for paper in ("ics", "nln", "crbnd", "ade_gan"):
        for printed in published.read(paper).to_dict("records"):
            if any(matching.is_about(cells, printed) for cells in published.rules(paper).cells):
                by_kind = limits.mean if printed["class_name"] == "mean" else limits.cell
                assert printed["metric"] in by_kind, printed
                assert printed["metric"] in limits.seed_deviation, printed
