"""AUROC, its interval, thresholds and F1, against hand-worked numbers, brute force, a bootstrap and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics

Y = np.array([1, 1, 1, 0, 0, 0, 0])
SCORES = np.array([0.9, 0.6, 0.3, 0.7, 0.3, 0.2, 0.1])  # one tie, 0.3, between a novel and a normal image


def sample(novel: int, normal: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores N(0, 1) and novel scores N(shift, 1), in random order."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.repeat([1, 0], [novel, normal]))
    return y, generator.normal(size=len(y)) + shift * y


# --- AUROC ---------------------------------------------------------------------------------------------------------


def test_auroc_counts_the_pairs_in_the_right_order_and_half_of_the_ties():
    # 0.9 beats all four normal scores, 0.6 beats three, 0.3 beats two and ties with one: (4 + 3 + 2.5) / 12
    assert metrics.auroc(Y, SCORES)[0] == pytest.approx(9.5 / 12)


def test_the_interval_on_the_tiny_example_worked_by_hand():
    of_novel = np.array([4, 3, 2.5]) / 4  # share of normal scores below each novel one
    of_normal = np.array([1, 2.5, 3, 3]) / 3  # share of novel scores above each normal one
    half = 1.959964 * np.sqrt(of_novel.var(ddof=1) / 3 + of_normal.var(ddof=1) / 4)
    value, low, high = metrics.auroc(Y, SCORES)
    assert low == pytest.approx(value - half, abs=1e-6)
    assert value + half > 1  # so it is cut off there
    assert high == 1.0


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5, 2.0])
def test_auroc_is_that_of_scikit_learn(shift):
    y, scores = sample(60, 140, shift)
    for s in (scores, np.round(scores), scores.astype(np.float32)):  # without ties, with many, in single precision
        assert metrics.auroc(y, s)[0] == pytest.approx(roc_auc_score(y, s), abs=1e-12)


def test_the_interval_agrees_with_a_bootstrap():
    y, scores = sample(80, 200, 1.0)
    novel, normal = scores[y == 1], scores[y == 0]
    generator = np.random.default_rng(1)
    drawn = [
        (generator.choice(novel, len(novel))[:, None] > generator.choice(normal, len(normal))).mean()
        for _ in range(2000)
    ]
    _, low, high = metrics.auroc(y, scores)
    assert (high - low) / 2 == pytest.approx(norm.ppf(0.975) * np.std(drawn), rel=0.08)
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([low, high], abs=0.012)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    truth = norm.cdf(1 / np.sqrt(2))  # of N(1, 1) against N(0, 1)
    intervals = [metrics.auroc(*sample(60, 60, 1.0, seed))[1:] for seed in range(300)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.90 < covered < 0.99  # 0.95 within four standard errors


def test_perfect_and_inverted_scores():
    y = np.array([0, 0, 1, 1])
    assert metrics.auroc(y, np.array([1, 2, 3, 4])) == (1.0, 1.0, 1.0)
    assert metrics.auroc(y, np.array([4, 3, 2, 1])) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("y", "scores"),
    [([0, 0, 0], [1, 2, 3]), ([1, 1], [1, 2]), ([0, 1], [0, np.nan]), ([0, 1, 1], [0, 1, np.inf])],
)
def test_auroc_refuses_one_class_and_scores_that_are_not_finite(y, scores):
    with pytest.raises(ValueError, match=r"both classes|NaN|infinity"):
        metrics.auroc(np.array(y), np.array(scores))


# --- thresholds ----------------------------------------------------------------------------------------------------


def test_balanced_accuracy_worked_by_hand():
    # above 0.5: novel 0.9 and 0.6 of three, normal 0.7 of four: (2/3 + 3/4) / 2
    assert metrics.balanced_accuracy(Y, SCORES, 0.5) == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_a_score_at_the_threshold_is_normal():
    assert metrics.balanced_accuracy(np.array([1, 0]), np.array([2.0, 1.0]), 2.0) == 0.5
    assert metrics.balanced_accuracy(np.array([1, 0]), np.array([2.0, 1.0]), 1.0) == 1.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [0, 1, 16])
def test_no_threshold_is_better_than_the_oracle_s(seed, decimals):
    y, scores = sample(12, 25, 0.8, seed)
    scores = scores.round(decimals)
    everywhere = [scores.min() - 1, *scores, scores.max() + 1]
    best = max(balanced_accuracy_score(y, scores > threshold) for threshold in everywhere)
    assert metrics.balanced_accuracy(y, scores, metrics.oracle_threshold(y, scores)) == pytest.approx(best)


def test_the_oracle_stands_halfway_between_the_classes():
    assert metrics.oracle_threshold(np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 4.0, 5.0])) == 3.0


@pytest.mark.parametrize("further", [0, 1])  # halfway is rounded to the even one: once down, once up
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_oracle_separates_neighbouring_floats(kind, further):
    low = kind(0.1) if not further else np.nextafter(kind(0.1), kind(1))
    scores = np.array([low, np.nextafter(low, kind(1))])  # codes that nearly coincide give such scores
    y = np.array([0, 1])
    assert metrics.balanced_accuracy(y, scores, metrics.oracle_threshold(y, scores)) == 1.0


def test_the_oracle_is_finite_where_nothing_can_be_told_apart():
    for scores in ([2.0, 2.0, 2.0, 2.0], [4.0, 3.0, 2.0, 1.0]):  # constant, and novel images with the lowest scores
        threshold = metrics.oracle_threshold(np.array([0, 0, 1, 1]), np.array(scores))
        assert np.isfinite(threshold)
        assert metrics.balanced_accuracy(np.array([0, 0, 1, 1]), np.array(scores), threshold) == 0.5


def test_tuning_on_test_images_never_scores_the_tuned_ones(monkeypatch):
    y, scores = sample(100, 100, 1.0)
    scores = scores.round(6)
    assert len(set(scores)) == 200  # so a score tells which image it belongs to
    tuned, scored = [], []

    def oracle(y, s):
        tuned.extend(s)
        return 0.0

    def accuracy(y, s, threshold):
        scored.extend(s)
        return 0.0

    monkeypatch.setattr(metrics, "oracle_threshold", oracle)
    monkeypatch.setattr(metrics, "balanced_accuracy", accuracy)
    metrics.tuned_on_test(y, scores, seed=3)
    assert len(tuned) == 40
    assert len(scored) == 160
    assert set(tuned) | set(scored) == set(scores)


def test_tuning_on_test_images_is_seeded_and_close_to_the_oracle():
    y, scores = sample(2000, 2000, 1.0)
    found = [metrics.tuned_on_test(y, scores, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    best = norm.cdf(0.5)  # the threshold halfway between the two means, for an endless sample
    assert found == pytest.approx([best] * 3, abs=0.03)


def test_tuning_needs_both_classes_in_both_parts():
    assert np.isnan(metrics.tuned_on_test(np.array([1, 0, 0, 0, 0, 0]), np.arange(6.0), seed=0))


# --- F1, with the normal class as the positive one -----------------------------------------------------------------


def f1_by_counting(y: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """2 TP / (2 TP + FP + FN), image by image; a positive is a normal image, and 0/0 is 0."""
    pairs = [(label == 0, score <= threshold) for label, score in zip(y, scores, strict=True)]
    right, wrong = pairs.count((True, True)), pairs.count((False, True)) + pairs.count((True, False))
    return 2 * right / (2 * right + wrong) if right + wrong else 0.0


def test_f1_worked_by_hand():
    # Called normal up to 0.3: 0.3, 0.2 and 0.1 of the four normal images, and the novel one that scores 0.3
    assert metrics.f1(Y, SCORES, 0.3) == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert metrics.f1(Y, SCORES, 0.25) == pytest.approx(2 * 2 / (2 * 2 + 0 + 2))
    assert metrics.f1(Y, SCORES, 0.7) == pytest.approx(2 * 4 / (2 * 4 + 2 + 0))
    assert metrics.best_f1(Y, SCORES) == pytest.approx(8 / 10)  # up to 0.7; everything would be 8 / 11
    assert metrics.trivial_f1(3 / 7) == pytest.approx(8 / 11)


def test_normal_is_the_positive_class_of_f1():
    y = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    nothing_is_novel = np.zeros(10)
    assert metrics.f1(y, nothing_is_novel, 1.0) == pytest.approx(18 / 19)  # were novel the positive class: 0
    assert metrics.f1(1 - y, nothing_is_novel, 1.0) == pytest.approx(2 / 11)
    assert metrics.best_f1(y, np.arange(10.0)) == 1.0  # the novel image has the highest score


def test_a_score_at_the_threshold_of_f1_is_normal():
    assert metrics.f1(np.array([1, 0]), np.array([2.0, 1.0]), 1.0) == 1.0
    assert metrics.f1(np.array([1, 0]), np.array([2.0, 1.0]), 2.0) == pytest.approx(2 / 3)


def test_f1_is_0_where_nothing_is_called_normal_or_nothing_rightly():
    assert metrics.f1(Y, SCORES, 0.0) == 0.0
    assert metrics.f1(np.array([1, 0]), np.array([1.0, 2.0]), 1.0) == 0.0
    assert metrics.f1(np.array([1, 1]), np.array([1.0, 2.0]), 0.0) == 0.0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shift", [-2.0, 0.0, 1.0, 4.0])
@pytest.mark.parametrize("decimals", [0, 1, 16])
def test_f1_and_its_best_value_are_those_of_counting(decimals, shift, seed):
    y, scores = sample(17, 23, shift, seed)
    scores = scores.round(decimals)
    thresholds = [scores.min() - 1, *scores, scores.max() + 1]
    counted = [f1_by_counting(y, scores, threshold) for threshold in thresholds]
    assert [metrics.f1(y, scores, threshold) for threshold in thresholds] == pytest.approx(counted)
    assert metrics.best_f1(y, scores) == pytest.approx(max(counted))
    assert metrics.best_f1(y, scores.astype(np.float32)) == pytest.approx(max(counted))


@pytest.mark.parametrize(("novel", "normal"), [(1, 40), (40, 1), (10, 10), (0, 5), (3, 90)])
def test_the_best_f1_is_never_below_the_trivial_one(novel, normal):
    for seed in range(20):
        y, scores = sample(novel, normal, seed / 5 - 2, seed)
        for s in (scores, scores.round(), 0 * scores):
            best, trivial = metrics.best_f1(y, s), metrics.trivial_f1(y.mean())
            assert best >= trivial - 1e-12
        assert best == pytest.approx(trivial)  # the last scores were all the same
        assert metrics.f1(y, scores, scores.max()) == pytest.approx(trivial)


@pytest.mark.parametrize(("novel", "normal"), [(1, 40), (40, 1), (10, 10), (30, 50)])
def test_a_reversed_detector_has_the_trivial_f1(novel, normal):
    y = np.repeat([1, 0], [novel, normal])  # the novel images have the lowest scores
    scores = np.arange(float(len(y)))
    assert metrics.auroc(y, scores)[0] == 0
    assert metrics.best_f1(y, scores) == pytest.approx(metrics.trivial_f1(y.mean()))
    assert metrics.best_f1(y, -scores) == 1.0


def test_the_trivial_f1_of_the_shares_in_the_crbnd_paper():
    floor = [round(metrics.trivial_f1(share), 3) for share in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert floor == [0.947, 0.889, 0.824, 0.75, 0.667]
    assert (metrics.trivial_f1(0.0), metrics.trivial_f1(1.0)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("y", "scores"),
    [([1, 1, 1], [1, 2, 3]), ([], []), ([0, 1], [0, np.nan]), ([0, 1, 1], [0, 1, np.inf]), ([0, 1], [-np.inf, 1])],
)
def test_the_best_f1_refuses_scores_that_are_not_finite_and_images_that_are_all_novel(y, scores):
    with pytest.raises(ValueError, match=r"needs a normal image|NaN|infinity"):
        metrics.best_f1(np.array(y), np.array(scores))


# --- pixels --------------------------------------------------------------------------------------------------------

MASKS = np.array([[[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0]]], np.uint8)  # two images of 2 x 3 pixels
MAPS = np.array([[[0.9, 0.5, 0.1], [0.5, 0.2, 0.0]], [[0.6, 0.1, 0.2], [0.4, 0.3, 0.0]]])


def defect_maps(kind: type, decimals: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    masks = generator.random((3, 20, 30)) < 0.04
    return masks, (generator.normal(size=masks.shape) + masks).round(decimals).astype(kind)


def test_pixel_auroc_worked_by_hand():
    # sound: .6 .5 .3 .2 .2 .1 .1 0 0; defective: .9 beats 9, .5 beats 7 and ties once, .4 beats 7
    assert metrics.pixel_auroc(MASKS, MAPS) == pytest.approx((9 + 7.5 + 7) / 27)


@pytest.mark.parametrize("decimals", [0, 1, 16])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_pixel_auroc_is_that_of_scikit_learn_over_all_pixels(kind, decimals):
    masks, maps = defect_maps(kind, decimals)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(expected, abs=1e-12)
    assert metrics.pixel_auroc(masks.astype(np.uint8), maps) == metrics.pixel_auroc(masks, maps)


def test_pixel_auroc_compares_pixels_of_different_images():
    masks = np.array([[[1, 0]], [[1, 0]]])
    assert metrics.pixel_auroc(masks, np.array([[[2.0, 1.0]], [[12.0, 11.0]]])) == 0.75  # image by image it would be 1


def test_iou_worked_by_hand():
    # above 0.45: .9, .5, .5, .6, of which two are defective; together with .4 that makes five
    assert metrics.iou(MASKS, MAPS, 0.45) == 2 / 5
    assert metrics.iou(MASKS, MAPS, 0.5) == 1 / 4  # a pixel at the threshold is sound
    assert metrics.iou(MASKS, MAPS, 1.0) == 0.0
    assert metrics.iou(MASKS, MASKS.astype(float), 0.5) == 1.0


def test_iou_does_not_round_the_threshold_to_single_precision():
    low = np.float32(0.1)
    maps = np.array([[[low, np.nextafter(low, np.float32(1))]]])
    masks = np.array([[[0, 1]]])
    assert metrics.iou(masks, maps, metrics.oracle_threshold(masks, maps)) == 1.0


@pytest.mark.parametrize("further", [0, 1])
def test_a_threshold_between_neighbouring_scores_in_single_precision_separates_them(further):
    low = np.float32(0.1) if not further else np.nextafter(np.float32(0.1), np.float32(1))
    scores = np.array([low, np.nextafter(low, np.float32(1))])
    between, y = (float(scores[0]) + float(scores[1])) / 2, np.array([0, 1])
    assert metrics.balanced_accuracy(y, scores, between) == 1.0
    assert metrics.f1(y, scores, between) == 1.0
    assert metrics.iou(y[None, None], scores[None, None], between) == 1.0


def test_the_best_f1_takes_whole_numbers_without_a_sign():
    assert metrics.best_f1(np.array([0, 0, 1]), np.array([0, 1, 2], np.uint8)) == 1.0


@pytest.mark.parametrize("metric", [metrics.pixel_auroc, lambda masks, maps: metrics.iou(masks, maps, 0.5)])
def test_masks_that_do_not_fit_the_maps_are_refused_in_one_line(metric):
    for masks, maps, told in (
        (MASKS, MAPS[:, :, :2], r"masks \(2, 2, 3\) and maps \(2, 2, 2\) differ"),
        (MASKS[:1], MAPS, r"masks \(1, 2, 3\) and maps \(2, 2, 3\) differ"),
        (0 * MASKS, MAPS, "0 of 12 pixels are defective"),
        (0 * MASKS + 1, MAPS, "12 of 12 pixels are defective"),
        (MASKS, np.where(MAPS == 0.9, np.nan, MAPS), "not every value is finite"),
    ):
        with pytest.raises(InputError, match=told) as refused:
            metric(masks, maps)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("decimals", [0, 1, 16])
def test_the_oracle_of_pixels_has_the_largest_difference_of_rates(decimals):
    masks, maps = defect_maps(np.float32, decimals)
    false_positive, true_positive, _ = roc_curve(masks.ravel(), maps.ravel())
    above = maps > np.float64(metrics.oracle_threshold(masks, maps))
    gain = above[masks].mean() - above[~masks].mean()
    assert gain == pytest.approx((true_positive - false_positive).max(), abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "measure",
    [
        lambda y, s: metrics.f1(y, s, 1.0),
        lambda y, s: metrics.balanced_accuracy(y, s, 1.0),
        metrics.oracle_threshold,
    ],
)
def test_scores_that_are_not_finite_are_refused(measure, bad):
    with pytest.raises(ValueError, match="not every score is finite"):
        measure([0, 1], [1.0, bad])
