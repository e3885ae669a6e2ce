"""The whole way on toy data: score, choose, recover, take the best; and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.cli.main import main
from everframe.compress.prune import PrunePlan, Run, Scores, prune
from everframe.compress.select import Only
from everframe.core.errors import UserError
from tests.nets import HALVES, TINY, random_bundle
from tests.train.toy import CONFIG, ONE, ToyDraw

TABLE = CostTable(
    width=TINY.width,
    head_dim=TINY.head_dim,
    tokens=4,
    size=(32, 32),
    fixed_ms=2.0,
    heads=(0, 1, 2),
    attention_ms={0: (0.0, 0.5, 0.75), 2: (0.0, 0.75, 1.25)},
    ffn=(0, 32, 64, 96, 128),
    ffn_ms=(0.0, 0.5, 0.5, 1.0, 1.0),
    engine="test",
)
PLAN = PrunePlan(budget_ms=4.6, candidates=4, recover=1, clips=2)


def run(folder: Path, lines: list[str]) -> Run:
    return Run(
        config=replace(CONFIG, streams=1),
        draw=ToyDraw(),
        draw_long=ToyDraw(),
        folder=folder,
        world=ONE,
        tell=lines.append,
    )


def test_the_candidate_with_the_lowest_rollout_loss_is_taken(tmp_path: Path) -> None:
    lines: list[str] = []
    small = prune(random_bundle(), TABLE, PLAN, run(tmp_path, lines))
    how = small.meta["pruned"]
    rows = how["candidates"]
    assert 2 <= len(rows) <= 4
    assert len({json.dumps(row["blocks"]) + row["name"] for row in rows}) == len(rows)
    assert all(row["table_ms"] <= PLAN.budget_ms for row in rows)
    least = min(rows, key=lambda row: row["rollout_loss"])
    assert how["chosen"] == least["name"]
    assert [vars_of["heads"] for vars_of in least["blocks"]] == [
        block.heads for block in small.spec.blocks
    ]
    assert TABLE.total(small.spec) <= PLAN.budget_ms
    assert any("recovery" in line for line in lines)
    assert not list(tmp_path.rglob("state.pt"))
    folder = small.save_pretrained(tmp_path / "out", quantise=False)
    again = Bundle.from_pretrained(folder)
    for name, value in small.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)


@pytest.mark.parametrize(("scores", "only"), [("magnitude", "depth"), ("random", "width")])
def test_controls(tmp_path: Path, scores: Scores, only: Only) -> None:
    plan = replace(PLAN, scores=scores, only=only, recover=0, candidates=2, cost_kind="flops")
    small = prune(random_bundle(), TABLE, plan, run(tmp_path, []))
    if only == "depth":
        assert small.spec.blocks == TINY.blocks[:1]
    else:
        assert len(small.spec.blocks) == 2
        assert all(block.heads and block.ffn for block in small.spec.blocks)
    assert all(row["cost"] <= PLAN.budget_ms for row in small.meta["pruned"]["candidates"])


def test_nothing_to_prune_is_the_same_bundle(tmp_path: Path) -> None:
    bundle = random_bundle()
    plan = replace(PLAN, budget_ms=TABLE.total(TINY))
    assert prune(bundle, TABLE, plan, run(tmp_path, [])) is bundle


def test_a_table_of_another_model_or_too_small_a_budget(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="for width 64"):
        prune(random_bundle(HALVES), TABLE, PLAN, run(tmp_path, []))
    lines: list[str] = []
    with pytest.raises(UserError, match=r"smallest network, 2\.500 ms"):
        prune(random_bundle(), TABLE, replace(PLAN, budget_ms=2.4), run(tmp_path, lines))
    assert lines == []


def command(model: Path, tmp_path: Path, *more: str) -> list[str]:
    TABLE.save(tmp_path / "cost.json")
    words = ["prune", str(model), "--cost", str(tmp_path / "cost.json")]
    return [*words, "-o", str(tmp_path / "out"), *more]


def test_the_command_prunes_nothing_bit_for_bit(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tiny_model, tmp_path, "--budget-ms", "99")) == 0
    assert "nothing to prune" in capsys.readouterr().out
    before, after = (Bundle.from_pretrained(p) for p in (tiny_model, tmp_path / "out"))
    assert after.spec == before.spec
    for name, value in before.weights.items():
        assert np.array_equal(after.weights[name], value), name


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--budget-ms", "2.1"], "smallest network, 2.500 ms"),
        (["--budget-ms", "0"], "give a positive number"),
        (["--budget-ms", "4", "--candidates", "0"], "--candidates is 0"),
        (["--budget-ms", "4", "--recover", "-1"], "--recover is -1"),
        (["--budget-ms", "4", "--recipe", "nope"], "unknown recipe 'nope'"),
        (["--budget-ms", "4", "footage=no/such"], "no footage folder"),
        (["--budget-ms", "4", "stes=3"], "did you mean steps"),
        (["--budget-ms", "4", "--cost", "no.json"], "everframe bench blocks"),
        (["--budget-ms", "x"], "invalid float"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str],
    fault: str,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(tiny_model, tmp_path, *words)) == 2
    shown = capsys.readouterr().err
    assert fault in shown
    assert shown.count("\n") == 1
