"""How one step reaches the network: `Single` calls it as written, `Stacked` runs many as one program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


class Single:
    """One detector, called as the notebook wrote it."""

    def __init__(self, models: list[nn.Module], device: torch.device, precision: str):
        self.device, self.precision = device, precision
        self.model = models[0].to(device, memory_format=torch.channels_last).train()
        self.parameters = dict(self.model.named_parameters())
        self.buffers = dict(self.model.named_buffers())

    def terms(self, loss: Loss, batch: Batch) -> dict[str, Tensor]:
        batch = {k: v.squeeze(0) for k, v in batch.items()}
        batch = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in batch.items()}
        with autocast(self.device, self.precision):
            return {name: value.float().reshape(1) for name, value in loss(self.model, batch).items()}


class _LossModule(nn.Module):
    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(self.model, batch)


class Stacked:
    """Many detectors of one shape as one program: parameters stacked along a new first axis, the loss under vmap.

    The detectors share nothing, so the gradient of the sum of their losses is each one's own gradient, and Adam,
    which works element by element, treats the stack as it would treat them apart.
    """

    def __init__(self, models: list[nn.Module], device: torch.device, precision: str):
        self.device, self.precision = device, precision
        models = [model.to(device).train() for model in models]
        self.parameters, self.buffers = stack_module_state(models)
        self.skeleton = models[0]

    def terms(self, loss: Loss, batch: Batch) -> dict[str, Tensor]:
        module = _LossModule(self.skeleton, loss)

        def one(parameters: Batch, buffers: Batch, sub_batch: Batch) -> dict[str, Tensor]:
            state = {f"model.{name}": value for name, value in (parameters | buffers).items()}
            return {
                name: value.float().reshape(()) for name, value in functional_call(module, state, (sub_batch,)).items()
            }

        with autocast(self.device, self.precision):
            return vmap(one, randomness="different")(self.parameters, self.buffers, batch)
