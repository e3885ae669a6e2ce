# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: the loader, one warp. It runs ahead of the math warpgroups by up to four stages: asks TMA
for what no instruction writes (weights, keys of past frames), waits for counters, then asks for the
rest. A task that loads its operands itself gets a stage that is full when its wait is over.

Everything lies in lines of 64 numbers. A descriptor covers all memory from the lowest tensor on, so
a line of any arena is one coordinate; keys, values and queries are counted in rows of a head.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma

from everframe.runtime.megakernel.gluon_memory import (
    AGES,
    ATTEND,
    ATTEND_PART,
    BLOCK,
    CONV_IN,
    HALF,
    HEAD,
    KEYS,
    LINE,
    OP,
    PANEL,
    QKV,
    STAGES,
    UNPACK,
    UP,
    WIDE,
    claim,
    common,
    first_col,
    first_row,
    instruction,
    loiter,
    pass_on,
    served,
    slot,
    wait_of,
    word,
)
from everframe.runtime.megakernel.gluon_taps import load_maps


@gluon.constexpr_function
def at_least_one(n):
    """A number to divide by."""
    return max(n, 1)


@gluon.jit
def matrix_of(d, op, SCALED: gl.constexpr, ROWS: gl.constexpr):
    """Of a product, in lines of their arenas: operand, weights with the tile's first row, lines of
    a panel of the weights, panels.
    """
    a = gl.to_tensor(SCALED)
    w, pitch, panels = word(d, 0), word(d, 1), word(d, 2)
    if op == QKV:
        w += word(d, 3)
    elif op == UP:
        w += 2 * first_col(d)
    elif op == HEAD:
        w += first_col(d)
    else:
        first = word(d, 3)
        a = word(d, 0) + first * ROWS
        pitch = word(d, 2)
        w = word(d, 1) + first_col(d) + first * pitch
        panels = word(d, 4)
    return a, w, pitch, panels


@gluon.jit
def load_weights(descriptor, ring, line, stage, COLUMNS: gl.constexpr):
    """A panel of a tile of weights."""
    _, ring_w, full, _ = ring
    target = ring_w.index(stage).slice(0, COLUMNS)
    tma.async_copy_global_to_shared(descriptor, [line, 0], full.index(stage), target)


@gluon.jit
def load_product(
    d, op, descriptor, tiles, small, ring, q_free, work_at, weights_at, counters, error, epoch, it,
    looked, limit,
    N: gl.constexpr, COLUMNS: gl.constexpr, SCALED: gl.constexpr, ROWS: gl.constexpr,
    LIGHT: gl.constexpr,
):  # fmt: skip
    """Weights of the first stages before the wait, which only the operand needs. Of the operand
    only the rows of the first warpgroup, if the other has none.
    """
    ring_a, _, full, empty = ring
    a, w, pitch, panels = matrix_of(d, op, SCALED, ROWS)
    start = wait_of(d, epoch, 0)
    a += work_at + first_row(d, 0)
    w += weights_at
    ahead = gl.minimum(panels, STAGES)
    for k in range(ahead):
        load_weights(descriptor, ring, w + k * pitch, claim(empty, it + k), COLUMNS)
    limit = served(counters, error, d, start, limit, 0, LIGHT)
    mbarrier.wait(q_free, (looked & 1) ^ 1)  # queries lie where operands go
    for k in range(panels):
        stage = slot(it + k)
        if k >= ahead:
            load_weights(descriptor, ring, w + k * pitch, claim(empty, it + k), COLUMNS)
        if first_row(d, 1) >= N:
            mbarrier.expect(full.index(stage), (HALF + COLUMNS) * LINE)
            half = ring_a.index(stage).slice(0, HALF)
            tma.async_copy_global_to_shared(small, [a + k * ROWS, 0], full.index(stage), half)
        else:
            mbarrier.expect(full.index(stage), (BLOCK + COLUMNS) * LINE)
            whole = ring_a.index(stage)
            tma.async_copy_global_to_shared(tiles, [a + k * ROWS, 0], full.index(stage), whole)
    return it + panels, limit


@gluon.jit
def key_tiles(d, filled, N: gl.constexpr, P: gl.constexpr):
    """What attention of a task looks at: past frames that are filled; key tiles of past frames, all
    its key tiles; where those of past frames and of this frame begin in the table's count; keys
    that fill no tile.
    """
    FULL: gl.constexpr = N // KEYS
    past, first, last = word(d, 6), word(d, 7), word(d, 8)
    frames = gl.minimum(filled, past)
    left = (frames + 1) * (N % KEYS) + P
    before = gl.maximum(gl.minimum(last, frames * FULL) - first, 0)
    current = gl.maximum(first, past * FULL)
    end = (past + 1) * FULL + (left + KEYS - 1) // KEYS
    after = gl.maximum(gl.minimum(last, end) - current, 0)
    return frames, before, before + after, first, current, left


