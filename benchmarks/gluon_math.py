# pyright: basic, reportMissingImports=false
"""Gluon: the two math warpgroups of the experiment. Each owns 64 of a task's 128 rows, reads the
stages that both share, and leaves its result in its own staging buffer, from where its storer sends
it. The two never wait for each other, so while one is in softmax or in an epilogue the other has
the tensor cores.
"""

import gluon_words as words
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

OP, ROW, PANELS = (gl.constexpr(i) for i in (words.OP, words.ROW, words.PANELS))
COLUMN, CONTROL = gl.constexpr(words.COLUMN), gl.constexpr(words.CONTROL)
FIRST, LAST, MERGED = (gl.constexpr(i) for i in (words.FIRST, words.LAST, words.MERGED))
PART, PARTS, PARTIAL = (gl.constexpr(i) for i in (words.PART, words.PARTS, words.PARTIAL))
VALUE, UP, RESIDUAL = (gl.constexpr(i) for i in (words.VALUE, words.UP, words.RESIDUAL))
ATTEND_PART = gl.constexpr(words.ATTEND_PART)
WORDS, STAGES, PANEL = (gl.constexpr(i) for i in (words.WORDS, words.STAGES, words.PANEL))
SHIFT = gl.constexpr(words.STAGES.bit_length() - 1)
WIDE, NARROW = gl.constexpr(words.WIDE), gl.constexpr(words.NARROW)
HALF = gl.constexpr(words.ROWS_OF_TASK // 2)
KEYS = gl.constexpr(words.KEYS_OF_TILE)
VALID = gl.constexpr(words.SOURCES * words.TAIL)
EMPTY = gl.constexpr(-1e30)
LOG2_E = gl.constexpr(1.4426950408889634)


@gluon.constexpr_function
def accumulator(columns):
    """Layout of [64, columns] sums of one warpgroup."""
    return gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, columns, 16]
    )


@gluon.jit
def slot(it):
    """Stage of the ring that use number `it` of it is in; STAGES is a power of two."""
    return it & (STAGES - 1)


@gluon.jit
def turn(it):
    """Parity of the phase of that stage's barriers."""
    return (it >> SHIFT) & 1


@gluon.jit
def aligned(d, WORD: gl.constexpr):
    """A word that is a multiple of 64, which the compiler must know to load more than one number at
    a time. The hint belongs to the load, so both must be in one function.
    """
    return gl.multiple_of(gl.load(d + WORD), PANEL)


@gluon.jit
def release(empty, stage):
    """All warps of this warpgroup have read a stage. The barrier is needed: the arrival is one
    thread's, and the wait for a matrix product is each warp's own.
    """
    gl.thread_barrier()
    mbarrier.arrive(empty.index(stage), count=1)


@gluon.jit
def skip(full, empty, stages, it):
    """A warpgroup that has no rows in a task lets its stages pass."""
    for _ in range(stages):
        mbarrier.wait(full.index(slot(it)), turn(it))
        release(empty, slot(it))
        it += 1
    return it


@gluon.jit
def follow(ahead, made, W: gl.constexpr, LEAD: gl.constexpr):
    """Let the first warpgroup go ahead; `made` counts products."""
    if LEAD > 0 and W == 1:
        mbarrier.wait(ahead, made & 1)


@gluon.jit
def product(
    ring_a, ring_w, full, empty, ahead, panels, it, made,
    W: gl.constexpr, COLUMNS: gl.constexpr, LEAD: gl.constexpr,
):  # fmt: skip
    """[64, COLUMNS]: one product stays in flight while the stage before it is given back.

    With LEAD the second warpgroup begins when the first has done so many steps, so that their
    epilogues do not coincide: while one is in its epilogue the other has the tensor cores.
    """
    follow(ahead, made, W, LEAD)
    acc = gl.zeros((HALF, COLUMNS), gl.float32, layout=accumulator(COLUMNS))
    for k in range(panels):
        stage = slot(it)
        mbarrier.wait(full.index(stage), turn(it))
        a = ring_a.index(stage).slice(W * HALF, HALF)
        w = ring_w.index(stage).slice(0, COLUMNS).permute((1, 0))
        acc = warpgroup_mma(a, w, acc, use_acc=k > 0, is_async=True)
        acc = warpgroup_mma_wait(num_outstanding=1, deps=(acc,))
        if k > 0:
            release(empty, slot(it - 1))
            if LEAD > 0 and W == 0:
                mbarrier.arrive(ahead, count=1, pred=k == LEAD)
        it += 1
    acc = warpgroup_mma_wait(num_outstanding=0, deps=(acc,))
    release(empty, slot(it - 1))
    return acc, it


@gluon.jit
def halves(acc):
    """Left and right columns of [64, 2 n]; moves nothing between threads."""
    columns: gl.constexpr = acc.shape[1] // 2
    pair = acc.reshape((HALF, 2, columns)).permute((0, 2, 1))
    left, right = gl.split(pair)
    layout: gl.constexpr = accumulator(columns)
    return (
        gl.convert_layout(left, layout, assert_trivial=True),
        gl.convert_layout(right, layout, assert_trivial=True),
    )


@gluon.jit
def stage_out(stage, staged, freed, value, used):
    """Hand [64, n] to the storer, once it has read what was there before."""
    mbarrier.wait(freed, (used & 1) ^ 1)
    stage.store(value.to(gl.bfloat16))
    fence_async_shared()
    gl.thread_barrier()
    mbarrier.arrive(staged, count=1)
    return used + 1


