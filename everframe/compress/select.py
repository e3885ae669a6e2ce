"""What to keep: the network of the greatest importance within a latency budget, exactly
(docs/model.md, equations 20-21).

Costs come from a measured `CostTable`, so that steps in them (tiles, waves, vector widths) count as
they are. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from everframe.arch.cost import CostTable
from everframe.arch.spec import BlockSpec, Spec
from everframe.core.errors import UserError

Array = NDArray[np.float64]
Only = Literal["both", "depth", "width"]
ONLY: tuple[Only, ...] = get_args(Only)
BINS = 20_000
"""Parts of the budget: costs are rounded up to one of them, so that a sum never exceeds it."""
IMPOSSIBLE = -np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValue:
    """Importance within one block: `heads` [H] and `ffn` [F], 0 or more; the value of keeping some
    of them is their sum.
    """

    heads: Array
    ffn: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays of one block: rising indices of heads and of feed-forward channels."""

    heads: tuple[int, ...]
    ffn: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A shape that a block may take, with its cost (ms) and value."""

    heads: int
    ffn: int
    cost_ms: float
    value: float
    remembers: bool


def everything(spec: Spec) -> tuple[Kept, ...]:
    """All heads and channels of all blocks."""
    return tuple(
        Kept(heads=tuple(range(block.heads)), ffn=tuple(range(block.ffn))) for block in spec.blocks
    )


def shape_of(spec: Spec, kept: Sequence[Kept]) -> Spec:
    """The network that is left; blocks of which nothing is kept are gone."""
    blocks = [
        BlockSpec(
            heads=len(k.heads),
            ffn=len(k.ffn),
            history_frames=block.history_frames if k.heads else 0,
        )
        for block, k in zip(spec.blocks, kept, strict=True)
        if k.heads or k.ffn
    ]
    return Spec.from_dict(spec.to_dict() | {"blocks": [_plain(block) for block in blocks]})


def _plain(block: BlockSpec) -> dict[str, int]:
    return {"heads": block.heads, "ffn": block.ffn, "history_frames": block.history_frames}


def best(values: Array, count: int) -> tuple[int, ...]:
    """Indices of the `count` greatest values, rising; of equal ones the first."""
    order = np.argsort(-values, kind="stable")[:count]
    return tuple(sorted(int(i) for i in order))


def choose(
    spec: Spec,
    values: Sequence[BlockValue],
    table: CostTable,
    budget_ms: float,
    only: Only = "both",
) -> tuple[Kept, ...]:
    """Keep what is worth most within the budget (equation 21).

    A network with history keeps at least one block that sees it.

    Args:
        spec: the network to prune.
        values: importance, per block.
        table: costs of blocks.
        budget_ms: for one denoising step.
        only: `depth` keeps or drops whole blocks, `width` drops no half of a block.

    Raises:
        UserError: the smallest network costs more than the budget, or the table does not fit.
    """
    if table.total(spec) <= budget_ms:
        return everything(spec)
    options = [
        _options(spec, block, value, table, only)
        for block, value in zip(spec.blocks, values, strict=True)
    ]
    least = _smallest(options)
    least_ms = table.fixed_ms + sum(option.cost_ms for option in least)
    if not budget_ms >= least_ms:
        raise UserError(
            f"a budget of {budget_ms:g} ms is below the smallest network, {least_ms:.3f} ms "
            f"({table.fixed_ms:.3f} ms of it is not in blocks); give --budget-ms at least that"
        )
    chosen = _solve(options, budget_ms - table.fixed_ms) or least
    return tuple(
        Kept(heads=best(value.heads, option.heads), ffn=best(value.ffn, option.ffn))
        for value, option in zip(values, chosen, strict=True)
    )


def _options(
    spec: Spec, block: BlockSpec, value: BlockValue, table: CostTable, only: Only
) -> list[Option]:
    """All shapes of a block: the widths of the table, and its own."""
    heads = range(block.heads + 1)
    ffn = sorted({0, block.ffn, *(width for width in table.ffn if width < block.ffn)})
    by_heads = np.concatenate([[0.0], np.cumsum(-np.sort(-value.heads))])
    by_ffn = np.concatenate([[0.0], np.cumsum(-np.sort(-value.ffn))])
    found: list[Option] = []
    for h in heads:
        attention_ms = table.attention(h, block.history_frames)
        for f in ffn:
            whole = (h, f) == (block.heads, block.ffn)
            gone = h + f == 0
            halved = (block.heads and not h) or (block.ffn and not f)
            if (only == "depth" and not whole and not gone) or (only == "width" and halved):
                continue
            found.append(
                Option(
                    heads=h,
                    ffn=f,
                    cost_ms=attention_ms + table.feed_forward(f),
                    value=float(by_heads[h] + by_ffn[f]),
                    remembers=bool(h and block.history_frames) if spec.window else not gone,
                )
            )
    return found


def _smallest(options: Sequence[Sequence[Option]]) -> list[Option]:
    """The cheapest network that remembers something."""

    def cost(option: Option) -> float:
        return option.cost_ms

    cheapest = [min(block, key=cost) for block in options]
    if any(option.remembers for option in cheapest):
        return cheapest
    ways: list[tuple[float, int, Option]] = []
    for i, block in enumerate(options):
        able = [option for option in block if option.remembers]
        if able:
            one = min(able, key=cost)
            ways.append((one.cost_ms - cheapest[i].cost_ms, i, one))
    _, place, one = min(ways, key=lambda way: way[:2])
    return [one if i == place else option for i, option in enumerate(cheapest)]


def _solve(options: Sequence[Sequence[Option]], room_ms: float) -> list[Option] | None:
    """Multiple-choice knapsack: one option per block. None: nothing fits after rounding.

    `worth[r, b]` is the greatest value of the blocks so far at a cost of at most b bins; r: whether
    one of them remembers.
    """
    unit = room_ms / BINS
    worth = np.full((2, BINS + 1), IMPOSSIBLE)
    worth[0] = 0.0
    taken: list[NDArray[np.int16]] = []
    before: list[NDArray[np.int8]] = []
    bins = [[int(np.ceil(o.cost_ms / unit - 1e-9)) for o in block] for block in options]
    for block, costs in zip(options, bins, strict=True):
        new = np.full_like(worth, IMPOSSIBLE)
        pick = np.full(worth.shape, -1, np.int16)
        origin = np.zeros(worth.shape, np.int8)
        for number, (option, cost) in enumerate(zip(block, costs, strict=True)):
            if cost > BINS:
                continue
            for state in (0, 1):
                after = state | int(option.remembers)
                candidate = worth[state, : BINS + 1 - cost] + option.value
                better = candidate > new[after, cost:]
                new[after, cost:][better] = candidate[better]
                pick[after, cost:][better] = number
                origin[after, cost:][better] = state
        worth = new
        taken.append(pick)
        before.append(origin)
    if worth[1].max() == IMPOSSIBLE:
        return None
    state, place = 1, int(np.argmax(worth[1]))
    chosen: list[Option] = []
    for index in reversed(range(len(options))):
        number = int(taken[index][state, place])
        chosen.append(options[index][number])
        state = int(before[index][state, place])
        place -= bins[index][number]
    return chosen[::-1]
