# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: what the five partitions of the kernel share: the words of an instruction, the ring of
stages, waits for counters, and the ways to hand a result to a storer.

Counters: each half of a tile signals once, so a counter gets twice the signals of the schedule, and
launch number e waits for 2 e times the target: `epoch` here is 2 e.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier

from everframe.runtime.megakernel import encode, tiles
from everframe.runtime.megakernel.isa import Opcode

WORDS, WAITS, SIGNAL = (gl.constexpr(i) for i in (encode.WORDS, encode.WAITS, encode.SIGNAL))
OP, ROW, COL, TASK = (gl.constexpr(i) for i in (encode.OP, encode.ROW, encode.COL, encode.TASK))
ARGUMENTS = gl.constexpr(encode.ARGUMENTS)
UNPACK, PART, EMBED = (gl.constexpr(int(op)) for op in (Opcode.UNPACK, Opcode.PART, Opcode.EMBED))
QKV, UP, HEAD = (gl.constexpr(int(op)) for op in (Opcode.QKV, Opcode.UP, Opcode.HEAD))
ATTEND_PART, ATTEND = gl.constexpr(int(Opcode.ATTEND_PART)), gl.constexpr(int(Opcode.ATTEND))
RESIDUAL, CONV_IN = gl.constexpr(int(Opcode.RESIDUAL)), gl.constexpr(int(Opcode.CONV_IN))
CONV, CONV_OUT = gl.constexpr(int(Opcode.CONV)), gl.constexpr(int(Opcode.CONV_OUT))

