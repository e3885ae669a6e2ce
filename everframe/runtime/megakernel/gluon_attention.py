# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: attention of 64 query rows of one head over a span of key tiles, by one math warpgroup.

The order of FlashAttention-3: the scores of the next tile and the sum of this one are both given to
the tensor cores, and the exponentials of the next tile run while the sum is still in flight.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from everframe.runtime.megakernel.gluon_loader import at_least_one, key_tiles, tile_of
from everframe.runtime.megakernel.gluon_memory import (
    AGES,
    ATTEND,
    ATTEND_PART,
    HALF,
    KEYS,
    LOG2_E,
    PANEL,
    STAGES,
    WIDE,
    accumulator,
    first_row,
    left_behind,
    merged,
    release,
    skip,
    slot,
    stage_out,
    start_of,
    turn,
    word,
)
from everframe.runtime.megakernel.gluon_sums import packed, places, sums_at, unpacked

EMPTY = gl.constexpr(-1e30)
NO_AGE = gl.constexpr(AGES.value - 1)
"""A row of the table of age offsets that is zero."""


@gluon.jit
def weigh(z, top, total, BOUNDED: gl.constexpr):
    """Exponentials of a tile of scores; `fade` is what the earlier sums must be multiplied by."""
    fade = top
    if BOUNDED:
        p = gl.exp2(z)
    else:
        higher = gl.maximum(top, gl.max(z, 1))
        p = gl.exp2(z - higher[:, None])
        fade = gl.exp2(top - higher)
        total = total * fade
        top = higher
    return p, top, total + gl.sum(p, 1), fade


@gluon.jit
def operand(p, layout: gl.constexpr):
    """Weights of keys as the left operand of the next product, in registers."""
    return gl.convert_layout(p.to(gl.bfloat16), layout, assert_trivial=True)


@gluon.jit
def offset_of(ages, age, layout: gl.constexpr):
    """[64]: what queries and the offset of an age add to the scores; in a layout of rows."""
    number = gl.arange(0, AGES, layout=gl.SliceLayout(0, ages.type.layout))
    column = gl.sum(gl.where((number == age)[None, :], ages, 0.0), 1)
    return gl.convert_layout(column, layout, assert_trivial=True)


