# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: instructions that only add partial sums, few rows each, so that all loads of a tile are
on their way at once and many CTAs share the work. The last part is added first: the bits are those
of an instruction that adds the other parts to its own.
"""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_attention import merge
from everframe.runtime.megakernel.triton_memory import (
    MERGE,
    PANEL,
    first_col,
    first_row,
    leave,
    panel_offset,
    served,
    start_of,
    wait_of,
    word,
)
from everframe.runtime.megakernel.triton_tokens import embed_bias


@triton.jit
def merge_rows(
    work, sums, counters, error, d, epoch,
    KP: tl.constexpr, HEADS: tl.constexpr, ROWS: tl.constexpr, BM: tl.constexpr,
    BOUNDED: tl.constexpr, MOST: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """MERGE."""
    m0, start = first_row(d), wait_of(d, epoch, 0)
    rows = m0 + tl.arange(0, BM)
    cols = tl.arange(0, KP)
    result = work + start_of(word(d, 0)) + panel_offset(rows, cols, ROWS)
    partial, parts = sums + start_of(word(d, 1)), word(d, 2)
    stride = HEADS * ROWS * (KP + 2)
    last = partial + (parts - 1) * stride
    ok = served(counters, error, d, start, 0, LIMIT)
    acc = tl.load(last + rows[:, None] * KP + cols[None, :])
    top = tl.load(last + ROWS * KP + rows)
    total = tl.load(last + ROWS * (KP + 1) + rows)
    total, acc = merge(partial, stride, parts, rows, top, total, acc, ROWS, KP, BM, BOUNDED, MOST)
    tl.store(result, (acc * (1.0 / total[:, None])).to(work.dtype.element_ty))
    return ok


@triton.jit
def finish_rows(
    work, sums, control, counters, error, d, epoch,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    MOST: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """FINISH. MOST: parts of an instruction, at most."""
    m0, n0, start = first_row(d), first_col(d), wait_of(d, epoch, 0)
    partial, parts = sums + start_of(word(d, 0)), word(d, 1)
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    scales = tl.load(control + start_of(word(d, 2)) + cols)
    gates = tl.load(control + start_of(word(d, 3)) + cols)
    at = rows[:, None] * WIDTH + cols[None, :]
    ok = served(counters, error, d, start, 0, LIMIT)
    acc = tl.load(partial + (parts - 1) * (ROWS * WIDTH) + at)
    x = tl.load(sums + X * PANEL + at)
    for part in tl.static_range(MOST - 1):
        real = (at >= 0) & (part < parts - 1)
        acc += tl.load(partial + part * (ROWS * WIDTH) + at, mask=real, other=0.0)
    x += gates[None, :] * acc
    leave(work, sums, x, m0, n0, scales, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def finish_embedding(
    work, sums, fixed, control, counters, error, d, epoch, has_previous, has_anchor,
    BASE: tl.constexpr, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PARTS: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """FINISH of an embedding, which has PARTS parts."""
    m0, n0, start = first_row(d), first_col(d), wait_of(d, epoch, 0)
    partial = sums + start_of(word(d, 0))
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    at = rows[:, None] * WIDTH + cols[None, :]
    scales = tl.load(control + start_of(word(d, 2)) + cols)
    x = tl.load(fixed + BASE * PANEL + at)
    x += embed_bias(fixed, cols, has_previous, has_anchor, PREVIOUS, ANCHOR)[None, :]
    ok = served(counters, error, d, start, 0, LIMIT)
    acc = tl.load(partial + (PARTS - 1) * (ROWS * WIDTH) + at)
    for part in tl.static_range(PARTS - 1):
        acc += tl.load(partial + part * (ROWS * WIDTH) + at)
    x += acc
    leave(work, sums, x, m0, n0, scales, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def sum_tile(
    op, d, work, sums, fixed, control, counters, error, epoch, has_previous, has_anchor,
    BASE: tl.constexpr, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr,
    KP: tl.constexpr, HEADS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr, BN: tl.constexpr,
    MERGE_ROWS: tl.constexpr, FINISH_ROWS: tl.constexpr, BOUNDED: tl.constexpr,
    MOST: tl.constexpr, SUMS: tl.constexpr, EMBED_SUMS: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """The instructions that add partial sums."""
    ok = 1
    if MERGE_ROWS > 0:
        if op == MERGE:
            ok = merge_rows(
                work, sums, counters, error, d, epoch,
                KP, HEADS, ROWS, MERGE_ROWS, BOUNDED, MOST, LIMIT,
            )  # fmt: skip
    if SUMS > 0:
        if (op != MERGE) & (word(d, 4) == 0):
            ok = finish_rows(
                work, sums, control, counters, error, d, epoch,
                SCALED, X, SQUARES, ROWS, WIDTH, FINISH_ROWS, BN, SUMS, LIMIT,
            )  # fmt: skip
    if EMBED_SUMS > 0:
        if (op != MERGE) & (word(d, 4) == 1):
            ok = finish_embedding(
                work, sums, fixed, control, counters, error, d, epoch, has_previous, has_anchor,
                BASE, PREVIOUS, ANCHOR, SCALED, X, SQUARES, ROWS, WIDTH, FINISH_ROWS, BN,
                EMBED_SUMS, LIMIT,
            )  # fmt: skip
    return ok
