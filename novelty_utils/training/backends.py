"""Where and how a step is computed: on which device, in which precision, kernel by kernel or as a recorded graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from novelty_utils.errors import InputError

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], dict[str, Any]]  # scalar tensors by name, and under "kept" tensors by name


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
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Batch) -> Tensor:
        self.calls += 1
        if self.calls < self.FIRST:
            return self._aside(inputs)
        if self.calls == self.FIRST:
            return self._listen(inputs)
        if self.waits:
            return self._aside(inputs)
        graph = self.graph or self._record(inputs)
        for name, tensor in inputs.items():
            self.inputs[name].copy_(tensor)
        graph.replay()
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

    def _record(self, inputs: Batch) -> torch.cuda.CUDAGraph:
        self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.output = self.step(self.inputs)
        except RuntimeError as error:
            raise InputError(f"this step cannot be recorded ({error}): train with replay=False") from error
        return self.graph