@gluon.jit
def age_of(tile, past, N: gl.constexpr):
    """Row of the table of age offsets for a tile of a frame; for all others one of zeros."""
    FULL: gl.constexpr = at_least_one(N // KEYS)
    return gl.where(tile < past * (N // KEYS), tile // FULL, NO_AGE)


@gluon.jit
def shaped(s, ages, tile, past, frames, left, SCALE: gl.constexpr, N: gl.constexpr):
    """Scores of any tile, times log2 e: offsets of ages, key by key in gathered tiles, and nothing
    for what is no key.
    """
    LEFT: gl.constexpr = N % KEYS
    layout: gl.constexpr = s.type.layout
    rows: gl.constexpr = gl.SliceLayout(1, layout)
    gathered = tile - (past + 1) * (N // KEYS)
    number = gathered * KEYS + gl.arange(0, KEYS, layout=gl.SliceLayout(0, layout))
    z = s * SCALE + offset_of(ages, age_of(tile, past, N), rows)[:, None]
    if LEFT > 0:
        for age in range(gl.where(gathered < 0, 0, frames)):
            own = (number >= age * LEFT) & (number < (age + 1) * LEFT)
            z += gl.where(own[None, :], offset_of(ages, age, rows)[:, None], 0.0)
    return gl.where((number < left)[None, :], z, EMPTY)


@gluon.jit
def offsets_of_ages(q, ring, it, HD: gl.constexpr, SCALE: gl.constexpr):
    """[64, 16]: queries times the offset of each age."""
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    PER_STAGE: gl.constexpr = WIDE * PANEL // (AGES * HD)
    _, ring_w, full, empty = ring
    mbarrier.wait(full.index(slot(it)), turn(it))
    table = ring_w._reinterpret(gl.bfloat16, [STAGES * PER_STAGE, AGES, HD], LAYOUT)
    own = table.index(slot(it) * PER_STAGE).permute((1, 0))
    s = gl.zeros((HALF, AGES), gl.float32, layout=accumulator(AGES))
    s = warpgroup_mma(q, own, s, use_acc=False, is_async=True)
    s = warpgroup_mma_wait(num_outstanding=0, deps=(s,))
    release(empty, slot(it))
    return s * SCALE


@gluon.jit
def step(
    q, pairs, ring, it, p, top, total, out, ages, tile, past, frames, left, final,
    SCALE: gl.constexpr, BOUNDED: gl.constexpr, PLAIN: gl.constexpr, FOLD: gl.constexpr,
    N: gl.constexpr,
):  # fmt: skip
    """Scores of the next tile beside the sum of this one, whose values are at `it`. The keys are
    there already; ends when those of the next step (final: the last values) are. PLAIN: a tile of a
    frame, with more to come.
    """
    layout: gl.constexpr = accumulator(KEYS)
    weights: gl.constexpr = p.type.layout
    sums_of: gl.constexpr = out.type.layout
    _, _, full, empty = ring
    k, v = slot(it + 1), slot(it)
    s = gl.zeros((HALF, KEYS), gl.float32, layout=layout)
    s = warpgroup_mma(q, pairs.index(k * FOLD).permute((1, 0)), s, use_acc=False, is_async=True)
    mbarrier.wait(full.index(v), turn(it))
    out = warpgroup_mma(p, pairs.index(v * FOLD), out, is_async=True)
    if PLAIN:
        offset = offset_of(ages, age_of(tile, past, N), gl.SliceLayout(1, layout))
    s = warpgroup_mma_wait(num_outstanding=1, deps=(s,))
    release(empty, k)
    if PLAIN:
        z = s * SCALE + offset[:, None]
    else:
        z = shaped(s, ages, tile, past, frames, left, SCALE, N)
    after, top, total, fade = weigh(z, top, total, BOUNDED)
    after = operand(after, weights)
    # Also a branch, over which ptxas moves nothing: without it most exponentials would come after
    # the next wait instead of beside the product that it waits for.
    following = it + 3 - final
    mbarrier.wait(full.index(slot(following)), turn(following))
    out, after = warpgroup_mma_wait(num_outstanding=0, deps=(out, after))
    release(empty, v)
    if not BOUNDED:
        out = (
            out * gl.convert_layout(fade, gl.SliceLayout(1, sums_of), assert_trivial=True)[:, None]
        )
    return after, top, total, out, it + 2


@gluon.jit
def nothing(BOUNDED: gl.constexpr):
    """[64] maximum and denominator before any key."""
    rows: gl.constexpr = gl.SliceLayout(1, accumulator(KEYS))
    top = gl.full((HALF,), 0.0 if BOUNDED else EMPTY, gl.float32, layout=rows)
    return top, gl.zeros((HALF,), gl.float32, layout=rows)


@gluon.jit
def plain_tiles(d, before, count, current, past, N: gl.constexpr):
    """Key tiles of a task up to the last one of a frame, with more to come; at least one."""
    of_frames = before + gl.maximum(gl.minimum(word(d, 8), (past + 1) * (N // KEYS)) - current, 0)
    return gl.maximum(gl.minimum(of_frames, count - 1), 1)


@gluon.jit
def look(
    d, op, counters, error, epoch, ring, q_free, it, count, before, begin, current, frames, left,
    W: gl.constexpr, N: gl.constexpr, HD: gl.constexpr, SCALE: gl.constexpr, BOUNDED: gl.constexpr,
    LIMIT: gl.constexpr,
):  # fmt: skip
    """All key tiles of a task. Queries lie beside the first two stages of keys, keys and values in
    one each. The last sum is in flight while the other parts are waited for.
    """
    FOLD: gl.constexpr = 128 // HD
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    scores: gl.constexpr = accumulator(KEYS)
    sums_of: gl.constexpr = accumulator(HD)
    weights: gl.constexpr = gl.DotOperandLayout(0, sums_of, 2)
    ring_a, ring_w, full, empty = ring
    past = word(d, 6)
    queries = ring_a._reinterpret(gl.bfloat16, [STAGES * FOLD, HALF, HD], LAYOUT)
    pairs = ring_w._reinterpret(gl.bfloat16, [STAGES * FOLD, KEYS, HD], LAYOUT)
    first = it + gl.minimum(frames, 1)  # the offsets of ages have a stage before
    q = queries.index(slot(first + W) * FOLD)
    mbarrier.wait(full.index(slot(first + 1)), turn(first + 1))
    mbarrier.wait(full.index(slot(first)), turn(first))
    ages = gl.zeros((HALF, AGES), gl.float32, layout=accumulator(AGES))
    if frames > 0:
        ages = offsets_of_ages(q, ring, it, HD, SCALE)
    it = first
    s = gl.zeros((HALF, KEYS), gl.float32, layout=scores)
    first_keys = pairs.index(slot(it) * FOLD).permute((1, 0))
    s = warpgroup_mma(q, first_keys, s, use_acc=False, is_async=True)
    s = warpgroup_mma_wait(num_outstanding=0, deps=(s,))
    release(empty, slot(it))
    top, total = nothing(BOUNDED)
    z = shaped(s, ages, tile_of(0, before, begin, current), past, frames, left, SCALE, N)
    p, top, total, _ = weigh(z, top, total, BOUNDED)
    p = operand(p, weights)
    out = gl.zeros((HALF, HD), gl.float32, layout=sums_of)
    it += 1
    # the keys of the second tile, or where there is none the first values
    following = it + gl.where(count > 1, 1, 0)
    mbarrier.wait(full.index(slot(following)), turn(following))
    plain = plain_tiles(d, before, count, current, past, N)
    for j in range(1, plain):
        p, top, total, out, it = step(
            q, pairs, ring, it, p, top, total, out, ages, tile_of(j, before, begin, current),
            past, frames, left, 0, SCALE, BOUNDED, True, FOLD, N,
        )  # fmt: skip
    for j in range(plain, count):
        final = gl.where(j == count - 1, 1, 0)
        p, top, total, out, it = step(
            q, pairs, ring, it, p, top, total, out, ages, tile_of(j, before, begin, current),
            past, frames, left, final, SCALE, BOUNDED, False, FOLD, N,
        )  # fmt: skip
    gl.thread_barrier()
    mbarrier.arrive(q_free, count=1)
    out = warpgroup_mma(p, pairs.index(slot(it) * FOLD), out, is_async=True)
    if op == ATTEND:
        merged(counters, error, d, epoch, LIMIT)
    out = warpgroup_mma_wait(num_outstanding=0, deps=(out,))
    release(empty, slot(it))
    return top, total, out, it + 1


@gluon.jit
def other_part(
    own, row, rows, ROWS: gl.constexpr, HD: gl.constexpr, BOUNDED: gl.constexpr
):  # fmt: skip
    """Maximum, denominator and sums, packed, of another part, on their way. The maximum is 0 where
    nobody keeps one, and not stored.
    """
    their = sums_at(places(own + row * HD, HD))
    total = sums_at(own + ROWS * (HD + 1) + rows)
    top = total
    if not BOUNDED:
        top = sums_at(own + ROWS * HD + rows)
    return top, total, their


@gluon.jit
def both(top, total, out, other, BOUNDED: gl.constexpr):
    """Two parts together."""
    their_top, their_total, their = other
    if BOUNDED:
        total += their_total
        out += unpacked(their)
    else:
        higher = gl.maximum(top, their_top)
        mine, fade = gl.exp2(top - higher), gl.exp2(their_top - higher)
        total = total * mine + their_total * fade
        out = out * mine[:, None] + unpacked(their) * fade[:, None]
        top = higher
    return top, total, out


@gluon.jit
def add_others(
    d, sums, row, rows, top, total, out,
    HEADS: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr, BOUNDED: gl.constexpr,
):  # fmt: skip
    """The other parts, in their order, to this one, which comes last; two at a time are on their
    way, for which the registers suffice.
    """
    STRIDE: gl.constexpr = HEADS * ROWS * (HD + 2)
    own = sums + start_of(word(d, 11))
    others = word(d, 13) - 1
    for part in range(0, others - 1, 2):
        one = other_part(own + part * STRIDE, row, rows, ROWS, HD, BOUNDED)
        two = other_part(own + (part + 1) * STRIDE, row, rows, ROWS, HD, BOUNDED)
        top, total, out = both(top, total, out, one, BOUNDED)
        top, total, out = both(top, total, out, two, BOUNDED)
    if others % 2 == 1:
        one = other_part(own + (others - 1) * STRIDE, row, rows, ROWS, HD, BOUNDED)
        top, total, out = both(top, total, out, one, BOUNDED)
    return total, out


@gluon.jit
def finish(
    d, op, sums, row, top, total, out, output, used,
    HEADS: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr, layout: gl.constexpr,
    BOUNDED: gl.constexpr,
):  # fmt: skip
    """Store a part, or add all parts, which are there, and hand the result to the storer."""
    FOLD: gl.constexpr = 128 // HD
    rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
    top = gl.convert_layout(top, gl.SliceLayout(1, layout), assert_trivial=True)
    total = gl.convert_layout(total, gl.SliceLayout(1, layout), assert_trivial=True)
    if op == ATTEND_PART:
        own = sums + start_of(word(d, 11))
        own += word(d, 12) * (HEADS * ROWS * (HD + 2))
        gl.store(places(own + row * HD, HD), packed(out))
        if not BOUNDED:
            gl.store(own + ROWS * HD + rows, top)
        gl.store(own + ROWS * (HD + 1) + rows, total)
        used = left_behind(output, used)
    else:
        total, out = add_others(d, sums, row, rows, top, total, out, HEADS, ROWS, HD, BOUNDED)
        stage, staged, freed = output
        tiles = stage._reinterpret(gl.bfloat16, [FOLD, HALF, HD], gl.NVMMASharedLayout(128, 16))
        value = out * (1.0 / total)[:, None]
        used = stage_out((tiles.index(0), staged, freed), value, used)
    return used


@gluon.jit
def attend(
    d, op, filled, sums, counters, error, epoch, ring, q_free, output, it, used,
    W: gl.constexpr, N: gl.constexpr, P: gl.constexpr, K: gl.constexpr, HD: gl.constexpr,
    HEADS: gl.constexpr, ROWS: gl.constexpr, BOUNDED: gl.constexpr, LIMIT: gl.constexpr,
):  # fmt: skip
    """ATTEND, ATTEND_PART. Frames that are not filled cost nothing: their keys are left out."""
    SCALE: gl.constexpr = LOG2_E / K**0.5
    sums_of: gl.constexpr = accumulator(HD)
    row = first_row(d, W)
    frames, before, count, begin, current, left = key_tiles(d, filled, N, P)
    stages = 2 * count + gl.where(count == 0, 1, gl.minimum(frames, 1))
    if row < N:
        top, total = nothing(BOUNDED)
        out = gl.zeros((HALF, HD), gl.float32, layout=sums_of)
        if count > 0:
            top, total, out, it = look(
                d, op, counters, error, epoch, ring, q_free, it, count, before, begin, current,
                frames, left, W, N, HD, SCALE, BOUNDED, LIMIT,
            )  # fmt: skip
        else:
            it = skip(ring, 1, it)
            if op == ATTEND:
                merged(counters, error, d, epoch, LIMIT)
        used = finish(
            d, op, sums, row, top, total, out, output, used, HEADS, ROWS, HD, sums_of, BOUNDED
        )
    else:
        it = skip(ring, stages, it)
        mbarrier.arrive(q_free, count=1, pred=count > 0)
    return it, used
