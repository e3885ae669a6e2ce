"""`History`: the causal memory of a stream as an explicit value, and the two ways attention reads
it.

It is passed into a step and a new one comes back; no layer hides state. It holds the own previous
output, the anchor (an early own output with its camera frame, the restoring force of the long
memory) and a ring with the keys and values of the last W frames. Constant size, whatever the age of
the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from everframe.arch.model import Attention
from everframe.arch.ops import Ops
from everframe.arch.spec import BlockSpec, Spec

V = TypeVar("V")

MASKED = -30000.0
"""Attention bias of a key that does not exist; finite in bfloat16 and float16 alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Generic[V]):
    """Memory of one stream.

    previous, anchor_output, anchor_camera: uint8 [..., H, W, 3]; zeros where absent.
    slots: slots[age - 1][j] holds keys and values [..., 2, heads, N, K] of the j-th history block.
    filled: how many slots are real.
    """

    previous: V
    anchor_output: V
    anchor_camera: V
    slots: tuple[tuple[V, ...], ...]
    filled: int
    has_previous: bool
    has_anchor: bool

    def advance(self, *, frame: V, slots: tuple[V, ...]) -> History[V]:
        """The memory after `frame` (uint8) was made with the keys and values `slots`."""
        ring = (slots, *self.slots)[: len(self.slots)]
        filled = min(self.filled + 1, len(self.slots))
        return replace(self, previous=frame, slots=ring, filled=filled, has_previous=True)

    def anchored(self, *, output: V, camera: V) -> History[V]:
        """The same memory with a new anchor: own `output` and the `camera` frame it came from."""
        return replace(self, anchor_output=output, anchor_camera=camera, has_anchor=True)

    def without_anchor(self) -> History[V]:
        """The same memory with the anchor switched off (during a cross-fade of prompts)."""
        return replace(self, has_anchor=False)


def slot_shapes(spec: Spec, tokens: int) -> tuple[tuple[int, ...], ...]:
    """Shape of one slot for each history block."""
    return tuple((2, spec.blocks[i].heads, tokens, spec.head_dim) for i in spec.history_blocks)


def key_bias(spec: Spec, tokens: int, filled: int) -> NDArray[np.float32]:
    """[1, P + N + W*N]: 0 for keys that exist (prompt, this frame, filled slots), `MASKED` for
    others.
    """
    bias = np.zeros((1, spec.prompt_tokens + tokens * (1 + spec.window)), np.float32)
    bias[:, spec.prompt_tokens + tokens * (1 + filled) :] = MASKED
    return bias


class RingMemory(Generic[V]):
    """Step by step: keys and values of past frames come from the ring; those of this frame are
    collected.
    """

    def __init__(
        self, ops: Ops[V], spec: Spec, slots: Sequence[Sequence[V]], bias: V, tokens: int
    ) -> None:
        """Read from `slots[age - 1][j]`; `bias` as made by `key_bias`."""
        self._ops, self._spec, self._slots = ops, spec, slots
        self._bias, self._tokens = bias, tokens
        self.collected: list[V] = []

    def attend(self, block: BlockSpec, operands: Attention[V]) -> V:
        """Keys in the order [prompt | this frame | age 1 | age 2 ...]."""
        ops, o = self._ops, operands
        if not block.history_frames:
            k = ops.concat([o.prompt_k, o.k], -2)
            return ops.attend(o.q, k, ops.concat([o.prompt_v, o.v], -2), None)
        assert o.age is not None
        j = len(self.collected)
        self.collected.append(ops.stack([o.k, o.v], -4))
        keys, values = [o.prompt_k, o.k], [o.prompt_v, o.v]
        for age in range(block.history_frames):
            slot = self._slots[age][j]
            keys.append(ops.add(ops.select(slot, -4, 0), ops.select(o.age, -4, age)))
            values.append(ops.select(slot, -4, 1))
        visible = self._spec.prompt_tokens + self._tokens * (1 + block.history_frames)
        bias = ops.take(self._bias, -1, 0, visible)
        return ops.attend(o.q, ops.concat(keys, -2), ops.concat(values, -2), bias)


class ClipMemory(Generic[V]):
    """A whole clip in parallel, axes [B, T, H, N, K]: frame t sees the frames before it
    (block-causal).
    """

    def __init__(
        self,
        ops: Ops[V],
        frames: int,
        *,
        past: Sequence[tuple[V, V]] | None = None,
        collect: bool = False,
    ) -> None:
        """`frames` is T. `past`: keys and values of each history block that another pass over the
        clip made; they stand for those of the earlier frames. `collect`: keep those of this pass.
        """
        self._ops, self._frames, self._past, self._collect = ops, frames, past, collect
        self._seen = 0
        self.collected: list[tuple[V, V]] = []

    def attend(self, block: BlockSpec, operands: Attention[V]) -> V:
        """The keys of `RingMemory` in the same order; absent frames are left out, not masked."""
        ops, o = self._ops, operands
        if not block.history_frames:
            k = ops.concat([o.prompt_k, o.k], -2)
            return ops.attend(o.q, k, ops.concat([o.prompt_v, o.v], -2), None)
        assert o.age is not None
        past_k, past_v = o.k, o.v
        if self._past is not None:
            past_k, past_v = self._past[self._seen]
            self._seen += 1
        if self._collect:
            self.collected.append((o.k, o.v))
        frames: list[V] = []
        for t in range(self._frames):
            keys = [ops.select(o.prompt_k, -4, t), ops.select(o.k, -4, t)]
            values = [ops.select(o.prompt_v, -4, t), ops.select(o.v, -4, t)]
            for age in range(min(block.history_frames, t)):
                past = ops.select(past_k, -4, t - 1 - age)
                keys.append(ops.add(past, ops.select(o.age, -4, age)))
                values.append(ops.select(past_v, -4, t - 1 - age))
            q = ops.select(o.q, -4, t)
            frames.append(ops.attend(q, ops.concat(keys, -2), ops.concat(values, -2), None))
        return ops.stack(frames, -4)
