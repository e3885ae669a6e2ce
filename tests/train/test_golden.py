"""The recipe `debug` from start to end, and its first losses as recorded.

Record again after a wanted change: EVERFRAME_BLESS=1 python -m pytest tests/train/test_golden.py
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.recipes.configs import debug
from everframe.recipes.training import run_training

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "debug_losses.json"
STEPS = 8
TOLERANCE = 2e-3
"""Relative: other processors and torch versions round in another order."""


@pytest.mark.slow
def test_the_debug_recipe_gives_the_recorded_losses_and_a_bundle(tmp_path: Path) -> None:
    config = replace(debug(), footage=str(ROOT / "examples"))
    assert run_training(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows[:STEPS]]
    assert len(losses) == STEPS
    bundle = Bundle.from_pretrained(tmp_path / "bundle")
    assert bundle.spec == preset(config.preset)
    assert len(bundle.looks) > 50
    if os.environ.get("EVERFRAME_BLESS") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps([round(loss, 6) for loss in losses], indent=1) + "\n")
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), rel=TOLERANCE)
