"""What a network may look like, the presets, and the table of weights."""

import json

import numpy as np
import pytest
import torch

from everframe.arch.positions import position_features, rope_angles, step_features
from everframe.arch.presets import PRESETS, preset
from everframe.arch.spec import BlockSpec, Spec
from everframe.arch.weights import parameter_count, weight_table
from everframe.core.errors import UserError
from everframe.train.step import torch_step_features
from tests.nets import ALONE, HALVES, TINY, UNEVEN, random_weights

BLOCK = BlockSpec(heads=1, ffn=8)


@pytest.mark.parametrize("spec", [TINY, UNEVEN, HALVES, ALONE, *PRESETS.values()])
def test_a_spec_survives_json(spec: Spec) -> None:
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_spec_with_missing_or_unknown_fields_is_refused() -> None:
    data = TINY.to_dict()
    for broken in (
        {**data, "colour": 3},
        {k: v for k, v in data.items() if k != "width"},
        {k: v for k, v in data.items() if k != "blocks"},
        {**data, "blocks": [{"heads": 1}]},
    ):
        with pytest.raises(UserError, match="no everframe spec"):
            Spec.from_dict(broken)


def test_impossible_specs_name_the_field() -> None:
    for patch in (2, 6, 10):
        with pytest.raises(UserError, match=r"spec\.patch"):
            Spec(patch=patch, width=8, head_dim=8, blocks=(BLOCK,))
    with pytest.raises(UserError, match=r"spec\.head_dim is 6"):
        Spec(width=8, head_dim=6, blocks=(BLOCK,))
    with pytest.raises(UserError, match=r"spec\.blocks is empty"):
        Spec(width=8, head_dim=8, blocks=())
    for block in (
        BlockSpec(heads=0, ffn=0),
        BlockSpec(heads=-1, ffn=8),
        BlockSpec(heads=0, ffn=8, history_frames=1),
        BlockSpec(heads=1, ffn=8, history_frames=-1),
    ):
        with pytest.raises(UserError, match=r"spec\.blocks\[1\]"):
            Spec(width=8, head_dim=8, blocks=(BLOCK, block))


def test_the_grid_of_a_frame_and_the_nearest_size() -> None:
    assert TINY.grid(32, 48) == (2, 3)
    with pytest.raises(UserError, match=r"50x30.*use for example 48x32"):
        TINY.grid(30, 50)
    with pytest.raises(UserError, match="use for example 16x16"):
        TINY.grid(0, 1)


def test_history_blocks_and_window() -> None:
    assert TINY.history_blocks == (1,)
    assert TINY.window == 2
    assert UNEVEN.history_blocks == (0, 2)
    assert UNEVEN.window == 3
    every = Spec.uniform(
        width=8, head_dim=8, depth=3, ffn=8, history_frames=1, history_every=1, patch=32
    )
    assert every.history_blocks == (0, 1, 2)
    assert every.patch_channels == 3 * 32 * 32


def test_presets_by_name() -> None:
    assert preset("tiny") is TINY
    with pytest.raises(UserError, match="pocket"):
        preset("giant")


@pytest.mark.parametrize("spec", [TINY, UNEVEN], ids=["tiny", "uneven"])
def test_the_parameter_count_is_that_of_the_weights(spec: Spec) -> None:
    assert parameter_count(spec) == sum(w.size for w in random_weights(spec).values())


def test_hidden_weights_are_matrices_of_blocks() -> None:
    for name, weight in weight_table(UNEVEN).items():
        if weight.hidden:
            assert len(weight.shape) == 2
            assert name.startswith("blocks.")


def test_step_features_on_the_device_are_those_of_numpy() -> None:
    tau = np.array([[0.0, 0.125, 0.5, 0.95, 1.0]], np.float32)
    size = np.array([[0.0, 0.25, 0.5, 1.0, 0.0]], np.float32)
    ours = torch_step_features(torch.from_numpy(tau), torch.from_numpy(size)).numpy()
    theirs = step_features(tau, size)
    assert ours.shape == theirs.shape == (1, 5, 1, 64)
    np.testing.assert_allclose(ours, theirs, atol=3e-5)
    np.testing.assert_array_equal(step_features(0.5, 0.5), theirs[0, 2])


def test_position_tables() -> None:
    cos, sin = rope_angles(TINY, 2, 3)
    assert cos.shape == sin.shape == (6, TINY.head_dim // 2)
    np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-6)
    quarter = TINY.head_dim // 4
    np.testing.assert_array_equal(cos[0:3, :quarter], cos[[0, 0, 0], :quarter])  # same row
    np.testing.assert_array_equal(cos[[0, 3], quarter:], cos[[0, 0], quarter:])  # same column
    assert cos[0, 0] != cos[3, 0]
    features = position_features(2, 3)
    assert features.shape == (6, 44)
    # the number of a patch does not depend on the size of the frame, its relative place does
    larger = position_features(4, 5).reshape(4, 5, -1)[:2, :3].reshape(6, -1)
    np.testing.assert_allclose(features[:, 16:], larger[:, 16:], atol=1e-6)
    assert not np.allclose(features[:, :16], larger[:, :16])
    np.testing.assert_allclose(features[0, :2], [-0.5, -2 / 3], rtol=1e-6)
