"""The buffers of an emulated launch, and who may touch what."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.geometry import cell_channels, token_and_cell
from everframe.runtime.megakernel.isa import Instruction, Region
from everframe.runtime.megakernel.operands import Operands, StepControl
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.tiles import Tiles

Array = NDArray[np.floating[Any]]
"""float32; NumPy's types do not follow scalars closely enough to say so."""
NORM_EPS = np.float32(1e-6)
Work = Generator[int, None, None]
"""An instruction at work: yields the wait stage that it needs next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What changes from frame to frame. Pictures uint8 [H, W, 3]; noise [3, H, W]; slots: by name
    of the program's inputs, [2, H, N, K]; `filled` of them are real.
    """

    pictures: Mapping[str, NDArray[np.uint8]]
    noise: Array
    slots: Mapping[str, Array]
    filled: int
    has_previous: bool
    has_anchor: bool


@dataclass(slots=True)
class Machine:
    """Buffers and constants of one emulated launch."""

    plan: FramePlan
    tiles: Tiles
    fixed: Operands
    steps: tuple[StepControl, ...]
    launch: Launch
    buffers: dict[str, Array] = field(default_factory=dict[str, Array])

    def read(self, instruction: Instruction, region: Region, stage: int) -> Array:
        """The numbers of a declared region.

        Raises:
            AssertionError: the instruction does not declare it, or only for a later stage.
        """
        declared = [r.region for r in instruction.reads if r.stage <= stage]
        assert any(_inside(region, d) for d in declared), f"{instruction.name} reads {region}"
        return self._slice(region)

    def write(self, instruction: Instruction, region: Region, value: Array) -> None:
        """Store numbers in a declared region.

        Raises:
            AssertionError: the instruction does not declare it.
        """
        assert any(_inside(region, d) for d in instruction.writes), (
            f"{instruction.name} writes {region}"
        )
        self._slice(region)[...] = value

    def _slice(self, region: Region) -> Array:
        rows, cols = slice(region.row0, region.row1), slice(region.col0, region.col1)
        return self.buffers[region.buffer][rows, cols]


def _inside(inner: Region, outer: Region) -> bool:
    return inner.buffer == outer.buffer and inner.meet(outer) == inner


def noisy_tokens(machine: Machine, positions: tuple[int, int], values: Array) -> Array:
    """Positions of whole rows of patches -> tokens [n, patch channels] of these rows."""
    plan = machine.plan
    token, cell = token_and_cell(plan, np.arange(*positions))
    order = cell_channels(plan).reshape(-1, 12)
    first = token.min()
    tokens = np.empty((token.max() - first + 1, plan.patch_channels), np.float32)
    tokens[(token - first)[:, None], order[cell]] = values
    return tokens


def normed(machine: Machine, task: Instruction, weight: Array, shift: Array) -> Array:
    """Matrix product after a norm: the operand is already scaled, the root comes afterwards."""
    scaled, squares = (machine.read(task, read.region, 0) for read in task.reads[:2])
    root = np.sqrt(squares.sum(-1, keepdims=True) / np.float32(machine.plan.width) + NORM_EPS)
    return scaled @ weight.T / root + shift
