# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: float32 sums of a warpgroup in memory: tokens, partial sums, parts of attention.

Who reads a tile of them has the same thread as who wrote it, so they need not lie by row: they lie
as the threads hold them, 16 bytes of each thread in turn. A warp then reads and writes whole lines
of the L2 cache, where rows give it 32 bytes of each of eight lines.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from everframe.runtime.megakernel.gluon_memory import HALF, accumulator

THREADS, EACH = gl.constexpr(128), gl.constexpr(4)
"""Of a warpgroup; numbers of a thread that lie together."""


@gluon.constexpr_function
def by_thread():
    """Layout of [n, 128, 4]: all of the second axis' element in one thread."""
    return gl.BlockedLayout([1, 1, 4], [1, 32, 1], [1, 4, 1], [2, 1, 0])


@gluon.jit
def packed(x):
    """[64, n] sums as [n / 8, 128, 4]; moves nothing between threads."""
    runs: gl.constexpr = x.shape[1] // 8
    # warp, half of its rows, row | run of columns, thread of four, two columns
    parts = x.reshape((4, 2, 8, runs, 4, 2)).permute((3, 0, 2, 4, 1, 5))
    return gl.convert_layout(parts.reshape((runs, THREADS, EACH)), by_thread(), assert_trivial=True)


@gluon.jit
def unpacked(x):
    """The reverse of `packed`."""
    runs: gl.constexpr = x.shape[0]
    columns: gl.constexpr = 8 * runs
    parts = x.reshape((runs, 4, 8, 4, 2, 2)).permute((1, 4, 2, 0, 3, 5))
    layout: gl.constexpr = accumulator(columns)
    return gl.convert_layout(parts.reshape((HALF, columns)), layout, assert_trivial=True)


@gluon.jit
def places(base, COLUMNS: gl.constexpr):
    """[COLUMNS / 8, 128, 4] addresses of a packed [64, COLUMNS] that begins at `base`."""
    layout: gl.constexpr = by_thread()
    run = gl.arange(0, COLUMNS // 8, layout=gl.SliceLayout(1, gl.SliceLayout(2, layout)))
    thread = gl.arange(0, THREADS, layout=gl.SliceLayout(0, gl.SliceLayout(2, layout)))
    number = gl.arange(0, EACH, layout=gl.SliceLayout(0, gl.SliceLayout(1, layout)))
    at = run[:, None, None] * (THREADS * EACH) + thread[None, :, None] * EACH
    return base + at + number[None, None, :]


@gluon.jit
def packed_tile(base, row, column, WIDTH: gl.constexpr, COLUMNS: gl.constexpr):
    """Where the packed tile [64, COLUMNS] of a matrix [rows, WIDTH] begins."""
    return base + (row // HALF * (WIDTH // COLUMNS) + column // COLUMNS) * (HALF * COLUMNS)


@gluon.jit
def sums_at(at):
    """What another multiprocessor left there."""
    return gl.load(at, cache_modifier=".cg")


@gluon.jit
def add_parts(acc, base, parts, STRIDE: gl.constexpr):
    """[64, n] sums plus those of `parts` tiles that are STRIDE numbers apart, in their order; two
    at a time are on their way.
    """
    columns: gl.constexpr = acc.shape[1]
    at = places(base, columns)
    for part in range(0, parts - 1, 2):
        one, two = sums_at(at + part * STRIDE), sums_at(at + (part + 1) * STRIDE)
        acc += unpacked(one)
        acc += unpacked(two)
    if parts % 2 == 1:
        acc += unpacked(sums_at(at + (parts - 1) * STRIDE))
    return acc
