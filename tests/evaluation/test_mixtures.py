"""Scores at several shares of outliers: which images are mixed, and what is measured on them."""

import numpy as np
import pytest

from novelty_utils.data import datasets, protocols
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics, mixtures


@pytest.fixture(scope="module")
def split() -> protocols.Split:
    return protocols.split("simo", datasets.load("digits"), 3, seed=0)


def scores_of(split, strength=1.0) -> np.ndarray:
    draw = np.random.default_rng(0)
    return strength * split.reveal() + draw.normal(size=len(split.test))


def test_a_mixture_holds_all_normal_images_and_the_share_of_others(split):
    y = split.reveal()
    for share, draws in mixtures.drawn(split, 0, (0.1, 0.5)).items():
        assert len(draws) == 5
        for at, labels in draws:
            assert np.array_equal(y[at], labels)
            assert (labels == 0).sum() == (y == 0).sum()
            assert labels.mean() == pytest.approx(share, abs=0.01)
        assert not np.array_equal(draws[0][0], draws[1][0])


def test_the_rows_are_means_over_the_mixtures(split):
    scores, mixed = scores_of(split), mixtures.drawn(split, 0, (0.3,))
    found = {row.metric: row for row in mixtures.results("PCA", scores, {"held_out": 1.0}, mixed)}
    assert list(found) == ["auroc;share=30", "f1;rule=best;share=30", "f1;rule=held_out;share=30"]
    values = [metrics.auroc(labels, scores[at])[0] for at, labels in mixed[0.3]]
    row = found["auroc;share=30"]
    assert (row.value, row.low, row.high) == pytest.approx((np.mean(values), min(values), max(values)))
    values = [metrics.f1(labels, scores[at], 1.0) for at, labels in mixed[0.3]]
    assert found["f1;rule=held_out;share=30"].value == pytest.approx(np.mean(values))


def test_the_threshold_rejects_a_twentieth_of_the_held_out_images(split):
    scores, held_out = scores_of(split), np.arange(100.0)
    mixed = mixtures.drawn(split, 0)
    rows = mixtures.of_score("PCA", split, scores, held_out, seed=0)
    assert rows == mixtures.results("PCA", scores, {"held_out": np.quantile(held_out, 0.95)}, mixed)
    assert len(rows) == 5 * 3


@pytest.mark.parametrize("protocol", ["miso", "one_class"])
def test_other_protocols_have_no_such_rows(protocol):
    split = protocols.split(protocol, datasets.load("digits"), 3, seed=0)
    assert mixtures.of_score("PCA", split, scores_of(split), np.arange(9.0), seed=0) == []


def test_a_share_that_cannot_be_filled_is_named(split, capsys):
    with pytest.raises(InputError, match="90 %"):
        mixtures.drawn(split, 0, (0.9,))
    few = protocols.mixture(split, 0.2, seed=0)
    assert list(mixtures.fillable(few, 0)) == [0.1, 0.2]
    assert "left out: an outlier share of 30 %" in capsys.readouterr().out
