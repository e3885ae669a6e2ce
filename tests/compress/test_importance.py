"""Importance: what the scores say is what happens to the loss."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.arch.model import Tables
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.compress.importance import (
    BATCH,
    MIXES,
    BlockScores,
    Mix,
    calibration,
    measure,
    of_weights,
    values,
)
from everframe.compress.select import everything
from everframe.compress.shortcut import pick
from everframe.compress.slim import slim
from everframe.train.rollouts import LongClips, run_live, to_u8
from everframe.train.step import ClipInputs, loss_of
from tests.nets import HALVES, UNEVEN, random_weights
from tests.train.toy import CONFIG, toy_batch

SIZE = (32, 32)


def network(spec: Spec = UNEVEN) -> Net:
    net = Net(spec)
    net.load_arrays(random_weights(spec))
    return net


def clips() -> LongClips:
    return LongClips.of(toy_batch(2, 6, SIZE, torch.Generator().manual_seed(1)))


def batches(net: Net, count: int = 2) -> list[ClipInputs]:
    return calibration(net, clips(), CONFIG, count, 3)


def tables(net: Net) -> Tables[Tensor]:
    return table_tensors(net.spec, *SIZE, torch.device("cpu"))


@torch.no_grad()
def loss(net: Net, batch: ClipInputs) -> float:
    return float(loss_of(net, batch, tables(net), CONFIG.loss)[0])


def test_histories_are_what_the_network_made_itself() -> None:
    net, drawn = network(), clips()
    own = run_live(net, drawn, torch.Generator().manual_seed(0))
    other = run_live(network(), drawn, torch.Generator().manual_seed(0))
    assert torch.equal(own, other)
    firsts = run_live(net, drawn, _noise())[:, 0]
    made = batches(net, BATCH + 1)
    assert [len(batch.tau) for batch in made] == [BATCH, 1]
    for batch in made:
        for anchor in to_u8(batch.frame.anchor[:, 0, :3]):
            assert any(torch.equal(anchor, first) for first in firsts)
        assert batch.frame.previous.shape == batch.target.shape
        assert float(batch.frame.has_previous.min()) == 1


def _noise() -> torch.Generator:
    from everframe.core.rng import stream_seed

    return torch.Generator().manual_seed(stream_seed(CONFIG.seed, "prune/noise"))


@pytest.mark.parametrize(("part", "group"), [("out", 1), ("down", 3)])
def test_taylor_scores_are_the_slope_of_the_loss(part: str, group: int) -> None:
    """Against a central difference in a gate on the output of one head or channel."""
    net = network()
    (batch,) = batches(net, 1)
    block = UNEVEN.blocks[2]
    (score,) = (measure(net, [batch], CONFIG)[2],)
    count = block.heads if part == "out" else block.ffn
    found = score.taylor_heads if part == "out" else score.taylor_ffn
    weight = net.params()[f"blocks.2.{part}"]
    whole, step = weight.detach().clone(), 1e-2
    losses: list[float] = []
    for gate in (1 + step, 1 - step):
        with torch.no_grad():
            weight.copy_(whole)
            weight.view(len(weight), count, -1)[:, group] *= gate
        losses.append(loss(net, batch))
    slope = abs(losses[0] - losses[1]) / (2 * step)
    assert found[group] == pytest.approx(slope, rel=0.05, abs=1e-4)


def test_clips_side_by_side_score_as_one_by_one() -> None:
    for spec in (UNEVEN, HALVES):
        net = network(spec)
        (together,) = batches(net, 3)
        apart = [pick(together, slice(i, i + 1)) for i in range(3)]
        for one, other in zip(
            measure(net, [together], CONFIG), measure(net, apart, CONFIG), strict=True
        ):
            for field in fields(BlockScores):
                found, expected = (asdict(scores)[field.name] for scores in (one, other))
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_scores_of_weights_need_no_clips() -> None:
    net = network()
    measured = measure(net, batches(net, 1), CONFIG)
    for scores, alone in zip(measured, of_weights(net), strict=True):
        assert np.array_equal(scores.magnitude_heads, alone.magnitude_heads)
        assert np.array_equal(scores.magnitude_ffn, alone.magnitude_ffn)
        assert not alone.taylor_ffn.any()


def test_what_adds_nothing_scores_nothing_and_weights_stay() -> None:
    net = network()
    with torch.no_grad():
        net.params()["blocks.0.out"].zero_()
        net.params()["blocks.1.down"][:, 5] = 0
    before = net.arrays()
    inputs = batches(net)
    scores = measure(net, inputs, CONFIG)
    assert not scores[0].taylor_heads.any()
    assert not scores[0].activation_heads.any()
    assert scores[0].lost_attention == 0
    assert scores[1].taylor_ffn[5] == 0
    assert scores[1].activation_ffn[5] == 0
    assert np.count_nonzero(scores[1].taylor_ffn) == UNEVEN.blocks[1].ffn - 1
    assert all(np.array_equal(value, before[name]) for name, value in net.arrays().items())
    assert all(value.grad is None for value in net.values)


def test_the_lost_loss_is_that_of_the_network_without_the_half() -> None:
    net = network()
    inputs = batches(net)
    whole = float(np.mean([loss(net, batch) for batch in inputs]))
    scores = measure(net, inputs, CONFIG)
    with torch.no_grad():
        net.params()["blocks.2.down"].zero_()
    without = float(np.mean([loss(net, batch) for batch in inputs]))
    assert scores[2].lost_ffn == pytest.approx(max(0.0, without - whole), rel=1e-4, abs=1e-6)


def test_the_lost_loss_is_that_of_the_network_without_past_frames() -> None:
    net = network()
    inputs = batches(net)
    scores = measure(net, inputs, CONFIG)
    whole = float(np.mean([loss(net, batch) for batch in inputs]))
    assert [score.lost_history > 0 for score in scores][1] is False
    kept = list(everything(UNEVEN))
    kept[0] = replace(kept[0], history=False)
    weights, spec = slim(net.arrays(), UNEVEN, kept)
    blind = Net(spec)
    blind.load_arrays(weights)
    without = float(np.mean([loss(blind, batch) for batch in inputs]))
    assert scores[0].lost_history == pytest.approx(max(0.0, without - whole), rel=1e-3, abs=1e-6)


def test_history_is_a_part_of_what_attention_is_worth() -> None:
    net = network()
    scores = measure(net, batches(net, 1), CONFIG)
    first = replace(scores[0], lost_attention=2.0, lost_history=0.5)
    for mix in MIXES:
        found = [v.history for v in values(UNEVEN, (first, *scores[1:]), mix)]
        assert found[1] is None
        assert found[0] == (None if mix in ("magnitude", "random") else 0.25)
    beyond = replace(first, lost_history=3.0)
    assert values(UNEVEN, (beyond, *scores[1:]), "ablation")[0].history == 1


@pytest.mark.parametrize("mix", MIXES)
def test_values_have_the_shape_of_the_network(mix: Mix) -> None:
    for spec in (UNEVEN, HALVES):
        net = network(spec)
        scores = measure(net, batches(net, 1), CONFIG)
        for block, value in zip(spec.blocks, values(spec, scores, mix), strict=True):
            assert value.heads.shape == (block.heads,)
            assert value.ffn.shape == (block.ffn,)
            assert (value.heads >= 0).all()
            assert (value.ffn >= 0).all()
            assert not block.ffn or value.ffn.sum() >= 0


def test_ablation_shares_out_what_the_halves_lose() -> None:
    net = network()
    scores = measure(net, batches(net, 1), CONFIG)
    scores = (replace(scores[0], lost_attention=2.0, lost_ffn=3.0), *scores[1:])
    for mix in ("ablation", "activation"):
        first = values(UNEVEN, scores, mix)[0]
        assert first.heads.sum() == pytest.approx(2)
        assert first.ffn.sum() == pytest.approx(3)


def test_random_values_follow_their_seed() -> None:
    net = network()
    scores = measure(net, batches(net, 1), CONFIG)
    one, same, other = (values(UNEVEN, scores, "random", seed=seed)[0].ffn for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
