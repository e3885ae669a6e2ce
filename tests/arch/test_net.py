"""One network, three ways to run it: over a clip, frame by frame, and as a recorded program."""

import pytest
import torch
from torch import Tensor

from everframe.arch.history import RingMemory, key_bias, slot_shapes
from everframe.arch.model import FrameInputs, encode_prompt, forward, prepare_control
from everframe.arch.ops import PRIMITIVES
from everframe.arch.positions import step_features
from everframe.arch.program import Tracer, broadcast
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.diffusion.frame_step import denoise_step
from everframe.diffusion.programs import (
    control_program,
    flatten_control,
    prompt_program,
    step_program,
)
from everframe.runtime.onnx_graph import LOWERINGS
from tests.nets import (
    HEIGHT,
    TINY,
    UNEVEN,
    WIDTH,
    as_tensors,
    bound_values,
    random_control,
    random_inputs,
    random_tokens,
    random_weights,
)

CPU = torch.device("cpu")
FRAMES = 5
each_spec = pytest.mark.parametrize("spec", [TINY, UNEVEN], ids=["tiny", "uneven"])


def random_net(spec: Spec) -> Net:
    net = Net(spec)
    net.load_arrays(random_weights(spec))
    return net


def random_clip(generator: torch.Generator, streams: int, frames: int) -> FrameInputs[Tensor]:
    def pixels(channels: int) -> Tensor:
        return torch.randn((streams, frames, channels, HEIGHT, WIDTH), generator=generator) * 0.5

    flags = torch.ones(streams, frames, 1, 1)
    flags[:, 0] = 0
    return FrameInputs(
        noisy=pixels(3),
        camera=pixels(3),
        previous=pixels(3),
        anchor=pixels(6),
        has_previous=flags,
        has_anchor=flags,
    )


def frame_of(clip: FrameInputs[Tensor], stream: int, t: int) -> FrameInputs[Tensor]:
    return FrameInputs(
        noisy=clip.noisy[stream, t],
        camera=clip.camera[stream, t],
        previous=clip.previous[stream, t],
        anchor=clip.anchor[stream, t],
        has_previous=clip.has_previous[stream, t],
        has_anchor=clip.has_anchor[stream, t],
    )


@each_spec
@torch.no_grad()
def test_a_clip_at_once_equals_frame_by_frame_with_history(spec: Spec) -> None:
    net, ops = random_net(spec), TorchOps()
    g = torch.Generator().manual_seed(0)
    clip = random_clip(g, 2, FRAMES)
    codes = torch.randn((2, FRAMES, spec.prompt_tokens + 1, spec.prompt_width), generator=g)
    features = torch.from_numpy(step_features(torch.rand((2, FRAMES)).numpy(), 0.0))
    tables = table_tensors(spec, HEIGHT, WIDTH, CPU)
    parallel = net(clip, codes, features, tables)
    tokens = tables.rows * tables.cols
    for stream in range(2):
        empty = tuple(torch.zeros(shape) for shape in slot_shapes(spec, tokens))
        ring = [empty] * spec.window
        for t in range(FRAMES):
            bias = torch.from_numpy(key_bias(spec, tokens, min(t, spec.window)))
            memory = RingMemory(ops, spec, ring, bias, tokens)
            control = prepare_control(
                ops, net.params(), spec, codes[stream, t], features[stream, t]
            )
            frame = frame_of(clip, stream, t)
            out = forward(ops, net.params(), spec, frame, control, tables, memory)
            error = float((out - parallel[stream, t]).abs().max())
            assert error <= 1e-5 * max(1.0, float(parallel.abs().max()))
            ring = [tuple(memory.collected), *ring][: spec.window]


@torch.no_grad()
def test_history_changes_the_frame() -> None:
    """The equality above would also hold for a network that ignores the past."""
    net = random_net(TINY)
    g = torch.Generator().manual_seed(0)
    clip = random_clip(g, 1, 2)
    codes = torch.randn((1, 2, TINY.prompt_tokens + 1, TINY.prompt_width), generator=g)
    features = torch.from_numpy(step_features(torch.zeros((1, 2)).numpy(), 0.0))
    tables = table_tensors(TINY, HEIGHT, WIDTH, CPU)
    first = net(clip, codes, features, tables)[:, 1]
    clip.camera[:, 0] += 0.5
    assert float((net(clip, codes, features, tables)[:, 1] - first).abs().max()) > 1e-3


@torch.no_grad()
def test_a_frame_never_sees_the_future() -> None:
    net = random_net(TINY)
    g = torch.Generator().manual_seed(0)
    clip = random_clip(g, 1, 3)
    codes = torch.randn((1, 3, TINY.prompt_tokens + 1, TINY.prompt_width), generator=g)
    features = torch.from_numpy(step_features(torch.zeros((1, 3)).numpy(), 0.0))
    tables = table_tensors(TINY, HEIGHT, WIDTH, CPU)
    before = net(clip, codes, features, tables)[:, :2]
    clip.camera[:, 2] += 0.5
    clip.noisy[:, 2] += 0.5
    assert torch.equal(net(clip, codes, features, tables)[:, :2], before)


