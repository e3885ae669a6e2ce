# pyright: basic, reportMissingImports=false
"""Gluon: attention of 64 query rows of one head over a span of key tiles, by one math warpgroup.

The order of FlashAttention-3: the scores of the next tile and the sum of this one are both given to
the tensor cores, and the exponentials of the next tile run while the sum is still in flight.
"""

from gluon_math import (
    ATTEND_PART,
    EMPTY,
    FIRST,
    HALF,
    KEYS,
    LAST,
    LOG2_E,
    MERGED,
    PART,
    PARTIAL,
    PARTS,
    ROW,
    STAGES,
    VALID,
    accumulator,
    aligned,
    halves,
    release,
    skip,
    slot,
    stage_out,
    turn,
)
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

FULL_TILES = gl.constexpr(50)
"""Key tiles of five frames; the next one is the tile of tails."""


@gluon.jit
def waited(counter, want, limit):
    """1 when a counter is there, 0 when time is over. Every thread asks for itself, so that what it
    loads afterwards is ordered.
    """
    return gl.inline_asm_elementwise(
        """{
        .reg .pred p, q;
        .reg .u32 v, n;
        mov.u32 n, 0;
        AGAIN:
        ld.acquire.gpu.global.u32 v, [$1];
        setp.ge.s32 p, v, $2;
        add.u32 n, n, 1;
        setp.lt.and.u32 q, n, $3, !p;
        @q bra AGAIN;
        selp.u32 $0, 1, 0, p;
        }""",
        "=r,l,r,r",
        [counter, want, limit],
        dtype=gl.int32,
        is_pure=False,
        pack=1,
    )


@gluon.jit
def powers_by_sums(x):
    """2^x without the special-function unit: rounded to an integer, which goes into the exponent,
    and a polynomial of the rest (relative error 1e-4, bfloat16 keeps 4e-3). For |x| < 126.
    """
    shifted = x + 12582912.0  # the integer is in the low bits
    rest = x - (shifted - 12582912.0)
    y = 0.0551716 * rest + 0.24261112
    y = y * rest + 0.693261
    y = y * rest + 0.99992807
    bits = y.to(gl.int32, bitcast=True) + (shifted.to(gl.int32, bitcast=True) << 23)
    return bits.to(gl.float32, bitcast=True)


