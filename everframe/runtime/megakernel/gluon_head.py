# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: the head, by two math warpgroups: coarse pixels, colour maps and local gains."""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier

from everframe.runtime.megakernel.gluon_memory import (
    PANEL,
    accumulator,
    first_col,
    first_row,
    slot,
    start_of,
    stored,
    turn,
    word,
)
from everframe.runtime.megakernel.gluon_tokens import (
    cols_of,
    halves,
    product,
    root_of,
    rows_along,
    squares_of,
)


@gluon.jit
def head_columns(
    y, work, sums, row, column,
    N: gl.constexpr, COLS: gl.constexpr, CELLS: gl.constexpr, PATCH_CHANNELS: gl.constexpr,
    LOCAL_COLUMNS: gl.constexpr, LOCAL_USED: gl.constexpr, INPUT: gl.constexpr,
    LOCAL: gl.constexpr, COARSE: gl.constexpr,
):  # fmt: skip
    """Where the columns of the head go: coarse pixels to the detail input and to a float map; the
    rest by token.
    """
    rows, cols = rows_along(row, y), cols_of(column, y)
    cell = cols // 12
    number = (cols % 12)[None, :]
    place_y = (rows // COLS)[:, None] * CELLS + (cell // CELLS)[None, :]
    place = place_y * (COLS * CELLS) + (rows % COLS)[:, None] * CELLS + (cell % CELLS)[None, :]
    real = (rows < N)[:, None]
    coarse = real & (cols < PATCH_CHANNELS)[None, :]
    inputs = work + INPUT * PANEL + place * PANEL + 12 + number
    gl.store(inputs, y.to(work.dtype.element_ty), mask=coarse)
    gl.store(sums + COARSE * PANEL + place * 16 + number, y, mask=coarse)
    rest = cols - PATCH_CHANNELS
    at = rows[:, None] * LOCAL_COLUMNS + rest[None, :]
    local = real & ((rest >= 0) & (rest < LOCAL_USED))[None, :]
    gl.store(sums + LOCAL * PANEL + at, y, mask=local)


@gluon.jit
def head(
    d, work, sums, control, ring, output, it, used,
    W: gl.constexpr, N: gl.constexpr, D: gl.constexpr, SQUARES: gl.constexpr,
    TILES: gl.constexpr, TILES_2: gl.constexpr, ROWS: gl.constexpr, COLS: gl.constexpr,
    CELLS: gl.constexpr, PATCH_CHANNELS: gl.constexpr, LOCAL_COLUMNS: gl.constexpr,
    LOCAL_USED: gl.constexpr, INPUT: gl.constexpr, LOCAL: gl.constexpr, COARSE: gl.constexpr,
    MODEL: gl.constexpr,
):  # fmt: skip
    """HEAD, 64 columns at a time, since every number has an address of its own."""
    _, _, full, _ = ring
    row, column = first_row(d, W), first_col(d)
    mbarrier.wait(full.index(slot(it)), turn(it))
    squares = squares_of(sums, row, SQUARES, TILES, TILES_2, ROWS)
    acc, it = product(ring, word(d, 2), it, W, MODEL)
    layout: gl.constexpr = accumulator(MODEL)
    acc = acc * root_of(squares, layout, D)
    acc += gl.load(control + start_of(word(d, 3)) + cols_of(column, acc))[None, :]
    if MODEL > PANEL:
        left, right = halves(acc)
        head_columns(
            left, work, sums, row, column, N, COLS, CELLS, PATCH_CHANNELS, LOCAL_COLUMNS,
            LOCAL_USED, INPUT, LOCAL, COARSE,
        )  # fmt: skip
        head_columns(
            right, work, sums, row, column + PANEL, N, COLS, CELLS, PATCH_CHANNELS,
            LOCAL_COLUMNS, LOCAL_USED, INPUT, LOCAL, COARSE,
        )  # fmt: skip
    else:
        head_columns(
            acc, work, sums, row, column, N, COLS, CELLS, PATCH_CHANNELS, LOCAL_COLUMNS,
            LOCAL_USED, INPUT, LOCAL, COARSE,
        )  # fmt: skip
    return it, stored(output, used)
