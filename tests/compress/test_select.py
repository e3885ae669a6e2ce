"""The choice within a budget: as good as trying everything, and never dearer than allowed."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from everframe.arch.cost import CostTable, flop_table
from everframe.arch.spec import BlockSpec, Spec
from everframe.compress.select import ONLY, BlockValue, Kept, Only, choose, everything, shape_of
from everframe.core.errors import UserError
from tests.nets import TINY

SPEC = replace(
    TINY,
    blocks=(
        BlockSpec(heads=2, ffn=48),
        BlockSpec(heads=3, ffn=32, history_frames=2),
        BlockSpec(heads=1, ffn=64, history_frames=2),
    ),
)
TABLE = CostTable(
    width=SPEC.width,
    head_dim=SPEC.head_dim,
    tokens=6,
    size=(32, 48),
    fixed_ms=2.0,
    heads=(0, 1, 2, 3),
    attention_ms={0: (0.0, 0.5, 0.5, 1.0), 2: (0.0, 0.75, 1.0, 1.75)},
    ffn=(0, 16, 32, 48, 64),
    ffn_ms=(0.0, 0.25, 0.75, 0.75, 1.0),
)
"""Quarters of a millisecond, with steps."""


def random_values(seed: int, spec: Spec = SPEC) -> list[BlockValue]:
    rng = np.random.default_rng(seed)
    return [
        BlockValue(
            heads=rng.random(b.heads) * 8,
            ffn=rng.random(b.ffn),
            history=rng.random() if b.history_frames else None,
        )
        for b in spec.blocks
    ]


def worth(values: list[BlockValue], kept: tuple[Kept, ...]) -> float:
    return sum(
        float(
            v.heads[list(k.heads)].sum() * (1 if k.history else 1 - (v.history or 0))
            + v.ffn[list(k.ffn)].sum()
        )
        for v, k in zip(values, kept, strict=True)
    )


def allowed(block: BlockSpec, heads: int, ffn: int, past: int, only: Only) -> bool:
    whole = (heads, ffn) == (block.heads, block.ffn)
    same = past == (block.history_frames if heads else 0)
    return {
        "both": True,
        "depth": same and (whole or (heads, ffn) == (0, 0)),
        "width": same and heads > 0 and ffn > 0,
        "history": whole,
    }[only]


def tried(values: list[BlockValue], budget_ms: float, only: Only) -> float:
    """The greatest worth over every network."""
    shapes = [
        [
            (h, f, past)
            for h in range(block.heads + 1)
            for f in TABLE.ffn
            for past in {0, block.history_frames if h else 0}
            if f <= block.ffn and allowed(block, h, f, past, only)
        ]
        for block in SPEC.blocks
    ]
    found = -1.0
    for network in product(*shapes):
        blocks = [
            BlockSpec(heads=h, ffn=f, history_frames=past) for h, f, past in network if h or f
        ]
        cost = TABLE.fixed_ms + sum(TABLE.block(block) for block in blocks)
        if blocks and cost <= budget_ms + 1e-9:
            total = sum(
                float(
                    np.sort(v.heads)[::-1][:h].sum() * (1 if past else 1 - (v.history or 0))
                    + np.sort(v.ffn)[::-1][:f].sum()
                )
                for v, (h, f, past) in zip(values, network, strict=True)
            )
            found = max(found, total)
    return found


@pytest.mark.parametrize("only", ONLY)
@pytest.mark.parametrize("budget_ms", [4.5, 5.5, 6.25, 7.0])
def test_the_choice_is_the_best_of_all_networks(budget_ms: float, only: Only) -> None:
    for seed in range(4):
        values = random_values(seed)
        least = {"width": 4.75, "history": 6.75}.get(only, 0.0)
        if budget_ms < least:
            with pytest.raises(UserError, match="below the smallest network"):
                choose(SPEC, values, TABLE, budget_ms, only)
            continue
        kept = choose(SPEC, values, TABLE, budget_ms, only)
        assert TABLE.total(shape_of(SPEC, kept)) <= budget_ms
        assert worth(values, kept) == pytest.approx(tried(values, budget_ms, only))


@pytest.mark.parametrize("seed", range(5))
def test_odd_costs_stay_within_the_budget(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = replace(
        TABLE,
        attention_ms={a: (0.0, *rng.random(3)) for a in (0, 2)},
        ffn_ms=(0.0, *rng.random(4)),
    )
    whole = table.total(SPEC)
    for share in (0.4, 0.7, 0.99):
        budget_ms = table.fixed_ms + share * (whole - table.fixed_ms)
        kept = choose(SPEC, random_values(seed), table, budget_ms)
        assert table.total(shape_of(SPEC, kept)) <= budget_ms


def test_a_budget_above_the_cost_keeps_everything() -> None:
    nothing = [BlockValue(heads=v.heads * 0, ffn=v.ffn * 0) for v in random_values(0)]
    kept = choose(SPEC, nothing, TABLE, TABLE.total(SPEC))
    assert kept == everything(SPEC)
    assert shape_of(SPEC, kept) == SPEC


def test_the_staircase_counts() -> None:
    """Two heads cost what one costs, and 48 channels what 32 cost: the larger ones are taken."""
    values = [BlockValue(heads=np.ones(b.heads), ffn=np.ones(b.ffn)) for b in SPEC.blocks]
    for budget_ms in np.arange(3.0, TABLE.total(SPEC), 0.25):
        first = choose(SPEC, values, TABLE, float(budget_ms))[0]
        assert len(first.heads) != 1
        assert len(first.ffn) != 32


def test_the_best_heads_and_channels_stay_in_their_order() -> None:
    values = random_values(3)
    kept = choose(SPEC, values, TABLE, 5.5)
    for value, keep in zip(values, kept, strict=True):
        for scores, chosen in ((value.heads, keep.heads), (value.ffn, keep.ffn)):
            left = set(range(len(scores))) - set(chosen)
            assert list(chosen) == sorted(chosen)
            assert all(scores[i] >= scores[j] for i in chosen for j in left)


def test_past_frames_go_first_where_they_are_worth_nothing_and_stay_where_much() -> None:
    saved_ms = 0.75 + 0.25
    budget_ms = TABLE.total(SPEC) - saved_ms
    for worth_of_it, window in ((0.0, 0), (1.0, 2)):
        values = [
            replace(v, history=worth_of_it if b.history_frames else None)
            for v, b in zip(random_values(0), SPEC.blocks, strict=True)
        ]
        left = shape_of(SPEC, choose(SPEC, values, TABLE, budget_ms))
        assert left.window == window
        assert (parameters(left) == parameters(SPEC)) == (window == 0)


def parameters(spec: Spec) -> list[tuple[int, int]]:
    return [(block.heads, block.ffn) for block in spec.blocks]


def test_past_frames_of_unknown_worth_are_not_cut_off() -> None:
    values = [replace(value, history=None) for value in random_values(1)]
    for only in ("both", "width", "depth"):
        for block in shape_of(SPEC, choose(SPEC, values, TABLE, 5.5, only)).blocks:
            assert block.heads == 0 or block.history_frames in {
                x.history_frames for x in SPEC.blocks
            }
    with pytest.raises(UserError, match="below the smallest network"):
        choose(SPEC, values, TABLE, 7.0, "history")


@pytest.mark.parametrize("budget_ms", [1.0, 2.2, 0.0, -1.0, float("nan")])
def test_a_budget_below_the_smallest_network_names_it(budget_ms: float) -> None:
    with pytest.raises(UserError, match=r"smallest network, 2\.250 ms.*--budget-ms"):
        choose(SPEC, random_values(0), TABLE, budget_ms)
    kept = choose(SPEC, random_values(0), TABLE, 2.25)
    assert TABLE.total(shape_of(SPEC, kept)) == 2.25


def test_operations_and_milliseconds_choose_differently() -> None:
    """The control: where time has steps, counting operations buys less for the same time."""
    values = [BlockValue(heads=np.ones(b.heads), ffn=np.ones(b.ffn)) for b in SPEC.blocks]
    counted = flop_table(SPEC, 32, 48, like=TABLE)
    budget_ms = 4.5
    by_flops = choose(SPEC, values, counted, budget_ms)
    assert counted.total(shape_of(SPEC, by_flops)) <= budget_ms
    assert by_flops != choose(SPEC, values, TABLE, budget_ms)
