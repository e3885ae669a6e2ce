"""A schedule as the table that the kernel reads: 32 int32 per instruction.

Words 0 to 13 are the same for all instructions, the others are named per opcode. The kernel's
`triton_*` files read the words by these numbers, through constants of the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.isa import SEGMENTS, Instruction, Matrix, Opcode, TaskGraph
from everframe.runtime.megakernel.layout import DOWN, OUT, QKV, UP, Layout
from everframe.runtime.megakernel.lower_blocks import KEY, QUERY
from everframe.runtime.megakernel.lower_state import shares
from everframe.runtime.megakernel.operands import next_norm
from everframe.runtime.megakernel.plan import BlockPlan
from everframe.runtime.megakernel.schedule import Schedule
from everframe.runtime.megakernel.tiles import GLUON_AGES, PANEL

WORDS = 32
OP, WAITS, SIGNAL, ROW, COL, TASK = 0, 1, 10, 11, 12, 13
ARGUMENTS = 14
"""First word of an opcode's own arguments."""
NONE = -1

Words = list[int]


def encode(schedule: Schedule, layout: Layout) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(table [instructions, 32] in the order of the lists, starts [SMs + 1])."""
    graph = schedule.graph
    order = [task for tasks in schedule.lists for task in tasks]
    table = np.zeros((len(order), WORDS), np.int32)
    for row, task in enumerate(order):
        table[row] = _words(graph, layout, task)
    starts = np.cumsum([0, *(len(tasks) for tasks in schedule.lists)]).astype(np.int32)
    return table, starts


def _words(graph: TaskGraph, layout: Layout, task: int) -> Words:
    instruction = graph.instructions[task]
    words = [int(instruction.op), *([0] * 9), instruction.signal, instruction.rows[0]]
    for stage in range(3):
        waits = [w for w in instruction.waits if w.stage == stage]
        assert len(waits) <= 1, instruction.name
        for w in waits:
            words[WAITS + 3 * stage : WAITS + 3 * stage + 3] = [w.first, w.count, w.target]
    words += [instruction.cols[0], task, *ENCODERS[instruction.op](layout, instruction)]
    assert len(words) <= WORDS, instruction.name
    return words + [0] * (WORDS - len(words))


def _block(layout: Layout, instruction: Instruction) -> BlockPlan:
    return layout.plan.blocks[instruction.fields["block"]]


def _width_panels(layout: Layout) -> int:
    return -(-layout.plan.width // PANEL)


def _unpack(layout: Layout, instruction: Instruction) -> Words:
    """segment, band, line of the patches; first channel in the detail input, or -1: the patches."""
    segment = instruction.fields["segment"]
    name = SEGMENTS[segment]
    channel = {"camera": 0, "anchor_output": 24, "anchor_camera": 36}.get(name, NONE)
    if not instruction.fields["map"]:
        channel = NONE
    per_band = layout.plan.cols if name != "noisy" else layout.plan.cells * layout.plan.map_cols
    return [segment, instruction.rows[0] // per_band, layout.work.at[f"patch.{name}"], channel]


def _matrix(layout: Layout, instruction: Instruction) -> Words:
    """line of A, line of W, rows of W, first panel, number of panels."""
    fields, rows = instruction.fields, layout.width
    weight, share = Matrix(fields["weight"]), fields["share"]
    if weight not in (Matrix.OUT, Matrix.DOWN):
        name = "noisy" if weight == Matrix.NOISY else SEGMENTS[weight]
        a, w = layout.work.at[f"patch.{name}"], layout.weights.at[f"embed.{name}"]
        low, high = shares(layout.plan.patch_channels // PANEL, fields["shares"])[share]
        return [a, w, rows, low, high - low]
    block = _block(layout, instruction)
    if weight == Matrix.OUT:
        a, name, inner = layout.work.at["o"], OUT, layout.inner(block)
    else:
        a, name, inner = layout.work.at["h"], DOWN, -(-block.ffn // PANEL) * PANEL
    low, high = shares(inner // PANEL, fields["shares"])[share]
    return [a, layout.weights.at[f"{name}.{block.index}"], rows, low, high - low]


def _part(layout: Layout, instruction: Instruction) -> Words:
    """matrix words, line of the sums."""
    name = "sum" if instruction.fields["weight"] in (Matrix.OUT, Matrix.DOWN) else "embed"
    line = layout.sums.at[f"{name}.{instruction.fields['part']}"]
    return [*_matrix(layout, instruction), line]


def _next_scale(layout: Layout, step: int, block: int, *, after_attention: bool) -> int:
    found = next_norm(layout.plan, block, after_attention=after_attention)
    if found is None:
        return layout.control.at[f"head_scale.{step}"]
    return layout.control.at[f"{found[0]}.{step}.{found[1]}"]


def _embed(layout: Layout, instruction: Instruction) -> Words:
    """matrix words, line of the parts, number of parts, line of the next scale."""
    plan, step = layout.plan, instruction.step
    return [
        layout.work.at["patch.noisy"],
        layout.weights.at["embed.noisy"],
        layout.width,
        0,
        plan.patch_channels // PANEL,
        layout.sums.at["embed.0"],
        4,
        _next_scale(layout, step, -1, after_attention=False),
    ]


def _residual(layout: Layout, instruction: Instruction) -> Words:
    """matrix words, line of the parts, number of parts, line of the next scale, of the gate."""
    fields, step = instruction.fields, instruction.step
    out = fields["weight"] == Matrix.OUT
    return [
        *_matrix(layout, instruction),
        layout.sums.at.get("sum.0", 0),
        fields["part"],
        _next_scale(layout, step, fields["block"], after_attention=out),
        layout.control.at[f"{'gate_a' if out else 'gate_f'}.{step}.{fields['block']}"],
    ]


def _memory_line(layout: Layout, instruction: Instruction, block: BlockPlan) -> int:
    """Where this frame's keys are: in the slot, or in scratch that alternates."""
    if instruction.fields["last"]:
        assert block.new_slot is not None
        return layout.slot.at[block.new_slot]
    return layout.work.at[f"kv.{layout.plan.parity(instruction.step, block)}"]


