"""`Program` -> `FramePlan`: recognises the frame step in a traced program, operation by operation.

The kernel implements fused operations. Which ones a program needs is read from its data flow here;
each operation must be claimed by exactly one of them. A program with an operation that nothing
claims is refused: a change of the model can never be dropped silently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from everframe.arch.program import Operation, Program, Value
from everframe.arch.spec import DETAIL_STRIDE
from everframe.core.errors import UserError

Inputs = tuple[int, ...]


class UnsupportedError(UserError):
    """A program or size that the mega kernel cannot run; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """One transformer block. `slots`: (keys, values) input of each past frame, nearest first;
    `new_slot`: output that gets this block's keys and values, None if nobody remembers them.
    """

    index: int
    heads: int
    ffn: int
    slots: tuple[str, ...]
    new_slot: str | None

    @property
    def history_frames(self) -> int:
        """Past frames that this block sees."""
        return len(self.slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlan:
    """A denoising step in the terms of the kernel. Grid in patches, `cells` positions (2x2 pixels)
    per patch side.
    """

    rows: int
    cols: int
    patch: int
    width: int
    head_dim: int
    prompt_tokens: int
    blocks: tuple[BlockPlan, ...]
    detail_channels: int
    detail_depth: int

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.cols

    @property
    def patch_channels(self) -> int:
        """Numbers in one RGB patch."""
        return 3 * self.patch**2

    @property
    def cells(self) -> int:
        """Positions of the detail path per patch side."""
        return self.patch // DETAIL_STRIDE

    @property
    def map_rows(self) -> int:
        """Rows of the detail path."""
        return self.rows * self.cells

    @property
    def map_cols(self) -> int:
        """Columns of the detail path."""
        return self.cols * self.cells

    @property
    def window(self) -> int:
        """Past frames kept."""
        return max(block.history_frames for block in self.blocks)

    @property
    def history_blocks(self) -> tuple[BlockPlan, ...]:
        """Blocks whose keys and values are remembered, in the order of the slots."""
        return tuple(block for block in self.blocks if block.new_slot is not None)

    def parity(self, step: int, block: BlockPlan) -> int:
        """Which of two scratch buffers holds the keys and values of a block with attention: in turn
        over all such blocks of all steps.
        """
        attending = [other.index for other in self.blocks if other.heads]
        return (step * len(attending) + attending.index(block.index)) % 2


@dataclass(slots=True)
class Reader:
    """Walks a program backwards and notes which operations have been claimed."""

    program: Program
    values: dict[int, Value] = field(init=False)
    producers: dict[int, Operation] = field(init=False)
    claimed: set[int] = field(default_factory=set[int])

    def __post_init__(self) -> None:
        self.values = {v.index: v for v in self.program.values}
        self.producers = {op.output: op for op in self.program.operations}

    def open(self, value: int, primitive: str, **attributes: Any) -> Inputs:
        """Claim the producer of `value`, which must be this primitive; returns its inputs."""
        op = self.producers.get(value)
        found = self.values[value].name if op is None else op.primitive
        if op is None or op.primitive != primitive:
            raise UnsupportedError(
                f"the mega kernel expects {primitive} where this model has {found}"
            )
        for name, expected in attributes.items():
            if op.attributes[name] != expected:
                raise UnsupportedError(
                    f"the mega kernel expects {primitive} with {name} {expected}, "
                    f"this model has {op.attributes[name]}"
                )
        self.claimed.add(value)
        return tuple(i for i in op.inputs if i is not None)

    def primitive(self, value: int) -> str | None:
        """The primitive that makes `value`; None for inputs, weights and constants."""
        op = self.producers.get(value)
        return None if op is None else op.primitive

    def same(self, found: int, expected: int) -> None:
        """Both must be one value."""
        if found != expected:
            names = self.values[expected].name, self.values[found].name
            raise UnsupportedError(
                f"the mega kernel expects {names[0]} where this model has {names[1]}"
            )

    def attribute(self, value: int, name: str) -> int:
        """A numeric attribute of the producer of `value`."""
        return int(self.producers[value].attributes[name])

    def leaf(self, value: int, name: str) -> None:
        """`value` must be the input, weight or constant of that name."""
        found = self.values[value].name
        if value in self.producers or found != name:
            raise UnsupportedError(f"the mega kernel expects {name} where this model has {found}")

    def shape(self, value: int) -> tuple[int, ...]:
        """Shape of a value."""
        return self.values[value].shape

    def linear(self, value: int, weight: str) -> int:
        """Claim `linear` with that weight; returns its input."""
        x, w = self.open(value, "linear")
        self.leaf(w, weight)
        return x

    def slice_of(self, value: int, axis: int, start: int, stop: int) -> int:
        """Claim `take`; returns what is sliced."""
        return self.open(value, "take", axis=axis, start=start, stop=stop)[0]

    def finish(self) -> None:
        """Every operation must have been claimed."""
        for op in self.program.operations:
            if op.output not in self.claimed:
                name = self.values[op.output].name
                raise UnsupportedError(
                    f"the mega kernel has no instruction for {name} of this model"
                )
