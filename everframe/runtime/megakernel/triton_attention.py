# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: attention of one head over the prompt, the past frames and this frame, in this order, so
that the keys of this frame are waited for last.
"""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import (
    PANEL,
    first_row,
    served,
    start_of,
    wait_of,
    word,
)

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
    base, stride, parts, rows, top, total, r0, r1,
    ROWS: tl.constexpr, KP: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add the other parts, in their order, to this one, which comes last."""
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
    lines, source, past, filled,
    N: tl.constexpr, P: tl.constexpr, ROWS: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """Tiles, stored rows, keys that exist, and line of a source: prompt, past frames, this one."""
    count = (N + BS - 1) // BS
    height = ROWS
    valid = N
    of_prompt, of_frame, line = lines
    if source == 0:
        count = 1
        height = BS
        valid = P
        line = of_prompt
    elif source == past + 1:
        line = of_frame
    elif source > filled:
        count = 0
    return count, height, valid, line


@triton.jit
def memory_of(
    kept, source, past, work, prompt, new_slot,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
):  # fmt: skip
    """Where the keys of a source are."""
    memory = new_slot
    if source == 0:
        memory = prompt
    elif source == past + 1:
        if kept == 0:
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
def age_bias(fixed, ages, age, heads, q0, q1, KP: tl.constexpr):
    """q times the offset of keys of an age, which is the same for all of them."""
    cols = tl.arange(0, PANEL)
    offset = fixed + start_of(ages + age * heads * (KP // PANEL))
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
    BOUNDED: tl.constexpr, SPLIT: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """ATTEND and ATTEND_PART. Keys that have been masked cost nothing: their tiles are skipped.
    SPLIT: there may be parts.
    """
    WIDE: tl.constexpr = KP > 64
    SCALE: tl.constexpr = 1.4426950408889634 / (K**0.5)
    TILES: tl.constexpr = (N + BS - 1) // BS
    start, late, merged = wait_of(d, epoch, 0), wait_of(d, epoch, 1), wait_of(d, epoch, 2)
    rows = first_row(d) + tl.arange(0, BM)
    queries, result, own = start_of(word(d, 0)), start_of(word(d, 1)), start_of(word(d, 11))
    lines = word(d, 2), word(d, 3), word(d, 4)
    heads, past, first, last = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
    kept, ages, part, parts = word(d, 9), word(d, 10), word(d, 12), word(d, 13)
    first_source, last_source, begun = word(d, 14), word(d, 15), word(d, 16)
    ok = served(counters, error, d, start, 0, LIMIT)
    cols = tl.arange(0, PANEL)
    at = rows[:, None] * PANEL + cols[None, :]
    q0 = tl.load(work + queries + at)
    q1 = q0
    if WIDE:
        q1 = tl.load(work + queries + ROWS * PANEL + at)
    top = tl.full((BM,), 0.0 if BOUNDED else EMPTY, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    r0 = tl.zeros((BM, PANEL), tl.float32)
    r1 = tl.zeros((BM, PANEL), tl.float32)
    for source in range(first_source, last_source):
        age = source - 1
        count, height, valid, line = place_of(lines, source, past, filled, N, P, ROWS, BS)
        memory = memory_of(
            kept, source, past, work, prompt, new_slot,
            slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8,
        )  # fmt: skip
        bias = tl.zeros((BM,), tl.float32)
        if (source > 0) & (source <= past):
            bias = age_bias(fixed, ages, age, heads, q0, q1, KP) * SCALE
        low = tl.minimum(tl.maximum(first - begun, 0), count)
        high = tl.minimum(tl.maximum(last - begun, 0), count)
        begun += tl.where(source == 0, 1, TILES)
        if source == past + 1:
            if high > low:
                ok = ok * served(counters, error, d, late, 1, LIMIT)
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
    if SPLIT:
        if parts > 1:
            stride = HEADS * ROWS * (KP + 2)
            if part < parts - 1:
                target = sums + own + part * stride
                leave_part(target, rows, top, total, r0, r1, ROWS, KP, WIDE)
            else:
                ok = ok * served(counters, error, d, merged, 2, LIMIT)
                total, r0, r1 = merge(
                    sums + own, stride, parts, rows, top, total, r0, r1, ROWS, KP, WIDE
                )
    if part == parts - 1:
        store_panels(work + result + at, r0, r1, total, ROWS, WIDE)
    return ok


@triton.jit
def store_panels(target, r0, r1, total, ROWS: tl.constexpr, WIDE: tl.constexpr):
    """The weighted mean of values."""
    share = 1.0 / total[:, None]
    kind = target.dtype.element_ty
    tl.store(target, (r0 * share).to(kind))
    if WIDE:
        tl.store(target + ROWS * PANEL, (r1 * share).to(kind))


@triton.jit
def leave_part(
    own, rows, top, total, r0, r1, ROWS: tl.constexpr, KP: tl.constexpr, WIDE: tl.constexpr
):
    """Sums, maximum and denominator of a part."""
    at = rows[:, None] * KP + tl.arange(0, PANEL)[None, :]
    tl.store(own + at, r0)
    if WIDE:
        tl.store(own + at + PANEL, r1)
    tl.store(own + ROWS * KP + rows, top)
    tl.store(own + ROWS * (KP + 1) + rows, total)
