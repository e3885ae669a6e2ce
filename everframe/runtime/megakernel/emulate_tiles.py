"""What each instruction computes, on NumPy arrays: the meaning that the kernel is held to.

Every function is a generator that yields a wait stage before it uses what that stage waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from everframe.runtime.megakernel.emulate_pixels import conv, conv_in, conv_out, head
from everframe.runtime.megakernel.isa import SEGMENTS, Instruction, Matrix, Opcode, Region
from everframe.runtime.megakernel.lower_blocks import KEY, QUERY, key_tiles
from everframe.runtime.megakernel.lower_state import shares
from everframe.runtime.megakernel.machine import (
    NORM_EPS,
    Array,
    Machine,
    Work,
    noisy_tokens,
    normed,
)
from everframe.runtime.megakernel.operands import BYTE_CENTRE, BYTE_SCALE, next_scale
from everframe.runtime.megakernel.plan import BlockPlan
from everframe.runtime.megakernel.tiles import PANEL

EMPTY = np.float32(-1e30)
"""Running maximum before the first key."""
Keyed = tuple[Array, Array]
"""Keys and values."""


def begin(machine: Machine, instruction: Instruction) -> Work:
    """The instruction at work."""
    if instruction.fields.get("rehearsal"):
        return _nothing()
    return TILES[instruction.op](machine, instruction)


def _nothing() -> Work:
    yield 0


def unpack(machine: Machine, task: Instruction) -> Work:
    """Bytes of a row of patches, or its noise."""
    yield 0
    name = SEGMENTS[task.fields["segment"]]
    values = machine.read(task, task.reads[0].region, 0)
    if name != "noisy":
        values = (values - BYTE_CENTRE) * BYTE_SCALE
        present = {
            "camera": True,
            "previous": machine.launch.has_previous,
            "anchor_output": machine.launch.has_anchor,
            "anchor_camera": machine.launch.has_anchor,
        }
        values = values * np.float32(present[name])
    machine.write(task, task.writes[0], values)


def part(machine: Machine, task: Instruction) -> Work:
    """Partial sums."""
    yield 0
    matrix = Matrix(task.fields["weight"])
    source = task.reads[0].region
    values = machine.read(task, source, 0)
    if matrix == Matrix.NOISY:
        values, weight = _noisy_share(machine, task, values)
    else:
        weight = _matrix(machine, task, matrix, source)
    machine.write(task, task.writes[0], values @ weight.T)


def _noisy_share(machine: Machine, task: Instruction, values: Array) -> tuple[Array, Array]:
    """Some channels of the noisy target's tokens, and the matrix that they are multiplied with."""
    plan, source = machine.plan, task.reads[0].region
    low, high = shares(plan.patch_channels // PANEL, task.fields["shares"])[task.fields["share"]]
    channels = slice(low * PANEL, high * PANEL)
    tokens = noisy_tokens(machine, (source.row0, source.row1), values)
    first = plan.cols * (source.row0 // (plan.cells * plan.map_cols))
    rows = slice(task.rows[0] - first, task.rows[1] - first)
    return tokens[rows, channels], machine.fixed.embed[4][slice(*task.cols), channels]


def _matrix(machine: Machine, task: Instruction, matrix: Matrix, source: Region) -> Array:
    """The columns of a task and the inner part that `source` covers."""
    block = machine.fixed.blocks[task.fields["block"]]
    named = {Matrix.OUT: block.out, Matrix.DOWN: block.down}
    whole = named[matrix] if matrix in named else machine.fixed.embed[matrix]
    return whole[task.cols[0] : task.cols[1], source.col0 : source.col1]


def _leave(machine: Machine, task: Instruction, x: Array, scale: Array) -> None:
    """Tokens, operand of the next norm, squares."""
    tokens, scaled, squares = task.writes
    machine.write(task, tokens, x)
    machine.write(task, scaled, x * (1 + scale[task.cols[0] : task.cols[1]]))
    machine.write(task, squares, (x * x).sum(-1, keepdims=True))


def embed(machine: Machine, task: Instruction) -> Work:
    """Equation 8; the parts are added in a fixed order."""
    yield 0
    fixed, cols, step = machine.fixed, slice(*task.cols), machine.steps[task.step]
    source = task.reads[0].region
    tokens = noisy_tokens(machine, (source.row0, source.row1), machine.read(task, source, 0))
    first = machine.plan.cols * (source.row0 // (machine.plan.cells * machine.plan.map_cols))
    rows = slice(task.rows[0] - first, task.rows[1] - first)
    x = tokens[rows] @ fixed.embed[4][cols].T + fixed.base[slice(*task.rows), cols]
    x = x + fixed.previous_bias[cols] * np.float32(machine.launch.has_previous)
    x = x + fixed.anchor_bias[cols] * np.float32(machine.launch.has_anchor)
    yield 2
    for read in task.reads[1:]:
        x = x + machine.read(task, read.region, 2)
    _leave(machine, task, x, next_scale(machine.plan, step, -1, after_attention=False))


def qkv(machine: Machine, task: Instruction) -> Work:
    """Projection of heads, qk-norm, RoPE."""
    yield 0
    number, section = task.fields["block"], task.fields["section"]
    own, k = machine.fixed.blocks[number], machine.plan.head_dim
    start = section * machine.plan.blocks[number].heads * k
    cols = slice(start + task.cols[0], start + task.cols[1])
    shift = machine.steps[task.step].blocks[number].qkv_shift[cols]
    y = normed(machine, task, own.qkv[cols], shift)
    if section in (QUERY, KEY):
        y = y.reshape(y.shape[0], -1, k)
        y = y / np.sqrt((y * y).mean(-1, keepdims=True) + NORM_EPS)
        y = y * (own.q_gain if section == QUERY else own.k_gain)
        cos, sin = (t[slice(*task.rows), None] for t in (machine.fixed.cos, machine.fixed.sin))
        a, b = np.split(y, 2, -1)
        y = np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
    machine.write(task, task.writes[0], y.reshape(y.shape[0], -1))


def _past(machine: Machine, task: Instruction, block: BlockPlan, age: int) -> Keyed:
    """Keys and values of a past frame; none if it is not filled."""
    head, own = task.fields["head"], machine.fixed.blocks[block.index]
    slot = machine.launch.slots[block.slots[age]][:, head]
    if age >= machine.launch.filled:
        return slot[0, :0], slot[1, :0]
    return slot[0] + own.age[age, head], slot[1]


def _key_tiles(machine: Machine, task: Instruction, block: BlockPlan) -> Iterator[Keyed | None]:
    """Keys and values of the tiles of a task, in their order; None: this frame's come next."""
    plan, size = machine.plan, machine.tiles.keys
    full, left = key_tiles(plan.tokens, plan.prompt_tokens, block.history_frames, size)
    past = full * block.history_frames
    low, high = task.fields["first_tile"], task.fields["last_tile"]
    frames = [_past(machine, task, block, age) for age in range(block.history_frames)]
    for tile in range(low, min(high, past)):
        yield _cut(frames[tile // full], tile % full, size)
    if high <= past:
        return
    yield None
    keys, values = (machine.read(task, r.region, 1) for r in task.reads if r.stage == 1)
    for tile in range(max(low, past), min(high, past + full)):
        yield _cut((keys, values), tile - past, size)
    step = machine.steps[task.step].blocks[block.index]
    head = task.fields["head"]
    ends = [(k[full * size :], v[full * size :]) for k, v in (*frames, (keys, values))]
    ends.append((step.prompt_k[head], step.prompt_v[head]))
    together = np.concatenate([k for k, _ in ends]), np.concatenate([v for _, v in ends])
    for tile in range(max(low - past - full, 0), min(high - past - full, left)):
        yield _cut(together, tile, size)


def _cut(source: Keyed, tile: int, size: int) -> Keyed:
    keys, values = source
    return keys[tile * size : (tile + 1) * size], values[tile * size : (tile + 1) * size]


def attend(machine: Machine, task: Instruction) -> Work:
    """Softmax over some key tiles with a running maximum; the last part merges."""
    yield 0
    block = machine.plan.blocks[task.fields["block"]]
    k = machine.plan.head_dim
    q = machine.read(task, task.reads[0].region, 0) * np.float32(k**-0.5)
    top = np.full(q.shape[0], EMPTY, np.float32)
    total, result = np.zeros(q.shape[0], np.float32), np.zeros(q.shape, np.float32)
    for tile in _key_tiles(machine, task, block):
        if tile is None:
            yield 1
        elif len(tile[0]):
            top, total, result = _softmax_step(q, *tile, (top, total, result))
    merging = task.op == Opcode.ATTEND and task.fields["parts"] > 1
    if merging:
        yield 2
        top, total, result = _merge(machine, task, (top, total, result))
    if task.op == Opcode.ATTEND:
        machine.write(task, task.writes[0], result / total[:, None])
    else:
        packed = np.concatenate([result, top[:, None], total[:, None]], 1)
        machine.write(task, task.writes[0], packed)


Softmax = tuple[Array, Array, Array]
"""Running maximum, denominator, weighted sum."""


def _softmax_step(q: Array, keys: Array, values: Array, state: Softmax) -> Softmax:
    top, total, result = state
    scores = q @ keys.T
    higher = np.maximum(top, scores.max(1))
    weights, fade = np.exp(scores - higher[:, None]), np.exp(top - higher)
    return higher, total * fade + weights.sum(1), result * fade[:, None] + weights @ values


def _merge(machine: Machine, task: Instruction, state: Softmax) -> Softmax:
    """Add the parts in their order, this one last."""
    return _together([*_states(machine, task, 2), state])


def _states(machine: Machine, task: Instruction, stage: int) -> list[Softmax]:
    parts = [machine.read(task, r.region, stage) for r in task.reads if r.stage == stage]
    return [(p[:, -2], p[:, -1], p[:, :-2]) for p in parts]


def _together(states: list[Softmax]) -> Softmax:
    top = np.max([s[0] for s in states], 0)
    total, result = np.zeros_like(top), np.zeros_like(states[0][2])
    for own_top, own_total, own_result in states:
        fade = np.exp(own_top - top)
        total = total + own_total * fade
        result = result + own_result * fade[:, None]
    return top, total, result


def merge(machine: Machine, task: Instruction) -> Work:
    """Some rows of the attention of a head, from all its parts."""
    yield 0
    _, total, result = _together(_states(machine, task, 0))
    machine.write(task, task.writes[0], result / total[:, None])


def residual(machine: Machine, task: Instruction) -> Work:
    """`x += gate * product`."""
    yield 0
    matrix = Matrix(task.fields["weight"])
    source = task.reads[0].region
    y = machine.read(task, source, 0) @ _matrix(machine, task, matrix, source).T
    yield 2
    for read in task.reads[2:]:
        y = y + machine.read(task, read.region, 2)
    _add(machine, task, machine.read(task, task.reads[1].region, 0), y)


def _add(machine: Machine, task: Instruction, x: Array, y: Array) -> None:
    """Gated, to the tokens."""
    matrix, number = Matrix(task.fields["weight"]), task.fields["block"]
    step = machine.steps[task.step]
    control = step.blocks[number]
    gate = control.gate_a if matrix == Matrix.OUT else control.gate_f
    out = matrix == Matrix.OUT
    scale = next_scale(machine.plan, step, number, after_attention=out)
    _leave(machine, task, x + gate[slice(*task.cols)] * y, scale)


def finish(machine: Machine, task: Instruction) -> Work:
    """Some rows of a residual or an embedding, from all partial sums: the last first, as when it
    adds the others itself.
    """
    yield 0
    values = [machine.read(task, read.region, 0) for read in task.reads]
    count = task.fields["parts"]
    y = values[count - 1]
    for part in values[: count - 1]:
        y = y + part
    if task.fields["weight"] != Matrix.NOISY:
        _add(machine, task, values[count], y)
        return
    fixed, cols = machine.fixed, slice(*task.cols)
    y = y + fixed.base[slice(*task.rows), cols]
    y = y + fixed.previous_bias[cols] * np.float32(machine.launch.has_previous)
    y = y + fixed.anchor_bias[cols] * np.float32(machine.launch.has_anchor)
    step = machine.steps[task.step]
    _leave(machine, task, y, next_scale(machine.plan, step, -1, after_attention=False))


def up(machine: Machine, task: Instruction) -> Work:
    """SwiGLU."""
    yield 0
    number = task.fields["block"]
    weight, ffn = machine.fixed.blocks[number].up, machine.plan.blocks[number].ffn
    shift = machine.steps[task.step].blocks[number].up_shift
    gate, value = (
        normed(machine, task, weight[c], shift[c])
        for c in (slice(*task.cols), slice(ffn + task.cols[0], ffn + task.cols[1]))
    )
    machine.write(task, task.writes[0], gate / (1 + np.exp(-gate)) * value)


TILES: dict[Opcode, Callable[[Machine, Instruction], Work]] = {
    Opcode.UNPACK: unpack,
    Opcode.PART: part,
    Opcode.EMBED: embed,
    Opcode.QKV: qkv,
    Opcode.ATTEND_PART: attend,
    Opcode.ATTEND: attend,
    Opcode.RESIDUAL: residual,
    Opcode.UP: up,
    Opcode.HEAD: head,
    Opcode.CONV_IN: conv_in,
    Opcode.CONV: conv,
    Opcode.CONV_OUT: conv_out,
    Opcode.MERGE: merge,
    Opcode.FINISH: finish,
}
