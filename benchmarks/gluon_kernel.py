# pyright: basic, reportMissingImports=false
"""Gluon: the persistent kernel of the experiment. Five partitions walk the same list of tasks:

- the loader, one warp, runs ahead: waits for counters, and asks TMA for tiles into a ring;
- two math warpgroups (`gluon_math`, `gluon_attention`);
- two storers, one warp each: send a result by TMA, wait until it is in memory, signal.

So the epilogue of a task, its store and its signal overlap with the loads and products of the next.
"""

import gluon_words as words
from gluon_attention import FULL_TILES, attend
from gluon_math import (
    ATTEND_PART,
    FIRST,
    HALF,
    KEYS,
    LAST,
    MERGED,
    NARROW,
    OP,
    PANEL,
    PANELS,
    RESIDUAL,
    ROW,
    STAGES,
    UP,
    WIDE,
    WORDS,
    qkv_or_up,
    residual,
    slot,
    turn,
)
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier, tma

SIGNAL, WAIT, LATE = (gl.constexpr(i) for i in (words.SIGNAL, words.WAIT, words.LATE))
SOURCE, WEIGHT, PITCH = (gl.constexpr(i) for i in (words.SOURCE, words.WEIGHT, words.PITCH))
TARGET, FIRST_KEYS = gl.constexpr(words.TARGET), gl.constexpr(words.KEYS)
SOURCES, TAIL = gl.constexpr(words.SOURCES), gl.constexpr(words.TAIL)
ATTEND = gl.constexpr(words.ATTEND)
TASK_ROWS = gl.constexpr(words.ROWS_OF_TASK)
PER_FRAME = gl.constexpr(10)
LATE_TILE = gl.constexpr(40)
"""First key tile of this frame."""
LINE = gl.constexpr(2 * words.PANEL)
"""Bytes of a line."""


@gluon.jit
def served(counters, error, code, first, count, want, limit):
    """Wait for up to 32 counters, one per lane; what TMA loads afterwards is ordered. Returns the
    polls that a later wait may take: none once time was over, so that the launch ends; `code` then
    says where.
    """
    lane = gl.arange(0, 32, layout=gl.BlockedLayout([1], [32], [1], [0]))
    at = counters + first + gl.minimum(lane, gl.maximum(count - 1, 0))
    want = gl.where(lane < count, want, 0)
    seen = gl.inline_asm_elementwise(
        """{
        .reg .pred p, q;
        .reg .u32 v, n;
        mov.u32 n, 0;
        AGAIN:
        ld.acquire.gpu.global.u32 v, [$1];
        setp.lt.s32 p, v, $2;
        vote.sync.any.pred p, p, 0xffffffff;
        add.u32 n, n, 1;
        setp.lt.and.u32 q, n, $3, p;
        @q bra AGAIN;
        fence.proxy.async;
        selp.u32 $0, 0, 1, p;
        }""",
        "=r,l,r,r",
        [at, want, gl.full((32,), 0, gl.int32, layout=lane.type.layout) + limit],
        dtype=gl.int32,
        is_pure=False,
        pack=1,
    )
    if gl.min(seen, 0) == 0:
        gl.store(error, code)
        limit = limit * 0
    return limit


@gluon.jit
def claim(empty, it):
    """Wait until both math warpgroups have read what was in a stage; its number."""
    mbarrier.wait(empty.index(slot(it)), turn(it) ^ 1)
    return slot(it)


@gluon.jit
def load_product(
    d, tiles, wide, narrow, ring_a, ring_w, full, empty, q_free, counters, error, code, it, looked,
    limit,
    ROWS: gl.constexpr, COLUMNS: gl.constexpr,
):  # fmt: skip
    """Weights of the first stages before the wait, which only the operand needs."""
    a, w = gl.load(d + SOURCE), gl.load(d + WEIGHT)
    pitch, panels = gl.load(d + PITCH), gl.load(d + PANELS)
    first, count, want = gl.load(d + WAIT), gl.load(d + WAIT + 1), gl.load(d + WAIT + 2)
    ahead = gl.minimum(panels, STAGES)
    for k in range(ahead):
        stage = claim(empty, it + k)
        target = ring_w.index(stage).slice(0, COLUMNS)
        if COLUMNS == WIDE:
            tma.async_copy_global_to_shared(wide, [w + k * pitch, 0], full.index(stage), target)
        else:
            tma.async_copy_global_to_shared(narrow, [w + k * pitch, 0], full.index(stage), target)
    limit = served(counters, error, code, first, count, want, limit)
    mbarrier.wait(q_free, (looked & 1) ^ 1)  # queries lie where operands go
    for k in range(ahead):
        stage = slot(it + k)
        mbarrier.expect(full.index(stage), (TASK_ROWS + COLUMNS) * LINE)
        tma.async_copy_global_to_shared(
            tiles, [a + k * ROWS, 0], full.index(stage), ring_a.index(stage)
        )
    for k in range(ahead, panels):
        stage = claim(empty, it + k)
        mbarrier.expect(full.index(stage), (TASK_ROWS + COLUMNS) * LINE)
        target = ring_w.index(stage).slice(0, COLUMNS)
        if COLUMNS == WIDE:
            tma.async_copy_global_to_shared(wide, [w + k * pitch, 0], full.index(stage), target)
        else:
            tma.async_copy_global_to_shared(narrow, [w + k * pitch, 0], full.index(stage), target)
        tma.async_copy_global_to_shared(
            tiles, [a + k * ROWS, 0], full.index(stage), ring_a.index(stage)
        )
    return it + panels, limit


