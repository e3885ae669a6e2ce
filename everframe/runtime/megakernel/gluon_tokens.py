# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: the matrix instructions, by two math warpgroups. Each owns 64 of a tile's 128 rows, reads
the stages that both share, and leaves its result in a staging buffer of its own, from where its
storer sends it, or stores what is no bfloat16 panel itself. The two never wait for each other, so
while one is in an epilogue the other has the tensor cores.

What other multiprocessors wrote in this launch is read past L1 (`.cg`).
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from everframe.runtime.megakernel.gluon_memory import (
    HALF,
    LOG2_E,
    NARROW,
    PANEL,
    WIDE,
    accumulator,
    aligned_word,
    first_col,
    first_row,
    left_behind,
    merged,
    release,
    slot,
    stage_out,
    start_of,
    turn,
    word,
)
from everframe.runtime.megakernel.gluon_sums import (
    add_parts,
    packed,
    packed_tile,
    places,
    sums_at,
    unpacked,
)


@gluon.jit
def running(ring, panels, it, W: gl.constexpr, COLUMNS: gl.constexpr):
    """[64, COLUMNS], the last step in flight: one product stays so while the stage before it is
    given back.
    """
    ring_a, ring_w, full, empty = ring
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
        it += 1
    return acc, it


@gluon.jit
def ended(ring, acc, it):
    """The result of `running`."""
    _, _, _, empty = ring
    acc = warpgroup_mma_wait(num_outstanding=0, deps=(acc,))
    release(empty, slot(it - 1))
    return acc


@gluon.jit
def product(ring, panels, it, W: gl.constexpr, COLUMNS: gl.constexpr):
    """[64, COLUMNS] of a tile."""
    acc, it = running(ring, panels, it, W, COLUMNS)
    return ended(ring, acc, it), it


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
def rows_of(row, layout: gl.constexpr):
    """Numbers of the 64 rows."""
    return row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))


@gluon.jit
def rows_along(row, like):
    """Numbers of the rows of [64, n]."""
    layout: gl.constexpr = like.type.layout
    return rows_of(row, layout)


@gluon.jit
def cols_of(column, like):
    """Numbers of the columns of [64, n]."""
    layout: gl.constexpr = like.type.layout
    return column + gl.arange(0, like.shape[1], layout=gl.SliceLayout(0, layout))