@each_spec
@pytest.mark.parametrize("filled", [0, 1])
@torch.no_grad()
def test_the_program_of_a_step_is_the_step_bit_for_bit(spec: Spec, filled: int) -> None:
    params = as_tensors(random_weights(spec))
    inputs, control = random_inputs(spec, filled), random_control(spec, params)
    tables = table_tensors(spec, HEIGHT, WIDTH, CPU)
    eager = denoise_step(TorchOps(), params, spec, inputs, control, tables)
    program = step_program(spec, HEIGHT, WIDTH)
    result = program.run(TorchOps(), bound_values(spec, params, inputs, control))
    assert torch.equal(result["frame"], eager.frame)
    assert torch.equal(result["noisy_next"], eager.noisy)
    assert len(eager.slots) == len(spec.history_blocks)
    for j, slot in enumerate(eager.slots):
        assert torch.equal(result[f"slot.new.{j}"], slot)


@each_spec
@torch.no_grad()
def test_recorded_shapes_are_the_computed_ones(spec: Spec) -> None:
    params = as_tensors(random_weights(spec))
    bound = bound_values(spec, params, random_inputs(spec, 1), random_control(spec, params))
    program = step_program(spec, HEIGHT, WIDTH)
    shapes = {value.index: value.shape for value in program.values}
    for name, result in program.run(TorchOps(), bound).items():
        assert tuple(result.shape) == shapes[program.outputs[name]], name
    for name, value in program.named("input").items():
        assert tuple(bound[name].shape) == value.shape, name


@each_spec
@torch.no_grad()
def test_prompt_and_control_programs_are_their_functions_bit_for_bit(spec: Spec) -> None:
    ops, params = TorchOps(), as_tensors(random_weights(spec))
    states, mask = random_tokens(0)
    bias = torch.where(torch.from_numpy(mask), 0.0, -30000.0)[None]
    inputs = {"states": torch.from_numpy(states), "bias": bias}
    code = encode_prompt(ops, params, inputs["states"], bias)
    assert torch.equal(prompt_program(spec).run(ops, {**params, **inputs})["code"], code)
    features = torch.from_numpy(step_features(0.5, 0.0))
    table = flatten_control(prepare_control(ops, params, spec, code, features))
    result = control_program(spec).run(ops, {**params, "code": code, "step_features": features})
    assert result.keys() == table.keys()
    for name, value in table.items():
        assert torch.equal(result[name], value), name


@torch.no_grad()
def test_padding_of_a_prompt_does_not_matter() -> None:
    net = random_net(TINY)
    states, mask = (torch.from_numpy(a) for a in random_tokens(0))
    code = net.prompt_codes(states, mask)
    noisy = states + torch.randn_like(states) * ~mask[:, None]
    torch.testing.assert_close(net.prompt_codes(noisy, mask), code, atol=1e-6, rtol=1e-5)


def test_every_primitive_has_a_recorder_a_computation_and_a_lowering() -> None:
    assert len(PRIMITIVES) >= 20
    for name in PRIMITIVES:
        assert name in vars(Tracer), name
        assert name in vars(TorchOps), name
    assert set(LOWERINGS) == set(PRIMITIVES)


def test_unused_operations_are_dropped_from_a_program() -> None:
    tracer = Tracer()
    x = tracer.new("x", (2, 3), "input")
    tracer.silu(x)
    program = tracer.program({"y": tracer.add(x, x)})
    assert [op.primitive for op in program.operations] == ["add"]
    with pytest.raises(KeyError):
        program.run(TorchOps(), {})


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    assert broadcast((3, 1, 4), (2, 1)) == (3, 2, 4)
    with pytest.raises(ValueError, match="broadcast"):
        broadcast((3,), (2,))


@torch.no_grad()
def test_a_new_net_starts_near_the_camera() -> None:
    """Heads start at zero: the local colour maps are the identity, whatever the noise."""
    net = Net(TINY, seed=1)
    g = torch.Generator().manual_seed(0)
    clip = random_clip(g, 1, 1)
    codes = torch.randn((1, 1, TINY.prompt_tokens + 1, TINY.prompt_width), generator=g)
    features = torch.from_numpy(step_features(torch.zeros((1, 1)).numpy(), 0.0))
    out = net(clip, codes, features, table_tensors(TINY, HEIGHT, WIDTH, CPU))
    torch.testing.assert_close(out, clip.camera, atol=1e-5, rtol=1e-5)


def test_weights_of_a_wrong_shape_or_name_are_refused() -> None:
    net, weights = Net(TINY), random_weights(TINY)
    with pytest.raises(ValueError, match=r"embed\.camera"):
        net.load_arrays({**weights, "embed.camera": weights["embed.camera"][:-1]})
    del weights["embed.camera"]
    with pytest.raises(KeyError):
        net.load_arrays(weights)
