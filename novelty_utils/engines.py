"""How one step reaches the network: on which device, in which precision, alone or many as one program.

`Single` calls the network as the notebook wrote it, `Stacked` runs many of them as one program.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from novelty_utils.params import InputError

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is a CUDA GPU where there is one. Raises InputError if `cuda` is asked for and missing."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device={name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device='cuda': this machine shows no CUDA GPU to PyTorch; choose device=cpu or auto")
    return torch.device("cuda" if name in ("auto", "cuda") and torch.cuda.is_available() else "cpu")


def pick_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 where the hardware multiplies bf16 (recent GPUs, CPUs with AMX or AVX512-BF16), else fp32."""
    if name not in ("auto", "fp32", "bf16"):
        raise InputError(f"precision={name!r}: choose auto, fp32 or bf16")
    if name != "auto":
        return name
    if device.type == "cuda":  # older GPUs only emulate bf16, slower than fp32
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported() else "fp32"


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
