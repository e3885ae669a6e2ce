"""A transformer block in tile instructions: QKV, attention, out, up, down."""

from __future__ import annotations

from collections.abc import Sequence

from everframe.runtime.megakernel.isa import (
    Matrix,
    Opcode,
    Read,
    Region,
    Wait,
    attention_cost,
    sum_cost,
)
from everframe.runtime.megakernel.lower_state import (
    Lowering,
    Phase,
    Span,
    region,
    shares,
    spans,
)
from everframe.runtime.megakernel.plan import BlockPlan
from everframe.runtime.megakernel.tiles import MAX_HEAD_DIM, PANEL

RESIDUAL_BYTES, PART_BYTES = 10, 4
"""Per number of a tile: tokens read and written, next operand; a partial sum. See
`isa.matrix_cost`.
"""
LIGHTER = 4
"""Key tiles that take as long as gathering and merging: for D 11 us, a tile 2.4."""
QUERY, KEY, VALUE = range(3)


def lower_block(state: Lowering, step: int, block: BlockPlan, ready: Phase) -> Phase:
    """Emit a block; `ready` counts its operands, the result those of the next block."""
    if block.heads:
        memory = _memory(state, step, block)
        queries, keys = _qkv(state, step, block, ready, memory)
        attended = _attend(state, step, block, (queries, keys), memory)
        out = (Matrix.OUT, block, block.heads * state.plan.head_dim, "o")
        ready = _residual(state, step, out, attended, state.tiles.out_parts)
    if not block.ffn:
        return ready
    raised = _up(state, step, block, ready)
    down = (Matrix.DOWN, block, block.ffn, "h")
    return _residual(state, step, down, raised, state.tiles.down_parts)


def _memory(state: Lowering, step: int, block: BlockPlan) -> str:
    """Where keys and values of this frame go: into the memory in the last step, else to scratch
    that two attentions in turn may not share.
    """
    if step == state.steps - 1 and block.new_slot is not None:
        return block.new_slot
    return f"kv.{state.plan.parity(step, block)}"


def norm_reads(state: Lowering, rows: Span) -> list[Read]:
    """Operand and squares of a norm that the producer left behind."""
    squares = len(spans(state.plan.width, state.tiles.model_cols))
    return [
        Read(region("scaled", rows, (0, state.plan.width))),
        Read(region("squares", rows, (0, squares))),
    ]


def _qkv(
    state: Lowering, step: int, block: BlockPlan, ready: Phase, memory: str
) -> tuple[Phase, Phase]:
    """Keys and values first: all attention waits for them."""
    blocks, k = state.row_blocks(), state.plan.head_dim
    queries, keys = state.phase(len(blocks)), state.phase(len(blocks))
    inner = block.heads * k
    for section in (KEY, VALUE, QUERY):
        for m, rows in enumerate(blocks):
            for heads in spans(block.heads, state.tiles.qkv_heads):
                cols = (heads[0] * k, heads[1] * k)
                made = region("q", rows, cols)
                if section != QUERY:
                    start = (section - KEY) * inner
                    made = region(memory, rows, (start + cols[0], start + cols[1]))
                state.emit(
                    Opcode.QKV,
                    f"blocks.{block.index}.qkv.{section}",
                    (step, rows, cols),
                    fields={
                        "block": block.index,
                        "section": section,
                        "last": int(memory == block.new_slot),
                    },
                    access=(norm_reads(state, rows), [made]),
                    waits=[state.wait(ready, (m, m + 1))],
                    signal=(queries if section == QUERY else keys).first + m,
                    cost=state.matrix_cost(rows, cols[1] - cols[0], state.plan.width),
                )
    return queries, keys


def key_tiles(tokens: int, prompt: int, history: int, size: int) -> tuple[int, int]:
    """(full tiles of the keys of each frame, tiles of what is left: the last keys of each frame and
    those of the prompt). In this order: age 1, age 2 ..., this frame, what is left.
    """
    left = tokens % size * (history + 1) + prompt
    return tokens // size, -(-left // size)


