# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: the matrix instructions. `d` points to the 32 words of an instruction (`encode`).

Each reads its words before its first wait; a small tile also what else depends on no instruction,
for which a large one has no registers during the product.
"""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import (
    PANEL,
    SMALL,
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
    silu,
    start_of,
    wait_of,
    word,
)


@triton.jit
def part(
    work, sums, weights, a_tiles, w_tiles, counters, error, d, epoch,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """PART."""
    m0, n0, start = first_row(d), first_col(d), wait_of(d, epoch, 0)
    a, w, w_rows, first, panels = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
    target = sums + start_of(word(d, 5))
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, start, 0, LIMIT)
    acc = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    at = (m0 + tl.arange(0, BM))[:, None] * WIDTH + (n0 + tl.arange(0, BN))[None, :]
    tl.store(target + at, acc)
    return ok


@triton.jit
def embed_bias(fixed, cols, has_previous, has_anchor, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr):
    """Of the pictures that are there."""
    bias = tl.load(fixed + PREVIOUS * PANEL + cols) * has_previous
    return bias + tl.load(fixed + ANCHOR * PANEL + cols) * has_anchor


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
    start, merge = wait_of(d, epoch, 0), wait_of(d, epoch, 2)
    a, w, w_rows, first, panels = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
    line, parts, scale = word(d, 5), word(d, 6), word(d, 7)
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    scale_at = control + start_of(scale) + cols
    if BM * BN <= SMALL:
        bias = embed_bias(fixed, cols, has_previous, has_anchor, PREVIOUS, ANCHOR)
        scales = tl.load(scale_at)
    ok = served(counters, error, d, start, 0, LIMIT)
    x = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    if BM * BN > SMALL:
        bias = embed_bias(fixed, cols, has_previous, has_anchor, PREVIOUS, ANCHOR)
        scales = tl.load(scale_at)
    x += tl.load(fixed + BASE * PANEL + rows[:, None] * WIDTH + cols[None, :])
    x += bias[None, :]
    ok = ok * served(counters, error, d, merge, 2, LIMIT)
    x = add_parts(sums, x, line, parts, m0, n0, ROWS, WIDTH, BM, BN, 4)
    leave(work, sums, x, m0, n0, scales, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def residual(
    work, sums, weights, a_tiles, w_tiles, control, counters, error, d, epoch,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    SPLIT: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """RESIDUAL. SPLIT: there may be partial sums."""
    m0, n0 = first_row(d), first_col(d)
    start, merge = wait_of(d, epoch, 0), wait_of(d, epoch, 2)
    a, w, w_rows, first, panels = word(d, 0), word(d, 1), word(d, 2), word(d, 3), word(d, 4)
    line, parts, scale, gate = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
    fetch_ahead(weights, w, n0, first, panels, w_rows, BN, AHEAD)
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    gate_at, scale_at = control + start_of(gate) + cols, control + start_of(scale) + cols
    before = sums + X * PANEL + rows[:, None] * WIDTH + cols[None, :]
    if BM * BN <= SMALL:
        gates, scales = tl.load(gate_at), tl.load(scale_at)
    ok = served(counters, error, d, start, 0, LIMIT)
    if BM * BN <= SMALL:
        x = tl.load(before)
    acc = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, first, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    if SPLIT:
        if parts > 0:
            ok = ok * served(counters, error, d, merge, 2, LIMIT)
            acc = add_parts(sums, acc, line, parts, m0, n0, ROWS, WIDTH, BM, BN, 0)
    if BM * BN > SMALL:
        gates, scales = tl.load(gate_at), tl.load(scale_at)
        x = tl.load(before)
    x += gates[None, :] * acc
    leave(work, sums, x, m0, n0, scales, SCALED, X, SQUARES, ROWS, WIDTH, BM, BN)
    return ok


@triton.jit
def turned(fixed, rows, COS: tl.constexpr, SIN: tl.constexpr, KP: tl.constexpr, BN: tl.constexpr):
    """Cosines and sines [rows, BN / 2] of the angles of tokens."""
    pair = tl.arange(0, BN // 2) % (KP // 2)
    at = rows[:, None] * (KP // 2) + pair[None, :]
    return tl.load(fixed + COS * PANEL + at), tl.load(fixed + SIN * PANEL + at)


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
    m0, start = first_row(d), wait_of(d, epoch, 0)
    w, w_rows, panels, section = word(d, 0), word(d, 1), word(d, 2), word(d, 4)
    row = tl.multiple_of(word(d, 3), PANEL)
    line, kept = word(d, 7), word(d, 8)
    rows = m0 + tl.arange(0, BM)
    cols = tl.arange(0, BN)
    shift_at = control + start_of(word(d, 5)) + row + cols
    gain_at = fixed + start_of(word(d, 6)) + cols % KP
    if BM * BN <= SMALL:
        shift, gain = tl.load(shift_at), tl.load(gain_at)
    fetch_ahead(weights, w, row, 0, panels, w_rows, BN, AHEAD)
    if BM * BN <= SMALL:
        cos, sin = turned(fixed, rows, COS, SIN, KP, BN)
    ok = served(counters, error, d, start, 0, LIMIT)
    if BM * BN <= SMALL:
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, row, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    if BM * BN > SMALL:
        shift, gain = tl.load(shift_at), tl.load(gain_at)
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    y = y * root[:, None] + shift[None, :]
    if section < 2:
        by_head = tl.reshape(y, (BM, BN // KP, KP))
        mean = tl.sum(by_head * by_head, 2) / K
        by_head = by_head * tl.rsqrt(mean + 1e-6)[:, :, None]
        y = tl.reshape(by_head, (BM, BN)) * gain[None, :]
        even, odd = tl.split(tl.reshape(y, (BM, BN // 2, 2)))
        if BM * BN > SMALL:
            cos, sin = turned(fixed, rows, COS, SIN, KP, BN)
        y = tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (BM, BN))
    y = tl.where((rows < N)[:, None], y, 0.0).to(work.dtype.element_ty)
    target = work
    if kept == 1:
        target = new_slot
    at = start_of(line) + head_offset(rows, cols, ROWS, KP)
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
    m0, half, start = first_row(d), first_col(d), wait_of(d, epoch, 0)
    w, w_rows, panels = word(d, 0), word(d, 1), word(d, 2)
    n0 = 2 * half
    shift_at = control + start_of(word(d, 3)) + n0 + tl.arange(0, BN)
    if BM * BN <= SMALL:
        shift = tl.load(shift_at)
    fetch_ahead(weights, w, n0, 0, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, start, 0, LIMIT)
    rows = m0 + tl.arange(0, BM)
    if BM * BN <= SMALL:
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    if BM * BN > SMALL:
        shift = tl.load(shift_at)
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    y = y * root[:, None] + shift[None, :]
    gate, value = tl.split(tl.reshape(y, (BM, BN // 2, 2)))
    h = silu(gate) * value
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
    m0, n0, start = first_row(d), first_col(d), wait_of(d, epoch, 0)
    w, w_rows, panels = word(d, 0), word(d, 1), word(d, 2)
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    shift_at = control + start_of(word(d, 3)) + cols
    if BM * BN <= SMALL:
        shift = tl.load(shift_at)
    fetch_ahead(weights, w, n0, 0, panels, w_rows, BN, AHEAD)
    ok = served(counters, error, d, start, 0, LIMIT)
    if BM * BN <= SMALL:
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    a = tl.full((), SCALED, tl.int32)
    y = product(
        work, weights, a_tiles, w_tiles, a, w, m0, n0, 0, panels, w_rows,
        ROWS, BM, BN, STAGES, TMA,
    )  # fmt: skip
    if BM * BN > SMALL:
        shift = tl.load(shift_at)
        root = root_of(sums, rows, SQUARES, TILES, ROWS, D)
    y = y * root[:, None] + shift[None, :]
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
