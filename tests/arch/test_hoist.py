"""`arch.hoist`: a program in two parts computes what the whole does."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from everframe.arch.hoist import hoist, split_convolutions
from everframe.arch.program import Program
from everframe.arch.spec import Spec
from everframe.arch.torch_ops import TorchOps
from everframe.diffusion.programs import step_program
from tests.nets import (
    ALONE,
    HALVES,
    HEIGHT,
    TINY,
    UNEVEN,
    WIDTH,
    as_tensors,
    bound_values,
    random_control,
    random_frame,
    random_inputs,
    random_weights,
)

ANCHOR = ("anchor_output", "anchor_camera", "has_anchor")
TOLERANCE = 2e-5
"""A sum of two convolutions is rounded otherwise than one."""


def values(spec: Spec, seed: int = 2) -> dict[str, Tensor]:
    params = as_tensors(random_weights(spec))
    inputs = random_inputs(spec, 1)
    inputs = replace(inputs, camera=torch.from_numpy(random_frame(seed)))
    return bound_values(spec, params, inputs, random_control(spec, params))


def run(program: Program, bound: dict[str, Tensor]) -> dict[str, Tensor]:
    return program.run(TorchOps(), bound)


def names(program: Program) -> set[str]:
    return set(program.named("input"))


@pytest.mark.parametrize(
    "spec", [TINY, UNEVEN, HALVES, ALONE], ids=["tiny", "uneven", "halves", "alone"]
)
@torch.no_grad()
def test_held_values_and_the_rest_make_the_step(spec: Spec) -> None:
    whole = step_program(spec, HEIGHT, WIDTH)
    anchor, rest = hoist(whole, ANCHOR, "anchor.")
    noise, rest = hoist(rest, ("noisy",), "noise.")
    assert names(anchor) == set(ANCHOR)
    assert names(noise) == {"noisy"}
    assert names(rest) == names(whole) - set(ANCHOR) | {*anchor.outputs, *noise.outputs}
    held = run(anchor, values(spec)) | run(noise, values(spec))
    for seed in (2, 7):  # another camera frame, the same held values
        truth = run(whole, values(spec, seed))
        made = run(rest, values(spec, seed) | held)
        assert set(made) == set(truth)
        for name, value in truth.items():
            near = 1 if value.dtype == torch.uint8 else TOLERANCE
            assert float((made[name].float() - value.float()).abs().max()) <= near, name


def test_the_rest_no_longer_touches_the_anchor() -> None:
    whole = step_program(TINY, HEIGHT, WIDTH)
    anchor, rest = hoist(whole, ANCHOR, "anchor.")
    read = [op for op in rest.operations if op.primitive == "from_uint8"]
    assert len(read) == 2  # camera and previous
    first = next(op for op in rest.operations if op.primitive == "conv3x3")
    weight = next(v for v in rest.values if v.index == first.inputs[1])
    assert weight.shape[1] == 24  # of 48: the channels of the anchor are convolved once
    assert len(anchor.operations) < len(whole.operations) / 3


def test_without_slow_maps_convolutions_stay_as_they_are() -> None:
    whole = step_program(TINY, HEIGHT, WIDTH)
    assert split_convolutions(whole, ()) == whole


def test_outputs_can_be_chosen() -> None:
    whole = step_program(TINY, HEIGHT, WIDTH)
    frame = whole.only(["frame"])
    assert set(frame.outputs) == {"frame"}
    assert "keep" not in frame.named("input")  # only the next step's noisy picture needs it
    assert len(frame.operations) < len(whole.operations)


def test_nothing_to_hoist_is_said() -> None:
    with pytest.raises(ValueError, match="nothing in the program depends on keep alone"):
        hoist(step_program(TINY, HEIGHT, WIDTH).only(["frame"]), ("keep",), "held.")