@gluon.jit
def squares_of(
    sums, row,
    SQUARES: gl.constexpr, TILES: gl.constexpr, TILES_2: gl.constexpr, ROWS: gl.constexpr,
):  # fmt: skip
    """Sums of squares of 64 rows, by tile of their producer."""
    layout: gl.constexpr = gl.BlockedLayout([1, TILES_2 // 2], [16, 2], [4, 1], [1, 0])
    rows = row + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
    tile = gl.arange(0, TILES_2, layout=gl.SliceLayout(0, layout))
    at = sums + SQUARES * PANEL + tile[None, :] * ROWS + rows[:, None]
    real = (tile < TILES)[None, :] & (rows >= 0)[:, None]
    return gl.load(at, mask=real, other=0.0, cache_modifier=".cg")


@gluon.jit
def root_of(squares, layout: gl.constexpr, D: gl.constexpr):
    """[64, 1] in a layout: reciprocal root of the mean square."""
    root = gl.rsqrt(gl.sum(squares, 1) / D + 1e-6)
    return gl.convert_layout(root, gl.SliceLayout(1, layout))[:, None]


@gluon.jit
def silu(x):
    """x times its logistic function."""
    return x / (1.0 + gl.exp2(-LOG2_E * x))


@gluon.jit
def leave(
    sums, x, at, row, column, scale, output, used,
    SQUARES: gl.constexpr, ROWS: gl.constexpr, MODEL: gl.constexpr,
):  # fmt: skip
    """Tokens, squares, and the operand of the next norm. `at`: where the tokens are, packed."""
    stage, staged, freed = output
    rows = rows_along(row, x)
    gl.store(at, packed(x))
    gl.store(sums + SQUARES * PANEL + column // MODEL * ROWS + rows, gl.sum(x * x, 1))
    tiles = stage._reinterpret(
        gl.bfloat16, [NARROW // MODEL, HALF, MODEL], gl.NVMMASharedLayout(128, 16, rank=2)
    )
    return stage_out((tiles.index(0), staged, freed), x * (1.0 + scale)[None, :], used)


@gluon.jit
def part_of(
    d, sums, ring, output, it, used, W: gl.constexpr, WIDTH: gl.constexpr, MODEL: gl.constexpr
):  # fmt: skip
    """PART: partial sums of a product."""
    acc, it = product(ring, word(d, 4), it, W, MODEL)
    base = packed_tile(sums + start_of(word(d, 5)), first_row(d, W), first_col(d), WIDTH, MODEL)
    gl.store(places(base, MODEL), packed(acc))
    return it, left_behind(output, used)


@gluon.jit
def embed(
    d, sums, fixed, control, counters, error, epoch, has_previous, has_anchor, ring, output, it,
    used,
    W: gl.constexpr, X: gl.constexpr, SQUARES: gl.constexpr, ROWS: gl.constexpr,
    WIDTH: gl.constexpr, BASE: gl.constexpr, PREVIOUS: gl.constexpr, ANCHOR: gl.constexpr,
    MODEL: gl.constexpr, LIMIT: gl.constexpr,
):  # fmt: skip
    """EMBED: tokens of the noisy target, positions, and the parts of the other pictures."""
    row, column = first_row(d, W), first_col(d)
    layout: gl.constexpr = accumulator(MODEL)
    cols = column + gl.arange(0, MODEL, layout=gl.SliceLayout(0, layout))
    scale = gl.load(control + start_of(word(d, 7)) + cols)
    bias = gl.load(fixed + PREVIOUS * PANEL + cols) * has_previous
    bias += gl.load(fixed + ANCHOR * PANEL + cols) * has_anchor
    place = rows_of(row, layout)[:, None] * WIDTH + cols[None, :]
    base = gl.load(fixed + BASE * PANEL + place)  # on its way during the product
    x, it = product(ring, word(d, 4), it, W, MODEL)
    x += base + bias[None, :]
    merged(counters, error, d, epoch, LIMIT)
    parts = packed_tile(sums + start_of(word(d, 5)), row, column, WIDTH, MODEL)
    x = add_parts(x, parts, word(d, 6), ROWS * WIDTH)
    at = places(packed_tile(sums + X * PANEL, row, column, WIDTH, MODEL), MODEL)
    return it, leave(sums, x, at, row, column, scale, output, used, SQUARES, ROWS, MODEL)


@gluon.jit
def residual(
    d, sums, control, counters, error, epoch, ring, output, it, used,
    W: gl.constexpr, X: gl.constexpr, SQUARES: gl.constexpr, ROWS: gl.constexpr,
    WIDTH: gl.constexpr, MODEL: gl.constexpr, SPLIT: gl.constexpr, LIMIT: gl.constexpr,
):  # fmt: skip
    """RESIDUAL: gate, sum, operand and squares of the next norm."""
    _, _, full, _ = ring
    row, column = first_row(d, W), first_col(d)
    layout: gl.constexpr = accumulator(MODEL)
    cols = column + gl.arange(0, MODEL, layout=gl.SliceLayout(0, layout))
    at = places(packed_tile(sums + X * PANEL, row, column, WIDTH, MODEL), MODEL)
    gate = gl.load(control + start_of(word(d, 8)) + cols)
    scale = gl.load(control + start_of(word(d, 7)) + cols)
    mbarrier.wait(full.index(slot(it)), turn(it))
    x = sums_at(at)  # on its way during the product
    acc, it = product(ring, word(d, 4), it, W, MODEL)
    if SPLIT:
        if word(d, 6) > 0:
            merged(counters, error, d, epoch, LIMIT)
            parts = packed_tile(sums + start_of(word(d, 5)), row, column, WIDTH, MODEL)
            acc = add_parts(acc, parts, word(d, 6), ROWS * WIDTH)
    x = unpacked(x) + gate[None, :] * acc
    return it, leave(sums, x, at, row, column, scale, output, used, SQUARES, ROWS, MODEL)


@gluon.jit
def of_heads(table, over: gl.constexpr):
    """[64, n] as [64, 1, n], for all heads of a tile; moves nothing between threads."""
    return gl.expand_dims(gl.convert_layout(table, over, assert_trivial=True), 1)


@gluon.jit
def turned(y, fixed, row, TURNS: gl.constexpr, HD: gl.constexpr):
    """RoPE of [64, n]: pairs of columns lie side by side, in one thread. The table of a head has
    cosine and sine side by side, and lies as the threads hold it.
    """
    columns: gl.constexpr = y.shape[1]
    layout: gl.constexpr = y.type.layout
    even, odd = gl.split(y.reshape((HALF, columns // HD, HD // 2, 2)))
    table = unpacked(gl.load(places(fixed + TURNS * PANEL + row * HD, HD)))
    cos, sin = gl.split(table.reshape((HALF, HD // 2, 2)))
    over: gl.constexpr = gl.SliceLayout(1, even.type.layout)
    cos, sin = of_heads(cos, over), of_heads(sin, over)
    both = gl.join(even * cos - odd * sin, even * sin + odd * cos)
    return gl.convert_layout(both.reshape((HALF, columns)), layout, assert_trivial=True)


@gluon.jit
def normed(y, gain, K: gl.constexpr, HD: gl.constexpr):
    """qk-norm of [64, n]: over heads of HD columns, each in one thread quad."""
    layout: gl.constexpr = y.type.layout
    heads: gl.constexpr = y.shape[1] // HD
    by_head = y.reshape((HALF, heads, HD))
    factor = gl.rsqrt(gl.sum(by_head * by_head, 2) / K + 1e-6)
    y = (by_head * gl.expand_dims(factor, 2)).reshape((HALF, heads * HD))
    return gl.convert_layout(y, layout, assert_trivial=True) * gain[None, :]


@gluon.jit
def qkv(
    d, sums, fixed, control, ring, output, it, used,
    W: gl.constexpr, N: gl.constexpr, D: gl.constexpr, K: gl.constexpr, HD: gl.constexpr,
    SQUARES: gl.constexpr, TILES: gl.constexpr, TILES_2: gl.constexpr, ROWS: gl.constexpr,
    TURNS: gl.constexpr,
):  # fmt: skip
    """QKV: rows past the last token are left as zeros; handed over in halves of 128 columns."""
    _, _, full, _ = ring
    row = first_row(d, W)
    mbarrier.wait(full.index(slot(it)), turn(it))
    squares = squares_of(sums, row, SQUARES, TILES, TILES_2, ROWS)  # on their way meanwhile
    layout: gl.constexpr = accumulator(NARROW)
    cols = gl.arange(0, NARROW, layout=gl.SliceLayout(0, layout))
    shift_at = control + start_of(word(d, 5)) + aligned_word(d, 3) + cols
    acc, it = running(ring, word(d, 2), it, W, WIDE)
    shift, more = gl.load(shift_at), gl.load(shift_at + NARROW)  # beside the last step
    root = root_of(squares, layout, D)
    real = (rows_of(row, layout) < N)[:, None]
    left, right = halves(ended(ring, acc, it))
    left = left * root + shift[None, :]
    right = right * root + more[None, :]
    if word(d, 4) < 2:
        gain = gl.load(fixed + start_of(word(d, 6)) + cols % HD)
        left = turned(normed(left, gain, K, HD), fixed, row, TURNS, HD)
        right = turned(normed(right, gain, K, HD), fixed, row, TURNS, HD)
    used = stage_out(output, gl.where(real, left, 0.0), used)
    return it, stage_out(output, gl.where(real, right, 0.0), used)


@gluon.jit
def up(
    d, sums, control, ring, output, it, used,
    W: gl.constexpr, D: gl.constexpr, SQUARES: gl.constexpr, TILES: gl.constexpr,
    TILES_2: gl.constexpr, ROWS: gl.constexpr,
):  # fmt: skip
    """UP: 128 columns of gates, then 128 of values."""
    _, _, full, _ = ring
    row = first_row(d, W)
    mbarrier.wait(full.index(slot(it)), turn(it))
    squares = squares_of(sums, row, SQUARES, TILES, TILES_2, ROWS)
    layout: gl.constexpr = accumulator(NARROW)
    cols = gl.arange(0, NARROW, layout=gl.SliceLayout(0, layout))
    shift_at = control + start_of(word(d, 3)) + 2 * first_col(d) + cols
    acc, it = running(ring, word(d, 2), it, W, WIDE)
    shift, more = gl.load(shift_at), gl.load(shift_at + NARROW)  # beside the last step
    root = root_of(squares, layout, D)
    gate, value = halves(ended(ring, acc, it))
    gate = gate * root + shift[None, :]
    value = value * root + more[None, :]
    return it, stage_out(output, silu(gate) * value, used)
