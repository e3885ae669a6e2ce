# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: the persistent kernel for large shapes. Each CTA walks its list of instructions once per
frame, in five partitions that all read the same list:

- the loader, one warp, runs ahead: waits for counters, and asks TMA for tiles into a ring;
- two math warpgroups, 64 rows of every tile each;
- two storers, one warp each: send a result by TMA, wait until it is in memory, signal.

So the epilogue of a task, its store and its signal overlap with the loads and products of the next.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier, tma

from everframe.runtime.megakernel.gluon_attention import attend
from everframe.runtime.megakernel.gluon_head import head
from everframe.runtime.megakernel.gluon_loader import loader
from everframe.runtime.megakernel.gluon_memory import (
    ATTEND,
    ATTEND_PART,
    CONV_IN,
    EMBED,
    HALF,
    HEAD,
    OP,
    PANEL,
    PART,
    QKV,
    RESIDUAL,
    ROW,
    SIGNAL,
    STAGES,
    UNPACK,
    UP,
    WIDE,
    common,
    first_col,
    first_row,
    instruction,
    loiter,
    settle,
    skip,
    stamp,
    word,
)
from everframe.runtime.megakernel.gluon_pixels import maps
from everframe.runtime.megakernel.gluon_tokens import embed, part_of, qkv, residual, up
from everframe.runtime.megakernel.gluon_unpack import unpack


@gluon.jit
def send_panels(small, line, staging, W: gl.constexpr, ROWS: gl.constexpr, COUNT: gl.constexpr):
    """64 rows of one or two panels of a matrix."""
    for panel in gl.static_range(COUNT):
        target = [line + panel * ROWS, 0]
        tma.async_copy_shared_to_global(small, target, staging.index(2 * W + panel))


@gluon.jit
def send_heads(heads, row, half, staging, W: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr):
    """64 rows of the head or of the two heads that a half of a QKV tile holds."""
    for panel in gl.static_range(2):
        if HD > PANEL:
            target = [row + half * ROWS, panel * PANEL]
        else:
            target = [row + (2 * half + panel) * ROWS, 0]
        tma.async_copy_shared_to_global(heads, target, staging.index(2 * W + panel))


