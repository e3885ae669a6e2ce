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
from everframe.arch.positions import position_features, rope_angles, step_features
from everframe.arch.program import Program
from everframe.diffusion.process import euler_coefficients, levels
from everframe.diffusion.programs import control_program, prompt_program, slot_name, step_program
from everframe.runtime.engine import PreparedSteps, prompt_bias
from everframe.runtime.onnx_graph import build_onnx

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]
"""A compiled graph: inputs by name to outputs by name. Outputs belong to the caller."""
Compile = Callable[[bytes, Sequence[str]], Run]
"""Compile a serialised ONNX model with these outputs."""


class ProgramEngine:
    """`runtime.engine.Engine` on NumPy arrays, around any ONNX back end."""

    def __init__(
        self, name: str, bundle: Bundle, height: int, width: int, compile_graph: Compile
    ) -> None:
        """Compile the programs for a frame size (a second or two)."""
        self.name, self.spec = name, bundle.spec
        self.height, self.width = height, width
        rows, cols = self.spec.grid(height, width)
        self.tokens = rows * cols
        cos, sin = rope_angles(self.spec, rows, cols)
        tables = {"cos": cos, "sin": sin, "position": position_features(rows, cols)}
        bound = {**bundle.weights, **tables}

        def compiled(program: Program) -> Run:
            model = build_onnx(program, bound).SerializeToString()
            return compile_graph(model, tuple(program.outputs))

        self._prompt = compiled(prompt_program(self.spec))
        self._control = compiled(control_program(self.spec))
        self._step = compiled(step_program(self.spec, height, width))
        self._bias = [
            key_bias(self.spec, self.tokens, filled) for filled in range(self.spec.window + 1)
        ]
        self._flag = {on: np.full((1, 1), float(on), np.float32) for on in (False, True)}

    def encode_prompt(self, states: Array, mask: Array) -> Array:
        """See `Engine`."""
        return self._prompt({"states": states, "bias": prompt_bias(mask)})["code"]

    def prepare(self, code: Array, steps: int) -> PreparedSteps[Array]:
        """See `Engine`."""
        taus = levels(steps)
        controls = tuple(
            self._control({"code": code, "step_features": step_features(tau, 0.0)}) for tau in taus
        )
        coefficients = tuple(euler_coefficients(tau, 1 / steps) for tau in taus)
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
