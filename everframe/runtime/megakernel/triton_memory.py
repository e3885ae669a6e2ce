# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: waiting, signalling, and the matrix product that all matrix instructions share.

A wait polls all its counters at once; an acquire there and a release at the signal order the data.
Every wait gives up after a number of polls. What waits for that gives up, too, so the error is the
smallest of their numbers: the first in the order of the program. Counters only grow: launch number
`epoch` waits for `epoch` times the target.
"""

import os

import triton
import triton.language as tl

from everframe.runtime.megakernel import encode, tiles
from everframe.runtime.megakernel.isa import Opcode

# the words of an instruction and the opcodes, from the one table of each
WORDS = tl.constexpr(encode.WORDS)
WAITS = tl.constexpr(encode.WAITS)
SIGNAL = tl.constexpr(encode.SIGNAL)
ROW = tl.constexpr(encode.ROW)
COL = tl.constexpr(encode.COL)
TASK = tl.constexpr(encode.TASK)
ARGUMENTS = tl.constexpr(encode.ARGUMENTS)
UNPACK = tl.constexpr(int(Opcode.UNPACK))
PART = tl.constexpr(int(Opcode.PART))
EMBED = tl.constexpr(int(Opcode.EMBED))
QKV = tl.constexpr(int(Opcode.QKV))
ATTEND_PART = tl.constexpr(int(Opcode.ATTEND_PART))
ATTEND = tl.constexpr(int(Opcode.ATTEND))
RESIDUAL = tl.constexpr(int(Opcode.RESIDUAL))
UP = tl.constexpr(int(Opcode.UP))
HEAD = tl.constexpr(int(Opcode.HEAD))
CONV_IN = tl.constexpr(int(Opcode.CONV_IN))
CONV = tl.constexpr(int(Opcode.CONV))
CONV_OUT = tl.constexpr(int(Opcode.CONV_OUT))
MERGE = tl.constexpr(int(Opcode.MERGE))

ALIGNED = tl.constexpr(tiles.ALIGNED)
PANEL = tl.constexpr(tiles.PANEL)
POLLED = tl.constexpr(32)
SMALL = tl.constexpr(64 * 64)
"""Numbers of a tile up to which operands of its epilogue are loaded before the product."""
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
"""Triton's interpreter knows no PTX: there, flags are polled by an atomic addition of nothing."""


@triton.jit
def wait_of(d, epoch, STAGE: tl.constexpr):
    """First counter, how many, and what each must have reached. To be read before the first wait:
    an acquire empties the L1 cache, and every load of a word after it costs a trip to the L2.
    """
    words = d + WAITS + 3 * STAGE
    return tl.load(words), tl.load(words + 1), tl.load(words + 2) * epoch


