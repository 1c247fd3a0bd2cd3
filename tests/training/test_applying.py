"""A trained network on images: their range, their order, and evaluation mode."""

import pytest
import torch
from torch import nn

from novelty_utils import training

IMAGES = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None, None, None]


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_outputs_come_in_the_order_of_the_index(batch):
    found = training.apply(nn.Flatten(0).eval(), IMAGES, torch.tensor([2, 1, 1, 0]), batch)
    assert found.tolist() == pytest.approx([1, 0.2, 0.2, 0])
    assert found.dtype == torch.float32


def test_floats_reach_the_network_as_they_are():
    codes = torch.tensor([[3.0, -7.5]])
    assert training.apply(nn.Identity().eval(), codes, torch.tensor([0])).tolist() == codes.tolist()


def test_a_network_with_a_part_in_training_mode_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1)).eval()
    network[1].train()
    with pytest.raises(RuntimeError, match="training mode"):
        training.apply(network, IMAGES, torch.tensor([0]))