@gluon.jit
def powers(x, SHARE: gl.constexpr):
    """2^x of [64, n]; one column of SHARE (0: none) by sums, so that the special-function unit,
    which at head_dim 64 takes as long as the products, has less to do.
    """
    if SHARE == 0:
        y = gl.exp2(x)
    elif SHARE == 1:
        y = powers_by_sums(x)
    else:
        left, right = halves(x)
        pair = gl.join(powers(left, 0), powers(right, SHARE // 2)).permute((0, 2, 1))
        y = gl.convert_layout(pair.reshape(x.shape), x.type.layout, assert_trivial=True)
    return y


@gluon.jit
def weigh(s, top, total, SCALE: gl.constexpr, BOUNDED: gl.constexpr, SHARE: gl.constexpr):
    """Exponentials of a tile of scores; `fade` is what the earlier sums must be multiplied by."""
    fade = top
    if BOUNDED:
        p = powers(s * SCALE, SHARE)
    else:
        higher = gl.maximum(top, gl.max(s, 1) * SCALE)
        p = gl.exp2(s * SCALE - higher[:, None])
        fade = gl.exp2(top - higher)
        total = total * fade
        top = higher
    return p, top, total + gl.sum(p, 1), fade


@gluon.jit
def operand(p, layout: gl.constexpr):
    """Weights of keys as the left operand of the next product, in registers."""
    return gl.convert_layout(p.to(gl.bfloat16), layout, assert_trivial=True)


@gluon.jit
def await_turn(turns, steps, W: gl.constexpr, ORDERED: gl.constexpr):
    """Products of the two warpgroups in turn, the first one first: so that one's exponentials run
    beside the other's products.
    """
    if ORDERED:
        mbarrier.wait(turns.index(W), (steps + 1 + W) & 1)


@gluon.jit
def end_turn(turns, W: gl.constexpr, ORDERED: gl.constexpr):
    """The products are issued; nothing of them has to be done."""
    if ORDERED:
        gl.thread_barrier()
        mbarrier.arrive(turns.index(1 - W), count=1)


@gluon.jit
def skip_tiles(full, empty, turns, tiles, it, steps, W: gl.constexpr, ORDERED: gl.constexpr):
    """A warpgroup that has no rows lets stages and turns pass."""
    it = skip(full, empty, 2, it)
    for _ in range(1, tiles):
        await_turn(turns, steps, W, ORDERED)
        end_turn(turns, W, ORDERED)
        it = skip(full, empty, 2, it)
        steps += 1
    return it, steps


@gluon.jit
def step(
    q, pairs, full, empty, turns, it, steps, p, top, total, out, valid,
    SCALE: gl.constexpr, BOUNDED: gl.constexpr, MASKED: gl.constexpr, FOLD: gl.constexpr,
    SHARE: gl.constexpr, W: gl.constexpr, ORDERED: gl.constexpr,
):  # fmt: skip
    """Scores of the next tile beside the sum of this one, whose values are at `it`. The keys are
    there already; ends when those of the next step (MASKED: the last values) are.
    """
    layout: gl.constexpr = accumulator(KEYS)
    weights: gl.constexpr = p.type.layout
    sums_of: gl.constexpr = out.type.layout
    k, v = slot(it + 1), slot(it)
    s = gl.zeros((HALF, KEYS), gl.float32, layout=layout)
    await_turn(turns, steps, W, ORDERED)
    s = warpgroup_mma(q, pairs.index(k * FOLD).permute((1, 0)), s, use_acc=False, is_async=True)
    mbarrier.wait(full.index(v), turn(it))
    out = warpgroup_mma(p, pairs.index(v * FOLD), out, is_async=True)
    end_turn(turns, W, ORDERED)
    s = warpgroup_mma_wait(num_outstanding=1, deps=(s,))
    release(empty, k)
    if MASKED:
        real = gl.arange(0, KEYS, layout=gl.SliceLayout(0, layout)) < valid
        s = gl.where(real[None, :], s, EMPTY)
    after, top, total, fade = weigh(s, top, total, SCALE, BOUNDED, 0 if MASKED else SHARE)
    after = operand(after, weights)
    # Also a branch, over which ptxas moves nothing: without it most exponentials would come after
    # the next wait instead of beside the product that it waits for.
    following = it + 2 if MASKED else it + 3
    mbarrier.wait(full.index(slot(following)), turn(following))
    out, after = warpgroup_mma_wait(num_outstanding=0, deps=(out, after))
    release(empty, v)
    if not BOUNDED:
        out = (
            out * gl.convert_layout(fade, gl.SliceLayout(1, sums_of), assert_trivial=True)[:, None]
        )
    return after, top, total, out, it + 2, steps + 1


@gluon.jit
def merge(
    d, sums, counters, limit, rows, top, total, out, layout: gl.constexpr,
    W: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr,
):  # fmt: skip
    """Add the other parts, in their order, to this one, which comes last."""
    parts, base = gl.load(d + PARTS), gl.load(d + PARTIAL)
    ok = 1
    if parts > 1:
        ok = waited(counters + gl.load(d + MERGED) + W, parts - 1, limit)
    cols = gl.arange(0, HD, layout=gl.SliceLayout(0, layout))
    for part in range(parts - 1):
        own = sums + base.to(gl.int64) * HALF + part * (ROWS * (HD + 2))
        other = gl.load(own + ROWS * HD + rows, cache_modifier=".cg")
        higher = gl.maximum(top, other)
        mine, fade = gl.exp2(top - higher), gl.exp2(other - higher)
        total = total * mine
        total += gl.load(own + ROWS * (HD + 1) + rows, cache_modifier=".cg") * fade
        their = gl.load(own + rows[:, None] * HD + cols[None, :], cache_modifier=".cg")
        out = out * mine[:, None] + their * fade[:, None]
        top = higher
    return total, out, ok


@gluon.jit
def attend(
    d, op, sums, counters, error, ring_a, ring_w, full, empty, q_free, turns, stage, staged, freed,
    it, used, steps, limit,
    W: gl.constexpr, N: gl.constexpr, HD: gl.constexpr, ROWS: gl.constexpr,
    BOUNDED: gl.constexpr, SHARE: gl.constexpr, ORDERED: gl.constexpr,
):  # fmt: skip
    """ATTEND, ATTEND_PART. Queries lie beside the first two stages, keys and values in two each."""
    FOLD: gl.constexpr = 128 // HD
    SCALE: gl.constexpr = LOG2_E / HD**0.5
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    scores: gl.constexpr = accumulator(KEYS)
    sums_of: gl.constexpr = accumulator(HD)
    weights: gl.constexpr = gl.DotOperandLayout(0, sums_of, 2)
    first, last = gl.load(d + FIRST), gl.load(d + LAST)
    row = aligned(d, ROW) + W * HALF
    if row < N:
        queries = ring_a._reinterpret(gl.bfloat16, [STAGES * FOLD, HALF, HD], LAYOUT)
        pairs = ring_w._reinterpret(gl.bfloat16, [STAGES * FOLD, KEYS, HD], LAYOUT)
        q = queries.index(slot(it + W) * FOLD)
        mbarrier.wait(full.index(slot(it + 1)), turn(it + 1))
        mbarrier.wait(full.index(slot(it)), turn(it))
        s = gl.zeros((HALF, KEYS), gl.float32, layout=scores)
        first_keys = pairs.index(slot(it) * FOLD).permute((1, 0))
        s = warpgroup_mma(q, first_keys, s, use_acc=False, is_async=True)
        s = warpgroup_mma_wait(num_outstanding=0, deps=(s,))
        release(empty, slot(it))
        top = gl.full((HALF,), EMPTY, gl.float32, layout=gl.SliceLayout(1, scores))
        if BOUNDED:
            top = gl.zeros((HALF,), gl.float32, layout=gl.SliceLayout(1, scores))
        total = gl.zeros((HALF,), gl.float32, layout=gl.SliceLayout(1, scores))
        p, top, total, _ = weigh(s, top, total, SCALE, BOUNDED, SHARE)
        p = operand(p, weights)
        out = gl.zeros((HALF, HD), gl.float32, layout=sums_of)
        it += 1
        mbarrier.wait(full.index(slot(it + 1)), turn(it + 1))
        valid = gl.where(last > FULL_TILES, VALID, KEYS)
        for _ in range(first + 2, last):
            p, top, total, out, it, steps = step(
                q, pairs, full, empty, turns, it, steps, p, top, total, out, valid,
                SCALE, BOUNDED, False, FOLD, SHARE, W, ORDERED,
            )  # fmt: skip
        p, top, total, out, it, steps = step(
            q, pairs, full, empty, turns, it, steps, p, top, total, out, valid,
            SCALE, BOUNDED, True, FOLD, SHARE, W, ORDERED,
        )  # fmt: skip
        gl.thread_barrier()
        mbarrier.arrive(q_free, count=1)
        out = warpgroup_mma(p, pairs.index(slot(it) * FOLD), out, is_async=True)
        out = warpgroup_mma_wait(num_outstanding=0, deps=(out,))
        release(empty, slot(it))
        it += 1
        used = finish(
            d, op, sums, counters, error, row, top, total, out, stage, staged, freed, used, limit,
            W, ROWS, HD, sums_of,
        )  # fmt: skip
    else:
        it, steps = skip_tiles(full, empty, turns, last - first, it, steps, W, ORDERED)
        mbarrier.arrive(q_free, count=1)
    return it, used, steps


@gluon.jit
def finish(
    d, op, sums, counters, error, row, top, total, out, stage, staged, freed, used, limit,
    W: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr, layout: gl.constexpr,
):  # fmt: skip
    """Store a part, or merge all parts and hand the result to the storer."""
    FOLD: gl.constexpr = 128 // HD
    rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
    top = gl.convert_layout(top, gl.SliceLayout(1, layout), assert_trivial=True)
    total = gl.convert_layout(total, gl.SliceLayout(1, layout), assert_trivial=True)
    if op == ATTEND_PART:
        cols = gl.arange(0, HD, layout=gl.SliceLayout(0, layout))
        own = sums + gl.load(d + PARTIAL).to(gl.int64) * HALF
        own += gl.load(d + PART) * (ROWS * (HD + 2))
        mbarrier.wait(freed, (used & 1) ^ 1)
        gl.store(own + rows[:, None] * HD + cols[None, :], out)
        gl.store(own + ROWS * HD + rows, top)
        gl.store(own + ROWS * (HD + 1) + rows, total)
        gl.thread_barrier()
        mbarrier.arrive(staged, count=1)
        used += 1
    else:
        total, out, ok = merge(d, sums, counters, limit, rows, top, total, out, layout, W, ROWS, HD)
        if ok == 0:
            gl.store(error, -1)
        tiles = stage._reinterpret(gl.bfloat16, [FOLD, HALF, HD], gl.NVMMASharedLayout(128, 16))
        used = stage_out(tiles.index(0), staged, freed, out * (1.0 / total)[:, None], used)
    return used
