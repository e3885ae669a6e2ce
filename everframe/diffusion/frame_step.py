"""One frame: camera, prompt and memory in; picture and memory out. The heart of everframe.

Pure, written in primitives, so that it runs eagerly, is traced to a `Program`, and is the
definition that every engine is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from everframe.arch.history import RingMemory
from everframe.arch.model import Control, FrameInputs, Tables, forward
from everframe.arch.ops import Ops, Params
from everframe.arch.spec import Spec

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs(Generic[V]):
    """Values of one denoising step.

    camera, previous, anchor_output, anchor_camera: uint8 [..., H, W, 3]; noisy: float
    [..., 3, H, W]; has_previous, has_anchor: [..., 1, 1]; key_bias [1, keys]; slots as in
    `History`; keep, move [1, 1, 1]: coefficients of the Euler update.
    """

    camera: V
    previous: V
    anchor_output: V
    anchor_camera: V
    has_previous: V
    has_anchor: V
    noisy: V
    key_bias: V
    slots: tuple[tuple[V, ...], ...]
    keep: V
    move: V


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutputs(Generic[V]):
    """frame: the clean estimate as uint8 [..., H, W, 3]; noisy: input of the next step; slots: new
    K/V.
    """

    frame: V
    noisy: V
    slots: tuple[V, ...]


def denoise_step(
    ops: Ops[V],
    params: Params[V],
    spec: Spec,
    inputs: StepInputs[V],
    control: Control[V],
    tables: Tables[V],
) -> StepOutputs[V]:
    """One pass of the network and one Euler update (equation 4)."""
    tokens = tables.rows * tables.cols
    memory = RingMemory(ops, spec, inputs.slots, inputs.key_bias, tokens)
    anchor = [ops.from_uint8(inputs.anchor_output), ops.from_uint8(inputs.anchor_camera)]
    anchored = ops.to_map(inputs.has_anchor, 1, 1)
    frame = FrameInputs(
        noisy=inputs.noisy,
        camera=ops.from_uint8(inputs.camera),
        previous=ops.from_uint8(inputs.previous),
        anchor=ops.mul(ops.concat(anchor, -3), anchored),
        has_previous=inputs.has_previous,
        has_anchor=inputs.has_anchor,
    )
    clean = forward(ops, params, spec, frame, control, tables, memory)
    noisy = ops.add(ops.mul(inputs.noisy, inputs.keep), ops.mul(clean, inputs.move))
    return StepOutputs(frame=ops.to_uint8(clean), noisy=noisy, slots=tuple(memory.collected))


def frame_step(
    ops: Ops[V],
    params: Params[V],
    spec: Spec,
    inputs: Sequence[StepInputs[V]],
    controls: Sequence[Control[V]],
    tables: Tables[V],
) -> StepOutputs[V]:
    """All denoising steps of a frame, unrolled. `inputs[i].noisy` is used for i = 0 only.

    The keys and values of the last step are the ones to remember.
    """
    outputs: StepOutputs[V] | None = None
    for step, control in zip(inputs, controls, strict=True):
        if outputs is not None:
            step = replace(step, noisy=outputs.noisy)
        outputs = denoise_step(ops, params, spec, step, control, tables)
    assert outputs is not None
    return outputs
