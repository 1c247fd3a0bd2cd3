"""From images to numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from novelty_utils import training
from novelty_utils.evaluation import scoring

IMAGES = torch.arange(5 * 4, dtype=torch.uint8).view(5, 1, 2, 2) * 12


def test_images_reach_the_network_in_0_to_1_and_in_the_order_of_the_index():
    index = torch.tensor([4, 0, 0])
    out = training.apply(nn.Flatten().eval(), IMAGES, index)
    assert out.dtype == torch.float32
    assert torch.equal(out, IMAGES[index].flatten(1).float() / 255)


def test_codes_reach_the_network_as_they_are():
    codes = torch.randn(5, 3)
    assert torch.equal(training.apply(nn.Identity().eval(), codes, torch.tensor([3, 1])), codes[[3, 1]])
    halved = training.apply(nn.Identity().eval(), codes.double(), torch.arange(5))
    assert halved.dtype == torch.float32


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
def test_the_size_of_the_batches_does_not_matter(batch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    whole = network(IMAGES.float() / 255)
    torch.testing.assert_close(training.apply(network, IMAGES, torch.arange(5), batch), whole)


def test_no_image_gives_no_row():
    assert training.apply(nn.Flatten().eval(), IMAGES, torch.arange(0)).shape == (0, 4)


def test_the_result_carries_no_gradient():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    assert not training.apply(network, IMAGES, torch.arange(5)).requires_grad


def test_a_network_with_any_part_in_training_mode_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4)).eval()
    network[1].train()
    with pytest.raises(RuntimeError, match=r"call \.eval\(\)"):
        training.apply(network, IMAGES, torch.arange(5))


def test_standardised_scores_count_standard_deviations_of_the_held_out_ones():
    held_out = np.array([1.0, 3.0, 5.0, 7.0])  # mean 4, squared deviations 9, 1, 1, 9: variance 5
    standardised = scoring.standardise(np.array([4, 9, -1]), held_out)
    assert standardised.dtype == np.float64
    np.testing.assert_allclose(standardised, [0, 5 / 5**0.5, -5 / 5**0.5])
    own = scoring.standardise(held_out, held_out)
    np.testing.assert_allclose([own.mean(), own.std()], [0, 1], atol=1e-12)


def test_a_standardised_score_is_an_images_own():
    rng = np.random.default_rng(0)
    scores, held_out = rng.normal(size=20), rng.normal(size=30)
    whole = scoring.standardise(scores, held_out)
    alone = [scoring.standardise(scores[i : i + 1], held_out).item() for i in range(20)]
    assert np.array_equal(whole, alone)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, 1e-300])
@pytest.mark.parametrize("n", [1, 3, 11])
def test_held_out_scores_without_spread_leave_the_distance_from_their_value(value, n):
    held_out = np.full(n, value)
    np.testing.assert_allclose(scoring.standardise([value - 2, value, value + 2], held_out), [-2, 0, 2], atol=1e-6)


def test_min_max_reaches_from_0_to_1_and_keeps_proportions():
    scaled = scoring.min_max(np.array([30, 10, 20, 15], dtype=np.uint8))
    assert scaled.dtype == np.float64
    assert scaled.tolist() == [1, 0, 0.5, 0.25]


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.1])
def test_min_max_of_constant_scores_is_zero(value):
    assert scoring.min_max(np.full(7, value)).tolist() == [0.0] * 7


def test_min_max_makes_the_score_of_an_image_depend_on_the_others():
    assert scoring.min_max([0, 1, 2])[1] == 0.5
    assert scoring.min_max([0, 1, 10])[1] == 0.1


@pytest.mark.parametrize("scale", [scoring.min_max, lambda nothing: scoring.standardise([1.0], nothing)])
def test_nothing_to_scale_by_is_an_error(scale):
    with pytest.raises(ValueError, match="zero-size"):
        scale(np.array([]))
