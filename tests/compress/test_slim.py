"""Cutting weights: nothing cut is the same bits, nothing lost is the same frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everframe.arch.spec import Spec
from everframe.arch.torch_net import table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.arch.weights import weight_table
from everframe.compress.select import Kept, everything
from everframe.compress.slim import slim
from everframe.diffusion.frame_step import StepOutputs, denoise_step
from everframe.diffusion.programs import step_program
from everframe.runtime.onnx_graph import build_onnx
from everframe.runtime.onnxruntime_engine import compile_graph
from tests.nets import (
    HALVES,
    HEIGHT,
    TINY,
    UNEVEN,
    WIDTH,
    as_tensors,
    bound_values,
    random_control,
    random_inputs,
    random_weights,
)

TOLERANCE = 2e-5
"""Sums over fewer terms are taken in another order."""
Weights = dict[str, NDArray[np.float32]]
KEPT = {
    "a head": (Kept(heads=(1,), ffn=tuple(range(40))), *everything(UNEVEN)[1:]),
    "channels": (*everything(UNEVEN)[:2], Kept(heads=(0, 1, 2), ffn=(0, 3, 5, 23))),
    "attention": (
        everything(UNEVEN)[0],
        Kept(heads=(), ffn=tuple(range(64))),
        everything(UNEVEN)[2],
    ),
    "feed-forward": (Kept(heads=(0, 1), ffn=()), *everything(UNEVEN)[1:]),
    "a block": (everything(UNEVEN)[0], Kept(heads=(), ffn=()), everything(UNEVEN)[2]),
    "past frames": (replace(everything(UNEVEN)[0], history=False), *everything(UNEVEN)[1:]),
    "much": (Kept(heads=(), ffn=(7,)), Kept(heads=(), ffn=()), Kept(heads=(1,), ffn=(0, 9))),
}


@torch.no_grad()
def step(spec: Spec, weights: Weights) -> StepOutputs[torch.Tensor]:
    params = as_tensors(weights)
    inputs = random_inputs(spec, 1)
    tables = table_tensors(spec, HEIGHT, WIDTH, torch.device("cpu"))
    return denoise_step(TorchOps(), params, spec, inputs, random_control(spec, params), tables)


@pytest.mark.parametrize("spec", [TINY, UNEVEN, HALVES], ids=["tiny", "uneven", "halves"])
def test_nothing_cut_is_bit_identical(spec: Spec) -> None:
    weights = random_weights(spec)
    same, shape = slim(weights, spec, everything(spec))
    assert shape == spec
    assert same.keys() == weights.keys()
    for name, value in weights.items():
        assert np.array_equal(same[name], value), name


@pytest.mark.parametrize("name", KEPT)
def test_what_is_left_fits_its_spec_and_its_values_are_old_ones(name: str) -> None:
    weights = random_weights(UNEVEN)
    cut, spec = slim(weights, UNEVEN, KEPT[name])
    assert {n: v.shape for n, v in cut.items()} == {
        n: w.shape for n, w in weight_table(spec).items()
    }
    old = {float(x) for value in weights.values() for x in value.ravel()}
    assert {float(x) for value in cut.values() for x in value.ravel()} <= old


def silenced(weights: Weights, kept: tuple[Kept, ...]) -> Weights:
    """The same network; what is not kept adds nothing."""
    out = {name: value.copy() for name, value in weights.items()}
    for index, (block, keep) in enumerate(zip(UNEVEN.blocks, kept, strict=True)):
        columns = out[f"blocks.{index}.out"].reshape(UNEVEN.width, block.heads, -1)
        columns[:, [h for h in range(block.heads) if h not in keep.heads]] = 0
        rest = [c for c in range(block.ffn) if c not in keep.ffn]
        out[f"blocks.{index}.down"][:, rest] = 0
    return out


@pytest.mark.parametrize("name", ["channels", "feed-forward", "attention", "a block"])
def test_cutting_what_adds_nothing_changes_nothing(name: str) -> None:
    weights = silenced(random_weights(UNEVEN), KEPT[name])
    before = step(UNEVEN, weights)
    cut, spec = slim(weights, UNEVEN, KEPT[name])
    after = step(spec, cut)
    torch.testing.assert_close(after.noisy, before.noisy, atol=TOLERANCE, rtol=0)
    error = (after.frame.int() - before.frame.int()).abs()
    assert float((error > 0).float().mean()) < 1e-3
    for a, b in zip(after.slots, before.slots, strict=True):
        torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=0)


def test_a_silent_head_of_a_block_with_memory() -> None:
    """The slots of the other heads are those of before."""
    weights = silenced(random_weights(UNEVEN), KEPT["a head"])
    params = as_tensors(weights)
    inputs, control = random_inputs(UNEVEN, 1), random_control(UNEVEN, params)
    tables = table_tensors(UNEVEN, HEIGHT, WIDTH, torch.device("cpu"))
    before = denoise_step(TorchOps(), params, UNEVEN, inputs, control, tables)
    cut, spec = slim(weights, UNEVEN, KEPT["a head"])
    params = as_tensors(cut)
    slots = tuple((slot[0][:, 1:2], slot[1]) for slot in inputs.slots)
    fewer = replace(inputs, slots=slots)
    control = random_control(spec, params)
    after = denoise_step(TorchOps(), params, spec, fewer, control, tables)
    torch.testing.assert_close(after.noisy, before.noisy, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(after.slots[0], before.slots[0][:, 1:2], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", KEPT)
@torch.no_grad()
def test_eager_program_and_onnx_agree_on_what_is_left(name: str) -> None:
    cut, spec = slim(random_weights(UNEVEN), UNEVEN, KEPT[name])
    params = as_tensors(cut)
    inputs, control = random_inputs(spec, 1), random_control(spec, params)
    tables = table_tensors(spec, HEIGHT, WIDTH, torch.device("cpu"))
    truth = denoise_step(TorchOps(), params, spec, inputs, control, tables)
    program = step_program(spec, HEIGHT, WIDTH)
    bound = bound_values(spec, params, inputs, control)
    interpreted = program.run(TorchOps(), bound)
    assert torch.equal(interpreted["noisy_next"], truth.noisy)
    assert torch.equal(interpreted["frame"], truth.frame)
    arrays = {n: np.ascontiguousarray(v.numpy()) for n, v in bound.items()}
    model = build_onnx(program, arrays).SerializeToString()
    run = compile_graph(model, tuple(program.outputs), True)
    result = run({n: arrays[n] for n in program.named("input")})
    assert float(np.abs(result["noisy_next"] - truth.noisy.numpy()).max()) < 2e-3
