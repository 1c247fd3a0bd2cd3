"""From images to numbers."""

import pytest
import torch
from torch import nn

from novelty_utils import scoring

IMAGES = torch.arange(5 * 4, dtype=torch.uint8).view(5, 1, 2, 2) * 12


def test_images_reach_the_network_in_0_to_1_and_in_the_order_of_the_index():
    index = torch.tensor([4, 0, 0])
    out = scoring.apply(nn.Flatten().eval(), IMAGES, index)
    assert out.dtype == torch.float32
    assert torch.equal(out, IMAGES[index].flatten(1).float() / 255)


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
def test_the_size_of_the_batches_does_not_matter(batch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    whole = network(IMAGES.float() / 255)
    torch.testing.assert_close(scoring.apply(network, IMAGES, torch.arange(5), batch), whole)


def test_no_image_gives_no_row():
    assert scoring.apply(nn.Flatten().eval(), IMAGES, torch.arange(0)).shape == (0, 4)


def test_the_result_carries_no_gradient():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    assert not scoring.apply(network, IMAGES, torch.arange(5)).requires_grad


def test_a_network_with_any_part_in_training_mode_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4)).eval()
    network[1].train()
    with pytest.raises(RuntimeError, match=r"call \.eval\(\)"):
        scoring.apply(network, IMAGES, torch.arange(5))