@gluon.jit
def squares_of(sums, row, SQUARES: gl.constexpr, TILES: gl.constexpr):
    """Sums of squares of 64 rows, by tile of their producer. Read past L1: another multiprocessor
    wrote them in this launch.
    """
    layout: gl.constexpr = gl.BlockedLayout([1, 4], [16, 2], [4, 1], [1, 0])
    rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
    tile = gl.arange(0, TILES, layout=gl.SliceLayout(0, layout))
    return gl.load(sums + SQUARES + rows[:, None] * TILES + tile[None, :], cache_modifier=".cg")


@gluon.jit
def root_of(squares, layout: gl.constexpr, D: gl.constexpr):
    """[64, 1] in a layout: reciprocal root of the mean square."""
    root = gl.rsqrt(gl.sum(squares, 1) / D + 1e-6)
    return gl.convert_layout(root, gl.SliceLayout(1, layout))[:, None]


@gluon.jit
def columns_of(control, start, like):
    """A vector of the columns of [64, n]."""
    layout: gl.constexpr = like.type.layout
    at = gl.arange(0, like.shape[1], layout=gl.SliceLayout(0, layout))
    return gl.load(control + start + at)


@gluon.jit
def normed(y, HD: gl.constexpr, gain):
    """qk-norm of [64, 128]: over heads of HD columns, each in one thread quad."""
    layout: gl.constexpr = y.type.layout
    heads: gl.constexpr = y.shape[1] // HD
    by_head = y.reshape((HALF, heads, HD))
    factor = gl.rsqrt(gl.sum(by_head * by_head, 2) / HD + 1e-6)
    y = (by_head * gl.expand_dims(factor, 2)).reshape((HALF, heads * HD))
    return gl.convert_layout(y, layout, assert_trivial=True) * gain[None, :]


@gluon.jit
def qkv_or_up(
    d, op, sums, control, ring_a, ring_w, full, empty, ahead, stage, staged, freed,
    it, used, made,
    W: gl.constexpr, N: gl.constexpr, D: gl.constexpr, HD: gl.constexpr,
    SQUARES: gl.constexpr, TILES: gl.constexpr, GAIN: gl.constexpr,
    LEAD: gl.constexpr,
):  # fmt: skip
    """QUERY_KEY, VALUE and UP: 256 columns, handed over in halves of 128."""
    row = aligned(d, ROW) + W * HALF
    column, vectors = aligned(d, COLUMN), aligned(d, CONTROL)
    panels = gl.load(d + PANELS)
    if row < N:
        mbarrier.wait(full.index(slot(it)), turn(it))
        squares = squares_of(sums, row, SQUARES, TILES)  # on their way during the product
        acc, it = product(ring_a, ring_w, full, empty, ahead, panels, it, made, W, WIDE, LEAD)
        left, right = halves(acc)
        layout: gl.constexpr = left.type.layout
        root = root_of(squares, layout, D)
        left = left * root + columns_of(control, vectors + column, left)[None, :]
        right = right * root + columns_of(control, vectors + column + NARROW, right)[None, :]
        if op == UP:
            h = left / (1.0 + gl.exp2(-LOG2_E * left)) * right
            used = stage_out(stage, staged, freed, h, used)
        else:
            if op < VALUE:
                at = gl.arange(0, NARROW, layout=gl.SliceLayout(0, layout)) % HD
                gain = gl.load(control + GAIN + at)
                left = normed(left, HD, gain)
                right = normed(right, HD, gain)
            rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
            real = (rows < N)[:, None]
            used = stage_out(stage, staged, freed, gl.where(real, left, 0.0), used)
            used = stage_out(stage, staged, freed, gl.where(real, right, 0.0), used)
    else:
        follow(ahead, made, W, LEAD)
        it = skip(full, empty, panels, it)
    return it, used, made + 1


@gluon.jit
def residual(
    d, sums, control, ring_a, ring_w, full, empty, ahead, stage, staged, freed,
    it, used, made,
    W: gl.constexpr, N: gl.constexpr, D: gl.constexpr,
    X: gl.constexpr, SQUARES: gl.constexpr, TILES: gl.constexpr, LEAD: gl.constexpr,
):  # fmt: skip
    """RESIDUAL: gate, sum, operand and squares of the next norm."""
    row = aligned(d, ROW) + W * HALF
    column, vectors = aligned(d, COLUMN), aligned(d, CONTROL)
    panels = gl.load(d + PANELS)
    if row < N:
        layout: gl.constexpr = accumulator(NARROW)
        rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
        cols = column + gl.arange(0, NARROW, layout=gl.SliceLayout(0, layout))
        at = sums + X + rows[:, None] * D + cols[None, :]
        mbarrier.wait(full.index(slot(it)), turn(it))
        x = gl.load(at, cache_modifier=".cg")  # on its way during the product
        acc, it = product(ring_a, ring_w, full, empty, ahead, panels, it, made, W, NARROW, LEAD)
        x += columns_of(control, vectors + column, acc)[None, :] * acc
        gl.store(at, x)
        squares = sums + SQUARES + rows * TILES + column // NARROW
        gl.store(squares, gl.sum(x * x, 1))
        scaled = x * (1.0 + columns_of(control, vectors + D + column, acc))[None, :]
        used = stage_out(stage, staged, freed, scaled, used)
    else:
        follow(ahead, made, W, LEAD)
        it = skip(full, empty, panels, it)
    return it, used, made + 1
