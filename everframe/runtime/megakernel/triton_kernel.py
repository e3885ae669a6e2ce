# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: the persistent kernel. Each CTA walks its list of instructions once per frame."""

import triton
import triton.language as tl
from triton.errors import TritonError

from everframe.runtime.megakernel.triton_attention import attend
from everframe.runtime.megakernel.triton_memory import (
    ATTEND,
    ATTEND_PART,
    CONV,
    CONV_IN,
    CONV_OUT,
    EMBED,
    HEAD,
    PART,
    QKV,
    RESIDUAL,
    SIGNAL,
    UNPACK,
    UP,
    WORDS,
    begin,
    order_copies,
    signal,
    stamp,
)
from everframe.runtime.megakernel.triton_pixels import conv, conv_in, conv_out, unpack
from everframe.runtime.megakernel.triton_sums import sum_tile
from everframe.runtime.megakernel.triton_tokens import embed, head, part, qkv, residual, up

BUILD_ERRORS: tuple[type[Exception], ...] = (TritonError,)
"""What Triton raises for a kernel that it cannot compile or that the device has no room for."""

COMPILER: str = triton.__version__
"""Version of Triton."""


@triton.jit
def matrix_tile(
    op, d, work, new_slot, sums, weights, a_tiles, w_model, w_qkv, w_up, w_head,
    fixed, control, counters, error, epoch, has_previous, has_anchor,
    N: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr,
    COLS: tl.constexpr, CELLS: tl.constexpr, C: tl.constexpr,
    PATCH_CHANNELS: tl.constexpr, LOCAL_COLUMNS: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, TILES: tl.constexpr,
    SCALED: tl.constexpr, H: tl.constexpr, INPUT: tl.constexpr,
    X: tl.constexpr, SQUARES: tl.constexpr, LOCAL: tl.constexpr, COARSE: tl.constexpr,
    BASE: tl.constexpr, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr,
    COS: tl.constexpr, SIN: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BQ: tl.constexpr, BU: tl.constexpr, BH: tl.constexpr,
    SPLIT: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr,
    TMA: tl.constexpr, HEADS: tl.constexpr, MERGE_ROWS: tl.constexpr, FINISH_ROWS: tl.constexpr,
    BOUNDED: tl.constexpr, MOST: tl.constexpr, SUMS: tl.constexpr, EMBED_SUMS: tl.constexpr,
):  # fmt: skip
    """The instructions that are matrix products of tokens or add up such products."""
    ok = 1
    if op == PART:
        ok = part(
            work, sums, weights, a_tiles, w_model, counters, error, d, epoch,
            ROWS, WIDTH, BM, BN, STAGES, LIMIT, AHEAD, TMA,
        )  # fmt: skip
    elif op == EMBED:
        ok = embed(
            work, sums, weights, a_tiles, w_model, fixed, control, counters, error, d, epoch,
            has_previous, has_anchor, BASE, PREVIOUS, ANCHOR, SCALED, X, SQUARES, ROWS, WIDTH,
            BM, BN, STAGES, LIMIT, AHEAD, TMA,
        )  # fmt: skip
    elif op == QKV:
        ok = qkv(
            work, new_slot, sums, weights, a_tiles, w_qkv, fixed, control, counters, error, d,
            epoch, COS, SIN, SCALED, SQUARES, TILES, N, D, K, KP, ROWS, BM, BQ, STAGES, LIMIT,
            AHEAD, TMA,
        )  # fmt: skip
    elif op == RESIDUAL:
        ok = residual(
            work, sums, weights, a_tiles, w_model, control, counters, error, d, epoch,
            SCALED, X, SQUARES, ROWS, WIDTH, BM, BN, SPLIT, STAGES, LIMIT, AHEAD, TMA,
        )  # fmt: skip
    elif op == UP:
        ok = up(
            work, sums, weights, a_tiles, w_up, control, counters, error, d, epoch,
            H, SCALED, SQUARES, TILES, D, ROWS, BM, BU, STAGES, LIMIT, AHEAD, TMA,
        )  # fmt: skip
    elif (MERGE_ROWS + FINISH_ROWS > 0) and (op > CONV_OUT):
        ok = sum_tile(
            op, d, work, sums, fixed, control, counters, error, epoch, has_previous, has_anchor,
            BASE, PREVIOUS, ANCHOR, KP, HEADS, ROWS, WIDTH, SCALED, X, SQUARES, BN, MERGE_ROWS,
            FINISH_ROWS, BOUNDED, MOST, SUMS, EMBED_SUMS, LIMIT,
        )  # fmt: skip
    else:
        ok = head(
            work, sums, weights, a_tiles, w_head, control, counters, error, d, epoch,
            INPUT, LOCAL, COARSE, SCALED, SQUARES, TILES, N, D, COLS, CELLS, PATCH_CHANNELS,
            LOCAL_COLUMNS, 48 + 2 * C, ROWS, BM, BH, STAGES, LIMIT, AHEAD, TMA,
        )  # fmt: skip
    return ok


