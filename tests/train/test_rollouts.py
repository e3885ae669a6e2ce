"""Own rollouts as history: what runs, what is remembered, what is the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from everframe.arch.torch_net import Net
from everframe.train.rollouts import (
    LongClips,
    RolloutBank,
    RolloutConfig,
    cut,
    empty_history,
    from_u8,
    make_roller,
    run_live,
    to_u8,
)
from everframe.train.step import prepare_rollout
from tests.nets import TINY, random_weights
from tests.train.toy import CONFIG, ToyDraw, toy_batch

SIZE = (32, 48)


def net(seed: int = 0) -> Net:
    network = Net(TINY)
    network.load_arrays(random_weights(TINY, seed))
    return network


def clips(streams: int = 3, frames: int = 5, hidden: tuple[int, ...] = ()) -> LongClips:
    drawn = toy_batch(streams, frames, SIZE, torch.Generator().manual_seed(1))
    flags = torch.tensor([float(i in hidden) for i in range(streams)])
    return LongClips.of(replace(drawn, hidden=flags))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_bytes_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_u8(from_u8(levels)), levels)
    assert float(from_u8(levels).min()) == -1
    assert float(from_u8(levels).max()) == 1


def test_streams_without_hidden_state_run_as_the_rollouts_that_are_measured() -> None:
    network, drawn = net(), clips()
    own = run_live(network, drawn, generator())
    codes = network.prompt_codes(drawn.states, drawn.mask)[:, 0]
    roller = make_roller(network, codes, *SIZE)
    noise = torch.randn((3, 3, *SIZE), generator=generator())
    cameras = (drawn.camera[:, t] for t in range(5))
    history = empty_history(network, 3, *SIZE, torch.device("cpu"))
    with torch.no_grad():
        truth = list(roller.run(history, cameras, noise, steps=1, first_steps=1))
    assert torch.equal(own, torch.stack(truth, 1))
    assert float((own[:, 1:].float() - own[:, :-1].float()).abs().mean()) > 1


def test_only_streams_with_hidden_state_see_a_true_anchor_and_only_at_first() -> None:
    network, drawn = net(), clips(hidden=(1,))
    other = replace(drawn, anchor_output=255 - drawn.anchor_output)
    own, changed = (run_live(network, c, generator()) for c in (drawn, other))
    assert torch.equal(own[[0, 2]], changed[[0, 2]])
    assert not torch.equal(own[1, 0], changed[1, 0])
    plain = run_live(network, clips(), generator())
    assert not torch.equal(own[1, 0], plain[1, 0])


def test_clips_remember_own_frames_and_are_told_the_truth() -> None:
    drawn = clips(streams=4, frames=9)
    marks = torch.arange(4 * 9, dtype=torch.uint8).view(4, 9, 1, 1, 1)
    own = marks.expand(drawn.camera.shape).contiguous()
    camera, target = own + 64, own + 128
    drawn = replace(drawn, camera=camera, target=target)
    batch = cut(drawn, own, 6, 3, np.random.default_rng(0))
    seen, truth, before = (
        to_u8(x)[..., 0, 0, 0].long() for x in (batch.camera, batch.target, batch.before)
    )
    assert torch.equal(truth, seen + 64)
    assert torch.equal(before, seen - 65)  # the own frame one earlier
    assert torch.equal(seen[:, 1:], seen[:, :-1] + 1)
    first = to_u8(batch.anchor_output)[:, 0, 0, 0].long()
    assert torch.equal(first, torch.div(before[:, 0], 9, rounding_mode="floor") * 9)
    assert torch.equal(to_u8(batch.anchor_camera)[:, 0, 0, 0].long(), first + 64)
    assert len(set(first.tolist())) == 4  # every stream is used before one is used twice

    inputs = prepare_rollout(batch, CONFIG, generator())
    assert torch.equal(inputs.frame.previous, batch.before)
    assert torch.equal(inputs.frame.anchor[:, 2, :3], batch.anchor_output)
    assert torch.equal(inputs.frame.anchor[:, 0, 3:], batch.anchor_camera)
    assert float(inputs.frame.has_previous.min()) == float(inputs.frame.has_anchor.min()) == 1
    assert torch.equal(inputs.target, batch.target)


@pytest.mark.parametrize(("progress", "length"), [(0.1, 4), (0.54, 4), (0.56, 8), (1.0, 8)])
def test_rollouts_grow(progress: float, length: int) -> None:
    config = RolloutConfig(start=0.1, lengths=(4, 8))
    bank = RolloutBank(config, ToyDraw(), seed=0, purpose="test")
    assert bank.length(progress) == length


def test_new_streams_are_run_when_the_old_are_used_up() -> None:
    config = RolloutConfig(share=0.4, start=0.1, streams=2, lengths=(4,), uses=2)
    bank = RolloutBank(config, ToyDraw(), seed=0, purpose="test")
    due = [bank.due(step, 0.5) for step in range(400)]
    assert np.mean(due) == pytest.approx(0.4, abs=0.08)
    assert not any(bank.due(step, 0.05) for step in range(400))
    rolled, network = None, net()
    steps: list[int] = []
    for step in range(5):
        rng = np.random.default_rng(step)
        batch, rolled = bank.batch(network, rolled, (step, 0.5), (2, 2, SIZE), rng)
        assert batch.camera.shape == (2, 2, 3, *SIZE)
        steps.append(rolled.step)
        network.load_arrays(random_weights(TINY, step + 1))
    assert steps == [0, 0, 2, 2, 4]