@gluon.jit
def load_tail(line, tails, full, stage, part, NUMBER: gl.constexpr, SOURCE_LINES: gl.constexpr):
    """16 rows of a source; the last ones only fill the tile: stale shared memory may be NaN."""
    SOURCE: gl.constexpr = NUMBER % SOURCES
    ROW_OF_TAIL: gl.constexpr = PER_FRAME * KEYS if SOURCE > 0 else 0
    at = line + SOURCE * SOURCE_LINES + ROW_OF_TAIL
    tma.async_copy_global_to_shared(tails, [at, 0], full.index(stage), part)


@gluon.jit
def load_keys(
    tile, line, tiles, tails, pairs, full, stage,
    ROWS: gl.constexpr, HD: gl.constexpr, HEADS: gl.constexpr,
):  # fmt: skip
    """Keys or values of a tile into a stage: 128 rows of a frame, or the tails of all sources."""
    SOURCE_LINES: gl.constexpr = 2 * HEADS * (HD // PANEL) * ROWS
    for panel in gl.static_range(HD // PANEL):
        target = pairs.index(2 * stage + panel)
        if tile < FULL_TILES:
            frame = line + (1 + tile // PER_FRAME) * SOURCE_LINES + panel * ROWS
            at = frame + tile % PER_FRAME * KEYS
            tma.async_copy_global_to_shared(tiles, [at, 0], full.index(stage), target)
        else:
            for i in gl.static_range(KEYS // TAIL):
                part = target.slice(i * TAIL, TAIL)
                load_tail(line + panel * ROWS, tails, full, stage, part, i, SOURCE_LINES)


@gluon.jit
def load_attention(
    d, tiles, small, tails, ring_a, ring_w, full, empty, q_free, counters, error, code, it, looked,
    limit,
    ROWS: gl.constexpr, HD: gl.constexpr, HEADS: gl.constexpr,
):  # fmt: skip
    """Keys of past frames before the wait for the queries; those of this frame after theirs."""
    QUERY_BYTES: gl.constexpr = HALF * HD * 2
    TILE_BYTES: gl.constexpr = KEYS * HD * 2
    VALUES: gl.constexpr = HEADS * (HD // PANEL) * ROWS
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    q = gl.load(d + SOURCE)
    line, begin, end = gl.load(d + FIRST_KEYS), gl.load(d + FIRST), gl.load(d + LAST)
    late, late_count, late_want = gl.load(d + LATE), gl.load(d + LATE + 1), gl.load(d + LATE + 2)
    halves = ring_a._reinterpret(gl.bfloat16, [2 * STAGES, HALF, PANEL], LAYOUT)
    pairs = ring_w._reinterpret(gl.bfloat16, [2 * STAGES, KEYS, PANEL], LAYOUT)
    for tile in range(begin, end):
        if (tile == LATE_TILE) | ((tile == begin) & (tile > LATE_TILE)):
            limit = served(counters, error, code + 1, late, late_count, late_want, limit)
        for part in gl.static_range(2):
            stage = claim(empty, it)
            load_keys(tile, line + part * VALUES, tiles, tails, pairs, full, stage, ROWS, HD, HEADS)
            if tile == begin:
                if part == 0:
                    mbarrier.wait(q_free, (looked & 1) ^ 1)
                    first, count = gl.load(d + WAIT), gl.load(d + WAIT + 1)
                    limit = served(
                        counters, error, code, first, count, gl.load(d + WAIT + 2), limit
                    )
                mbarrier.expect(full.index(stage), TILE_BYTES + QUERY_BYTES)
                for panel in gl.static_range(HD // PANEL):
                    tma.async_copy_global_to_shared(
                        small, [q + part * HALF + panel * ROWS, 0], full.index(stage),
                        halves.index(2 * stage + panel),
                    )  # fmt: skip
            else:
                mbarrier.expect(full.index(stage), TILE_BYTES)
            it += 1
    return it, limit


@gluon.jit
def loader(
    table, begin, end, counters, error, tiles, small, tails, wide, narrow,
    ring_a, ring_w, full, empty, q_free, limit,
    ROWS: gl.constexpr, HD: gl.constexpr, HEADS: gl.constexpr,
):  # fmt: skip
    """One warp. `it` counts stages, `looked` attention tasks."""
    it = 0
    looked = 0
    for task in range(begin, end):
        d = table + task * WORDS
        op = gl.load(d + OP)
        code = 2 * task + 1
        if op >= ATTEND_PART:
            it, limit = load_attention(
                d, tiles, small, tails, ring_a, ring_w, full, empty, q_free, counters, error,
                code, it, looked, limit, ROWS, HD, HEADS,
            )  # fmt: skip
            looked += 1
        elif op == RESIDUAL:
            it, limit = load_product(
                d, tiles, wide, narrow, ring_a, ring_w, full, empty, q_free, counters, error,
                code, it, looked, limit, ROWS, NARROW,
            )  # fmt: skip
        else:
            it, limit = load_product(
                d, tiles, wide, narrow, ring_a, ring_w, full, empty, q_free, counters, error,
                code, it, looked, limit, ROWS, WIDE,
            )  # fmt: skip


@gluon.jit
def settle():
    """Wait until what TMA has stored is in memory, not only read (which is what `tma.store_wait`
    waits for), and let ordinary and TMA loads elsewhere see it.
    """
    gl.inline_asm_elementwise(
        "cp.async.bulk.wait_group 0;\nfence.proxy.async;\nmov.u32 $0, 0;",
        "=r", [], dtype=gl.int32, is_pure=False, pack=1,
    )  # fmt: skip


@gluon.jit
def storer(
    table, begin, end, counters, small, staging, staged, freed,
    W: gl.constexpr, N: gl.constexpr, ROWS: gl.constexpr, HD: gl.constexpr,
):  # fmt: skip
    """One warp for each math warpgroup: results out of the staging buffer, then the signal."""
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    halves = staging._reinterpret(gl.bfloat16, [4, HALF, PANEL], LAYOUT)
    used = 0
    for task in range(begin, end):
        d = table + task * WORDS
        op = gl.load(d + OP)
        target = gl.load(d + TARGET) + W * HALF
        signal, merged = gl.load(d + SIGNAL), gl.load(d + MERGED)
        if gl.load(d + ROW) + W * HALF < N:
            passes = gl.where(op < UP, 2, 1)
            for i in range(passes):
                mbarrier.wait(staged.index(W), used & 1)
                if op != ATTEND_PART:
                    line = target + 2 * i * ROWS
                    tma.async_copy_shared_to_global(small, [line, 0], halves.index(2 * W))
                    if (HD > PANEL) | (op < ATTEND):
                        tma.async_copy_shared_to_global(
                            small, [line + ROWS, 0], halves.index(2 * W + 1)
                        )
                    tma.store_wait(0)
                gl.thread_barrier()
                mbarrier.arrive(freed.index(W), count=1)
                used += 1
        settle()
        gl.thread_barrier()
        if op == ATTEND_PART:
            signal = merged + W
        gl.atomic_add(counters + signal, 1, sem="release", scope="gpu")


@gluon.jit
def stamp(stamps, task, which, TIMED: gl.constexpr):
    """Note when the first warpgroup began (0) or left (1) a task, in nanoseconds."""
    if TIMED:
        now = gl.inline_asm_elementwise(
            "mov.u64 $0, %globaltimer;", "=l", [], dtype=gl.int64, is_pure=False, pack=1
        )
        gl.store(stamps + 2 * task + which, now)


@gluon.jit
def math(
    table, begin, end, counters, error, stamps, sums, control, ring_a, ring_w, full, empty, q_free,
    turns, ahead, staging, staged, freed, limit,
    W: gl.constexpr, N: gl.constexpr, ROWS: gl.constexpr, D: gl.constexpr, HD: gl.constexpr,
    X: gl.constexpr, SQUARES: gl.constexpr, TILES: gl.constexpr, GAIN: gl.constexpr,
    BOUNDED: gl.constexpr, SHARE: gl.constexpr, ORDERED: gl.constexpr, LEAD: gl.constexpr,
    TIMED: gl.constexpr,
):  # fmt: skip
    """Four warps: rows W * 64 to W * 64 + 63 of every task."""
    it = 0
    used = 0
    steps = 0
    made = 0
    stage, done, free = staging.index(W), staged.index(W), freed.index(W)
    for task in range(begin, end):
        d = table + task * WORDS
        op = gl.load(d + OP)
        stamp(stamps, task, 0, TIMED and W == 0)
        if op >= ATTEND_PART:
            it, used = attend(
                d, op, sums, counters, error, ring_a, ring_w, full, empty, q_free, turns,
                stage, done, free, it, used, steps, limit, W, N, HD, ROWS, BOUNDED, SHARE, ORDERED,
            )  # fmt: skip
        elif op == RESIDUAL:
            it, used, made = residual(
                d, sums, control, ring_a, ring_w, full, empty, ahead, stage, done, free,
                it, used, made,
                W, N, D, X, SQUARES, TILES, LEAD,
            )  # fmt: skip
        else:
            it, used, made = qkv_or_up(
                d, op, sums, control, ring_a, ring_w, full, empty, ahead, stage, done, free,
                it, used, made,
                W, N, D, HD, SQUARES, TILES, GAIN, LEAD,
            )  # fmt: skip
        stamp(stamps, task, 1, TIMED and W == 0)


@gluon.jit(do_not_specialize=["limit"])
def tiles_kernel(
    table, starts, counters, error, stamps, sums, control, tiles, small, tails, wide, narrow, limit,
    N: gl.constexpr, ROWS: gl.constexpr, D: gl.constexpr, HD: gl.constexpr, HEADS: gl.constexpr,
    X: gl.constexpr, SQUARES: gl.constexpr, TILES: gl.constexpr, GAIN: gl.constexpr,
    BOUNDED: gl.constexpr, SHARE: gl.constexpr, ORDERED: gl.constexpr, LEAD: gl.constexpr,
    TIMED: gl.constexpr,
    MATH_REGISTERS: gl.constexpr, OTHER_REGISTERS: gl.constexpr,
):  # fmt: skip
    """One CTA per multiprocessor; each walks its list."""
    begin = gl.load(starts + gl.program_id(0))
    end = gl.load(starts + gl.program_id(0) + 1)
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    ring_a = gl.allocate_shared_memory(gl.bfloat16, [STAGES, 2 * HALF, PANEL], LAYOUT)
    ring_w = gl.allocate_shared_memory(gl.bfloat16, [STAGES, WIDE, PANEL], LAYOUT)
    staging = gl.allocate_shared_memory(gl.bfloat16, [2, HALF, 2 * PANEL], LAYOUT)
    barriers: gl.constexpr = mbarrier.MBarrierLayout()
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barriers)
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barriers)
    q_free = gl.allocate_shared_memory(gl.int64, [1], barriers)
    ahead = gl.allocate_shared_memory(gl.int64, [1], barriers)
    turns = gl.allocate_shared_memory(gl.int64, [2, 1], barriers)
    staged = gl.allocate_shared_memory(gl.int64, [2, 1], barriers)
    freed = gl.allocate_shared_memory(gl.int64, [2, 1], barriers)
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=2)
    mbarrier.init(q_free, count=2)
    mbarrier.init(ahead, count=1)
    for i in gl.static_range(2):
        mbarrier.init(staged.index(i), count=1)
        mbarrier.init(freed.index(i), count=1)
        mbarrier.init(turns.index(i), count=1)
    fence_async_shared()
    gl.thread_barrier()
    gl.warp_specialize(
        [
            (math, (
                table, begin, end, counters, error, stamps, sums, control, ring_a, ring_w, full,
                empty, q_free, turns, ahead, staging, staged, freed, limit,
                0, N, ROWS, D, HD, X, SQUARES, TILES, GAIN, BOUNDED, SHARE, ORDERED,
                LEAD, TIMED,
            )),
            (math, (
                table, begin, end, counters, error, stamps, sums, control, ring_a, ring_w, full,
                empty, q_free, turns, ahead, staging, staged, freed, limit,
                1, N, ROWS, D, HD, X, SQUARES, TILES, GAIN, BOUNDED, SHARE, ORDERED,
                LEAD, TIMED,
            )),
            (loader, (
                table, begin, end, counters, error, tiles, small, tails, wide, narrow,
                ring_a, ring_w, full, empty, q_free, limit, ROWS, HD, HEADS,
            )),
            (storer, (table, begin, end, counters, small, staging, staged, freed, 0, N, ROWS, HD)),
            (storer, (table, begin, end, counters, small, staging, staged, freed, 1, N, ROWS, HD)),
        ],
        [4, 1, 1, 1],
        [MATH_REGISTERS, OTHER_REGISTERS, OTHER_REGISTERS, OTHER_REGISTERS],
    )  # fmt: skip
