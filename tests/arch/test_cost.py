"""The cost table: interpolation, files, and the control that counts operations."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from everframe.arch.cost import CostTable, flop_table
from everframe.arch.flops import flops, step_flops
from everframe.arch.spec import BlockSpec, Spec
from everframe.core.errors import UserError
from everframe.diffusion.programs import step_program
from tests.nets import ALONE, HALVES, TINY, UNEVEN

TABLE = CostTable(
    width=TINY.width,
    head_dim=TINY.head_dim,
    tokens=6,
    size=(32, 48),
    fixed_ms=3.0,
    heads=(0, 1, 2),
    attention_ms={0: (0.0, 0.5, 0.75), 2: (0.0, 1.0, 1.5)},
    ffn=(0, 64, 128),
    ffn_ms=(0.0, 1.0, 1.25),
    engine="test",
)


def test_blocks_and_networks() -> None:
    assert TABLE.block(BlockSpec(heads=2, ffn=96)) == 0.75 + 1.125
    assert TABLE.block(BlockSpec(heads=0, ffn=32)) == 0.5
    assert TABLE.block(BlockSpec(heads=1, ffn=0, history_frames=2)) == 1.0
    assert TABLE.total(TINY) == 3 + (0.75 + 1.25) + (1.5 + 1.25)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (BlockSpec(heads=3, ffn=64), "ends at 2 heads, 3 were asked for"),
        (BlockSpec(heads=1, ffn=129), "ends at 128 feed-forward channels"),
        (BlockSpec(heads=1, ffn=1, history_frames=1), "0, 2 past frames, not 1"),
    ],
)
def test_it_does_not_guess(block: BlockSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TABLE.block(block)


def test_a_table_for_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="width 64 and heads of 32, the model has 48 and 16"):
        TABLE.total(UNEVEN)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    TABLE.save(path)
    assert CostTable.load(path) == TABLE
    data = json.loads(path.read_text())
    for broken in (
        "{}",
        "3",
        "no",
        json.dumps({**data, "extra": 1}),
        json.dumps({**data, "ffn_ms": [0, -1, 2]}),
        json.dumps({**data, "heads": [0, 2]}),
    ):
        path.write_text(broken)
        with pytest.raises(UserError, match="everframe bench blocks"):
            CostTable.load(path)
    with pytest.raises(UserError, match="cannot read"):
        CostTable.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "spec", [TINY, UNEVEN, HALVES, ALONE], ids=["tiny", "uneven", "halves", "alone"]
)
def test_operations_are_those_of_the_step_that_engines_run(spec: Spec) -> None:
    assert step_flops(spec, 32, 48) == flops(step_program(spec, 32, 48))


def test_the_control_agrees_on_the_whole_and_counts_each_part() -> None:
    table = flop_table(TINY, 32, 48, like=TABLE)
    assert table.total(TINY) == pytest.approx(TABLE.total(TINY))
    assert table.fixed_ms == TABLE.fixed_ms
    assert table.ffn_ms[2] == pytest.approx(2 * table.ffn_ms[1])
    less = replace(TINY, blocks=(BlockSpec(heads=1, ffn=64), TINY.blocks[1]))
    none = replace(TINY, blocks=(TINY.blocks[1],))
    counts = [step_flops(spec, 32, 48) for spec in (TINY, less, none)]
    costs = [table.total(spec) for spec in (TINY, less, none)]
    ratios = [(x[0] - x[1]) / (x[0] - x[2]) for x in (counts, costs)]
    assert ratios[0] == pytest.approx(ratios[1])