@gluon.jit
def send(
    d, op, half, small, heads, staging, row, work_at, new_at,
    W: gl.constexpr, ROWS: gl.constexpr, SCALED: gl.constexpr, H: gl.constexpr, HD: gl.constexpr,
    MODEL: gl.constexpr,
):  # fmt: skip
    """What lies in the staging buffer to where it belongs."""
    if op == QKV:
        line = gl.where(word(d, 8) == 1, new_at, work_at) + word(d, 7)
        send_heads(heads, line // (HD // PANEL) + row, half, staging, W, ROWS, HD)
        tma.store_wait(0)
    elif op == ATTEND:
        send_panels(small, work_at + word(d, 1) + row, staging, W, ROWS, HD // PANEL)
        tma.store_wait(0)
    elif op == UP:
        line = work_at + H + first_col(d) // PANEL * ROWS
        send_panels(small, line + row, staging, W, ROWS, 2)
        tma.store_wait(0)
    elif (op == RESIDUAL) | (op == EMBED):
        line = work_at + SCALED + first_col(d) // PANEL * ROWS
        send_panels(small, line + row, staging, W, ROWS, MODEL // PANEL)
        tma.store_wait(0)


@gluon.jit
def storer(
    table, begin, end, counters, small, heads, staging, staged, freed, work_at, new_at,
    W: gl.constexpr, N: gl.constexpr, ROWS: gl.constexpr, SCALED: gl.constexpr, H: gl.constexpr,
    HD: gl.constexpr, MODEL: gl.constexpr, LIGHT: gl.constexpr,
):  # fmt: skip
    """One warp for each math warpgroup: results out of the staging buffer, then the signal. A half
    without tokens has no result; pictures and maps always have one.
    """
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    panels = staging._reinterpret(gl.bfloat16, [4, HALF, PANEL], LAYOUT)
    used = 0
    following = instruction(table, begin, end, 1)
    for task in range(begin, end):
        d = following
        following = instruction(table, task + 1, end, 1)
        op, row = common(d, OP), common(d, ROW) + W * HALF
        signal = common(d, SIGNAL)
        if (row < N) | (op == UNPACK) | (op > HEAD):
            for half in range(gl.where(op == QKV, 2, 1)):
                mbarrier.wait(staged.index(W), used & 1)
                send(
                    d, op, half, small, heads, panels, row, work_at, new_at,
                    W, ROWS, SCALED, H, HD, MODEL,
                )  # fmt: skip
                gl.thread_barrier()
                mbarrier.arrive(freed.index(W), count=1)
                used += 1
        settle(LIGHT)
        gl.thread_barrier()
        gl.atomic_add(counters + signal, 1, sem="release", scope="gpu")


@gluon.jit
def tokens(
    d, op, work, sums, fixed, control, counters, error, epoch, has_previous, has_anchor, ring,
    output, it, used,
    W: gl.constexpr, N: gl.constexpr, D: gl.constexpr, K: gl.constexpr, HD: gl.constexpr,
    COLS: gl.constexpr, CELLS: gl.constexpr, C: gl.constexpr, PATCH_CHANNELS: gl.constexpr,
    LOCAL_COLUMNS: gl.constexpr, ROWS: gl.constexpr, WIDTH: gl.constexpr, TILES: gl.constexpr,
    TILES_2: gl.constexpr, INPUT: gl.constexpr, X: gl.constexpr, SQUARES: gl.constexpr,
    LOCAL: gl.constexpr, COARSE: gl.constexpr, BASE: gl.constexpr, PREVIOUS: gl.constexpr,
    ANCHOR: gl.constexpr, TURNS: gl.constexpr, MODEL: gl.constexpr,
    SPLIT: gl.constexpr, LIMIT: gl.constexpr,
):  # fmt: skip
    """The instructions that are matrix products of tokens; without rows their stages pass."""
    if first_row(d, W) >= N:
        panels = gl.where((op == QKV) | (op >= UP), word(d, 2), word(d, 4))
        it = skip(ring, panels, it)
    elif op == QKV:
        it, used = qkv(
            d, sums, fixed, control, ring, output, it, used,
            W, N, D, K, HD, SQUARES, TILES, TILES_2, ROWS, TURNS,
        )  # fmt: skip
    elif op == UP:
        it, used = up(d, sums, control, ring, output, it, used, W, D, SQUARES, TILES, TILES_2, ROWS)
    elif op == RESIDUAL:
        it, used = residual(
            d, sums, control, counters, error, epoch, ring, output, it, used,
            W, X, SQUARES, ROWS, WIDTH, MODEL, SPLIT, LIMIT,
        )  # fmt: skip
    elif op == PART:
        it, used = part_of(d, sums, ring, output, it, used, W, WIDTH, MODEL)
    elif op == EMBED:
        it, used = embed(
            d, sums, fixed, control, counters, error, epoch, has_previous, has_anchor, ring,
            output, it, used, W, X, SQUARES, ROWS, WIDTH, BASE, PREVIOUS, ANCHOR, MODEL,
            LIMIT,
        )  # fmt: skip
    else:
        it, used = head(
            d, work, sums, control, ring, output, it, used, W, N, D, SQUARES, TILES, TILES_2,
            ROWS, COLS, CELLS, PATCH_CHANNELS, LOCAL_COLUMNS, 48 + 2 * C, INPUT, LOCAL, COARSE,
            MODEL,
        )  # fmt: skip
    return it, used


@gluon.jit
def math(
    table, begin, end, counters, error, stamps, epoch, filled, has_previous, has_anchor,
    work, sums, fixed, control, camera, previous, anchor_output, anchor_camera, noise, out,
    ring_a, ring_w, full, empty, q_free, staging, staged, freed,
    W: gl.constexpr, N: gl.constexpr, P: gl.constexpr, D: gl.constexpr, K: gl.constexpr,
    HD: gl.constexpr, HEADS: gl.constexpr, COLS: gl.constexpr, PATCH: gl.constexpr,
    CELLS: gl.constexpr, MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, C: gl.constexpr,
    CP: gl.constexpr, PATCH_CHANNELS: gl.constexpr, LOCAL_COLUMNS: gl.constexpr,
    ROWS: gl.constexpr, WIDTH: gl.constexpr, TILES: gl.constexpr, TILES_2: gl.constexpr,
    INPUT: gl.constexpr, NOISY: gl.constexpr, X: gl.constexpr, SQUARES: gl.constexpr,
    LOCAL: gl.constexpr, COARSE: gl.constexpr, Z: gl.constexpr, BASE: gl.constexpr,
    PREVIOUS: gl.constexpr, ANCHOR: gl.constexpr, TURNS: gl.constexpr,
    AFFINE_BIAS: gl.constexpr, FIRST_PANELS: gl.constexpr, NEXT_PANELS: gl.constexpr,
    MODEL: gl.constexpr, BOUNDED: gl.constexpr, SPLIT: gl.constexpr, LIMIT: gl.constexpr,
    TIMED: gl.constexpr, DELAYED: gl.constexpr,
):  # fmt: skip
    """Four warps: rows W * 64 to W * 64 + 63 of every task. `it` counts stages, `used` results."""
    ring = (ring_a, ring_w, full, empty)
    output = (staging.index(W), staged.index(W), freed.index(W))
    it = 0
    used = 0
    following = instruction(table, begin, end, 4)
    for task in range(begin, end):
        d = following
        following = instruction(table, task + 1, end, 4)
        op = common(d, OP)
        loiter(d, epoch, W, DELAYED)
        stamp(stamps, d, 0, TIMED and W == 0)
        if (op == ATTEND_PART) | (op == ATTEND):
            it, used = attend(
                d, op, filled, sums, counters, error, epoch, ring, q_free, output, it, used,
                W, N, P, K, HD, HEADS, ROWS, BOUNDED, LIMIT,
            )  # fmt: skip
        elif op == UNPACK:
            used = unpack(
                d, work, camera, previous, anchor_output, anchor_camera, noise, has_previous,
                has_anchor, output, used, W, INPUT, COLS, PATCH, 2 * MAP_ROWS, ROWS,
            )  # fmt: skip
        elif op >= CONV_IN:
            it, used = maps(
                d, op, work, sums, fixed, control, camera, noise, out, ring, output, it, used,
                W, NOISY, Z, COARSE, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS, MAP_COLS,
                CELLS, C, CP, ROWS, FIRST_PANELS, NEXT_PANELS,
            )  # fmt: skip
        else:
            it, used = tokens(
                d, op, work, sums, fixed, control, counters, error, epoch, has_previous,
                has_anchor, ring, output, it, used, W, N, D, K, HD, COLS, CELLS, C, PATCH_CHANNELS,
                LOCAL_COLUMNS, ROWS, WIDTH, TILES, TILES_2, INPUT, X, SQUARES, LOCAL, COARSE, BASE,
                PREVIOUS, ANCHOR, TURNS, MODEL, SPLIT, LIMIT,
            )  # fmt: skip
        stamp(stamps, d, 1, TIMED and W == 0)


@gluon.jit
def shared_memory():
    """The ring, the staging buffers, and all barriers."""
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    ring_a = gl.allocate_shared_memory(gl.bfloat16, [STAGES, 2 * HALF, PANEL], LAYOUT)
    ring_w = gl.allocate_shared_memory(gl.bfloat16, [STAGES, WIDE, PANEL], LAYOUT)
    staging = gl.allocate_shared_memory(gl.bfloat16, [2, HALF, 2 * PANEL], LAYOUT)
    barriers: gl.constexpr = mbarrier.MBarrierLayout()
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barriers)
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barriers)
    q_free = gl.allocate_shared_memory(gl.int64, [1], barriers)
    staged = gl.allocate_shared_memory(gl.int64, [2, 1], barriers)
    freed = gl.allocate_shared_memory(gl.int64, [2, 1], barriers)
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=2)
    mbarrier.init(q_free, count=2)
    for i in gl.static_range(2):
        mbarrier.init(staged.index(i), count=1)
        mbarrier.init(freed.index(i), count=1)
    fence_async_shared()
    gl.thread_barrier()
    return ring_a, ring_w, staging, full, empty, q_free, staged, freed


