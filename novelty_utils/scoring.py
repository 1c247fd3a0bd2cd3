"""From images to numbers: apply a trained network; higher scores mean more anomalous everywhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def apply(network: nn.Module, images: Tensor, index: Tensor, batch: int = 500) -> Tensor:
    """The network's output for the indexed images, float32 (len(index), ...), on the CPU.

    images: uint8 (n, c, h, w); they reach the network in [0, 1] and float32, whatever it was trained in.
    Raises RuntimeError if a module is in training mode: BatchNorm would make each score depend on its neighbours.
    """
    if any(module.training for module in network.modules()):
        raise RuntimeError("the network is in training mode; call .eval() before scoring")
    device = next(network.parameters(), images).device
    parts = [network(images[part].to(device).float() / 255).cpu() for part in index.split(batch)]
    return torch.cat(parts)
