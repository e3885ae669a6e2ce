"""`everframe models`: what is listed and shown."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.arch.weights import parameter_count, weight_table
from everframe.cli import models
from everframe.cli.bundles import count_parameters, read_facts, split_card

CARD = """---
title: Tiny
model_ms_p50: 3.5
look accuracy: "0.91"
---
# Tiny

A model for tests.
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    spec = preset("tiny")
    weights = {n: np.ones(w.shape, np.float32) for n, w in weight_table(spec).items()}
    return Bundle(spec=spec, weights=weights, card=CARD).save_pretrained(tmp_path / "tiny")


def run(action: str, name: str | None, bundled: dict[str, Path]) -> int:
    return models.run(argparse.Namespace(action=action, name=name), bundled=lambda: bundled)


def test_list(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", None, {"tiny": tiny}) == 0
    line = capsys.readouterr().out
    assert line.startswith("tiny ")
    assert "M parameters" in line
    assert "model_ms_p50 3.5" in line
    assert line.count("\n") == 1


def test_list_of_nothing_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", None, {}) == 0
    assert "--model" in capsys.readouterr().out


def test_show_by_name_and_by_folder(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "tiny", {"tiny": tiny}) == 0
    by_name = capsys.readouterr().out
    assert run("show", str(tiny), {}) == 0
    assert capsys.readouterr().out == by_name
    assert "A model for tests." in by_name
    assert "look accuracy: 0.91" in by_name


def test_parameters_are_counted_without_the_scales_of_quantised_weights(tiny: Path) -> None:
    facts = read_facts("tiny", tiny)
    assert facts.parameters == parameter_count(preset("tiny"))
    assert facts.size_bytes == sum(path.stat().st_size for path in tiny.iterdir())


def test_damaged_weights_are_not_counted(tmp_path: Path) -> None:
    for data in (b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"):
        (tmp_path / "weights.safetensors").write_bytes(data)
        assert count_parameters(tmp_path / "weights.safetensors") is None
    assert count_parameters(tmp_path / "missing") is None


def test_cards_without_a_head() -> None:
    assert split_card("# Title\n---\n") == ({}, "# Title\n---\n")
    assert split_card("") == ({}, "")
    assert split_card("---\nno end\n") == ({}, "---\nno end\n")
