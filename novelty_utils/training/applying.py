"""Apply a trained network to images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def apply(network: nn.Module, images: Tensor, index: Tensor, batch: int = 500) -> Tensor:
    """The network's output for the indexed images, float32 (len(index), ...), on the CPU.

    images: uint8 (n, c, h, w); they reach the network in [0, 1] and float32, whatever it was trained in.
    Other inputs, such as codes (n, L) for a decoder, are floats already and reach it as they are.
    Raises RuntimeError if a module is in training mode: BatchNorm would make each score depend on its neighbours.
    """
    if any(module.training for module in network.modules()):
        raise RuntimeError("the network is in training mode; call .eval() before scoring")
    device = next(network.parameters(), images).device
    white = 255 if images.dtype == torch.uint8 else 1
    parts = [network(images[part].to(device).float() / white).cpu() for part in index.split(batch)]
    return torch.cat(parts)
