# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: attention of one head over the prompt, the past frames and this frame, in this order, so
that the keys of this frame are waited for last.
"""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import ARGUMENTS, PANEL, first_row, served, start_of

EMPTY = tl.constexpr(-1e30)
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def keys_of(memory, line, tile, height, HALF: tl.constexpr, BS: tl.constexpr):
    """[64, BS]: a tile of keys, transposed; panel HALF of the head."""
    at = (HALF * height + tile * BS + tl.arange(0, BS))[None, :] * PANEL
    return tl.load(memory + line + at + tl.arange(0, PANEL)[:, None])


@triton.jit
def values_of(memory, line, tile, height, HALF: tl.constexpr, BS: tl.constexpr):
    """[BS, 64]: a tile of values; panel HALF of the head."""
    at = (HALF * height + tile * BS + tl.arange(0, BS))[:, None] * PANEL
    return tl.load(memory + line + at + tl.arange(0, PANEL)[None, :])


@triton.jit
def look(
    q0, q1, top, total, r0, r1, memory, keys, values, low, high, height, valid, bias,
    SCALE: tl.constexpr, WIDE: tl.constexpr, BS: tl.constexpr, BOUNDED: tl.constexpr,
    PARTIAL: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Tiles [low, high) of one source; PARTIAL: keys from `valid` on do not exist."""
    for tile in tl.range(low, high, num_stages=STAGES):
        s = tl.dot(q0, keys_of(memory, keys, tile, height, 0, BS))
        if WIDE:
            s = tl.dot(q1, keys_of(memory, keys, tile, height, 1, BS), s)
        s = s * SCALE + bias[:, None]
        if PARTIAL:
            s = tl.where((tile * BS + tl.arange(0, BS) < valid)[None, :], s, EMPTY)
        if BOUNDED:
            p = tl.exp2(s)
        else:
            higher = tl.maximum(top, tl.max(s, 1))
            p = tl.exp2(s - higher[:, None])
            fade = tl.exp2(top - higher)
            total = total * fade
            r0 = r0 * fade[:, None]
            if WIDE:
                r1 = r1 * fade[:, None]
            top = higher
        total += tl.sum(p, 1)
        p = p.to(q0.dtype)
        v0 = values_of(memory, values, tile, height, 0, BS)
        if PARTIAL:  # what was never written may be NaN, which a weight of 0 does not hide
            v0 = tl.where((tile * BS + tl.arange(0, BS) < valid)[:, None], v0, 0.0)
        r0 = tl.dot(p, v0, r0)
        if WIDE:
            v1 = values_of(memory, values, tile, height, 1, BS)
            if PARTIAL:
                v1 = tl.where((tile * BS + tl.arange(0, BS) < valid)[:, None], v1, 0.0)
            r1 = tl.dot(p, v1, r1)
    return top, total, r0, r1


