"""`FramePlan` -> tile instructions on named buffers, with the counters that order them."""

from __future__ import annotations

from everframe.runtime.megakernel.isa import SEGMENTS, TaskGraph
from everframe.runtime.megakernel.lower_blocks import lower_block
from everframe.runtime.megakernel.lower_pixels import (
    SHOWN,
    lower_embed,
    lower_head,
    lower_rehearsals,
    lower_unpack,
)
from everframe.runtime.megakernel.lower_state import PIXELS, Lowering, Phase, Span, spans
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.tiles import AFFINE, Tiles


def buffers_of(plan: FramePlan, tiles: Tiles) -> dict[str, Span]:
    """All buffers that instructions read and write: rows and columns."""
    n, d = plan.tokens, plan.width
    positions = plan.map_rows * plan.map_cols
    inner = max(block.heads for block in plan.blocks) * plan.head_dim
    heads = max(block.heads for block in plan.blocks)
    squares = len(spans(d, tiles.model_cols))
    table = {f"patch.{name}": (n, plan.patch_channels) for name in SEGMENTS[:4]}
    table |= {f"map.{SEGMENTS[i]}": (n, plan.patch_channels) for i in SHOWN}
    table |= {"patch.noisy": (positions, PIXELS), "z": (positions, PIXELS)}
    table |= {f"input.{name}": (n, plan.patch_channels) for name in SEGMENTS[:4]}
    table["input.noisy"] = (positions, PIXELS)
    table |= {f"embed.{part}": (n, d) for part in range(tiles.embed_sums)}
    table |= {"x": (n, d), "scaled": (n, d), "squares": (n, squares), "q": (n, inner)}
    table |= {f"kv.{parity}": (n, 2 * inner) for parity in range(2)}
    table |= {"o": (n, inner), "h": (n, max(block.ffn for block in plan.blocks))}
    table |= {
        f"attend.{part}": (n, heads * (plan.head_dim + 2)) for part in range(tiles.attend_sums)
    }
    table |= {f"sum.{part}": (n, d) for part in range(tiles.residual_sums)}
    table["head"] = (n, plan.patch_channels + AFFINE + 2 * plan.detail_channels)
    table |= {f"detail.{parity}": (positions, plan.detail_channels) for parity in range(2)}
    table["frame"] = (positions, PIXELS)
    for block in plan.history_blocks:
        assert block.new_slot is not None
        table[block.new_slot] = (n, 2 * block.heads * plan.head_dim)
    return table


def lower(plan: FramePlan, tiles: Tiles, steps: int) -> TaskGraph:
    """All instructions of a frame of `steps` denoising steps."""
    state = Lowering(plan=plan, tiles=tiles, steps=steps)
    fresh = lower_unpack(state)
    parts: Phase | None = None
    for step in range(steps):
        ready, parts = lower_embed(state, step, fresh, parts)
        for block in plan.blocks:
            ready = lower_block(state, step, block, ready)
        fresh = lower_head(state, step, ready, fresh.maps)
    return TaskGraph(
        instructions=tuple(state.instructions),
        buffers=buffers_of(plan, tiles),
        external=frozenset(f"input.{name}" for name in SEGMENTS),
        totals=tuple(state.totals),
        order=tiles.order,
        rehearsals=lower_rehearsals(state) if tiles.rehearsed else (),
    )
