"""Means, intervals and tests: worked by hand, and against scipy where it computes the same in another way."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from novelty_utils.evaluation import statistics


def rows(**by_class) -> pd.DataFrame:
    """One row per value: a list of one value per seed for each class, method a."""
    found = [
        {"method": "a", "class_name": name, "seed": seed, "value": value}
        for name, values in by_class.items()
        for seed, value in enumerate(values)
        if value is not None
    ]
    return pd.DataFrame(found)


def test_a_class_is_the_mean_of_its_seeds_and_counts_once():
    many = pd.concat([rows(x=[1.0, 0.0, 0.5], y=[0.2]), rows(x=[9.0]).assign(method="b")])
    of_class = statistics.per_class(many, method="a")
    assert of_class.to_dict() == {"x": 0.5, "y": 0.2}
    assert of_class.mean() == pytest.approx(0.35)  # and not 1.7 / 4


def test_two_rows_of_one_run_do_not_make_its_seed_heavier():
    twice = pd.concat([rows(x=[0.0, 1.0]), rows(x=[0.5])])  # seed 0 twice: 0.0 and 0.5
    assert statistics.per_class(twice)["x"] == pytest.approx((0.25 + 1) / 2)


def test_sigma_is_pooled_over_classes_by_their_degrees_of_freedom():
    # x: variance 0.01 with 2 degrees of freedom, y: 0.02 with 1, z: none.
    found = rows(x=[0.4, 0.5, 0.6], y=[0.5, 0.7], z=[0.1])
    assert statistics.seed_deviation(found) == pytest.approx(math.sqrt((0.01 * 2 + 0.02) / 3))
    assert statistics.pooled_deviation([[0.4, 0.5, 0.6], [0.5, 0.7], [0.1]])[1] == 3
    assert math.isnan(statistics.seed_deviation(rows(x=[0.4], y=[0.5])))


def test_plus_minus_is_students_interval_of_a_mean():
    # Deviation 0.1 over five values, t with four degrees of freedom is 2.7764.
    assert statistics.half_width([0.9, 0.7, 0.9, 0.7, 0.8]) == pytest.approx(2.7764 * 0.1 / 5**0.5, rel=1e-4)
    values = np.random.default_rng(0).normal(size=9)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert statistics.half_width(values, 0.9) == pytest.approx((theirs.high - theirs.low) / 2)
    assert statistics.half_width([0.5]) == math.inf
    assert math.isnan(statistics.half_width([]))


def test_differences_are_taken_seed_by_seed_where_both_were_run():
    more, less = rows(x=[0.5, 0.9], y=[0.4], z=[0.1]), rows(x=[0.4, None], y=[0.6])
    assert statistics.differences(more, less).to_dict() == pytest.approx({"x": 0.1, "y": -0.2})


def test_paired_by_hand():
    found = statistics.paired(pd.Series([0.1, 0.2, 0.3, -0.05, 0.4]))
    assert (found.mean, found.median, found.won, found.n) == (pytest.approx(0.19), pytest.approx(0.2), 4, 5)
    assert found.half == pytest.approx(2.7764 * np.std([0.1, 0.2, 0.3, -0.05, 0.4], ddof=1) / 5**0.5, rel=1e-4)
    # Ranks 2 3 4 1 5 with the 1 negative: of the 32 signs four are as far from the middle or farther.
    assert found.p == pytest.approx(4 / 32)


def test_no_difference_at_all_is_no_evidence():
    assert statistics.paired(pd.Series([0.0, 0.0])).p == 1
    assert math.isnan(statistics.paired(pd.Series([], dtype=float)).p)


def test_holm_by_hand():
    # sorted 0.005 0.01 0.03 0.04 times 4 3 2 1: 0.02 0.03 0.06, and 0.04 may not fall below 0.06
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]).max() == 1
    assert not len(statistics.holm([]))


def test_mean_ranks_by_hand():
    values = pd.DataFrame({"c": [0.1, 0.2, 0.9], "a": [0.9, 0.8, 0.7], "b": [0.8, 0.8, 0.6]})
    # ranks 1 2 3, 1.5 1.5 3 and 2 3 1
    ranks = statistics.mean_ranks(values)
    assert ranks.to_dict() == pytest.approx({"a": 1.5, "b": 6.5 / 3, "c": 7 / 3})
    assert list(ranks.index) == ["a", "b", "c"]


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_printed_q(k, q):  # Demšar 2006, Table 5
    assert statistics.critical_difference(k, 14) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), abs=1e-3)


def test_friedman_is_the_spread_of_the_mean_ranks():
    values = pd.DataFrame(np.random.default_rng(0).random((12, 4)))
    ranks = statistics.mean_ranks(values)
    chi2 = 12 * 12 / (4 * 5) * ((ranks - 2.5) ** 2).sum()
    assert statistics.friedman(values) == pytest.approx(stats.chi2.sf(chi2, 3))
    assert math.isnan(statistics.friedman(values[[0, 1]]))
    assert math.isnan(statistics.friedman(values[:1]))


@pytest.mark.parametrize(("above", "of"), [(0, 3), (1, 10), (4, 40), (40, 40)])
def test_the_interval_of_a_share_is_that_of_the_beta_distribution(above, of):
    low = stats.beta.ppf(0.025, above, of - above + 1) if above else 0
    high = stats.beta.ppf(0.975, above + 1, of - above) if above < of else 1
    assert statistics.share_interval(above, of) == pytest.approx((low, high))


def test_new_normal_images_lie_above_the_threshold_within_the_interval_as_often_as_it_says():
    """The share above a quantile of held-out scores, over many draws of these: uniform scores know it exactly."""
    draw, inside = np.random.default_rng(0), []
    for _ in range(2000):
        held_out = draw.random(30)
        threshold = np.quantile(held_out, 0.9)
        low, high = statistics.share_interval(int((held_out > threshold).sum()), 30)
        inside.append(low <= 1 - threshold <= high)
    assert 0.945 < np.mean(inside) < 0.985  # exact for a threshold at a score; between two it covers a little more
