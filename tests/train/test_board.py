"""Curves for tensorboard, read back with tensorboard."""

import json
import sys
from pathlib import Path

import pytest

from everframe.core.config import stable_hash
from everframe.train.board import Board
from everframe.train.loop import fit
from tests.train.curves import read_curves
from tests.train.toy import CONFIG, toy_state, toy_task


def test_a_resumed_run_goes_on_with_its_curves(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for step in (1, 2, 3):
            board.write(step, "train", {"loss": step / 10})
    with Board(tmp_path, step=2) as board:  # the part before crashed after its last save
        board.write(3, "train", {"loss": 0.5, "norm": 1.0})
    curves = read_curves(tmp_path)
    assert curves["train/loss"] == pytest.approx({1: 0.1, 2: 0.2, 3: 0.5})
    assert curves["train/norm"] == {3: 1.0}


def test_training_writes_what_it_logs(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        fit(toy_state(), toy_task(tmp_path, board=board))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    curves = read_curves(tmp_path)
    assert {f"train/{name}" for name in rows[0]} - {"train/step", "train/elapsed_s"} == set(curves)
    for tag, curve in curves.items():
        logged = {row["step"]: row[tag.removeprefix("train/")] for row in rows}
        assert curve == pytest.approx(logged, rel=1e-6)


def test_training_goes_on_without_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with Board(tmp_path) as board:
        assert not board.writes
        fit(toy_state(), toy_task(tmp_path, board=board))
    assert toy_state().load(tmp_path, stable_hash(CONFIG))
    assert not list(tmp_path.glob("events*"))