@triton.jit
def map_tile(
    op, d, work, sums, convolutions, fixed, control, camera, noise, out, counters, error, epoch,
    INPUT: tl.constexpr, NOISY: tl.constexpr, Z: tl.constexpr, COARSE: tl.constexpr,
    LOCAL: tl.constexpr, LOCAL_COLUMNS: tl.constexpr, AFFINE_BIAS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    C: tl.constexpr, CP: tl.constexpr, ROWS: tl.constexpr, BC: tl.constexpr,
    STAGES: tl.constexpr, LIMIT: tl.constexpr, REHEARSED: tl.constexpr,
):  # fmt: skip
    """The instructions of the detail path."""
    ok = 1
    if op == CONV_IN:
        ok = conv_in(
            work, sums, convolutions, control, counters, error, d, epoch,
            INPUT, LOCAL, LOCAL_COLUMNS, MAP_ROWS, MAP_COLS, CELLS, C, CP, BC, STAGES, LIMIT,
            REHEARSED,
        )  # fmt: skip
    elif op == CONV:
        ok = conv(
            work, convolutions, control, counters, error, d, epoch,
            MAP_ROWS, MAP_COLS, C, CP, BC, STAGES, LIMIT, REHEARSED,
        )  # fmt: skip
    else:
        ok = conv_out(
            work, sums, convolutions, fixed, control, camera, noise, out,
            counters, error, d, epoch, NOISY, Z, COARSE, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS,
            MAP_ROWS, MAP_COLS, CELLS, CP, ROWS, BC, STAGES, LIMIT, REHEARSED,
        )  # fmt: skip
    return ok