NOT_SPECIALIZED = [
    "epoch", "filled", "has_previous", "has_anchor", "work_at", "weights_at", "taps_at",
    "prompt_at", "new_at", *(f"slot{age}" for age in range(1, 9)),
]  # fmt: skip
"""Numbers that change from launch to launch; compiled once."""


@gluon.jit(do_not_specialize=NOT_SPECIALIZED)
def gluon_frame_kernel(
    table, starts, counters, error, stamps, epoch, filled, has_previous, has_anchor,
    work, sums, fixed, control, camera, previous, anchor_output, anchor_camera, noise, out,
    tiles, wide, narrow, small, strips, keys, heads, tails,
    work_at, weights_at, taps_at, prompt_at, new_at,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
    N: gl.constexpr, P: gl.constexpr, D: gl.constexpr, K: gl.constexpr, HD: gl.constexpr,
    HEADS: gl.constexpr, COLS: gl.constexpr, PATCH: gl.constexpr, CELLS: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, C: gl.constexpr, CP: gl.constexpr,
    PATCH_CHANNELS: gl.constexpr, LOCAL_COLUMNS: gl.constexpr, ROWS: gl.constexpr,
    WIDTH: gl.constexpr, TILES: gl.constexpr, TILES_2: gl.constexpr, SCALED: gl.constexpr,
    H: gl.constexpr, INPUT: gl.constexpr, NOISY: gl.constexpr, X: gl.constexpr,
    SQUARES: gl.constexpr, LOCAL: gl.constexpr, COARSE: gl.constexpr, Z: gl.constexpr,
    BASE: gl.constexpr, PREVIOUS: gl.constexpr, ANCHOR: gl.constexpr, TURNS: gl.constexpr,
    AFFINE_BIAS: gl.constexpr, FIRST_PANELS: gl.constexpr,
    NEXT_PANELS: gl.constexpr, MODEL: gl.constexpr, WINDOW: gl.constexpr, PROMPT_ROWS: gl.constexpr,
    TAIL: gl.constexpr, BOUNDED: gl.constexpr, SPLIT: gl.constexpr, LIMIT: gl.constexpr,
    LIGHT: gl.constexpr, TIMED: gl.constexpr, DELAYED: gl.constexpr, MATH_REGISTERS: gl.constexpr,
    OTHER_REGISTERS: gl.constexpr,
):  # fmt: skip
    """One frame, pixels to pixels. See `torch_gluon` for the arguments."""
    begin = gl.load(starts + gl.program_id(0))
    end = gl.load(starts + gl.program_id(0) + 1)
    ring_a, ring_w, staging, full, empty, q_free, staged, freed = shared_memory()
    gl.warp_specialize(
        [
            (math, (
                table, begin, end, counters, error, stamps, epoch, filled, has_previous,
                has_anchor, work, sums, fixed, control, camera, previous, anchor_output,
                anchor_camera, noise, out, ring_a, ring_w, full, empty, q_free, staging, staged,
                freed, 0, N, P, D, K, HD, HEADS, COLS, PATCH, CELLS, MAP_ROWS, MAP_COLS, C, CP,
                PATCH_CHANNELS, LOCAL_COLUMNS, ROWS, WIDTH, TILES, TILES_2, INPUT, NOISY, X,
                SQUARES, LOCAL, COARSE, Z, BASE, PREVIOUS, ANCHOR, TURNS, AFFINE_BIAS,
                FIRST_PANELS, NEXT_PANELS, MODEL, BOUNDED, SPLIT, LIMIT, TIMED, DELAYED,
            )),
            (math, (
                table, begin, end, counters, error, stamps, epoch, filled, has_previous,
                has_anchor, work, sums, fixed, control, camera, previous, anchor_output,
                anchor_camera, noise, out, ring_a, ring_w, full, empty, q_free, staging, staged,
                freed, 1, N, P, D, K, HD, HEADS, COLS, PATCH, CELLS, MAP_ROWS, MAP_COLS, C, CP,
                PATCH_CHANNELS, LOCAL_COLUMNS, ROWS, WIDTH, TILES, TILES_2, INPUT, NOISY, X,
                SQUARES, LOCAL, COARSE, Z, BASE, PREVIOUS, ANCHOR, TURNS, AFFINE_BIAS,
                FIRST_PANELS, NEXT_PANELS, MODEL, BOUNDED, SPLIT, LIMIT, TIMED, DELAYED,
            )),
            (loader, (
                table, begin, end, counters, error, epoch, filled, tiles, wide, narrow, small,
                strips, keys, heads, tails, ring_a, ring_w, full, empty, q_free, work_at,
                weights_at, taps_at, prompt_at, new_at, slot1, slot2, slot3, slot4, slot5, slot6,
                slot7, slot8,
                N, P, HD, ROWS, SCALED, PROMPT_ROWS, WINDOW, TAIL, CP, FIRST_PANELS, NEXT_PANELS,
                INPUT, MAP_COLS, MODEL, LIMIT, LIGHT, DELAYED,
            )),
            (storer, (table, begin, end, counters, small, heads, staging, staged, freed, work_at,
                      new_at, 0, N, ROWS, SCALED, H, HD, MODEL, LIGHT)),
            (storer, (table, begin, end, counters, small, heads, staging, staged, freed, work_at,
                      new_at, 1, N, ROWS, SCALED, H, HD, MODEL, LIGHT)),
        ],
        [4, 1, 1, 1],
        [MATH_REGISTERS, OTHER_REGISTERS, OTHER_REGISTERS, OTHER_REGISTERS],
    )  # fmt: skip