@triton.jit
def seen_at(counter):
    """Values of counters, acquired by the first warp; the other warps poll nothing and see enough
    of everything.
    """
    if INTERPRETED:
        seen = tl.atomic_add(counter, 0, sem="acquire", scope="gpu")
    else:
        seen = tl.inline_asm_elementwise(
            """{
            .reg .pred first;
            .reg .u32 thread;
            mov.u32 thread, %tid.x;
            setp.lt.u32 first, thread, 32;
            mov.u32 $0, 0x7fffffff;
            @first ld.acquire.gpu.global.u32 $0, [$1];
            }""",
            "=&r,l",
            [counter],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    return seen


@triton.jit
def together(ok):
    """A barrier of the CTA that also tells all threads whether each of them is ok."""
    if not INTERPRETED:
        ok = tl.inline_asm_elementwise(
            """{
            .reg .pred mine, all;
            setp.ne.u32 mine, $1, 0;
            barrier.cta.red.and.pred all, 0, mine;
            selp.u32 $0, 1, 0, all;
            }""",
            "=r,r",
            [ok],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    return ok


@triton.jit
def served(counters, error, d, wait, STAGE: tl.constexpr, LIMIT: tl.constexpr):
    """1 when the waits of a stage (`wait_of`) are served, 0 when time is over."""
    first, count, want = wait
    lane = tl.arange(0, POLLED)
    ok = 1
    if count > 0:
        polls = 0
        for base in range(0, count, POLLED):
            # lanes past the last counter look at the last one
            mine = counters + first + tl.minimum(base + lane, count - 1)
            behind = 1
            while behind > 0:
                behind = tl.max(want - seen_at(mine))
                polls += 1
                if behind > 0:
                    if polls > LIMIT:
                        behind = 0
                        ok = 0
        ok = together(ok)
        if ok == 0:
            tl.atomic_min(error, tl.load(d + TASK) * 4 + STAGE)
    return ok


@triton.jit
def signal(counters, counter):
    """Everything this CTA has written is visible to who sees the count."""
    tl.debug_barrier()
    tl.atomic_add(counters + counter, 1, sem="release", scope="gpu")


@triton.jit
def clock():
    """Nanoseconds since some time, the same for all multiprocessors."""
    return tl.inline_asm_elementwise(
        "mov.u64 $0, %globaltimer;", "=l", [], dtype=tl.int64, is_pure=False, pack=1
    )


@triton.jit
def stamp(stamps, d, WHICH: tl.constexpr, TIMED: tl.constexpr):
    """Note when an instruction began (0) or ended (1)."""
    if TIMED:
        tl.store(stamps + tl.load(d + TASK) * 2 + WHICH, clock())


@triton.jit
def loiter(d, epoch):
    """Sleep up to 16 microseconds, another time for each instruction and launch: for tests of the
    order of things.
    """
    mixed = (tl.load(d + TASK) * 40503 + epoch * 30011) & 16383
    tl.inline_asm_elementwise(
        "nanosleep.u32 $1;\nmov.u32 $0, 0;",
        "=r,r",
        [mixed],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def begin(stamps, d, epoch, TIMED: tl.constexpr, DELAYED: tl.constexpr):
    """Of an instruction: what tests and measurements want."""
    if DELAYED:
        loiter(d, epoch)
    stamp(stamps, d, 0, TIMED)


@triton.jit
def first_row(d):
    """First row of a tile. The compiler must know what tiles begin at multiples of
    (`tiles.ALIGNED`), to load and store 16 bytes at a time.
    """
    return tl.multiple_of(tl.load(d + ROW), ALIGNED)


@triton.jit
def first_col(d):
    """Of a tile; see `first_row`."""
    return tl.multiple_of(tl.load(d + COL), ALIGNED)


@triton.jit
def word(d, INDEX: tl.constexpr):
    """A word of the opcode's own. All are read before the first wait, see `wait_of`."""
    return tl.load(d + ARGUMENTS + INDEX)


@triton.jit
def start_of(line):
    """Numbers before a line."""
    return line.to(tl.int64) * PANEL


@triton.jit
def fetch_ahead(weights, w, row, first, panels, w_rows, BN: tl.constexpr, AHEAD: tl.constexpr):
    """Ask the L2 cache for a tile of weights, before the wait for what it is multiplied with."""
    if AHEAD:
        lines = weights + start_of(w) + (row + tl.arange(0, BN)) * PANEL
        for k in range(first, first + panels):
            tl.inline_asm_elementwise(
                "prefetch.global.L2 [$1];\nmov.u32 $0, 0;",
                "=r,l",
                [lines + k * w_rows * PANEL],
                dtype=tl.int32,
                is_pure=False,
                pack=1,
            )


@triton.jit
def order_copies(TMA: tl.constexpr):
    """Bulk copies and ordinary stores see global memory through different proxies: a fence by who
    stored, before the signal, and one by who copies, after the wait. TMA 2: in the interpreter,
    which has no fences.
    """
    if TMA == 1:
        tl.inline_asm_elementwise(
            "fence.proxy.async;\nmov.u32 $0, 0;",
            "=r",
            [],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )


@triton.jit
def product(
    work, weights, a_tiles, w_tiles, a, w, m0, row, first, panels, w_rows,
    ROWS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, STAGES: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """[BM, BN] float32: rows m0.. of a matrix in panels times rows `row`.. of another. With TMA the
    tiles of both come through descriptors of the arenas, as lines.
    """
    acc = tl.zeros((BM, BN), tl.float32)
    if TMA:
        order_copies(TMA)
        for k in tl.range(first, first + panels, num_stages=STAGES):
            x = a_tiles.load([a + k * ROWS + m0, 0])
            y = w_tiles.load([w + k * w_rows + row, 0])
            acc = tl.dot(x, y.T, acc)
    else:
        inner = tl.arange(0, PANEL)
        lines = m0 + tl.arange(0, BM)
        cols = row + tl.arange(0, BN)
        pa = work + start_of(a) + lines[:, None] * PANEL + inner[None, :]
        pw = weights + start_of(w) + cols[None, :] * PANEL + inner[:, None]
        for k in tl.range(first, first + panels, num_stages=STAGES):
            x = tl.load(pa + k * (ROWS * PANEL))
            y = tl.load(pw + k * w_rows * PANEL)
            acc = tl.dot(x, y, acc)
    return acc


@triton.jit
def root_of(
    sums, rows, SQUARES: tl.constexpr, TILES: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr
):
    """Reciprocal root of the mean square of rows, from the partial sums of their producers. Called
    before the product, whose loads hide it.
    """
    total = tl.load(sums + SQUARES * PANEL + rows)
    for tile in tl.static_range(1, TILES):
        total += tl.load(sums + SQUARES * PANEL + tile * ROWS + rows)
    return tl.rsqrt(total / D + 1e-6)


@triton.jit
def panel_offset(rows, cols, ROWS: tl.constexpr):
    """Offsets [rows, cols] in a matrix stored in panels."""
    return ((cols // PANEL)[None, :] * ROWS + rows[:, None]) * PANEL + (cols % PANEL)[None, :]


@triton.jit
def head_offset(rows, cols, ROWS: tl.constexpr, KP: tl.constexpr):
    """Offsets [rows, cols] in queries, keys or values, stored by head: [heads][rows][KP]."""
    return ((cols // KP)[None, :] * ROWS + rows[:, None]) * KP + (cols % KP)[None, :]


@triton.jit
def leave(
    work, sums, x, m0, n0, scale,
    SCALED: tl.constexpr, X: tl.constexpr, SQUARES: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Tokens, operand of the next norm (`scale` are its columns' scales), squares of this tile."""
    rows = m0 + tl.arange(0, BM)
    cols = n0 + tl.arange(0, BN)
    tl.store(sums + X * PANEL + rows[:, None] * WIDTH + cols[None, :], x)
    scaled = x * (1.0 + scale)[None, :]
    kind = work.dtype.element_ty
    tl.store(work + SCALED * PANEL + panel_offset(rows, cols, ROWS), scaled.to(kind))
    tl.store(sums + SQUARES * PANEL + (n0 // BN) * ROWS + rows, tl.sum(x * x, 1))


@triton.jit
def add_parts(
    sums, acc, line, parts, m0, n0,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """`acc` plus partial sums, in their order. PARTS: their number if it is known, else 0."""
    at = (m0 + tl.arange(0, BM))[:, None] * WIDTH + (n0 + tl.arange(0, BN))[None, :]
    base = sums + start_of(line) + at
    if PARTS > 0 and BM * BN <= SMALL:  # all loads are on their way before the first is used
        for part in tl.static_range(PARTS):
            acc += tl.load(base + part * (ROWS * WIDTH))
    else:
        for part in range(0, parts):
            acc += tl.load(base + part * (ROWS * WIDTH))
    return acc


@triton.jit
def inverse(x):
    """1 / x to within a few units in the last place, in one machine instruction."""
    if INTERPRETED:
        y = 1.0 / x
    else:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return y


@triton.jit
def silu(x):
    """x times its logistic function."""
    return x * inverse(1.0 + tl.exp2(x * -1.4426950408889634))
