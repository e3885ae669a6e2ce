# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: attention of one head. First the full tiles of keys of the past frames in one loop, then
those of this frame, which are waited for as late as that. What is left, the last keys of each
frame, which fill no tile, and those of the prompt, is gathered into tiles of its own: after that,
or before it where there is only the prompt.
"""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import (
    PANEL,
    SMALL,
    first_row,
    order_copies,
    panel_offset,
    served,
    start_of,
    wait_of,
    word,
)

EMPTY = tl.constexpr(-1e30)
"""Score of a key that does not exist."""
LOWEST = tl.constexpr(-1e20)
"""Maximum before the first key, far above `EMPTY`: a tile of keys that do not exist must weigh
nothing. Scaled and subtracted in one instruction, -1e30 from itself may leave 1e22.
"""
LOG2_E = tl.constexpr(1.4426950408889634)
ALIGNED_TO = tl.constexpr(8)
"""Numbers: slots begin at multiples of 16 bytes."""


@triton.jit
def weigh(s, top, total, acc, bias, SCALE: tl.constexpr, BOUNDED: tl.constexpr):
    """A softmax step: weights of a tile of scores, and the state before their values are added."""
    if BOUNDED:
        p = tl.exp2(s * SCALE + bias[:, None])
        total += tl.sum(p, 1)
    else:
        higher = tl.maximum(top, tl.max(s, 1) * SCALE + bias)
        p = tl.exp2(s * SCALE + (bias - higher)[:, None])
        fade = tl.exp2(top - higher)
        total = total * fade + tl.sum(p, 1)
        acc = acc * fade[:, None]
        top = higher
    return p, top, total, acc


@triton.jit
def slot_at(source, own, slots, WINDOW: tl.constexpr):
    """The place of a source: of the past frame of that age, `own` for all others."""
    at = own
    for age in tl.static_range(WINDOW):
        at = tl.where(source == age, slots[age], at)
    return at


@triton.jit
def distance(memory, base, line):
    """Numbers from `base` to a line of another allocation."""
    size: tl.constexpr = base.dtype.element_ty.primitive_bitwidth // 8
    apart = (memory.to(tl.int64) - base.to(tl.int64)) // size
    return tl.multiple_of(apart + start_of(line), ALIGNED_TO)


@triton.jit
def places(d, work, prompt, new_slot, slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8):
    """Where keys of this frame, of the prompt and of past frames are, counted from the new slot."""
    memory = new_slot
    if word(d, 9) == 0:
        memory = work
    own = distance(memory, new_slot, word(d, 3))
    prompt_at = distance(prompt, new_slot, word(d, 2))
    line = word(d, 4)
    slots = (
        distance(slot1, new_slot, line), distance(slot2, new_slot, line),
        distance(slot3, new_slot, line), distance(slot4, new_slot, line),
        distance(slot5, new_slot, line), distance(slot6, new_slot, line),
        distance(slot7, new_slot, line), distance(slot8, new_slot, line),
    )  # fmt: skip
    return own, prompt_at, slots


@triton.jit
def leave_biases(
    own, fixed, ages, q, first, last, heads, past, scale,
    N: tl.constexpr, ROWS: tl.constexpr, KP: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """Into scratch of this task, for the sources of its tiles: q times the offset of each age, the
    same for all keys of that age; for this frame none.
    """
    FULL: tl.constexpr = N // BS
    if FULL > 0:
        cols = tl.arange(0, KP)
        end = tl.minimum((last + FULL - 1) // FULL, past + 1)
        for source in range(first // FULL, end):
            offset = fixed + start_of(ages + tl.minimum(source, past - 1) * heads * (KP // PANEL))
            aged = (cols < KP) & (source < past)
            bias = tl.sum(
                q.to(tl.float32) * tl.load(offset + cols, mask=aged, other=0.0)[None, :], 1
            )
            tl.store(own + source * ROWS, bias * scale)
        tl.debug_barrier()


@triton.jit
def gathered(
    ages_line, tile, base, fixed, prompt_at, own, slots, heads, past, filled,
    N: tl.constexpr, P: tl.constexpr, KP: tl.constexpr, ROWS: tl.constexpr,
    PROMPT_ROWS: tl.constexpr, WINDOW: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """(keys, values, valid) of a tile of keys from everywhere: the last N % BS of each frame, then
    the prompt. The offset of an age is added to the keys here: they are of different ages.
    """
    LEFT: tl.constexpr = N % BS
    kind = base.dtype.element_ty
    number = tile * BS + tl.arange(0, BS)
    cols = tl.arange(0, KP)
    source = past + 1 + number * 0
    row = number
    if LEFT > 0:
        source = tl.minimum(number // LEFT, past + 1)
        row = tl.where(source > past, number - (past + 1) * LEFT, N - LEFT + number % LEFT)
    of_prompt = source > past
    key_rows = tl.where(of_prompt, PROMPT_ROWS, ROWS)
    at = slot_at(source, own, slots, WINDOW)
    at = tl.where(source == past, own, at)
    at = tl.where(of_prompt, prompt_at, at)
    at = tl.multiple_of(at + row * KP, ALIGNED_TO)
    valid = tl.where(of_prompt, row < P, (source == past) | (source < filled))
    keys = tl.load(base + at[:, None] + cols[None, :], mask=valid[:, None], other=0.0)
    if WINDOW > 0:
        offset = start_of(ages_line + source * heads * (KP // PANEL))
        aged = (valid & (source < past))[:, None]
        ages = tl.load(fixed + offset[:, None] + cols[None, :], mask=aged, other=0.0)
        keys = (keys.to(tl.float32) + ages).to(kind)
    at += tl.multiple_of(heads.to(tl.int64) * KP * key_rows, ALIGNED_TO)
    values = tl.load(base + at[:, None] + cols[None, :], mask=valid[:, None], other=0.0)
    return keys, values, valid


@triton.jit
def merge(
    base, stride, parts, rows, top, total, acc, ROWS: tl.constexpr, KP: tl.constexpr,
    BM: tl.constexpr, BOUNDED: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """The other parts, in their order, and this one."""
    if BOUNDED and BM * KP <= SMALL:
        total, acc = add_up(base, stride, parts, rows, total, acc, ROWS, KP, MOST)
    else:
        total, acc = fade_together(base, stride, parts, rows, top, total, acc, ROWS, KP)
    return total, acc


@triton.jit
def fade_together(base, stride, parts, rows, top, total, acc, ROWS: tl.constexpr, KP: tl.constexpr):
    """Parts that each have a maximum of their own; this one comes last."""
    at = rows[:, None] * KP + tl.arange(0, KP)[None, :]
    highest = top
    for part in range(0, parts - 1):
        highest = tl.maximum(highest, tl.load(base + part * stride + ROWS * KP + rows))
    all_total = tl.zeros_like(total)
    result = tl.zeros_like(acc)
    for part in range(0, parts - 1):
        own = base + part * stride
        fade = tl.exp2(tl.load(own + ROWS * KP + rows) - highest)
        all_total += tl.load(own + ROWS * (KP + 1) + rows) * fade
        result += tl.load(own + at) * fade[:, None]
    fade = tl.exp2(top - highest)
    return all_total + total * fade, result + acc * fade[:, None]


@triton.jit
def add_up(
    base, stride, parts, rows, total, acc, ROWS: tl.constexpr, KP: tl.constexpr, MOST: tl.constexpr
):
    """Parts without a maximum; all loads are on their way before the first use."""
    cols = tl.arange(0, KP)
    for part in tl.static_range(MOST - 1):
        own = base + part * stride
        real = (rows >= 0) & (part < parts - 1)
        total += tl.load(own + ROWS * (KP + 1) + rows, mask=real, other=0.0)
        at = own + rows[:, None] * KP + cols[None, :]
        acc += tl.load(at, mask=real[:, None], other=0.0)
    return total, acc


@triton.jit
def full_tiles(
    q, top, total, acc, biases, base, own, slots, key_tiles, origin,
    counters, error, d, late, first, last, heads, past, filled,
    N: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, ROWS: tl.constexpr, WINDOW: tl.constexpr,
    BS: tl.constexpr, BOUNDED: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
    TMA: tl.constexpr,
):  # fmt: skip
    """Past frames, then, once they are there, the keys of this frame."""
    SCALE: tl.constexpr = 1.4426950408889634 / (K**0.5)
    FULL: tl.constexpr = N // BS
    cols = tl.arange(0, KP)
    to_values = heads.to(tl.int64) * (KP * ROWS)
    low, high = first, tl.minimum(last, tl.minimum(filled, past) * FULL)
    ok = 1
    for current in range(0, 2):
        if current == 1:
            if last > past * FULL:
                ok = served(counters, error, d, late, 1, LIMIT)
            low = tl.maximum(first, past * FULL)
            high = tl.minimum(last, (past + 1) * FULL)
        order_copies(TMA)
        if FULL > 0:
            for tile in tl.range(low, high, num_stages=STAGES):
                source = tile // FULL
                at = slot_at(source, own, slots, WINDOW)
                at = tl.where(source == past, own, at) + (tile - source * FULL) * (BS * KP)
                # values before keys: else a barrier of the CTA comes between weights and product
                if TMA:
                    line = (at + origin) // KP
                    v = key_tiles.load([(line + heads * ROWS).to(tl.int32), 0])
                    k = key_tiles.load([line.to(tl.int32), 0]).T
                else:
                    inner = tl.arange(0, BS)
                    v = tl.load(base + at + to_values + inner[:, None] * KP + cols[None, :])
                    k = tl.load(base + at + inner[None, :] * KP + cols[:, None])
                bias = tl.load(biases + source * ROWS)
                p, top, total, acc = weigh(tl.dot(q, k), top, total, acc, bias, SCALE, BOUNDED)
                acc = tl.dot(p.to(q.dtype), v, acc)
    return ok, top, total, acc


@triton.jit
def rest_tiles(
    q, top, total, acc, ages, base, fixed, prompt_at, own, slots, first, last, heads, past, filled,
    N: tl.constexpr, P: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, ROWS: tl.constexpr,
    PROMPT_ROWS: tl.constexpr, WINDOW: tl.constexpr, BS: tl.constexpr, BOUNDED: tl.constexpr,
):  # fmt: skip
    """What fills no tile, and the prompt."""
    SCALE: tl.constexpr = 1.4426950408889634 / (K**0.5)
    done = (past + 1) * (N // BS)
    none = tl.zeros_like(total)
    for tile in tl.range(tl.maximum(first - done, 0), last - done, num_stages=1):
        keys, values, valid = gathered(
            ages, tile, base, fixed, prompt_at, own, slots,
            heads, past, filled, N, P, KP, ROWS, PROMPT_ROWS, WINDOW, BS,
        )  # fmt: skip
        s = tl.where(valid[None, :], tl.dot(q, tl.trans(keys)), EMPTY)
        p, top, total, acc = weigh(s, top, total, acc, none, SCALE, BOUNDED)
        acc = tl.dot(p.to(q.dtype), values, acc)
    return top, total, acc


@triton.jit
def attend(
    work, sums, fixed, prompt, new_slot,
    slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8, key_tiles, origin,
    counters, error, d, epoch, filled,
    N: tl.constexpr, P: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, HEADS: tl.constexpr,
    ROWS: tl.constexpr, PROMPT_ROWS: tl.constexpr, WINDOW: tl.constexpr, BM: tl.constexpr,
    BS: tl.constexpr, BOUNDED: tl.constexpr, MOST: tl.constexpr, STAGES: tl.constexpr,
    LIMIT: tl.constexpr, TMA: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """ATTEND and ATTEND_PART. Frames that are not filled cost nothing: their tiles are skipped.
    MOST: parts of an instruction, at most; APART: instructions of their own add them.
    """
    SCALE: tl.constexpr = 1.4426950408889634 / (K**0.5)
    LEFT: tl.constexpr = N % BS
    start, late, merged = wait_of(d, epoch, 0), wait_of(d, epoch, 1), wait_of(d, epoch, 2)
    rows = first_row(d) + tl.arange(0, BM)
    cols = tl.arange(0, KP)
    queries = work + start_of(word(d, 0)) + rows[:, None] * KP + cols[None, :]
    result = work + start_of(word(d, 1)) + panel_offset(rows, cols, ROWS)
    heads, past, first, last = word(d, 5), word(d, 6), word(d, 7), word(d, 8)
    ages, part, parts = word(d, 10), word(d, 12), word(d, 13)
    partial, biases = sums + start_of(word(d, 11)), sums + start_of(word(d, 14)) + rows
    own, prompt_at, slots = places(
        d, work, prompt, new_slot, slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8
    )
    ready = served(counters, error, d, start, 0, LIMIT)
    q = tl.load(queries)
    leave_biases(biases, fixed, ages, q, first, last, heads, past, SCALE, N, ROWS, KP, BS)
    top = tl.full((BM,), 0.0 if BOUNDED else LOWEST, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, KP), tl.float32)
    if LEFT == 0:
        top, total, acc = rest_tiles(
            q, top, total, acc, ages, new_slot, fixed, prompt_at, own, slots, first, last,
            heads, past, filled, N, P, K, KP, ROWS, PROMPT_ROWS, WINDOW, BS, BOUNDED,
        )  # fmt: skip
    ok, top, total, acc = full_tiles(
        q, top, total, acc, biases, new_slot, own, slots, key_tiles, origin,
        counters, error, d, late, first, last, heads, past, filled,
        N, K, KP, ROWS, WINDOW, BS, BOUNDED, STAGES, LIMIT, TMA,
    )  # fmt: skip
    if LEFT > 0:
        top, total, acc = rest_tiles(
            q, top, total, acc, ages, new_slot, fixed, prompt_at, own, slots, first, last,
            heads, past, filled, N, P, K, KP, ROWS, PROMPT_ROWS, WINDOW, BS, BOUNDED,
        )  # fmt: skip
    if MOST > 1:
        stride = HEADS * ROWS * (KP + 2)
        if part < parts - 1:
            leave_part(partial + part * stride, rows, top, total, acc, ROWS, KP)
        elif (not APART) and (parts > 1):
            ok = ok * served(counters, error, d, merged, 2, LIMIT)
            total, acc = merge(
                partial, stride, parts, rows, top, total, acc, ROWS, KP, BM, BOUNDED, MOST
            )
    if part == parts - 1:
        tl.store(result, (acc * (1.0 / total[:, None])).to(work.dtype.element_ty))
    return ready * ok


@triton.jit
def leave_part(own, rows, top, total, acc, ROWS: tl.constexpr, KP: tl.constexpr):
    """Sums, maximum and denominator of a part."""
    tl.store(own + rows[:, None] * KP + tl.arange(0, KP)[None, :], acc)
    tl.store(own + ROWS * KP + rows, top)
    tl.store(own + ROWS * (KP + 1) + rows, total)