@triton.jit
def merge(
    sums, line, stride, parts, rows, top, total, r0, r1,
    ROWS: tl.constexpr, KP: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add the other parts, in their order, to this one, which comes last."""
    base = sums + start_of(line)
    cols = tl.arange(0, PANEL)
    at = rows[:, None] * KP + cols[None, :]
    highest = top
    for part in range(0, parts - 1):
        own = base + part * stride
        highest = tl.maximum(highest, tl.load(own + ROWS * KP + rows))
    all_total = tl.zeros_like(total)
    all0 = tl.zeros_like(r0)
    all1 = tl.zeros_like(r1)
    for part in range(0, parts - 1):
        own = base + part * stride
        fade = tl.exp2(tl.load(own + ROWS * KP + rows) - highest)
        all_total += tl.load(own + ROWS * (KP + 1) + rows) * fade
        all0 += tl.load(own + at) * fade[:, None]
        if WIDE:
            all1 += tl.load(own + at + PANEL) * fade[:, None]
    fade = tl.exp2(top - highest)
    if WIDE:
        all1 += r1 * fade[:, None]
    return all_total + total * fade, all0 + r0 * fade[:, None], all1


@triton.jit
def place_of(
    d, source, past, filled, N: tl.constexpr, P: tl.constexpr, ROWS: tl.constexpr, BS: tl.constexpr
):
    """Tiles, stored rows, keys that exist, and line of a source: prompt, past frames, this one."""
    count = (N + BS - 1) // BS
    height = ROWS
    valid = N
    line = tl.load(d + ARGUMENTS + 4)
    if source == 0:
        count = 1
        height = BS
        valid = P
        line = tl.load(d + ARGUMENTS + 2)
    elif source == past + 1:
        line = tl.load(d + ARGUMENTS + 3)
    elif source > filled:
        count = 0
    return count, height, valid, line


@triton.jit
def memory_of(
    d, source, past, work, prompt, new_slot,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
):  # fmt: skip
    """Where the keys of a source are."""
    memory = new_slot
    if source == 0:
        memory = prompt
    elif source == past + 1:
        if tl.load(d + ARGUMENTS + 9) == 0:
            memory = work
    elif source == 1:
        memory = slot1
    elif source == 2:
        memory = slot2
    elif source == 3:
        memory = slot3
    elif source == 4:
        memory = slot4
    elif source == 5:
        memory = slot5
    elif source == 6:
        memory = slot6
    elif source == 7:
        memory = slot7
    else:
        memory = slot8
    return memory


@triton.jit
def age_bias(fixed, d, age, heads, q0, q1, KP: tl.constexpr):
    """q times the offset of keys of an age, which is the same for all of them."""
    cols = tl.arange(0, PANEL)
    offset = fixed + start_of(tl.load(d + ARGUMENTS + 10) + age * heads * (KP // PANEL))
    bias = tl.sum(q0.to(tl.float32) * tl.load(offset + cols)[None, :], 1)
    if KP > 64:
        bias += tl.sum(q1.to(tl.float32) * tl.load(offset + PANEL + cols)[None, :], 1)
    return bias


@triton.jit
def attend(
    work, sums, fixed, prompt, new_slot,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
    counters, error, d, epoch, filled,
    N: tl.constexpr, P: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, HEADS: tl.constexpr,
    ROWS: tl.constexpr, BM: tl.constexpr, BS: tl.constexpr,
    BOUNDED: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """ATTEND and ATTEND_PART. Keys that have been masked cost nothing: their tiles are skipped."""
    WIDE: tl.constexpr = KP > 64
    SCALE: tl.constexpr = 1.4426950408889634 / (K**0.5)
    TILES: tl.constexpr = (N + BS - 1) // BS
    ok = served(counters, error, d, epoch, 0, LIMIT)
    rows = first_row(d) + tl.arange(0, BM)
    heads, past = tl.load(d + ARGUMENTS + 5), tl.load(d + ARGUMENTS + 6)
    first, last = tl.load(d + ARGUMENTS + 7), tl.load(d + ARGUMENTS + 8)
    cols = tl.arange(0, PANEL)
    at = rows[:, None] * PANEL + cols[None, :]
    q0 = tl.load(work + start_of(tl.load(d + ARGUMENTS)) + at)
    q1 = q0
    if WIDE:
        q1 = tl.load(work + start_of(tl.load(d + ARGUMENTS)) + ROWS * PANEL + at)
    top = tl.full((BM,), EMPTY, tl.float32)
    if BOUNDED:
        top = tl.zeros((BM,), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    r0 = tl.zeros((BM, PANEL), tl.float32)
    r1 = tl.zeros((BM, PANEL), tl.float32)
    begun = 0
    for source in range(0, past + 2):
        age = source - 1
        count, height, valid, line = place_of(d, source, past, filled, N, P, ROWS, BS)
        memory = memory_of(
            d, source, past, work, prompt, new_slot,
            slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
        )  # fmt: skip
        bias = tl.zeros((BM,), tl.float32)
        if (source > 0) & (source <= past):
            bias = age_bias(fixed, d, age, heads, q0, q1, KP) * SCALE
        low = tl.minimum(tl.maximum(first - begun, 0), count)
        high = tl.minimum(tl.maximum(last - begun, 0), count)
        begun += tl.where(source == 0, 1, TILES)
        if source == past + 1:
            if high > low:
                ok = ok * served(counters, error, d, epoch, 1, LIMIT)
        keys = start_of(line)
        values = keys + heads.to(tl.int64) * (KP * height)
        full = tl.minimum(high, valid // BS)
        top, total, r0, r1 = look(
            q0, q1, top, total, r0, r1, memory, keys, values, low, full, height, valid, bias,
            SCALE, WIDE, BS, BOUNDED, False, STAGES,
        )  # fmt: skip
        top, total, r0, r1 = look(
            q0, q1, top, total, r0, r1, memory, keys, values, tl.maximum(low, full), high, height,
            valid, bias, SCALE, WIDE, BS, BOUNDED, True, 1,
        )  # fmt: skip
    return ok * finish(
        work, sums, counters, error, d, epoch, rows, top, total, r0, r1, ROWS, KP, HEADS, LIMIT
    )


@triton.jit
def finish(
    work, sums, counters, error, d, epoch, rows, top, total, r0, r1,
    ROWS: tl.constexpr, KP: tl.constexpr, HEADS: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """Store a part, or merge all parts and store the result."""
    WIDE: tl.constexpr = KP > 64
    cols = tl.arange(0, PANEL)
    line, part, parts = (
        tl.load(d + ARGUMENTS + 11),
        tl.load(d + ARGUMENTS + 12),
        tl.load(d + ARGUMENTS + 13),
    )
    stride = HEADS * ROWS * (KP + 2)
    ok = 1
    if part < parts - 1:
        own = sums + start_of(line) + part * stride
        tl.store(own + rows[:, None] * KP + cols[None, :], r0)
        if WIDE:
            tl.store(own + rows[:, None] * KP + PANEL + cols[None, :], r1)
        tl.store(own + ROWS * KP + rows, top)
        tl.store(own + ROWS * (KP + 1) + rows, total)
    else:
        ok = served(counters, error, d, epoch, 2, LIMIT)
        total, r0, r1 = merge(sums, line, stride, parts, rows, top, total, r0, r1, ROWS, KP, WIDE)
        at = start_of(tl.load(d + ARGUMENTS + 1)) + rows[:, None] * PANEL + cols[None, :]
        kind = work.dtype.element_ty
        tl.store(work + at, (r0 / total[:, None]).to(kind))
        if WIDE:
            tl.store(work + at + ROWS * PANEL, (r1 / total[:, None]).to(kind))
    return ok
