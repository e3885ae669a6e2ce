# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Descriptors with which the copy engine (TMA) loads tiles of matrices, keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.tiles import PANEL

ADDRESSED = (1 << 31) - 1
"""Rows that a descriptor can tell apart: 256 GB of rows of 64 numbers."""


def matrix_descriptors(layout: Layout, work: Tensor, weights: Tensor) -> tuple[Any, ...]:
    """Of the activations and of the weights of embedding, out and down, of QKV, UP and HEAD."""
    tiles = layout.tiles
    heights = (tiles.model_cols, tiles.qkv_heads * layout.head_dim, 2 * tiles.up_cols)
    sizes = [(work, tiles.rows), *((weights, n) for n in (*heights, tiles.head_cols))]
    return tuple(
        TensorDescriptor(arena, [arena.numel() // PANEL, PANEL], [PANEL, 1], [height, PANEL])
        for arena, height in sizes
    )


def key_descriptor(layout: Layout, new: Tensor, others: Sequence[Tensor]) -> tuple[Any, int]:
    """One descriptor for all memory from the lowest of some tensors on, because a kernel cannot
    choose among descriptors in a loop; and how many numbers later `new` begins.
    """
    lowest = min((new, *others), key=Tensor.data_ptr)
    shape = [ADDRESSED, layout.head_dim]
    block = [layout.tiles.keys, layout.head_dim]
    whole = TensorDescriptor(lowest, shape, [layout.head_dim, 1], block)
    return whole, (new.data_ptr() - lowest.data_ptr()) // new.element_size()
