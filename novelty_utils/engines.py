"""How one step reaches the network: on which device, in which precision, alone or many as one program.

`Single` calls the network as the notebook wrote it, `Stacked` runs many of them as one program; `Replayed` launches
all kernels of a step at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from novelty_utils.params import InputError

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], dict[str, Tensor | Batch]]
Terms = tuple[Batch, Batch]  # scalars, and what the loss keeps for the next steps on the same batch


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

    def terms(self, loss: Loss, batch: Batch) -> Terms:
        batch = {k: v.squeeze(0) for k, v in batch.items()}
        batch = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in batch.items()}
        with autocast(self.device, self.precision):
            values = loss(self.model, batch)
        kept = {name: value.unsqueeze(0) for name, value in values.pop("kept", {}).items()}
        return {name: value.float().reshape(1) for name, value in values.items()}, kept


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

    def terms(self, loss: Loss, batch: Batch) -> Terms:
        module = _LossModule(self.skeleton, loss)

        def one(parameters: Batch, buffers: Batch, sub_batch: Batch) -> Terms:
            state = {f"model.{name}": value for name, value in (parameters | buffers).items()}
            values = functional_call(module, state, (sub_batch,))
            kept = values.pop("kept", {})
            return {name: value.float().reshape(()) for name, value in values.items()}, kept

        with autocast(self.device, self.precision):
            return vmap(one, randomness="different")(self.parameters, self.buffers, batch)


class Replayed:
    """A step whose kernels are recorded once and from then on launched together, as a CUDA graph.

    A small network's kernels run for microseconds, and launching them one by one from Python takes longer than that.
    The first steps run as they are: libraries choose their kernels in them. If the last of these waits for the GPU, as
    `.item()` and most copies from the CPU make it, nothing is recorded and all steps go on one by one. Tensors that a
    loss keeps outside the model must not be replaced later.

    Raises InputError where recording fails for another reason.
    """

    FIRST = 3

    def __init__(self, step: Callable[[Batch], Tensor]):
        self.step, self.calls = step, 0
        self.stream = torch.cuda.Stream()
        self.graph = None

    def __call__(self, inputs: Batch) -> Tensor:
        self.calls += 1
        if self.calls < self.FIRST:
            return self._aside(inputs)
        if self.calls == self.FIRST:
            return self._listen(inputs)
        if self.waits:
            return self._aside(inputs)
        if self.graph is None:
            self._record(inputs)
        for name, tensor in inputs.items():
            self.inputs[name].copy_(tensor)
        self.graph.replay()
        return self.output.clone()

    def _listen(self, inputs: Batch) -> Tensor:
        """Run the step, and note whether it waits for the GPU."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                output = self._aside(inputs)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        others = [one for one in heard if "synchronizing" not in str(one.message)]
        self.waits = len(others) < len(heard)
        for one in others:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return output

    def _aside(self, inputs: Batch) -> Tensor:
        """On another stream than the usual one, which cannot be recorded."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            output = self.step(inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return output

    def _record(self, inputs: Batch) -> None:
        self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.output = self.step(self.inputs)
        except RuntimeError as error:
            raise InputError(f"this step cannot be recorded ({error}): train with replay=False") from error
