"""Whole runs: going on after a crash, several processes, and refused states."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everframe.core.config import stable_hash
from everframe.core.errors import UserError
from everframe.train.loop import fit
from everframe.train.rollouts import RolloutConfig
from everframe.train.step import LEVEL_BASE, prepare, with_told_levels
from tests.train.toy import CONFIG, toy_batch, toy_state, toy_task
from tests.train.worker import gradients

ROOT = Path(__file__).resolve().parents[2]


ROLLOUTS = RolloutConfig(share=0.5, start=0.2, streams=3, lengths=(4, 6), uses=2)


@pytest.mark.parametrize("rollouts", [RolloutConfig(), ROLLOUTS])
def test_a_run_that_crashed_goes_on_bit_for_bit(tmp_path: Path, rollouts: RolloutConfig) -> None:
    config = replace(CONFIG, rollouts=rollouts, steps=14)
    whole = toy_state()
    assert fit(whole, toy_task(tmp_path / "whole", config=config))
    folder = tmp_path / "parts"
    with pytest.raises(InterruptedError):
        fit(toy_state(), toy_task(folder, config=config, breaks_at=8))
    resumed = toy_state(seed=1)  # other weights, which the saved ones must replace
    assert resumed.load(folder, stable_hash(config))
    assert resumed.step == 8
    if rollouts.share:
        assert resumed.rolled is not None
        assert resumed.rolled.used < rollouts.uses  # it goes on with streams that are in use
        assert whole.rolled is not None
        assert whole.rolled.step > resumed.rolled.step  # and both make new ones later
    assert fit(resumed, toy_task(folder, config=config))
    assert (resumed.step, resumed.frames) == (whole.step, whole.frames)
    for name, mine, theirs in zip(whole.net.names, resumed.params, whole.params, strict=True):
        assert torch.equal(mine, theirs), name
    for mine, theirs in zip(resumed.ema.values, whole.ema.values, strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(resumed.muon.state(), whole.muon.state(), strict=True):
        assert torch.equal(mine, theirs)


def test_training_moves_all_weights_that_the_loss_reaches_and_reports(tmp_path: Path) -> None:
    state, fresh = toy_state(), toy_state()
    fit(state, toy_task(tmp_path))
    still = [
        name
        for name, mine, first in zip(state.net.names, state.params, fresh.params, strict=True)
        if torch.equal(mine, first)
    ]
    assert still == []
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["loss"] > 0 for row in rows)


def test_a_run_learns(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, image_share=0.0, own_share=0.0, lr_muon=4e-3, lr_adamw=4e-3)
    fit(toy_state(config), toy_task(tmp_path, config=config))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["absolute"] < 0.75 * rows[0]["absolute"]


def test_a_run_stops_in_time_and_is_not_complete(tmp_path: Path) -> None:
    state = toy_state()
    assert not fit(state, toy_task(tmp_path), stop_after_s=-1.0)
    assert state.step == 0
    assert toy_state().load(tmp_path, stable_hash(CONFIG))


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    assert not toy_state().load(tmp_path, "a")
    toy_state().save(tmp_path, "a")
    assert toy_state().load(tmp_path, "a")
    with pytest.raises(UserError, match="choose another output folder"):
        toy_state().load(tmp_path, "b")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.worker", str(tmp_path / f"{rank}.pt")],
            cwd=ROOT,
            env={**os.environ, **place, "RANK": str(rank), "CUDA_VISIBLE_DEVICES": ""},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=90) for worker in workers] == [0, 0]
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert [result["agreed"] for result in results] == [1.0, 1.0]  # the value of the first
    alone = [gradients(rank) for rank in range(2)]
    mean = [(a + b) / 2 for a, b in zip(*alone, strict=True)]
    for result in results:
        for mine, expected in zip(result["gradients"], mean, strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-4)


def test_a_share_of_the_streams_is_told_how_wrong_its_history_is() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = toy_batch(40, 3, (32, 32), generator)
    inputs = prepare(batch, 16, replace(CONFIG, no_previous_share=0.3), generator)
    told = with_told_levels(inputs, 0.5, generator).size
    assert torch.equal(inputs.size, torch.zeros(40, 3))
    assert not told[:, 0].any()  # nobody knows what was before the clip
    seen = inputs.frame.has_previous[:, 1:, 0, 0] > 0
    knows = told[:, 1:].amax(1) > 0
    assert 8 < int(knows.sum()) < 32
    assert torch.equal(told[:, 1:] > 0, knows[:, None] & seen)
    wrong = (inputs.frame.previous[:, 1:] - inputs.target[:, :-1]).square().mean((2, 3, 4)).sqrt()
    expected = LEVEL_BASE + (1 - LEVEL_BASE) * wrong[knows[:, None] & seen]
    torch.testing.assert_close(told[:, 1:][knows[:, None] & seen], expected)
    perfect = replace(inputs, frame=replace(inputs.frame, previous=batch.before))
    told = with_told_levels(perfect, 1.0, generator).size[:, 1:]
    torch.testing.assert_close(told[seen], torch.full_like(told[seen], LEVEL_BASE))


def test_a_network_hears_the_level_that_it_is_told(tmp_path: Path) -> None:
    config = replace(CONFIG, known_share=1.0, own_share=0.0)
    silent = replace(CONFIG, own_share=0.0)
    states = []
    for name, one in (("known", config), ("unknown", silent)):
        state = toy_state(one)
        fit(state, toy_task(tmp_path / name, config=one))
        states.append(dict(zip(state.net.names, state.params, strict=True)))
    before = dict(zip(toy_state().net.names, toy_state().params, strict=True))
    name, levels = "condition.step_in", slice(48, 64)  # sines of the step size, or of the level
    known, unknown = (state[name][:, levels] for state in states)
    assert torch.equal(unknown, before[name][:, levels])  # they are zero: no gradient
    assert not torch.equal(known, unknown)
