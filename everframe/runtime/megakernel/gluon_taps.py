# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: what the loader does for the detail path: weights of convolutions through the ring, and of
the first one its map too.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma

from everframe.runtime.megakernel.gluon_memory import (
    BLOCK,
    CONV_IN,
    CONV_OUT,
    LINE,
    STAGES,
    claim,
    first_row,
    pass_on,
    served,
    slot,
    wait_of,
    word,
)


@gluon.constexpr_function
def smaller(a, b):
    """Of two constants."""
    return min(a, b)


@gluon.jit
def load_taps(strips, ring, line, stage, COUT: gl.constexpr):
    """A panel of the weights of a convolution, 16 rows at a time."""
    _, ring_w, full, _ = ring
    for i in gl.static_range(COUT // 16):
        target = ring_w.index(stage).slice(16 * i, 16)
        tma.async_copy_global_to_shared(strips, [line + 16 * i, 0], full.index(stage), target)


@gluon.jit
def load_convolution(
    d, strips, ring, taps_at, counters, error, epoch, it, limit,
    STAGE: gl.constexpr, PANELS: gl.constexpr, COUT: gl.constexpr, LIGHT: gl.constexpr,
):  # fmt: skip
    """Weights; the maps are read by the math warpgroups. STAGE: the last of the waits for them."""
    _, _, full, empty = ring
    line = taps_at + word(d, 0)
    start, late = wait_of(d, epoch, 0), wait_of(d, epoch, STAGE)
    AHEAD: gl.constexpr = smaller(PANELS, STAGES)
    for k in range(AHEAD):
        load_taps(strips, ring, line + k * COUT, claim(empty, it + k), COUT)
    limit = served(counters, error, d, start, limit, 0, LIGHT)
    if STAGE > 0:
        limit = served(counters, error, d, late, limit, STAGE, LIGHT)
    for k in range(PANELS):
        if k >= AHEAD:
            load_taps(strips, ring, line + k * COUT, claim(empty, it + k), COUT)
        mbarrier.expect(full.index(slot(it + k)), COUT * LINE)
    return it + PANELS, limit


@gluon.jit
def load_first(
    d, tiles, strips, ring, q_free, input_at, taps_at, counters, error, epoch, it, looked, limit,
    COUT: gl.constexpr, MAP_COLS: gl.constexpr, PANELS: gl.constexpr, LIGHT: gl.constexpr,
):  # fmt: skip
    """CONV_IN: a tap in each stage, since its map has a line for each position: weights, and the
    positions moved by the tap. What lies beside the map is there, but means nothing.
    """
    ring_a, _, full, empty = ring
    line = taps_at + word(d, 0)
    start, late = wait_of(d, epoch, 0), wait_of(d, epoch, 1)
    AHEAD: gl.constexpr = smaller(PANELS, STAGES)
    for k in range(AHEAD):
        load_taps(strips, ring, line + k * COUT, claim(empty, it + k), COUT)
    limit = served(counters, error, d, start, limit, 0, LIGHT)
    limit = served(counters, error, d, late, limit, 1, LIGHT)
    mbarrier.wait(q_free, (looked & 1) ^ 1)  # queries lie where operands go
    first = input_at + first_row(d, 0) - MAP_COLS - 1
    for k in range(PANELS):
        stage = slot(it + k)
        if k >= AHEAD:
            load_taps(strips, ring, line + k * COUT, claim(empty, it + k), COUT)
        mbarrier.expect(full.index(stage), (BLOCK + COUT) * LINE)
        moved = first + k // 3 * MAP_COLS + k % 3
        tma.async_copy_global_to_shared(tiles, [moved, 0], full.index(stage), ring_a.index(stage))
    return it + PANELS, limit


@gluon.jit
def load_maps(
    d, op, tiles, strips, ring, q_free, input_at, taps_at, counters, error, epoch, it, looked,
    limit,
    CP: gl.constexpr, MAP_COLS: gl.constexpr, FIRST_PANELS: gl.constexpr,
    NEXT_PANELS: gl.constexpr, LIGHT: gl.constexpr,
):  # fmt: skip
    """The instructions of the detail path."""
    if op == CONV_IN:
        it, limit = load_first(
            d, tiles, strips, ring, q_free, input_at, taps_at, counters, error, epoch, it, looked,
            limit, CP, MAP_COLS, FIRST_PANELS, LIGHT,
        )  # fmt: skip
    elif op == CONV_OUT:  # colours come before the last convolution
        limit = served(counters, error, d, wait_of(d, epoch, 0), limit, 0, LIGHT)
        it = pass_on(ring, it)
        it, limit = load_convolution(
            d, strips, ring, taps_at, counters, error, epoch, it, limit, 1, NEXT_PANELS, 16, LIGHT
        )
    else:
        it, limit = load_convolution(
            d, strips, ring, taps_at, counters, error, epoch, it, limit, 0, NEXT_PANELS, CP, LIGHT
        )
    return it, limit
