"""What to keep: the network of the greatest importance within a latency budget, exactly
(docs/model.md, equations 20-21).

Costs come from a measured `CostTable`, so that steps in them (tiles, waves, vector widths) count as
they are. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from everframe.arch.cost import CostTable
from everframe.arch.spec import BlockSpec, Spec
from everframe.core.errors import UserError

Array = NDArray[np.float64]
Only = Literal["both", "depth", "width", "history"]
ONLY: tuple[Only, ...] = get_args(Only)
FRONT = 20_000
"""Undominated choices that are followed. Where there are more, which takes some ten blocks, one is
kept in each of so many equal parts of the budget.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValue:
    """Importance within one block: `heads` [H] and `ffn` [F], 0 or more; the value of keeping some
    of them is their sum. history: the part of what the heads are worth, 0 to 1, that is gone when
    they see this frame only; None if that is not known, and then past frames are not cut off.
    """

    heads: Array
    ffn: Array
    history: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays of one block: rising indices of heads and of feed-forward channels, and whether
    the heads still see past frames (if they did).
    """

    heads: tuple[int, ...]
    ffn: tuple[int, ...]
    history: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A shape that a block may take, with its cost (ms) and value."""

    heads: int
    ffn: int
    history: bool
    cost_ms: float
    value: float

    @property
    def stays(self) -> bool:
        """Whether anything is left of the block."""
        return self.heads + self.ffn > 0


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
            history_frames=block.history_frames if k.heads and k.history else 0,
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
    """Keep what is worth most within the budget (equation 21): exact for networks of a few blocks,
    and never above the budget (`FRONT`).

    At least one block stays.

    Args:
        spec: the network to prune.
        values: importance, per block.
        table: costs of blocks.
        budget_ms: for one denoising step.
        only: `depth` keeps or drops whole blocks, `width` drops no half of a block and no past
            frames, `history` drops nothing else.

    Raises:
        UserError: the smallest network costs more than the budget, or the table does not fit.
    """
    if table.total(spec) <= budget_ms:
        return everything(spec)
    options = [
        _options(block, value, table, only)
        for block, value in zip(spec.blocks, values, strict=True)
    ]
    least = _smallest(options)
    least_ms = table.fixed_ms + sum(option.cost_ms for option in least)
    if not budget_ms >= least_ms:
        raise UserError(
            f"a budget of {budget_ms:g} ms is below the smallest network, {least_ms:.3f} ms "
            f"({table.fixed_ms:.3f} ms of it is not in blocks); give --budget-ms at least that"
        )
    chosen = _solve(options, table.fixed_ms, budget_ms) or least
    return tuple(
        Kept(
            heads=best(value.heads, option.heads),
            ffn=best(value.ffn, option.ffn),
            history=option.history,
        )
        for value, option in zip(values, chosen, strict=True)
    )


def _options(block: BlockSpec, value: BlockValue, table: CostTable, only: Only) -> list[Option]:
    """All shapes of a block: the widths of the table, and its own."""
    ffn = sorted({0, block.ffn, *(width for width in table.ffn if width < block.ffn)})
    by_heads = np.concatenate([[0.0], np.cumsum(-np.sort(-value.heads))])
    by_ffn = np.concatenate([[0.0], np.cumsum(-np.sort(-value.ffn))])
    found: list[Option] = []
    for history, h, f in product((True, False), range(block.heads + 1), ffn):
        if not _allowed(block, value, only, (h, f, history)):
            continue
        share = 1.0 if history else 1.0 - (value.history or 0.0)
        attention_ms = table.attention(h, block.history_frames if history else 0)
        found.append(
            Option(
                heads=h,
                ffn=f,
                history=history,
                cost_ms=attention_ms + table.feed_forward(f),
                value=float(by_heads[h] * share + by_ffn[f]),
            )
        )
    return _undominated(found)


def _allowed(block: BlockSpec, value: BlockValue, only: Only, shape: tuple[int, int, bool]) -> bool:
    """Whether a block may become `shape`: heads, channels, whether it sees past frames."""
    h, f, history = shape
    if not history and not (h and block.history_frames and value.history is not None):
        return False
    whole, gone = (h, f) == (block.heads, block.ffn), h + f == 0
    match only:
        case "both":
            return True
        case "depth":
            return history and (whole or gone)
        case "width":
            return history and not ((block.heads and not h) or (block.ffn and not f))
        case "history":
            return whole