def _qkv(layout: Layout, instruction: Instruction) -> Words:
    """line of W, rows of W, panels, first row of W, section, line of the shift, of the gain, of the
    result; 1 if the result goes to the new slot.
    """
    block, fields = _block(layout, instruction), instruction.fields
    inner, section = layout.inner(block), fields["section"]
    head = instruction.cols[0] // layout.plan.head_dim
    row = section * inner + head * layout.head_dim
    first = head * layout.head_dim // PANEL
    if section == QUERY:
        line = layout.work.at["q"]
    else:
        line = _memory_line(layout, instruction, block)
        first += (section - KEY) * inner // PANEL
    gain = "q_gain" if section == QUERY else "k_gain"
    return [
        layout.weights.at[f"{QKV}.{block.index}"],
        3 * inner,
        _width_panels(layout),
        row,
        section,
        layout.control.at[f"qkv_shift.{instruction.step}.{block.index}"],
        layout.fixed.at[f"{gain}.{block.index}"],
        line + first * layout.rows,
        int(section != QUERY and fields["last"]),
    ]


def _attend(layout: Layout, instruction: Instruction) -> Words:
    """line of q, of the result, of the prompt's keys, of this frame's, of a past slot's; heads,
    past frames, first and last key tile, 1 if this frame's keys are in the new slot, line of the
    age offsets, of the parts (this head), part, parts (one more where an instruction of its own
    adds them), line of the scratch for biases.
    """
    block, fields = _block(layout, instruction), instruction.fields
    panels = layout.head_dim // PANEL
    head, first = fields["head"], fields["head"] * panels * layout.rows
    age = layout.fixed.at.get(f"age.{block.index}", 0) + head * panels
    if layout.tiles.gluon:  # of its own table, in the weights
        age = layout.weights.at.get(f"ages.{block.index}", 0) + head * panels * GLUON_AGES
    parts = layout.sums.at.get("attend.0", 0)
    biases = fields["part"] * max(b.heads for b in layout.plan.blocks) + head
    biases *= (layout.plan.window + 1) * layout.rows // PANEL
    line_of_head = head * layout.rows * (layout.head_dim + 2) // PANEL
    return [
        layout.work.at["q"] + first,
        layout.work.at["o"] + first,
        layout.prompt.at[f"{instruction.step}.{block.index}"] + head * panels * layout.prompt_rows,
        _memory_line(layout, instruction, block) + first,
        (layout.slot.at[block.new_slot] if block.new_slot else 0) + first,
        block.heads,
        block.history_frames,
        fields["first_tile"],
        fields["last_tile"],
        fields["last"],
        age,
        parts + line_of_head,
        fields["part"],
        fields["parts"] + (layout.tiles.merge_rows > 0 and fields["parts"] > 1),
        layout.sums.at["biases"] + biases,
    ]


