"""`Engine`: runs one model at one frame size. Stateless: memory goes in and comes back as a value.

Engines: `openvino`, `onnxruntime`, `torch` (eager, the reference), `compiled` (torch.compile),
`megakernel` (one launch per frame on Hopper GPUs; falls back to `compiled` and says why).
`auto` takes the fastest that is installed and says which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.arch.spec import Spec
from everframe.core.errors import UserError

V = TypeVar("V")
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSteps(Generic[V]):
    """Control tables for each denoising step of a frame, with the Euler coefficients."""

    controls: tuple[dict[str, V], ...]
    coefficients: tuple[tuple[float, float], ...]


class Engine(Protocol[V]):
    """What a `Session` needs. `V` is the engine's tensor type; pixels cross the border as NumPy
    uint8.
    """

    name: str
    spec: Spec
    height: int
    width: int

    def encode_prompt(self, states: Array, mask: Array) -> Array:
        """Token states [16, 384] and mask [16] -> prompt code float32 [P + 1, prompt_width]."""
        ...

    def prepare(self, code: Array, steps: int) -> PreparedSteps[V]:
        """Tables for `steps` denoising steps under a prompt code."""
        ...

    def empty_history(self) -> History[V]:
        """Memory of a stream that has not begun."""
        ...

    def to_engine(self, array: Array) -> V:
        """A NumPy array as the engine's tensor."""
        ...

    def to_numpy(self, value: V) -> Array:
        """Inverse of `to_engine`."""
        ...

    def step(
        self, history: History[V], camera: V, noise: V, prepared: PreparedSteps[V]
    ) -> tuple[V, History[V]]:
        """One frame: uint8 [H, W, 3] and noise [3, H, W] -> uint8 frame and the new memory."""
        ...


def _openvino(bundle: Bundle, height: int, width: int, precision: str) -> Engine[Any]:
    from everframe.runtime.openvino_engine import openvino_engine

    return openvino_engine(bundle, height, width, precision)


def _onnxruntime(bundle: Bundle, height: int, width: int, precision: str) -> Engine[Any]:
    from everframe.runtime.onnxruntime_engine import onnxruntime_engine

    return onnxruntime_engine(bundle, height, width, precision)


def _torch(bundle: Bundle, height: int, width: int, precision: str) -> Engine[Any]:
    from everframe.runtime.torch_engine import torch_engine

    return torch_engine(bundle, height, width, precision, compiled=False)


def _compiled(bundle: Bundle, height: int, width: int, precision: str) -> Engine[Any]:
    from everframe.runtime.torch_engine import torch_engine

    return torch_engine(bundle, height, width, precision, compiled=True)


def _megakernel(bundle: Bundle, height: int, width: int, precision: str) -> Engine[Any]:
    from everframe.runtime.megakernel.torch_engine import megakernel_engine

    return megakernel_engine(bundle, height, width, precision)


Opener = Callable[[Bundle, int, int, str], Engine[Any]]
OPENERS: dict[str, tuple[str, str, Opener]] = {
    "openvino": ("openvino", "pip install openvino", _openvino),
    "onnxruntime": ("onnxruntime", 'pip install "everframe[onnxruntime]"', _onnxruntime),
    "compiled": ("torch", 'pip install "everframe[gpu]"', _compiled),
    "torch": ("torch", 'pip install "everframe[gpu]"', _torch),
    "megakernel": ("triton", 'pip install "everframe[gpu]" on Linux', _megakernel),
}
"""Engine name -> module it needs, how to get it, how to open it."""
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


def has_cuda_device() -> bool:
    """Whether this machine shows an NVIDIA device; does not import torch."""
    return Path("/proc/driver/nvidia/version").exists() and find_spec("torch") is not None


def installed_engines() -> tuple[str, ...]:
    """Names of the engines whose packages are installed, the one `auto` would take first."""
    order = ("openvino", "onnxruntime", "torch", "compiled")
    if has_cuda_device():  # the mega kernel comes first as soon as it has been measured
        order = ("compiled", "torch", "megakernel", "openvino", "onnxruntime")
    return tuple(name for name in order if find_spec(OPENERS[name][0]) is not None)


def open_engine(
    name: str, bundle: Bundle, *, height: int, width: int, precision: str = "auto"
) -> Engine[Any]:
    """Open a bundle at a frame size.

    Args:
        name: an engine name or `auto`.
        bundle: the model.
        height, width: frame size, multiples of the patch.
        precision: `auto` (the fastest of the engine on this processor), `float32`, `bfloat16`,
            `int8`.

    Raises:
        UserError: unknown engine or precision, missing package, impossible size.
    """
    bundle.spec.grid(height, width)
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS)}")
    installed = installed_engines()
    if name == "auto":
        if not installed:
            raise UserError("no engine is installed; install one with: pip install openvino")
        name = installed[0]
    if name not in OPENERS:
        raise UserError(f"unknown engine '{name}'; choose auto or one of {', '.join(OPENERS)}")
    module, fix, _ = OPENERS[name]
    # the mega kernel is not listed without a GPU, but it falls back by itself and says so
    if name not in installed and (name != "megakernel" or find_spec(module) is None):
        raise UserError(f"engine '{name}' needs the package {module}; install it with: {fix}")
    return OPENERS[name][2](bundle, height, width, precision)


def prompt_bias(mask: Array) -> Array:
    """Attention bias [1, 16] of a token mask."""
    return np.where(mask, 0.0, -30000.0).astype(np.float32)[None]
