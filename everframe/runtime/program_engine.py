"""The engine of everything that runs ONNX: traces the three programs, lowers them, keeps the memory
in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.arch.history import History, key_bias, slot_shapes
from everframe.arch.positions import step_features
from everframe.diffusion.process import conditions, euler_coefficients
from everframe.diffusion.programs import slot_name
from everframe.runtime.engine import PreparedSteps, prompt_bias
from everframe.runtime.onnx_graph import Matrices
from everframe.runtime.onnx_models import onnx_models

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]
"""A compiled graph: inputs by name to outputs by name. Outputs belong to the caller."""
Compile = Callable[[bytes, Sequence[str], bool], Run]
"""Compile a serialised ONNX model with these outputs; True: in float32 whatever the precision."""


class ProgramEngine:
    """`runtime.engine.Engine` on NumPy arrays, around any ONNX back end."""

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        size: tuple[int, int],
        compile_graph: Compile,
        *,
        int8_step: Matrices = (),
    ) -> None:
        """Compile the programs for a frame `size` (height, width); a second or two."""
        height, width = size
        self.name, self.spec = name, bundle.spec
        self.height, self.width = height, width
        rows, cols = self.spec.grid(height, width)
        self.tokens = rows * cols
        models = onnx_models(bundle, height, width, int8_step=int8_step)

        def compiled(name: str, *, exact: bool) -> Run:
            model = models[name]
            outputs = tuple(output.name for output in model.graph.output)
            return compile_graph(model.SerializeToString(), outputs, exact)

        # the small graphs run once per prompt: nothing is gained by rounding there
        self._prompt = compiled("prompt", exact=True)
        self._control = compiled("control", exact=True)
        self._step = compiled("step", exact=False)
        self._bias = [
            key_bias(self.spec, self.tokens, filled) for filled in range(self.spec.window + 1)
        ]
        self._flag = {on: np.full((1, 1), float(on), np.float32) for on in (False, True)}

    def encode_prompt(self, states: Array, mask: Array) -> Array:
        """See `Engine`."""
        return self._prompt({"states": states, "bias": prompt_bias(mask)})["code"]

    def prepare(self, code: Array, steps: int) -> PreparedSteps[Array]:
        """See `Engine`."""
        told = conditions(steps, self.spec.step_sizes)
        controls = tuple(
            self._control({"code": code, "step_features": step_features(*pair)}) for pair in told
        )
        coefficients = tuple(euler_coefficients(tau, 1 / steps) for tau, _ in told)
        return PreparedSteps(controls=controls, coefficients=coefficients)

    def empty_history(self) -> History[Array]:
        """See `Engine`."""
        pixels = np.zeros((self.height, self.width, 3), np.uint8)
        slot = tuple(np.zeros(s, np.float32) for s in slot_shapes(self.spec, self.tokens))
        return History(
            previous=pixels,
            anchor_output=pixels,
            anchor_camera=pixels,
            slots=(slot,) * self.spec.window,
            filled=0,
            has_previous=False,
            has_anchor=False,
        )

    def to_engine(self, array: Array) -> Array:
        """See `Engine`."""
        return np.ascontiguousarray(array)

    def to_numpy(self, value: Array) -> Array:
        """See `Engine`."""
        return value

    def step(
        self, history: History[Array], camera: Array, noise: Array, prepared: PreparedSteps[Array]
    ) -> tuple[Array, History[Array]]:
        """See `Engine`."""
        inputs: dict[str, Array] = {
            "camera": camera,
            "previous": history.previous,
            "anchor_output": history.anchor_output,
            "anchor_camera": history.anchor_camera,
            "has_previous": self._flag[history.has_previous],
            "has_anchor": self._flag[history.has_anchor],
            "key_bias": self._bias[history.filled],
            "noisy": noise,
        }
        for age, slot in enumerate(history.slots, 1):
            inputs |= {slot_name(age, j): value for j, value in enumerate(slot)}
        outputs: dict[str, Array] = {}
        for control, (keep, move) in zip(prepared.controls, prepared.coefficients, strict=True):
            inputs |= control
            inputs["keep"] = np.full((1, 1, 1), keep, np.float32)
            inputs["move"] = np.full((1, 1, 1), move, np.float32)
            outputs = self._step(inputs)
            inputs["noisy"] = outputs["noisy_next"]
        slots = tuple(outputs[f"slot.new.{j}"] for j in range(len(self.spec.history_blocks)))
        frame = outputs["frame"]
        return frame, history.advance(frame=frame, slots=slots)