def _attend(
    state: Lowering,
    step: int,
    block: BlockPlan,
    ready: tuple[Phase, Phase],
    memory: str,
) -> Phase:
    blocks, tiles = state.row_blocks(), state.tiles
    full, left = key_tiles(
        state.plan.tokens, state.plan.prompt_tokens, block.history_frames, tiles.keys
    )
    past = full * block.history_frames
    total = past + full + left
    parts = min(tiles.attend_parts, total)
    apart = parts > 1 and tiles.merge_rows > 0
    merged = state.phase(len(blocks) * block.heads)
    done = state.phase(len(blocks))
    fields = {"block": block.index, "parts": parts, "last": int(memory == block.new_slot)}
    for part, (low, high) in enumerate(_key_shares(state, total, parts)):
        whole = {"part": part, "first_tile": low, "last_tile": high}
        current = high > past
        for m, rows in enumerate(blocks):
            for head in range(block.heads):
                reads, writes, waits = _attention_access(
                    state, block, (rows, head), (parts, memory if current else "")
                )
                waits += [state.wait(ready[0], (m, m + 1))]
                if current:
                    waits += [state.wait(ready[1], (0, len(blocks)), 1)]
                own = part == parts - 1 and not apart
                counter = merged.first + m * block.heads + head
                if own and parts > 1:
                    waits += [Wait(2, counter, 1, parts - 1)]
                if not own:
                    writes, reads = [_partial(state, rows, head, part)], reads[: 1 + 2 * current]
                state.emit(
                    Opcode.ATTEND if own else Opcode.ATTEND_PART,
                    f"blocks.{block.index}.attend.{part}",
                    (step, rows, (head, head + 1)),
                    fields=fields | whole | {"head": head},
                    access=(reads, writes),
                    waits=waits,
                    signal=done.first + m if own else counter,
                    cost=_attention_cost(state, rows, high - low, parts - 1 if own else 0),
                )
    if apart:
        _merge(state, step, block, (merged, done), parts)
    return done


def _merge(
    state: Lowering, step: int, block: BlockPlan, phases: tuple[Phase, Phase], parts: int
) -> None:
    """Add the parts of attention by few rows at a time: a tile of 64 rows is added for 4 us."""
    merged, done = phases
    k = state.plan.head_dim
    for m, whole in enumerate(state.row_blocks()):
        for head in range(block.heads):
            for rows in state.slices(whole, state.tiles.merge_rows):
                state.emit(
                    Opcode.MERGE,
                    f"blocks.{block.index}.merge",
                    (step, rows, (head * k, (head + 1) * k)),
                    fields={"block": block.index, "head": head, "parts": parts},
                    access=(
                        [Read(_partial(state, rows, head, part)) for part in range(parts)],
                        [region("o", rows, (head * k, (head + 1) * k))],
                    ),
                    waits=[Wait(0, merged.first + m * block.heads + head, 1, parts)],
                    signal=done.first + m,
                    cost=sum_cost(state.tiles.merge_rows, k, parts),
                )


def _attention_cost(state: Lowering, rows: Span, count: int, others: int) -> float:
    """Of `count` key tiles, and of adding `others`. Half of it where the Gluon kernel has half of
    the rows.
    """
    height, keys, k = state.tiles.rows, state.tiles.keys, state.plan.head_dim
    cost = attention_cost((height, keys), count, k, state.rates)
    cost += others * state.rates.added_us * k / MAX_HEAD_DIM
    half = state.tiles.gluon and rows[1] - rows[0] <= height // 2
    return cost / 2 if half else cost


def _key_shares(state: Lowering, total: int, parts: int) -> list[Span]:
    """Key tiles of each part. Where there are more tasks than multiprocessors the last, which also
    gathers keys and merges, gets fewer; elsewhere its merge waits for the others anyway.
    """
    if parts == 1 or state.tiles.rows <= PANEL or total < 2 * parts * LIGHTER:
        return shares(total, parts)
    cuts = shares(total + LIGHTER, parts)
    return [*cuts[:-1], (cuts[-1][0], total)]


def _partial(state: Lowering, rows: Span, head: int, part: int) -> Region:
    size = state.plan.head_dim + 2
    return region(f"attend.{part}", rows, (head * size, (head + 1) * size))


def _attention_access(
    state: Lowering, block: BlockPlan, where: tuple[Span, int], source: tuple[int, str]
) -> tuple[list[Read], list[Region], list[Wait]]:
    """Accesses of the task that merges; `source` is (parts, buffer of this frame's keys or '')."""
    (rows, head), (parts, memory) = where, source
    k = state.plan.head_dim
    cols = (head * k, (head + 1) * k)
    reads = [Read(region("q", rows, cols))]
    if memory:
        frame = (0, state.plan.tokens)
        inner = block.heads * k
        reads += [
            Read(region(memory, frame, (cols[0], cols[1])), 1),
            Read(region(memory, frame, (inner + cols[0], inner + cols[1])), 1),
        ]
    reads += [Read(_partial(state, rows, head, part), 2) for part in range(parts - 1)]
    return reads, [region("o", rows, cols)], []


