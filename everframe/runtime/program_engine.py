"""The engine of everything that runs ONNX: traces the three programs, lowers them, keeps the memory
in NumPy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
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
from everframe.runtime.onnx_models import ANCHOR_INPUTS, NOISE_INPUTS, live_models

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]
"""A compiled graph: inputs by name to outputs by name. Outputs belong to the caller."""
Compile = Callable[[bytes, Sequence[str], bool], Run]
"""Compile a serialised ONNX model with these outputs; True: in float32 whatever the precision."""

HELD_INPUTS = 8
"""Different inputs of a slow program whose results are kept: streams of a server take turns."""


class Held:
    """A graph that runs only if its inputs are not the same arrays as before. Arrays that an engine
    has been given are never changed in place.
    """

    def __init__(self, run: Run, names: Sequence[str]) -> None:
        """`names` of the inputs that it depends on."""
        self._run, self._names = run, names
        self._kept: OrderedDict[tuple[int, ...], tuple[list[Array], dict[str, Array]]]
        self._kept = OrderedDict()

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; `inputs` may have others, too."""
        read = [inputs[name] for name in self._names]
        key = tuple(id(array) for array in read)
        if key not in self._kept:  # the arrays are kept with it, so that no other has their id
            self._kept[key] = read, self._run(inputs)
        self._kept.move_to_end(key)
        if len(self._kept) > HELD_INPUTS:
            self._kept.popitem(last=False)
        return self._kept[key][1]


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
        narrow: bool = False,
    ) -> None:
        """Compile the programs for a frame `size` (height, width); a second or two. `narrow`: keep
        cached keys and values in bfloat16, as the bits of `uint16`.
        """
        height, width = size
        self.name, self.spec = name, bundle.spec
        self.height, self.width = height, width
        rows, cols = self.spec.grid(height, width)
        self.tokens = rows * cols
        models = live_models(bundle, height, width, int8=int8_step, narrow=narrow)

        def compiled(name: str, *, exact: bool) -> Run:
            model = models[name]
            outputs = tuple(output.name for output in model.graph.output)
            return compile_graph(model.SerializeToString(), outputs, exact)

        # the small graphs run once per prompt: nothing is gained by rounding there
        self._prompt = compiled("prompt", exact=True)
        self._control = compiled("control", exact=True)
        self._step = compiled("step", exact=False)
        self._refine = cache(partial(compiled, "refine", exact=False))
        self._anchor = Held(compiled("anchor", exact=False), ANCHOR_INPUTS)
        self._noise = Held(compiled("noise", exact=False), NOISE_INPUTS)
        self._bias = [
            key_bias(self.spec, self.tokens, filled) for filled in range(self.spec.window + 1)
        ]
        self._kind: type[Any] = np.uint16 if narrow else np.float32
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
        slot = tuple(np.zeros(s, self._kind) for s in slot_shapes(self.spec, self.tokens))
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
        """See `Engine`. A copy where it may only be read: OpenVINO takes no such memory."""
        return np.require(array, requirements=("C", "W"))

    def to_numpy(self, value: Array) -> Array:
        """See `Engine`."""
        return widened(value) if value.dtype == np.uint16 else value

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
            inputs |= {slot_name(age, j): self._stored(value) for j, value in enumerate(slot)}
        inputs |= self._anchor(inputs)
        last = len(prepared.controls) - 1
        for step, control in enumerate(prepared.controls):
            keep, move = prepared.coefficients[step]
            inputs |= control
            inputs["keep"] = np.full((1, 1, 1), keep, np.float32)
            inputs["move"] = np.full((1, 1, 1), move, np.float32)
            inputs |= self._noise(inputs)
            if step < last:
                inputs["noisy"] = self._refine()(inputs)["noisy_next"]
        outputs = self._step(inputs)
        slots = tuple(outputs[f"slot.new.{j}"] for j in range(len(self.spec.history_blocks)))
        frame = outputs["frame"]
        return frame, history.advance(frame=frame, slots=slots)

    def _stored(self, slot: Array) -> Array:
        """A slot as the graphs take it: one of a saved stream is float32."""
        return slot if slot.dtype == self._kind else narrowed(slot)


def widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16, given as bits, in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrowed(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 rounded to bfloat16 (to even), as bits."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
