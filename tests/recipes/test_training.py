"""The preview of a run: a sheet, figures in a file, and the same figures as curves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from everframe.arch.spec import TEXT_TOKENS, TEXT_WIDTH
from everframe.core.errors import UserError
from everframe.data.held_out import Streams
from everframe.recipes.training import Preview, first_net
from everframe.train.board import Board
from everframe.train.config import TrainConfig
from tests.nets import HALVES, random_bundle
from tests.train.curves import read_curves
from tests.train.toy import toy_state


def test_a_pruned_network_is_trained_on_or_from_random_weights(tmp_path: Path) -> None:
    bundle = random_bundle(HALVES)
    folder = str(bundle.save_pretrained(tmp_path / "small", quantise=False))
    fresh = first_net(TrainConfig(preset=folder, seed=3))
    assert fresh.spec == HALVES
    again = first_net(TrainConfig(preset=folder, init=folder))
    for name, value in again.arrays().items():
        assert np.array_equal(value, bundle.weights[name]), name
    assert not np.array_equal(fresh.arrays()["embed.camera"], bundle.weights["embed.camera"])
    with pytest.raises(UserError, match="unknown preset 'none'"):
        first_net(TrainConfig(preset="none"))


def toy_streams() -> Streams:
    """Two plain looks, the first on two clips, and one with hidden state."""
    g = torch.Generator().manual_seed(0)
    camera = torch.randint(0, 256, (4, 5, 32, 32, 3), generator=g, dtype=torch.uint8)
    return Streams(
        camera=camera,
        target=255 - camera,
        states=torch.randn((4, TEXT_TOKENS, TEXT_WIDTH), generator=g),
        mask=torch.ones(4, TEXT_TOKENS, dtype=torch.bool),
        labels=np.array([0, 0, 1, 2]),
        hidden=np.array([False, False, False, True]),
    )


def test_a_preview_writes_its_figures_to_file_and_curves(tmp_path: Path) -> None:
    state = toy_state()
    state.step = 40
    with Board(tmp_path) as board:
        Preview(("negative", "invert", "glass"), tmp_path, toy_streams(), board)(state, frames=12)
    (line,) = (tmp_path / "figures.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["step"] == 40
    assert set(row["per_look"]) == {"negative", "invert", "glass"}
    figures = {name: row[name] for name in ("plain@10", "hidden@10")}
    expected = {f"preview/{name}": value for name, value in figures.items()}
    expected |= {f"look/{name}": value for name, value in row["per_look"].items()}
    curves = read_curves(tmp_path)
    assert {tag: curve[40] for tag, curve in curves.items()} == pytest.approx(expected)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.size == (24 * 5, 24 * 4)  # camera, then own and true frame after 0 and 10