def _undominated(options: Sequence[Option]) -> list[Option]:
    """Without options that another one beats for the same cost or less."""
    kept: list[Option] = []
    for stays in (False, True):
        top = -1.0
        same = [option for option in options if option.stays == stays]
        for option in sorted(same, key=lambda o: (o.cost_ms, -o.value)):
            if option.value > top:
                kept.append(option)
                top = option.value
    return kept


def _smallest(options: Sequence[Sequence[Option]]) -> list[Option]:
    """The cheapest network of which a block stays."""

    def cost(option: Option) -> float:
        return option.cost_ms

    cheapest = [min(block, key=cost) for block in options]
    if any(option.stays for option in cheapest):
        return cheapest
    ways: list[tuple[float, int, Option]] = []
    for i, block in enumerate(options):
        able = [option for option in block if option.stays]
        if able:
            one = min(able, key=cost)
            ways.append((one.cost_ms - cheapest[i].cost_ms, i, one))
    _, place, one = min(ways, key=lambda way: way[:2])
    return [one if i == place else option for i, option in enumerate(cheapest)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """Undominated choices for the blocks so far, by rising cost and worth. option: of the last
    block; parent: place in the front before; stayed: which of the two fronts before that was.
    """

    cost_ms: Array
    worth: Array
    option: NDArray[np.intp]
    parent: NDArray[np.intp]
    stayed: NDArray[np.intp]

    @staticmethod
    def of(columns: NDArray[np.float64], bin_ms: float) -> _Front:
        """Keep what no other choice beats at the same cost or less; `columns` [5, n]."""
        order = np.lexsort((-columns[1], columns[0]))
        columns = columns[:, order]
        if columns.shape[1]:
            so_far = np.maximum.accumulate(columns[1])
            columns = columns[:, np.concatenate([[True], columns[1, 1:] > so_far[:-1]])]
        if columns.shape[1] > FRONT:  # the last of a bin has the greatest worth
            bins = np.floor(columns[0] / bin_ms)
            columns = columns[:, np.concatenate([bins[1:] != bins[:-1], [True]])]
        option, parent, stayed = columns[2:].astype(np.intp)
        return _Front(
            cost_ms=columns[0],
            worth=columns[1],
            option=option,
            parent=parent,
            stayed=stayed,
        )


def _solve(
    options: Sequence[Sequence[Option]], fixed_ms: float, budget_ms: float
) -> list[Option] | None:
    """Multiple-choice knapsack, block by block: one option each. None: nothing fits.

    Two fronts are kept: networks without a block yet, and those that have one.
    """
    rest_ms = [min(o.cost_ms for o in block) for block in options]
    none = np.zeros((5, 0))
    fronts = [[_Front.of(np.zeros((5, 1)), 1.0), _Front.of(none, 1.0)]]
    bin_ms = max(budget_ms - fixed_ms, 1e-9) / FRONT
    for index, block in enumerate(options):
        left_ms = sum(rest_ms[index + 1 :]) * (1 - 1e-9)
        grown: list[list[NDArray[np.float64]]] = [[none], [none]]
        for number, option in enumerate(block):
            for state in (0, 1):
                front = fronts[-1][state]
                cost = front.cost_ms + option.cost_ms
                fits = np.flatnonzero(fixed_ms + cost + left_ms <= budget_ms)
                columns = np.zeros((5, len(fits)))
                columns[0], columns[1] = cost[fits], front.worth[fits] + option.value
                columns[2], columns[3], columns[4] = number, fits, state
                grown[state | int(option.stays)].append(columns)
        fronts.append([_Front.of(np.concatenate(parts, 1), bin_ms) for parts in grown])
    if not len(fronts[-1][1].worth):
        return None
    state, place = 1, len(fronts[-1][1].worth) - 1
    chosen: list[Option] = []
    for index in reversed(range(len(options))):
        front = fronts[index + 1][state]
        chosen.append(options[index][front.option[place]])
        state, place = int(front.stayed[place]), int(front.parent[place])
    return chosen[::-1]
