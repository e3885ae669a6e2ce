"""`Net`: the weights as a torch module, and the forward over whole clips that training uses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from everframe.arch.history import ClipMemory
from everframe.arch.model import (
    PLAIN,
    FrameInputs,
    Parts,
    Tables,
    encode_prompt,
    forward,
    prepare_control,
)
from everframe.arch.positions import position_features, rope_angles
from everframe.arch.spec import Spec
from everframe.arch.torch_ops import TorchOps
from everframe.arch.weights import Weight, weight_table

SMALL_STD = 0.02
GATE_START = 0.3


def initial_value(weight: Weight, width: int, generator: torch.Generator) -> Tensor:
    """Draw the initial value of a weight; `width` is D (for the gates of a block)."""
    shape = weight.shape
    if weight.init == "fan_in":
        fan = float(np.prod(shape[1:]))
        return torch.randn(shape, generator=generator) * fan**-0.5
    if weight.init == "small":
        return torch.randn(shape, generator=generator) * SMALL_STD
    if weight.init == "unit":
        return torch.randn(shape, generator=generator)
    value = torch.ones(shape) if weight.init == "ones" else torch.zeros(shape)
    if weight.init == "gates":  # of the six modulations, the third and the last are gates
        value.view(6, width)[2::3] = GATE_START
    if weight.init == "identity":  # the colour map starts as the camera itself
        value[[0, 5, 10]] = 1.0
    return value


def table_tensors(spec: Spec, height: int, width: int, device: torch.device) -> Tables[Tensor]:
    """Constant tables of a frame size as tensors on `device`."""
    rows, cols = spec.grid(height, width)
    cos, sin = (torch.from_numpy(a).to(device) for a in rope_angles(spec, rows, cols))
    position = torch.from_numpy(position_features(rows, cols)).to(device)
    return Tables(cos=cos, sin=sin, position=position, rows=rows, cols=cols)


class Net(nn.Module):
    """Weights of one network under the names of `arch.weights.weight_table`."""

    def __init__(self, spec: Spec, seed: int = 0) -> None:
        """Draw initial weights on the CPU from `seed`."""
        super().__init__()
        self.spec = spec
        self.parts: Parts = PLAIN
        generator = torch.Generator().manual_seed(seed)
        table = weight_table(spec)
        self.names = tuple(table)
        self.hidden = tuple(weight.hidden for weight in table.values())
        self.values = nn.ParameterList(
            [nn.Parameter(initial_value(w, spec.width, generator)) for w in table.values()]
        )

    def params(self) -> dict[str, Tensor]:
        """Weights by name (shared, not copied)."""
        return dict(zip(self.names, self.values, strict=True))

    def load_arrays(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Copy weights from arrays.

        Raises:
            KeyError: a weight is missing. ValueError: a shape differs.
        """
        with torch.no_grad():
            for name, value in self.params().items():
                array = arrays[name]
                if tuple(array.shape) != tuple(value.shape):
                    raise ValueError(f"{name}: shape {array.shape}, expected {tuple(value.shape)}")
                value.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Weights as float32 arrays."""
        return {n: v.detach().float().cpu().numpy() for n, v in self.params().items()}

    def prompt_codes(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states [..., 16, 384], bool mask [..., 16] -> codes [..., P + 1, prompt_width]."""
        bias = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -30000.0)
        return encode_prompt(TorchOps(), self.params(), states, bias[..., None, None, :])

    def forward(
        self,
        frame: FrameInputs[Tensor],
        codes: Tensor,
        step_features: Tensor,
        tables: Tables[Tensor],
        memory: ClipMemory[Tensor] | None = None,
    ) -> Tensor:
        """Clean estimates of a whole clip, block-causal: [B, T, 3, H, W] (axes B, T lead
        everywhere).

        Args:
            frame: pixels and flags, each [B, T, ...].
            codes: prompt code of each frame [B, T, P + 1, prompt_width].
            step_features: [B, T, 1, 64].
            tables: of the frame size.
            memory: how frames see earlier ones; by default as in this very pass.
        """
        ops, params = TorchOps(), self.params()
        control = prepare_control(ops, params, self.spec, codes, step_features)
        memory = memory or ClipMemory(ops, frame.camera.shape[1])
        return forward(ops, params, self.spec, frame, control, tables, memory, self.parts)
