"""Torch: eager (the reference that every other engine is compared with) and compiled. Needs the
extra `gpu`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History, key_bias, slot_shapes
from everframe.arch.model import Tables, encode_prompt, prepare_control
from everframe.arch.positions import position_features, rope_angles, step_features
from everframe.arch.torch_ops import TorchOps
from everframe.core.errors import UserError
from everframe.diffusion.frame_step import StepInputs, denoise_step
from everframe.diffusion.process import conditions, euler_coefficients
from everframe.diffusion.programs import flatten_control, named_control
from everframe.runtime.engine import PreparedSteps, prompt_bias

Array = NDArray[Any]
RECOMPILE_LIMIT = 256
"""Networks and frame sizes that one process may compile. Beyond torch's own limit of 8 it would run
the others eagerly, with no more than a warning.
"""


class TorchEngine:
    """`runtime.engine.Engine` on torch tensors."""

    def __init__(
        self, name: str, bundle: Bundle, height: int, width: int, device: torch.device
    ) -> None:
        """Copy the weights to `device`."""
        self.name, self.spec, self.device = name, bundle.spec, device
        self.height, self.width = height, width
        self.ops = TorchOps()
        self.params = {n: self.to_engine(w) for n, w in bundle.weights.items()}
        rows, cols = self.spec.grid(height, width)
        cos, sin = rope_angles(self.spec, rows, cols)
        self.tables = Tables(
            cos=self.to_engine(cos),
            sin=self.to_engine(sin),
            position=self.to_engine(position_features(rows, cols)),
            rows=rows,
            cols=cols,
        )
        self.tokens = rows * cols
        window = range(self.spec.window + 1)
        self._bias = [self.to_engine(key_bias(self.spec, self.tokens, n)) for n in window]
        self._flag = {on: torch.full((1, 1), float(on), device=device) for on in (False, True)}
        self.denoise = denoise_step
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=False)

    @torch.inference_mode()
    def encode_prompt(self, states: Array, mask: Array) -> Array:
        """See `Engine`."""
        bias = self.to_engine(prompt_bias(mask))
        return self.to_numpy(encode_prompt(self.ops, self.params, self.to_engine(states), bias))

    @torch.inference_mode()
    def prepare(self, code: Array, steps: int) -> PreparedSteps[Tensor]:
        """See `Engine`."""
        told = conditions(steps, self.spec.step_sizes)
        features = [self.to_engine(step_features(*pair)) for pair in told]
        value = self.to_engine(code)
        controls = [prepare_control(self.ops, self.params, self.spec, value, f) for f in features]
        return PreparedSteps(
            controls=tuple(flatten_control(c) for c in controls),
            coefficients=tuple(euler_coefficients(tau, 1 / steps) for tau, _ in told),
        )

    def empty_history(self) -> History[Tensor]:
        """See `Engine`."""
        pixels = torch.zeros((self.height, self.width, 3), dtype=torch.uint8, device=self.device)
        shapes = slot_shapes(self.spec, self.tokens)
        slot = tuple(torch.zeros(shape, device=self.device) for shape in shapes)
        return History(
            previous=pixels,
            anchor_output=pixels,
            anchor_camera=pixels,
            slots=(slot,) * self.spec.window,
            filled=0,
            has_previous=False,
            has_anchor=False,
        )

    def to_engine(self, array: Array) -> Tensor:
        """See `Engine`."""
        return torch.from_numpy(np.require(array, requirements=("C", "W"))).to(self.device)

    def to_numpy(self, value: Tensor) -> Array:
        """See `Engine`."""
        return value.detach().cpu().numpy()

    @torch.inference_mode()
    def step(
        self,
        history: History[Tensor],
        camera: Tensor,
        noise: Tensor,
        prepared: PreparedSteps[Tensor],
    ) -> tuple[Tensor, History[Tensor]]:
        """See `Engine`."""
        noisy, outputs = noise, None
        for table, (keep, move) in zip(prepared.controls, prepared.coefficients, strict=True):
            inputs = StepInputs(
                camera=camera,
                previous=history.previous,
                anchor_output=history.anchor_output,
                anchor_camera=history.anchor_camera,
                has_previous=self._flag[history.has_previous],
                has_anchor=self._flag[history.has_anchor],
                noisy=noisy,
                key_bias=self._bias[history.filled],
                slots=history.slots,
                keep=torch.full((1, 1, 1), keep, device=self.device),
                move=torch.full((1, 1, 1), move, device=self.device),
            )
            control = named_control(self.spec, table)
            with self.autocast:
                outputs = self.denoise(
                    self.ops, self.params, self.spec, inputs, control, self.tables
                )
            noisy = outputs.noisy
        assert outputs is not None
        return outputs.frame, history.advance(frame=outputs.frame, slots=outputs.slots)


def torch_engine(
    bundle: Bundle, height: int, width: int, precision: str, *, compiled: bool
) -> TorchEngine:
    """Open a bundle on the GPU if there is one, else on the CPU; `auto` is bfloat16 on the GPU
    only.
    """
    if precision == "int8":
        raise UserError("engine 'torch' has no int8; use --engine openvino, or bfloat16")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    label = (
        f"{'compiled' if compiled else 'torch'} ({device.type} {'bfloat16' if half else 'float32'})"
    )
    engine = TorchEngine(label, bundle, height, width, device)
    engine.autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
    if compiled:
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        engine.denoise = torch.compile(denoise_step, dynamic=False)
    return engine