def _residual(
    state: Lowering,
    step: int,
    matrix: tuple[Matrix, BlockPlan, int, str],
    ready: Phase,
    parts: int,
) -> Phase:
    """`x += gate * (source @ matrix)`, with the operand and the squares of the next norm."""
    weight, block, inner, source = matrix
    blocks = state.row_blocks()
    columns = spans(state.plan.width, state.tiles.model_cols)
    pieces = shares(-(-inner // 64), min(parts, -(-inner // 64)))
    merged, done = state.phase(len(blocks) * len(columns)), state.phase(len(blocks))
    fields = {"weight": int(weight), "block": block.index, "parts": len(pieces)}
    apart = len(pieces) > 1 and state.tiles.finish_rows > 0
    for part, piece in enumerate(pieces):
        panels = (piece[0] * 64, min(piece[1] * 64, inner))
        for m, rows in enumerate(blocks):
            for n, cols in enumerate(columns):
                own = part == len(pieces) - 1 and not apart
                counter = merged.first + m * len(columns) + n
                waits = [state.wait(ready, (m, m + 1))]
                reads = [Read(region(source, rows, panels))]
                writes = [region(f"sum.{part}", rows, cols)]
                if own:
                    reads += [Read(region("x", rows, cols))]
                    reads += [Read(region(f"sum.{i}", rows, cols), 2) for i in range(part)]
                    writes = norm_writes(rows, cols, n)
                if own and part:
                    waits += [Wait(2, counter, 1, part)]
                state.emit(
                    Opcode.RESIDUAL if own else Opcode.PART,
                    f"blocks.{block.index}.{weight.name.lower()}.{part}",
                    (step, rows, cols),
                    fields=fields | {"part": part, "share": part, "shares": len(pieces)},
                    access=(reads, writes),
                    waits=waits,
                    signal=done.first + m if own else counter,
                    cost=state.matrix_cost(
                        rows,
                        cols[1] - cols[0],
                        panels[1] - panels[0],
                        RESIDUAL_BYTES if own else PART_BYTES,
                    ),
                )
    if apart:
        waits = [Wait(0, merged.first + i, 1, len(pieces)) for i in range(merged.count)]
        finish(state, (step, f"blocks.{block.index}.{weight.name.lower()}"), fields, waits, done)
    return done


def finish(
    state: Lowering,
    what: tuple[int, str],
    fields: dict[str, int],
    waits: Sequence[Wait],
    done: Phase,
) -> None:
    """Tokens from all their partial sums, by few rows at a time; a wait for each tile of rows and
    columns. `what` is (step, name).
    """
    columns, size = spans(state.plan.width, state.tiles.model_cols), state.tiles.sum_rows
    embedding = fields["weight"] == Matrix.NOISY
    name = "embed" if embedding else "sum"
    for m, whole in enumerate(state.row_blocks()):
        for n, cols in enumerate(columns):
            for rows in state.slices(whole, size):
                state.emit(
                    Opcode.FINISH,
                    f"{what[1]}.finish",
                    (what[0], rows, cols),
                    fields=fields,
                    access=(
                        [
                            *(
                                Read(region(f"{name}.{i}", rows, cols))
                                for i in range(fields["parts"])
                            ),
                            *([] if embedding else [Read(region("x", rows, cols))]),
                        ],
                        norm_writes(rows, cols, n),
                    ),
                    waits=[waits[m * len(columns) + n]],
                    signal=done.first + m,
                    cost=sum_cost(size, cols[1] - cols[0], fields["parts"] + 2),
                )


def norm_writes(rows: Span, cols: Span, tile: int) -> list[Region]:
    """What a producer of tokens leaves: tokens, operand of the next norm, squares of its tile."""
    return [
        region("x", rows, cols),
        region("scaled", rows, cols),
        region("squares", rows, (tile, tile + 1)),
    ]


def _up(state: Lowering, step: int, block: BlockPlan, ready: Phase) -> Phase:
    blocks = state.row_blocks()
    done = state.phase(len(blocks))
    for m, rows in enumerate(blocks):
        for cols in spans(block.ffn, state.tiles.up_cols):
            state.emit(
                Opcode.UP,
                f"blocks.{block.index}.up",
                (step, rows, cols),
                fields={"block": block.index},
                access=(norm_reads(state, rows), [region("h", rows, cols)]),
                waits=[state.wait(ready, (m, m + 1))],
                signal=done.first + m,
                cost=state.matrix_cost(
                    rows, 2 * (cols[1] - cols[0]), state.plan.width, state.rates.swiglu_bytes
                ),
            )
    return done
