"""Fold the frame step over a clip for many streams at once: what `Session` does, batched, for
measuring.

The rollout of one stream equals a `Session` on the same frames (tested).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from everframe.arch.history import History, key_bias
from everframe.arch.model import Control, Tables
from everframe.arch.ops import Ops, Params
from everframe.arch.spec import Spec
from everframe.diffusion.frame_step import StepInputs, denoise_step
from everframe.diffusion.process import conditions, euler_coefficients

V = TypeVar("V")

FIRST_STEPS = 8
"""Denoising steps of the first frame, where hidden state must be sampled, not remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roller(Generic[V]):
    """Everything of a rollout that does not change from frame to frame.

    scalar(x) makes a value of shape [1, 1, 1] and row(bias) one of shape [1, M] in the back end;
    control(tau, d) gives the prepared control of a signal level and a step size.
    """

    ops: Ops[V]
    params: Params[V]
    spec: Spec
    tables: Tables[V]
    scalar: Callable[[float], V]
    array: Callable[[object], V]
    control: Callable[[float, float], Control[V]]

    def step(self, history: History[V], camera: V, noise: V, steps: int) -> tuple[V, History[V]]:
        """One frame in `steps` denoising steps: uint8 frame and new memory (anchor unchanged)."""
        tokens = self.tables.rows * self.tables.cols
        flag = {True: self.scalar(1.0), False: self.scalar(0.0)}
        noisy, outputs = noise, None
        for tau, size in conditions(steps, self.spec.step_sizes):
            keep, move = euler_coefficients(tau, 1 / steps)
            inputs = StepInputs(
                camera=camera,
                previous=history.previous,
                anchor_output=history.anchor_output,
                anchor_camera=history.anchor_camera,
                has_previous=self.ops.select(flag[history.has_previous], -3, 0),
                has_anchor=self.ops.select(flag[history.has_anchor], -3, 0),
                noisy=noisy,
                key_bias=self.array(key_bias(self.spec, tokens, history.filled)),
                slots=history.slots,
                keep=self.scalar(keep),
                move=self.scalar(move),
            )
            outputs = denoise_step(
                self.ops, self.params, self.spec, inputs, self.control(tau, size), self.tables
            )
            noisy = outputs.noisy
        assert outputs is not None
        return outputs.frame, history.advance(frame=outputs.frame, slots=outputs.slots)

    def run(
        self, history: History[V], cameras: Iterator[V], noise: V, *, steps: int, first_steps: int
    ) -> Iterator[V]:
        """Own outputs only; the first frame becomes the anchor when there is none."""
        for camera in cameras:
            fresh = not history.has_previous
            frame, history = self.step(history, camera, noise, first_steps if fresh else steps)
            if not history.has_anchor:
                history = history.anchored(output=frame, camera=camera)
            yield frame
