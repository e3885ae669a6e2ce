# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""The Gluon kernel with its memory: descriptors, origins of the arenas, and the launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from everframe.runtime.megakernel.gluon_kernel import gluon_frame_kernel
from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.tiles import (
    GLUON_KEYS,
    GLUON_ROWS,
    GLUON_WIDE,
    MAX_WINDOW,
    PANEL,
)
from everframe.runtime.megakernel.torch_launch import (
    Kernel,
    KernelBuildError,
    Pictures,
    Tables,
    aligned,
    sizes_of,
)

MATH_REGISTERS, OTHER_REGISTERS = 232, 40
"""Of a thread of the math warpgroups, and of the other warps: all that a multiprocessor has."""
SIGNALS = 2
"""Of each instruction: one for each half of its rows."""
WARPS = 4
"""Of the first partition; the kernel adds the others."""
STRIP = 16
"""Rows of a box of weights of convolutions."""
LINES = (1 << 31) - 1
"""Lines of 64 numbers that a descriptor can tell apart: 256 GB."""


def tail_rows(tokens: int) -> int:
    """Rows of a box of keys that fill no tile."""
    return STRIP if tokens % GLUON_KEYS % STRIP == 0 else STRIP // 2


def descriptors_from(lowest: Tensor, layout: Layout) -> tuple[Any, ...]:
    """Of all memory from a tensor on: boxes of 128, 256, 64 or 128, 64 and 16 lines, and of 128, 64
    and a few rows of a head, 64 channels each.
    """
    swizzled = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    half, tail = GLUON_ROWS // 2, tail_rows(layout.plan.tokens)

    def boxes(height: int, width: int) -> TensorDescriptor:
        rows = LINES // (width // PANEL)
        return TensorDescriptor(lowest, [rows, width], [width, 1], [height, PANEL], swizzled)

    by_line = (
        boxes(n, PANEL) for n in (GLUON_ROWS, GLUON_WIDE, layout.tiles.model_cols, half, STRIP)
    )
    by_head = (boxes(n, layout.head_dim) for n in (GLUON_KEYS, half, tail))
    return (*by_line, *by_head)


def origins(lowest: int, tensors: Sequence[Tensor], unit: int) -> list[int]:
    """Lines from an address to each tensor.

    Raises:
        KernelBuildError: a tensor is too far away or begins within a row of a head.
    """
    found: list[int] = []
    for tensor in tensors:
        apart, line = tensor.data_ptr() - lowest, PANEL * tensor.element_size()
        if apart % unit or not 0 <= apart // line < LINES - tensor.numel() // PANEL:
            raise KernelBuildError("the memory of the mega kernel lies too far apart")
        found.append(apart // line)
    return found


class GluonKernel(Kernel):
    """`Kernel` for the tiles of `tiles.gluon_tiles`."""

    function = gluon_frame_kernel
    warps = WARPS

    def compile_options(self) -> dict[str, int]:
        """See `Kernel`."""
        return compiled_for_gluon(self.layout, bounded=self.constants.bounded)

    def arguments(
        self,
        tables: Tables,
        pictures: Pictures,
        slots: Sequence[Tensor],
        filled: int,
        results: tuple[Tensor, Tensor],
    ) -> tuple[Any, ...]:
        """See `Kernel`."""
        frame, new = results
        c, p = self.constants, pictures
        unit = self.layout.head_dim * new.element_size()
        past = [aligned(slot, self.dtype, unit) for slot in slots][:MAX_WINDOW]
        past += [new] * (MAX_WINDOW - len(past))
        arenas = (self.work, c.weights, c.convolutions, tables.prompt, new, *past)
        lowest = min(arenas, key=Tensor.data_ptr)
        frames = (p.camera, p.previous, p.anchor_output, p.anchor_camera)
        return (
            *(self.table, self.starts, self.counters, self.error, self.stamps),
            *(SIGNALS * self.epoch, filled, int(p.has_previous), int(p.has_anchor)),
            *(self.work, self.sums, c.fixed, tables.control),
            *(aligned(each, torch.uint8) for each in frames),
            *(aligned(p.noise, torch.float32), frame),
            *descriptors_from(lowest, self.layout),
            *origins(lowest.data_ptr(), arenas, unit),
        )


def compiled_for_gluon(layout: Layout, *, bounded: bool) -> dict[str, int]:
    """What the kernel is compiled for."""
    plan = layout.plan
    sizes = sizes_of(layout)
    return sizes | {
        "HD": layout.head_dim,
        "TILES_2": max(2, 1 << (sizes["TILES"] - 1).bit_length()),
        "FIRST_PANELS": layout.tap_panels(PANEL),
        "NEXT_PANELS": layout.tap_panels(layout.channels),
        "MODEL": layout.tiles.model_cols,
        "WINDOW": plan.window,
        "PROMPT_ROWS": layout.prompt_rows,
        "TAIL": tail_rows(plan.tokens),
        "BOUNDED": int(bounded),
        "TURNS": layout.fixed.at["turns"],
        "LIGHT": layout.tiles.light_fences,
        "SPLIT": int(max(layout.tiles.out_parts, layout.tiles.down_parts) > 1),
        "MATH_REGISTERS": MATH_REGISTERS,
        "OTHER_REGISTERS": OTHER_REGISTERS,
    }
