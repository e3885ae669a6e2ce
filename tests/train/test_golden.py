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
from tests.train.curves import read_curves

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "debug_losses.json"
STEPS = 8
TOLERANCE = 2e-3
"""Relative: other processors and torch versions round in another order."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe wrote."""
    out = tmp_path_factory.mktemp("debug")
    assert run_training(replace(debug(), footage=str(ROOT / "examples")), out)
    return out


def logged_losses(folder: Path) -> list[float]:
    """One a step."""
    return [json.loads(x)["loss"] for x in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_debug_recipe_gives_a_bundle_and_curves(folder: Path) -> None:
    bundle = Bundle.from_pretrained(folder / "bundle")
    assert bundle.spec == preset(debug().preset)
    assert len(bundle.looks) > 50
    curves = read_curves(folder)
    assert list(curves["train/loss"].values()) == pytest.approx(logged_losses(folder), rel=1e-6)
    assert all(rate > 0 for rate in curves["train/tflops"].values())


@pytest.mark.slow
def test_the_debug_recipe_gives_the_recorded_losses(folder: Path) -> None:
    losses = logged_losses(folder)[:STEPS]
    assert len(losses) == STEPS
    if os.environ.get("EVERFRAME_BLESS") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps([round(loss, 6) for loss in losses], indent=1) + "\n")
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), rel=TOLERANCE)