PANEL, ALIGNED = gl.constexpr(tiles.PANEL), gl.constexpr(tiles.ALIGNED)
LINE = gl.constexpr(2 * tiles.PANEL)
"""Bytes of a line."""
BLOCK, HALF = gl.constexpr(tiles.GLUON_ROWS), gl.constexpr(tiles.GLUON_ROWS // 2)
KEYS = gl.constexpr(tiles.GLUON_KEYS)
WIDE, NARROW = gl.constexpr(tiles.GLUON_WIDE), gl.constexpr(tiles.GLUON_WIDE // 2)
STAGES = gl.constexpr(tiles.GLUON_STAGES)
SHIFT = gl.constexpr(tiles.GLUON_STAGES.bit_length() - 1)
AGES = gl.constexpr(tiles.GLUON_AGES)
GROUP = gl.constexpr(tiles.GLUON_GROUP)
LOG2_E = gl.constexpr(1.4426950408889634)
POLLED = gl.constexpr(32)


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
def instruction(table, task, end, WARPS: gl.constexpr):
    """The words of an instruction, one in each lane of every warp of a partition; past the end of
    the list those of the last one. Asked for while the instruction before runs, they are there when
    it has ended, and no word is a trip to the L2 cache (polls empty the L1 cache all the time).
    """
    lane = gl.arange(0, WORDS, layout=gl.BlockedLayout([1], [32], [WARPS], [0]))
    return gl.load(table + gl.minimum(task, gl.maximum(end - 1, 0)) * WORDS + lane)


@gluon.jit
def common(d, INDEX: gl.constexpr):
    """A word that all opcodes have."""
    lane = gl.arange(0, WORDS, layout=d.type.layout)
    return gl.sum(gl.where(lane == INDEX, d, 0), 0)


@gluon.jit
def word(d, INDEX: gl.constexpr):
    """A word of the opcode's own."""
    return common(d, ARGUMENTS + INDEX)


@gluon.jit
def wait_of(d, epoch, STAGE: gl.constexpr):
    """First counter of a wait, how many, and what each must have reached."""
    first: gl.constexpr = WAITS + 3 * STAGE
    return common(d, first), common(d, first + 1), common(d, first + 2) * epoch


@gluon.jit
def multiple(n, OF: gl.constexpr):
    """A number that is a multiple of a constant, so that the compiler knows it, which it needs to
    load more than one number at a time; it believes no hint about a sum.
    """
    return (n // OF) * OF


@gluon.jit
def first_row(d, W: gl.constexpr):
    """First row of a half of a tile."""
    return multiple(common(d, ROW), HALF) + W * HALF


@gluon.jit
def first_col(d):
    """First column of a tile."""
    return multiple(common(d, COL), ALIGNED)


@gluon.jit
def aligned_word(d, INDEX: gl.constexpr):
    """A word that is a multiple of 64."""
    return multiple(word(d, INDEX), PANEL)


@gluon.jit
def start_of(line):
    """Numbers before a line."""
    return line.to(gl.int64) * PANEL


@gluon.constexpr_function
def fence(light):
    """Between ordinary accesses and those of TMA. The light one is of global memory only: ptxas
    makes one instruction of it, where it makes the other wait until all earlier accesses of the
    thread are seen by the whole GPU.
    """
    return "fence.proxy.async.global;" if light else "fence.proxy.async;"


@gluon.constexpr_function
def poll(light):
    """The program of `polled`."""
    return """{
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
        FENCE
        selp.u32 $0, 0, 1, p;
        }""".replace("FENCE", fence(light))


@gluon.jit
def polled(at, want, limit, LIGHT: gl.constexpr):
    """1 in all lanes of a warp when every lane has seen its counter, 0 when time was over. What TMA
    loads afterwards is ordered.
    """
    return gl.inline_asm_elementwise(
        poll(LIGHT), "=r,l,r,r", [at, want, limit], dtype=gl.int32, is_pure=False, pack=1
    )


@gluon.jit
def served(counters, error, d, wait, limit, STAGE: gl.constexpr, LIGHT: gl.constexpr):
    """By the loader's warp: wait for a stage's counters. Returns the polls that a later wait may
    take: none once time was over, so that the launch ends; the error then says where.
    """
    first, count, want = wait
    lane = gl.arange(0, POLLED, layout=gl.BlockedLayout([1], [32], [1], [0]))
    for base in range(0, count, POLLED):
        # lanes past the last counter look at the last one
        at = counters + first + gl.minimum(base + lane, count - 1)
        seen = polled(at, lane * 0 + want, lane * 0 + limit, LIGHT)
        if gl.min(seen, 0) == 0:
            gl.atomic_min(error, common(d, TASK) * 4 + STAGE)
            limit = limit * 0
    gl.thread_barrier()
    return limit


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
def merged(counters, error, d, epoch, LIMIT: gl.constexpr):
    """By a math warpgroup: the partial sums that a task adds are there."""
    first, count, want = wait_of(d, epoch, 2)
    if count > 0:
        ok = waited(counters + first, want, gl.to_tensor(LIMIT))
        if ok == 0:
            gl.atomic_min(error, common(d, TASK) * 4 + 2)


@gluon.jit
def fence_proxies():
    """Ordinary and TMA accesses see memory through different proxies; orders those before and after
    it.
    """
    gl.inline_asm_elementwise(
        "fence.proxy.async;\nmov.u32 $0, 0;",
        "=r", [], dtype=gl.int32, is_pure=False, pack=1,
    )  # fmt: skip


@gluon.constexpr_function
def settling(light):
    """The program of `settle`."""
    return f"cp.async.bulk.wait_group 0;\n{fence(light)}\nmov.u32 $0, 0;"


@gluon.jit
def settle(LIGHT: gl.constexpr):
    """Wait until what TMA has stored is in memory, not only read (which is what `tma.store_wait`
    waits for), and let ordinary and TMA loads elsewhere see it.
    """
    gl.inline_asm_elementwise(
        settling(LIGHT),
        "=r", [], dtype=gl.int32, is_pure=False, pack=1,
    )  # fmt: skip


@gluon.jit
def release(empty, stage):
    """All warps of this warpgroup have read a stage. The barrier is needed: the arrival is one
    thread's, and the wait for a matrix product is each warp's own.
    """
    gl.thread_barrier()
    mbarrier.arrive(empty.index(stage), count=1)


@gluon.jit
def claim(empty, it):
    """Wait until both math warpgroups have read what was in a stage; its number."""
    mbarrier.wait(empty.index(slot(it)), turn(it) ^ 1)
    return slot(it)


@gluon.jit
def pass_on(ring, it):
    """A stage without data: what was waited for is there."""
    _, _, full, empty = ring
    stage = claim(empty, it)
    mbarrier.arrive(full.index(stage), count=1)
    return it + 1


@gluon.jit
def skip(ring, stages, it):
    """A warpgroup that has no rows in a task lets its stages pass."""
    _, _, full, empty = ring
    for _ in range(stages):
        mbarrier.wait(full.index(slot(it)), turn(it))
        release(empty, slot(it))
        it += 1
    return it


@gluon.jit
def stage_out(out, value, used):
    """Hand [64, n] to the storer, once it has read what was there before."""
    stage, staged, freed = out
    mbarrier.wait(freed, (used & 1) ^ 1)
    stage.store(value.to(gl.bfloat16))
    fence_async_shared()
    gl.thread_barrier()
    mbarrier.arrive(staged, count=1)
    return used + 1


@gluon.jit
def stored(out, used):
    """Tell the storer that this warpgroup has stored its results itself; TMA may load them."""
    fence_proxies()
    return left_behind(out, used)


@gluon.jit
def left_behind(out, used):
    """The same for results that only ordinary loads will read, which need no fence."""
    _, staged, freed = out
    mbarrier.wait(freed, (used & 1) ^ 1)
    gl.thread_barrier()
    mbarrier.arrive(staged, count=1)
    return used + 1


@gluon.jit
def stamp(stamps, d, WHICH: gl.constexpr, TIMED: gl.constexpr):
    """Note when the first warpgroup began (0) or left (1) a task, in nanoseconds."""
    if TIMED:
        now = gl.inline_asm_elementwise(
            "mov.u64 $0, %globaltimer;", "=l", [], dtype=gl.int64, is_pure=False, pack=1
        )
        gl.store(stamps + common(d, TASK) * 2 + WHICH, now)


@gluon.jit
def loiter(d, epoch, WHO: gl.constexpr, DELAYED: gl.constexpr):
    """Sleep up to 16 microseconds, another time for each task, launch and partition: for tests of
    the order of things.
    """
    if DELAYED:
        mixed = (common(d, TASK) * 40503 + epoch * 30011 + WHO * 7919) & 16383
        gl.inline_asm_elementwise(
            "nanosleep.u32 $1;\nmov.u32 $0, 0;",
            "=r,r", [mixed], dtype=gl.int32, is_pure=False, pack=1,
        )  # fmt: skip
