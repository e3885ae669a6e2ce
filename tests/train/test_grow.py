"""A grown network computes what the small one did, until it is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.model import FrameInputs
from everframe.arch.positions import step_features
from everframe.arch.presets import preset
from everframe.arch.spec import BlockSpec, Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.arch.weights import parameter_count
from everframe.core.errors import UserError
from everframe.train.grow import grown, with_blocks, with_step_sizes
from tests.nets import TINY, UNEVEN, random_weights


def outputs(
    net: Net, height: int = 32, width: int = 48, step: tuple[float, float] | None = None
) -> torch.Tensor:
    """`step`: (tau, size) that the network is told; features of nothing if it is None."""
    spec, g = net.spec, torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn((2, 3, *shape), generator=g)

    frame = FrameInputs(
        noisy=draw(3, height, width),
        camera=draw(3, height, width),
        previous=draw(3, height, width),
        anchor=draw(6, height, width),
        has_previous=torch.ones(2, 3, 1, 1),
        has_anchor=torch.ones(2, 3, 1, 1),
    )
    codes = draw(spec.prompt_tokens + 1, spec.prompt_width)
    tables = table_tensors(spec, height, width, torch.device("cpu"))
    features = draw(1, 64)
    if step is not None:
        features = torch.from_numpy(step_features(*step)).expand_as(features)
    return net(frame, codes, features, tables)


@pytest.mark.parametrize("old", [TINY, UNEVEN])
def test_grown_network_computes_the_same_and_all_of_it_learns(old: Spec) -> None:
    new = replace(old, detail_channels=old.detail_channels + 8, detail_depth=old.detail_depth + 2)
    small, large = Net(old), Net(new)
    small.load_arrays(random_weights(old))
    large.load_arrays(grown(small.arrays(), old, new, large.arrays()))
    truth, found = outputs(small), outputs(large)
    torch.testing.assert_close(found, truth, atol=2e-4, rtol=1e-4)
    found.square().sum().backward()
    params = large.params()
    last = params[f"detail.conv_mid.{new.detail_depth - 1}"].grad
    assert last is not None
    assert float(last[: old.detail_channels].abs().sum()) > 0
    new_inputs = params["detail.conv_out"].grad
    assert new_inputs is not None
    assert float(new_inputs[:, old.detail_channels :].abs().sum()) > 0


def test_a_network_with_more_and_wider_blocks_computes_the_same_and_all_of_it_learns() -> None:
    extra = BlockSpec(heads=3, ffn=16, history_frames=2)
    wide = tuple(replace(block, ffn=block.ffn + 24) for block in UNEVEN.blocks)
    new = replace(UNEVEN, blocks=tuple(x for block in wide for x in (block, extra)))
    small, large = Net(UNEVEN), Net(new)
    small.load_arrays(random_weights(UNEVEN))
    large.load_arrays(grown(small.arrays(), UNEVEN, new, random_weights(new, 3)))
    truth, found = outputs(small), outputs(large)
    torch.testing.assert_close(found, truth, atol=2e-4, rtol=1e-4)
    found.square().sum().backward()
    params = large.params()
    for name, columns in (
        ("1.out", slice(None)),
        ("1.down", slice(None)),
        ("0.down", slice(40, None)),
    ):
        gradient = params[f"blocks.{name}"].grad
        assert gradient is not None
        assert float(gradient[:, columns].abs().sum()) > 0


def test_the_teacher_begins_as_the_shipped_studio() -> None:
    bundle = Bundle.from_pretrained("studio")
    fresh = Net(preset("teacher")).arrays()
    weights = grown(bundle.weights, bundle.spec, preset("teacher"), fresh)
    np.testing.assert_array_equal(weights["blocks.2.qkv"], bundle.weights["blocks.1.qkv"])
    assert parameter_count(preset("teacher")) > 50e6


def test_kept_blocks_compute_what_the_others_did_without_the_dropped() -> None:
    weights = random_weights(UNEVEN)
    weights["blocks.1.out"][:] = 0
    weights["blocks.1.down"][:] = 0  # this block adds nothing
    whole = Net(UNEVEN)
    whole.load_arrays(weights)
    fewer, spec = with_blocks(weights, UNEVEN, (0, 2))
    assert spec.blocks == (UNEVEN.blocks[0], UNEVEN.blocks[2])
    pruned = Net(spec)
    pruned.load_arrays(fewer)
    torch.testing.assert_close(outputs(pruned), outputs(whole))
    for wrong in ((0, 3), (1, 0), (0, 0)):
        with pytest.raises(UserError, match="rising numbers below 3"):
            with_blocks(weights, UNEVEN, wrong)


def test_nothing_else_grows() -> None:
    with pytest.raises(UserError, match="only the detail path"):
        grown({}, TINY, UNEVEN, {})
    wide = replace(UNEVEN, blocks=tuple(replace(b, ffn=80) for b in UNEVEN.blocks))
    with pytest.raises(UserError, match="only the detail path"):
        grown({}, wide, UNEVEN, {})  # it cannot shrink
    with pytest.raises(UserError, match="only the detail path"):
        grown({}, UNEVEN, replace(UNEVEN, blocks=UNEVEN.blocks[:2]), {})
    with pytest.raises(UserError, match="only the detail path"):
        grown({}, UNEVEN, replace(UNEVEN, detail_depth=1), {})


def test_a_network_that_is_told_step_sizes_begins_by_ignoring_them() -> None:
    old = Net(TINY)
    old.load_arrays(random_weights(TINY))
    weights, spec = with_step_sizes(random_weights(TINY), TINY)
    new = Net(spec)
    new.load_arrays(weights)
    expected = outputs(old, step=(0.5, 0.0))
    assert not torch.allclose(outputs(old, step=(0.5, 0.25)), expected, atol=1e-2)
    for size in (0.0, 0.25, 0.5):
        torch.testing.assert_close(outputs(new, step=(0.5, size)), expected, atol=1e-4, rtol=1e-4)
    again, same = with_step_sizes(weights, spec)
    assert same == spec
    assert all(np.array_equal(again[name], weight) for name, weight in weights.items())