@gluon.jit
def tile_of(j, before, first, current):
    """Number in the table's count of a task's key tile `j`."""
    return gl.where(j < before, first + j, current + j - before)


@gluon.jit
def keys_of(source, current, own, line, slots, WINDOW: gl.constexpr):
    """Line of the keys of a source: `own` for number `current`, else the past frame of that age."""
    at = own - line
    for age in gl.static_range(WINDOW):
        at = gl.where(source == age, slots[age], at)
    return gl.where(source == current, own, at + line)


@gluon.jit
def load_tile(descriptor, full, stage, row, target, panel: gl.constexpr):
    """One panel of rows of a head."""
    tma.async_copy_global_to_shared(descriptor, [row, panel * PANEL], full.index(stage), target)


@gluon.jit
def load_gathered(
    part, number, frames, own, line, prompt, values, prompt_values, slots, tails, full, stage,
    pairs,
    HD: gl.constexpr, N: gl.constexpr, PROMPT_ROWS: gl.constexpr,
    WINDOW: gl.constexpr, TAIL: gl.constexpr,
):  # fmt: skip
    """Keys that fill no tile, from number `number` on: the last ones of each frame, then those of
    the prompt; what is left of the tile only fills it, since stale shared memory may be NaN.
    """
    LEFT: gl.constexpr = N % KEYS
    PER: gl.constexpr = HD // PANEL
    for i in gl.static_range(KEYS // TAIL):
        at = number + i * TAIL
        inner = at - (frames + 1) * LEFT
        row = prompt // PER + gl.where((inner >= 0) & (inner < PROMPT_ROWS), inner, 0)
        row += part * prompt_values
        if LEFT > 0:
            if inner < 0:
                source = at // LEFT
                mine = keys_of(source, frames, own, line, slots, WINDOW)
                row = mine // PER + part * values + (N - LEFT) + at % LEFT
        for panel in gl.static_range(PER):
            target = pairs.index(2 * stage + panel).slice(i * TAIL, TAIL)
            load_tile(tails, full, stage, row, target, panel)


@gluon.jit
def load_ages(line, tails, ring, it, HD: gl.constexpr, TAIL: gl.constexpr):
    """The age offsets of a head into a stage of their own."""
    PER: gl.constexpr = HD // PANEL
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    _, ring_w, full, empty = ring
    strips = ring_w._reinterpret(gl.bfloat16, [STAGES * WIDE // AGES, AGES, PANEL], LAYOUT)
    stage = claim(empty, it)
    mbarrier.expect(full.index(stage), AGES * HD * 2)
    for panel in gl.static_range(PER):
        for i in gl.static_range(AGES // TAIL):
            target = strips.index(stage * (WIDE // AGES) + panel).slice(i * TAIL, TAIL)
            load_tile(tails, full, stage, line // PER + i * TAIL, target, panel)
    return it + 1


@gluon.jit
def load_queries(heads, ring, stage, row, HD: gl.constexpr):
    """Those of one warpgroup, beside the keys or values of a stage."""
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    ring_a, _, full, _ = ring
    halves = ring_a._reinterpret(gl.bfloat16, [2 * STAGES, HALF, PANEL], LAYOUT)
    for panel in gl.static_range(HD // PANEL):
        load_tile(heads, full, stage, row, halves.index(2 * stage + panel), panel)


@gluon.jit
def load_attention(
    d, filled, keys, heads, tails, ring, q_free, origins, slots, counters, error, epoch, it, looked,
    limit,
    N: gl.constexpr, P: gl.constexpr, HD: gl.constexpr, ROWS: gl.constexpr,
    PROMPT_ROWS: gl.constexpr, WINDOW: gl.constexpr, TAIL: gl.constexpr, LIGHT: gl.constexpr,
):  # fmt: skip
    """Ages and keys of past frames before the wait for the queries; those of this frame after
    theirs. A task that finds no keys passes one stage on, for the sake of the order.
    """
    FULL: gl.constexpr = N // KEYS
    PER: gl.constexpr = HD // PANEL
    QUERY_BYTES: gl.constexpr = HALF * HD * 2
    TILE_BYTES: gl.constexpr = KEYS * HD * 2
    LAYOUT: gl.constexpr = gl.NVMMASharedLayout(128, 16, rank=2)
    _, ring_w, full, empty = ring
    work_at, weights_at, prompt_at, new_at = origins
    pairs = ring_w._reinterpret(gl.bfloat16, [2 * STAGES, KEYS, PANEL], LAYOUT)
    start, late = wait_of(d, epoch, 0), wait_of(d, epoch, 1)
    q = (work_at + word(d, 0)) // PER + first_row(d, 0)
    own = gl.where(word(d, 9) == 1, new_at, work_at) + word(d, 3)
    values, prompt_values = word(d, 5) * ROWS, word(d, 5) * PROMPT_ROWS
    prompt, line = prompt_at + word(d, 2), word(d, 4)
    past = word(d, 6)
    frames, before, count, first, current, _ = key_tiles(d, filled, N, P)
    if frames > 0:
        if count > 0:
            it = load_ages(weights_at + word(d, 10), tails, ring, it, HD, TAIL)
    if count == before:  # of this frame there is nothing to load, only to wait for
        limit = served(counters, error, d, late, limit, 1, LIGHT)
    if count == 0:
        limit = served(counters, error, d, start, limit, 0, LIGHT)
        it = pass_on(ring, it)
    for j in range(count):
        tile = tile_of(j, before, first, current)
        if j == before:
            limit = served(counters, error, d, late, limit, 1, LIGHT)
        for part in gl.static_range(2):
            stage = claim(empty, it)
            if tile < (past + 1) * FULL:
                source = tile // at_least_one(FULL)
                mine = keys_of(source, past, own, line, slots, WINDOW)
                row = mine // PER + part * values + (tile - source * FULL) * KEYS
                for panel in gl.static_range(PER):
                    load_tile(keys, full, stage, row, pairs.index(2 * stage + panel), panel)
            else:
                load_gathered(
                    part, (tile - (past + 1) * FULL) * KEYS, frames, own, line, prompt, values,
                    prompt_values, slots, tails, full, stage, pairs,
                    HD, N, PROMPT_ROWS, WINDOW, TAIL,
                )  # fmt: skip
            if j == 0:
                if part == 0:
                    mbarrier.wait(q_free, (looked & 1) ^ 1)
                    limit = served(counters, error, d, start, limit, 0, LIGHT)
                mbarrier.expect(full.index(stage), TILE_BYTES + QUERY_BYTES)
                load_queries(heads, ring, stage, q + part * HALF, HD)
            else:
                mbarrier.expect(full.index(stage), TILE_BYTES)
            it += 1
    return it, looked + gl.minimum(count, 1), limit


@gluon.jit
def loader(
    table, begin, end, counters, error, epoch, filled, tiles, wide, narrow, small, strips, keys,
    heads, tails, ring_a, ring_w, full, empty, q_free, work_at, weights_at, taps_at, prompt_at,
    new_at,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
    N: gl.constexpr, P: gl.constexpr, HD: gl.constexpr, ROWS: gl.constexpr, SCALED: gl.constexpr,
    PROMPT_ROWS: gl.constexpr, WINDOW: gl.constexpr, TAIL: gl.constexpr, CP: gl.constexpr,
    FIRST_PANELS: gl.constexpr, NEXT_PANELS: gl.constexpr, INPUT: gl.constexpr,
    MAP_COLS: gl.constexpr, MODEL: gl.constexpr,
    LIMIT: gl.constexpr, LIGHT: gl.constexpr, DELAYED: gl.constexpr,
):  # fmt: skip
    """`it` counts stages, `looked` attention tasks that have queries."""
    ring = (ring_a, ring_w, full, empty)
    origins = (work_at, weights_at, prompt_at, new_at)
    slots = (slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8)
    limit = gl.to_tensor(LIMIT)
    it = 0
    looked = 0
    following = instruction(table, begin, end, 1)
    for task in range(begin, end):
        d = following
        following = instruction(table, task + 1, end, 1)
        op = common(d, OP)
        loiter(d, epoch, 2, DELAYED)
        if (op == ATTEND_PART) | (op == ATTEND):
            it, looked, limit = load_attention(
                d, filled, keys, heads, tails, ring, q_free, origins, slots, counters, error,
                epoch, it, looked, limit, N, P, HD, ROWS, PROMPT_ROWS, WINDOW, TAIL,
                LIGHT,
            )  # fmt: skip
        elif op >= CONV_IN:
            it, limit = load_maps(
                d, op, tiles, strips, ring, q_free, work_at + INPUT, taps_at, counters, error,
                epoch, it, looked, limit, CP, MAP_COLS, FIRST_PANELS, NEXT_PANELS, LIGHT,
            )  # fmt: skip
        elif (op == QKV) | (op == UP):
            it, limit = load_product(
                d, op, wide, tiles, small, ring, q_free, work_at, weights_at, counters, error,
                epoch, it, looked, limit, N, WIDE, SCALED, ROWS, LIGHT,
            )  # fmt: skip
        elif op != UNPACK:
            it, limit = load_product(
                d, op, narrow, tiles, small, ring, q_free, work_at, weights_at, counters, error,
                epoch, it, looked, limit, N, MODEL, SCALED, ROWS, LIGHT,
            )  # fmt: skip
