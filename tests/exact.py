"""Eager torch in float64: what the bfloat16 engines of the GPU are compared with."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.arch.torch_ops import NORM_EPS, TorchOps
from everframe.runtime.engine import PreparedSteps
from everframe.runtime.torch_engine import TorchEngine
from tests.nets import random_frame, random_tokens


@contextmanager
def _double() -> Generator[None]:
    """New tensors are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class ExactOps(TorchOps):
    """The primitives that compute in float32 in the product."""

    def rms_norm(self, x: Tensor) -> Tensor:
        """Root-mean-square norm."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS)

    def from_uint8(self, x: Tensor) -> Tensor:
        """Bytes to -1..1."""
        return x.movedim(-1, -3).double() * (2 / 255) - 1


class ExactEngine(TorchEngine):
    """Takes and gives what a `TorchEngine` does; every number in between is float64."""

    def __init__(self, bundle: Bundle, height: int, width: int, device: torch.device) -> None:
        """Copy the weights to `device`."""
        with _double():
            super().__init__("torch (float64)", bundle, height, width, device)
        self.ops = ExactOps()

    def to_engine(self, array: NDArray[Any]) -> Tensor:
        """Floating-point numbers become float64."""
        tensor = super().to_engine(array)
        return tensor.double() if tensor.is_floating_point() else tensor

    def prepare(self, code: NDArray[Any], steps: int) -> PreparedSteps[Tensor]:
        """See `TorchEngine`."""
        with _double():
            return super().prepare(code, steps)

    def empty_history(self) -> History[Tensor]:
        """See `TorchEngine`."""
        with _double():
            return super().empty_history()

    def step(
        self,
        history: History[Tensor],
        camera: Tensor,
        noise: Tensor,
        prepared: PreparedSteps[Tensor],
    ) -> tuple[Tensor, History[Tensor]]:
        """See `TorchEngine`."""
        with _double():
            return super().step(history, camera, noise, prepared)


def in_float32(history: History[Tensor]) -> History[Tensor]:
    """A history of an `ExactEngine`, for another engine."""
    slots = tuple(tuple(value.float() for value in slot) for slot in history.slots)
    return replace(history, slots=slots)


def same_memory_errors(engine: TorchEngine, truth: ExactEngine, count: int, steps: int) -> float:
    """Mean error in levels of frames from the pictures and slots that `truth` made."""
    size = (truth.height, truth.width)
    code = truth.encode_prompt(*random_tokens(0)).astype(np.float32)
    prepared = [each.prepare(code, steps) for each in (engine, truth)]
    noise = truth.to_engine(np.random.default_rng(1).standard_normal((3, *size)))
    history, errors = truth.empty_history(), list[float]()
    for number in range(count):
        camera = truth.to_engine(random_frame(number, *size))
        made, _ = engine.step(in_float32(history), camera, noise.float(), prepared[0])
        right, history = truth.step(history, camera, noise, prepared[1])
        history = history.anchored(output=right, camera=camera)
        difference = engine.to_numpy(made).astype(np.float64) - truth.to_numpy(right)
        errors.append(float(np.abs(difference).mean()))
    return float(np.mean(errors))