@triton.jit(do_not_specialize=["epoch", "filled", "has_previous", "has_anchor", "origin"])
def frame_kernel(
    table, starts, counters, error, stamps, epoch, filled, has_previous, has_anchor,
    origin: tl.int64, work, sums, weights, convolutions, fixed, control, prompt, camera, previous,
    anchor_output, anchor_camera, noise, out, new_slot, slot1, slot2, slot3, slot4, slot5, slot6,
    slot7, slot8, a_tiles, w_model, w_qkv, w_up, w_head, key_tiles, N: tl.constexpr,
    P: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, HEADS: tl.constexpr,
    COLS: tl.constexpr, PATCH: tl.constexpr, CELLS: tl.constexpr, MAP_ROWS: tl.constexpr,
    MAP_COLS: tl.constexpr, C: tl.constexpr, CP: tl.constexpr, PATCH_CHANNELS: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, TILES: tl.constexpr,
    SCALED: tl.constexpr, H: tl.constexpr, INPUT: tl.constexpr, NOISY: tl.constexpr,
    X: tl.constexpr, SQUARES: tl.constexpr, LOCAL: tl.constexpr, COARSE: tl.constexpr,
    Z: tl.constexpr, BASE: tl.constexpr, PREVIOUS: tl.constexpr, ANCHOR: tl.constexpr,
    COS: tl.constexpr, SIN: tl.constexpr, AFFINE_BIAS: tl.constexpr, BM: tl.constexpr,
    BN: tl.constexpr, BQ: tl.constexpr, BU: tl.constexpr, BH: tl.constexpr, BS: tl.constexpr,
    BC: tl.constexpr, STAGES: tl.constexpr, CONV_STAGES: tl.constexpr, KEY_STAGES: tl.constexpr,
    BOUNDED: tl.constexpr, LIMIT: tl.constexpr, AHEAD: tl.constexpr, TIMED: tl.constexpr,
    DELAYED: tl.constexpr, SPLIT: tl.constexpr, MOST: tl.constexpr, PROMPT_ROWS: tl.constexpr,
    WINDOW: tl.constexpr, TMA: tl.constexpr, MERGE_ROWS: tl.constexpr, FINISH_ROWS: tl.constexpr,
    SUMS: tl.constexpr, EMBED_SUMS: tl.constexpr, REHEARSED: tl.constexpr,
):  # fmt: skip
    """One frame, pixels to pixels. See `torch_launch` for the arguments."""
    at, end = tl.load(starts + tl.program_id(0)), tl.load(starts + tl.program_id(0) + 1)
    while at < end:
        d = table + at.to(tl.int64) * WORDS
        op, counter = tl.load(d), tl.load(d + SIGNAL)
        ok = 1
        begin(stamps, d, epoch, TIMED, DELAYED)
        if op == UNPACK:
            unpack(
                work, camera, previous, anchor_output, anchor_camera, noise, d, has_previous,
                has_anchor, INPUT, COLS, PATCH, 2 * MAP_ROWS, ROWS,
            )  # fmt: skip
        elif (op == ATTEND_PART) | (op == ATTEND):
            ok = attend(
                work, sums, fixed, prompt, new_slot, slot1, slot2, slot3, slot4, slot5, slot6,
                slot7, slot8, key_tiles, origin, counters, error, d, epoch, filled, N, P, K, KP,
                HEADS, ROWS, PROMPT_ROWS, WINDOW, BM, BS, BOUNDED, MOST, KEY_STAGES, LIMIT, TMA,
                MERGE_ROWS > 0,
            )  # fmt: skip
        elif (op <= HEAD) or ((MERGE_ROWS + FINISH_ROWS > 0) and (op > CONV_OUT)):
            ok = matrix_tile(
                op, d, work, new_slot, sums, weights, a_tiles, w_model, w_qkv, w_up, w_head, fixed,
                control, counters, error, epoch, has_previous, has_anchor, N, D, K, KP, COLS, CELLS,
                C, PATCH_CHANNELS, LOCAL_COLUMNS, ROWS, WIDTH, TILES, SCALED, H, INPUT, X, SQUARES,
                LOCAL, COARSE, BASE, PREVIOUS, ANCHOR, COS, SIN, BM, BN, BQ, BU, BH, SPLIT, STAGES,
                LIMIT, AHEAD, TMA, HEADS, MERGE_ROWS, FINISH_ROWS, BOUNDED, MOST, SUMS, EMBED_SUMS,
            )  # fmt: skip
        else:
            ok = map_tile(
                op, d, work, sums, convolutions, fixed, control, camera, noise, out, counters,
                error, epoch, INPUT, NOISY, Z, COARSE, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS,
                MAP_COLS, CELLS, C, CP, ROWS, BC, CONV_STAGES, LIMIT, REHEARSED,
            )  # fmt: skip
        stamp(stamps, d, 1, TIMED)
        order_copies(TMA)
        at += 1
        if ok == 1:
            signal(counters, counter)
        else:
            at = end