def _merge(layout: Layout, instruction: Instruction) -> Words:
    """line of the result, of the parts (this head), parts."""
    head, panels = instruction.fields["head"], layout.head_dim // PANEL
    return [
        layout.work.at["o"] + head * panels * layout.rows,
        layout.sums.at["attend.0"] + head * layout.rows * (layout.head_dim + 2) // PANEL,
        instruction.fields["parts"],
    ]


def _finish(layout: Layout, instruction: Instruction) -> Words:
    """line of the parts, number of parts, line of the next scale, of the gate; 1 if the sum is an
    embedding, which has no gate.
    """
    fields, step = instruction.fields, instruction.step
    out = fields["weight"] == Matrix.OUT
    if fields["weight"] == Matrix.NOISY:
        scale = _next_scale(layout, step, -1, after_attention=False)
        return [layout.sums.at["embed.0"], fields["parts"], scale, 0, 1]
    return [
        layout.sums.at["sum.0"],
        fields["parts"],
        _next_scale(layout, step, fields["block"], after_attention=out),
        layout.control.at[f"{'gate_a' if out else 'gate_f'}.{step}.{fields['block']}"],
        0,
    ]


def _up(layout: Layout, instruction: Instruction) -> Words:
    """line of W, rows of W, panels, line of the shift."""
    block = _block(layout, instruction)
    return [
        layout.weights.at[f"{UP}.{block.index}"],
        2 * layout.ffn(block),
        _width_panels(layout),
        layout.control.at[f"up_shift.{instruction.step}.{block.index}"],
    ]


def _head(layout: Layout, instruction: Instruction) -> Words:
    """line of W, rows of W, panels, line of the shift."""
    return [
        layout.weights.at["head"],
        layout.head_rows,
        _width_panels(layout),
        layout.control.at[f"head_shift.{instruction.step}"],
    ]


def _detail(layout: Layout, instruction: Instruction, row: int) -> int:
    return layout.control.at[f"detail.{instruction.step}.{row}"]


def _conv_in(layout: Layout, instruction: Instruction) -> Words:
    """line of the weights, of the result, of gain and shift; 1 if it is a rehearsal."""
    return [
        layout.convolutions.at["conv.0"],
        layout.work.at["detail.0"],
        _detail(layout, instruction, 0),
        _detail(layout, instruction, 1),
        instruction.fields.get("rehearsal", 0),
    ]


def _conv(layout: Layout, instruction: Instruction) -> Words:
    """line of the weights, of the result, of gain and shift, of the source; 1 if residual, 1 if it
    is a rehearsal.
    """
    layer = instruction.fields["layer"]
    return [
        layout.convolutions.at[f"conv.{layer + 1}"],
        layout.work.at[f"detail.{(layer + 1) % 2}"],
        _detail(layout, instruction, 2 * layer + 2),
        _detail(layout, instruction, 2 * layer + 3),
        layout.work.at[f"detail.{layer % 2}"],
        int(layer > 0),
        instruction.fields.get("rehearsal", 0),
    ]


def _conv_out(layout: Layout, instruction: Instruction) -> Words:
    """line of the weights, of the source, of the Euler coefficients; 1 in the last step, 1 in the
    first, 1 if it is a rehearsal.
    """
    return [
        layout.convolutions.at["conv.out"],
        layout.work.at[f"detail.{layout.plan.detail_depth % 2}"],
        layout.control.at[f"euler.{instruction.step}"],
        instruction.fields["last"],
        int(instruction.step == 0),
        instruction.fields.get("rehearsal", 0),
    ]


ENCODERS: dict[Opcode, Callable[[Layout, Instruction], Words]] = {
    Opcode.UNPACK: _unpack,
    Opcode.PART: _part,
    Opcode.EMBED: _embed,
    Opcode.QKV: _qkv,
    Opcode.ATTEND_PART: _attend,
    Opcode.ATTEND: _attend,
    Opcode.RESIDUAL: _residual,
    Opcode.UP: _up,
    Opcode.HEAD: _head,
    Opcode.CONV_IN: _conv_in,
    Opcode.CONV: _conv,
    Opcode.CONV_OUT: _conv_out,
    Opcode.MERGE: _merge,
    Opcode.FINISH: _finish,
}
