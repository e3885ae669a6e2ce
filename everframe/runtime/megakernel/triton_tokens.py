# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: the matrix instructions. `d` points to the 32 words of an instruction (`encode`)."""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import (
    ARGUMENTS,
    PANEL,
    add_parts,
    fetch_ahead,
    first_col,
    first_row,
    head_offset,
    leave,
    panel_offset,
    product,
    root_of,
    served,
    start_of,
)


@triton.jit
def part(
    work, sums, weights, a_tiles, w_tiles, counters, error, d, epoch,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """PART."""
    m0, n0 = first_row(d), first_col(d)
    a, w, w_rows = tl.load(d + ARGUMENTS), tl.load(d + ARGUMENTS + 1), tl.load(d + ARGUMENTS + 2)
    first, panels = tl.load(d + ARGUMENTS + 3), tl.load(d + ARGUMENTS + 4)
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    acc = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    at = (m0 + tl.arange(0, BM))[:, None] * WIDTH + (n0 + tl.arange(0, BN))[None, :]
    tl.store(sums + start_of(tl.load(d + ARGUMENTS + 5)) + at, acc)
    return ok


@triton.jit
def embed(
    work, sums, weights, a_tiles, w_tiles, fixed, control, counters, error, d, epoch,
    has_previous, has_anchor,
    BASE: tl.constexpr, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """EMBED."""
    m0, n0 = first_row(d), first_col(d)
    a, w, w_rows = tl.load(d + ARGUMENTS), tl.load(d + ARGUMENTS + 1), tl.load(d + ARGUMENTS + 2)
    first, panels = tl.load(d + ARGUMENTS + 3), tl.load(d + ARGUMENTS + 4)
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    x = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    x += tl.load(fixed + BASE * PANEL + rows[:, None] * WIDTH + cols[None, :])
    bias = tl.load(fixed + PREVIOUS * PANEL + cols) * has_previous
    bias += tl.load(fixed + ANCHOR * PANEL + cols) * has_anchor
    x += bias[None, :]
    ok = ok * served(counters, error, d, epoch, 2, LIMIT)
    x = add_parts(
        sums, x, tl.load(d + ARGUMENTS + 5), tl.load(d + ARGUMENTS + 6), m0, n0, ROWS, WIDTH, BM, BN
    )
    scale = tl.load(d + ARGUMENTS + 7)
    leave(work, sums, control, x, m0, n0, scale, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def residual(
    work, sums, weights, a_tiles, w_tiles, control, counters, error, d, epoch,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """RESIDUAL."""
    m0, n0 = first_row(d), first_col(d)
    a, w, w_rows = tl.load(d + ARGUMENTS), tl.load(d + ARGUMENTS + 1), tl.load(d + ARGUMENTS + 2)
    first, panels = tl.load(d + ARGUMENTS + 3), tl.load(d + ARGUMENTS + 4)
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    acc = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    ok = ok * served(counters, error, d, epoch, 2, LIMIT)
    acc = add_parts(
        sums,
        acc,
        tl.load(d + ARGUMENTS + 5),
        tl.load(d + ARGUMENTS + 6),
        m0,
        n0,
        ROWS,
        WIDTH,
        BM,
        BN,
    )
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    gate = tl.load(control + start_of(tl.load(d + ARGUMENTS + 8)) + cols)
    x = tl.load(sums + X * PANEL + rows[:, None] * WIDTH + cols[None, :]) + gate[None, :] * acc
    scale = tl.load(d + ARGUMENTS + 7)
    leave(work, sums, control, x, m0, n0, scale, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def qkv(
    work, new_slot, sums, weights, a_tiles, w_tiles, fixed, control, counters, error, d, epoch,
    COS: tl.constexpr, SIN: tl.constexpr, SCALED: tl.constexpr, SQUARES: tl.constexpr,
    TILES: tl.constexpr, N: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr,
    ROWS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """QKV: a tile of BN / KP heads; rows past the last token are left as zeros."""
    m0, w, w_rows = first_row(d), tl.load(d + ARGUMENTS), tl.load(d + ARGUMENTS + 1)
    panels, section = tl.load(d + ARGUMENTS + 2), tl.load(d + ARGUMENTS + 4)
    row = tl.multiple_of(tl.load(d + ARGUMENTS + 3), PANEL)
    fetch_ahead(weights, w, row, 0, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, row, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    rows = m0 + tl.arange(0, BM)
    cols = tl.arange(0, BN)
    y *= root_of(sums, rows, SQUARES, TILES, ROWS, D)[:, None]
    y += tl.load(control + start_of(tl.load(d + ARGUMENTS + 5)) + row + cols)[None, :]
    if section < 2:
        by_head = tl.reshape(y, (BM, BN // KP, KP))
        mean = tl.sum(by_head * by_head, 2) / K
        by_head = by_head * (1.0 / tl.sqrt(mean + 1e-6))[:, :, None]
        gain = tl.load(fixed + start_of(tl.load(d + ARGUMENTS + 6)) + cols % KP)
        y = tl.reshape(by_head, (BM, BN)) * gain[None, :]
        even, odd = tl.split(tl.reshape(y, (BM, BN // 2, 2)))
        pair = tl.arange(0, BN // 2) % (KP // 2)
        at = rows[:, None] * (KP // 2) + pair[None, :]
        cos = tl.load(fixed + COS * PANEL + at)
        sin = tl.load(fixed + SIN * PANEL + at)
        y = tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (BM, BN))
    y = tl.where((rows < N)[:, None], y, 0.0).to(work.dtype.element_ty)
    target = work
    if tl.load(d + ARGUMENTS + 8) == 1:
        target = new_slot
    at = start_of(tl.load(d + ARGUMENTS + 7)) + head_offset(rows, cols, ROWS, KP)
    tl.store(target + at, y)
    return ok


@triton.jit
def up(
    work, sums, weights, a_tiles, w_tiles, control, counters, error, d, epoch,
    H: tl.constexpr, SCALED: tl.constexpr, SQUARES: tl.constexpr,
    TILES: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """UP: gate and value columns in turn."""
    m0, half, w = first_row(d), first_col(d), tl.load(d + ARGUMENTS)
    w_rows, panels = tl.load(d + ARGUMENTS + 1), tl.load(d + ARGUMENTS + 2)
    n0 = 2 * half
    fetch_ahead(weights, w, n0, 0, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    rows = m0 + tl.arange(0, BM)
    y *= root_of(sums, rows, SQUARES, TILES, ROWS, D)[:, None]
    y += tl.load(control + start_of(tl.load(d + ARGUMENTS + 3)) + n0 + tl.arange(0, BN))[None, :]
    gate, value = tl.split(tl.reshape(y, (BM, BN // 2, 2)))
    h = gate / (1.0 + tl.exp(-gate)) * value
    cols = half + tl.arange(0, BN // 2)
    tl.store(work + H * PANEL + panel_offset(rows, cols, ROWS), h.to(work.dtype.element_ty))
    return ok


@triton.jit
def head(
    work, sums, weights, a_tiles, w_tiles, control, counters, error, d, epoch,
    INPUT: tl.constexpr, LOCAL: tl.constexpr, COARSE: tl.constexpr,
    SCALED: tl.constexpr, SQUARES: tl.constexpr, TILES: tl.constexpr,
    N: tl.constexpr, D: tl.constexpr, COLS: tl.constexpr, CELLS: tl.constexpr,
    PATCH_CHANNELS: tl.constexpr, LOCAL_COLUMNS: tl.constexpr, LOCAL_USED: tl.constexpr,
    ROWS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """HEAD: coarse pixels to the detail input and to a float map; the rest by token."""
    m0, n0, w = first_row(d), first_col(d), tl.load(d + ARGUMENTS)
    w_rows, panels = tl.load(d + ARGUMENTS + 1), tl.load(d + ARGUMENTS + 2)
    fetch_ahead(weights, w, n0, 0, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    y *= root_of(sums, rows, SQUARES, TILES, ROWS, D)[:, None]
    y += tl.load(control + start_of(tl.load(d + ARGUMENTS + 3)) + cols)[None, :]
    cell = cols // 12
    number = (cols % 12)[None, :]
    place_y = (rows // COLS)[:, None] * CELLS + (cell // CELLS)[None, :]
    place = place_y * (COLS * CELLS) + (rows % COLS)[:, None] * CELLS + (cell % CELLS)[None, :]
    real = (rows < N)[:, None]
    coarse = real & (cols < PATCH_CHANNELS)[None, :]
    kind = work.dtype.element_ty
    tl.store(work + INPUT * PANEL + place * PANEL + 12 + number, y.to(kind), mask=coarse)
    tl.store(sums + COARSE * PANEL + place * 16 + number, y, mask=coarse)
    rest = cols - PATCH_CHANNELS
    at = rows[:, None] * LOCAL_COLUMNS + rest[None, :]
    local = real & ((rest >= 0) & (rest < LOCAL_USED))[None, :]
    tl.store(sums + LOCAL * PANEL + at, y, mask=local)
    return ok
