"""The measured cost table: what it lists, and the command that writes it."""

from pathlib import Path

import pytest

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.cli.main import main
from everframe.runtime.bench_blocks import check_networks, rising
from tests.nets import HALVES, TINY


def test_the_command_writes_a_table_that_pruning_can_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cost.json"
    words = ["bench", "blocks", "--model", str(tiny_model), "--size", "64x64", "--engine", "torch"]
    assert main([*words, "--ffn-step", "48", "--frames", "5", "--json", str(path)]) == 0
    table = CostTable.load(path)
    assert table.heads == (0, 1, 2)
    assert table.ffn == (0, 48, 96, 128)
    assert set(table.attention_ms) == {0, 2}
    assert (table.tokens, table.size) == (16, (64, 64))
    assert table.engine.startswith("torch")
    assert table.about["hardware"]["cores"] > 0
    assert table.about["versions"]["torch"]
    spec = Bundle.from_pretrained(tiny_model).spec
    whole, narrow, short = table.about["checks"]
    assert whole["table_ms"] == pytest.approx(table.total(spec), abs=1e-3)
    assert len(narrow["blocks"]) == 2
    assert len(short["blocks"]) == 1
    assert len(table.about["measured"]) == 2 * 2 + 3
    for row in (*table.attention_ms.values(), table.ffn_ms):
        assert list(row) == sorted(row)
    assert "give it to everframe prune" in capsys.readouterr().out


def test_costs_rise_and_steps_stay() -> None:
    assert rising([1.0, 1.0, 4.0, 4.0, 4.5]) == [1.0, 1.0, 4.0, 4.0, 4.5]
    assert rising([2.0, 1.0, 6.0, 3.0, 3.0]) == [1.5, 1.5, 4.0, 4.0, 4.0]
    assert rising([]) == []


def test_the_checks_are_valid_networks() -> None:
    for spec in (TINY, HALVES):
        for network in check_networks(spec):
            assert network.blocks


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--ffn-step", "3"], "whole number from 8 to 256"),
        (["--size", "100x100"], "multiples of 16"),
        (["--json", "no/such/cost.json"], "create it first"),
        (["--engine", "tensorflow"], "invalid choice"),
    ],
)
def test_bad_input(words: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "blocks", "--model", "pocket", *words]) == 2
    assert fault in capsys.readouterr().err
