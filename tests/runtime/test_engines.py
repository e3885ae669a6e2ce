"""Every engine runs the same function as eager torch, within the stated tolerance."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.arch.spec import BlockSpec, Spec
from everframe.arch.torch_net import table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.core.errors import UserError
from everframe.diffusion.frame_step import denoise_step
from everframe.diffusion.programs import step_program
from everframe.runtime import engine as engines
from everframe.runtime.engine import Engine, installed_engines, open_engine
from everframe.runtime.onnx_graph import build_onnx
from everframe.runtime.onnxruntime_engine import compile_graph
from everframe.runtime.openvino_engine import graph_compiler
from everframe.runtime.program_engine import HELD_INPUTS, Compile, narrowed, widened
from everframe.runtime.torch_engine import TorchEngine, torch_engine
from tests.nets import (
    ALONE,
    HALVES,
    HEIGHT,
    TINY,
    UNEVEN,
    WIDTH,
    as_tensors,
    bound_values,
    random_bundle,
    random_control,
    random_frame,
    random_history,
    random_inputs,
    random_tokens,
    random_weights,
)

FLOAT_TOLERANCE = 2e-3
EQUAL_SHARE = 0.999
"""Of the bytes of a frame, at most one level apart."""
BFLOAT16_LEVELS = 1.5
"""Mean error in levels of 255."""
CAPABLE = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
COMPILERS: dict[str, Compile] = {
    "onnxruntime": compile_graph,
    "openvino": graph_compiler("float32"),
}
Array = NDArray[Any]


def close_frames(a: Array, b: Array) -> bool:
    error = np.abs(a.astype(np.int16) - b.astype(np.int16))
    return float((error <= 1).mean()) > EQUAL_SHARE


@pytest.mark.parametrize("back_end", COMPILERS)
@pytest.mark.parametrize(
    "spec", [TINY, UNEVEN, HALVES, ALONE], ids=["tiny", "uneven", "halves", "alone"]
)
@pytest.mark.parametrize("filled", [0, 1])
@torch.no_grad()
def test_the_exported_step_is_the_eager_step(back_end: str, spec: Spec, filled: int) -> None:
    params = as_tensors(random_weights(spec))
    inputs, control = random_inputs(spec, filled), random_control(spec, params)
    tables = table_tensors(spec, HEIGHT, WIDTH, torch.device("cpu"))
    truth = denoise_step(TorchOps(), params, spec, inputs, control, tables)
    program = step_program(spec, HEIGHT, WIDTH)
    bound = {n: v.numpy() for n, v in bound_values(spec, params, inputs, control).items()}
    model = build_onnx(program, bound).SerializeToString()
    run = COMPILERS[back_end](model, tuple(program.outputs), True)
    result = run({n: np.ascontiguousarray(bound[n]) for n in program.named("input")})
    error = np.abs(result["noisy_next"] - truth.noisy.numpy())
    assert float(error.max()) < FLOAT_TOLERANCE
    assert close_frames(result["frame"], truth.frame.numpy())
    for j, slot in enumerate(truth.slots):
        np.testing.assert_allclose(result[f"slot.new.{j}"], slot.numpy(), atol=FLOAT_TOLERANCE)


def as_arrays(history: History[Tensor]) -> History[Array]:
    return History(
        previous=history.previous.numpy(),
        anchor_output=history.anchor_output.numpy(),
        anchor_camera=history.anchor_camera.numpy(),
        slots=tuple(tuple(v.numpy() for v in slot) for slot in history.slots),
        filled=history.filled,
        has_previous=history.has_previous,
        has_anchor=history.has_anchor,
    )


def eager() -> TorchEngine:
    return torch_engine(random_bundle(), HEIGHT, WIDTH, "float32", compiled=False)


def frames_of(
    engine: Engine[Array], reference: TorchEngine, filled: int, seed: int
) -> tuple[Array, Array]:
    """The frame of an engine and of eager torch after the same memory (filled 0: an empty one)."""
    history = reference.empty_history()
    if filled:
        rows, cols = TINY.grid(HEIGHT, WIDTH)
        history = random_history(TINY, rows * cols, filled)
    noise = np.random.default_rng(seed).standard_normal((3, HEIGHT, WIDTH), np.float32)
    camera = random_frame(seed)
    code = reference.encode_prompt(*random_tokens(seed))
    truth, _ = reference.step(
        history,
        reference.to_engine(camera),
        reference.to_engine(noise),
        reference.prepare(code, 2),
    )
    made, _ = engine.step(as_arrays(history), camera, noise, engine.prepare(code, 2))
    return made, truth.numpy()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_engines_in_float32_make_the_frames_of_eager_torch(name: str) -> None:
    engine = open_engine(name, random_bundle(), height=HEIGHT, width=WIDTH, precision="float32")
    reference = eager()
    states, mask = random_tokens(0)
    np.testing.assert_allclose(
        engine.encode_prompt(states, mask), reference.encode_prompt(states, mask), atol=1e-4
    )
    for filled in range(TINY.window + 1):
        made, truth = frames_of(engine, reference, filled, seed=filled)
        assert made.shape == (HEIGHT, WIDTH, 3)
        assert made.dtype == np.uint8
        assert close_frames(made, truth), filled


@pytest.mark.skipif(not CAPABLE, reason="the processor has no bfloat16")
@pytest.mark.parametrize("filled", range(TINY.window + 1))
def test_openvino_in_bfloat16_stays_near(filled: int) -> None:
    """Its fused bfloat16 attention once read a bias of lower rank wrongly: noise."""
    engine = open_engine(
        "openvino", random_bundle(), height=HEIGHT, width=WIDTH, precision="bfloat16"
    )
    reference = eager()
    errors: list[float] = []
    for seed in range(3):
        made, truth = frames_of(engine, reference, filled, seed)
        errors.append(float(np.abs(made.astype(np.float32) - truth).mean()))
    assert max(errors) < BFLOAT16_LEVELS, errors


def test_int8_of_the_shipped_pocket_stays_near_float32() -> None:
    """`auto` on a CPU: products in int8, beside bfloat16 all but the head's."""
    bundle = Bundle.from_pretrained("pocket")
    states, mask = random_tokens(0)
    cameras = [random_frame(seed) for seed in range(4)]
    noise = np.random.default_rng(0).standard_normal((3, HEIGHT, WIDTH), np.float32)
    made: dict[str, list[Array]] = {}
    for precision in ("float32", "auto"):
        engine = open_engine("openvino", bundle, height=HEIGHT, width=WIDTH, precision=precision)
        prepared = engine.prepare(engine.encode_prompt(states, mask), 1)
        history = engine.empty_history()
        made[engine.name] = []
        for camera in cameras:
            frame, history = engine.step(history, camera, noise, prepared)
            made[engine.name].append(frame.astype(np.float32))
    assert list(made) == ["openvino (float32)", "openvino (int8)"]
    exact, fast = (np.stack(frames) for frames in made.values())
    error = float(np.abs(exact - fast).mean())
    assert 0 < error < BFLOAT16_LEVELS, error


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_what_is_held_follows_its_inputs(name: str) -> None:
    """Streams that take turns, a new anchor, new noise: as if everything were computed anew."""
    engine = open_engine(name, random_bundle(), height=HEIGHT, width=WIDTH, precision="float32")
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 2)
    blank = engine.empty_history()
    noises = [
        np.random.default_rng(i).standard_normal((3, HEIGHT, WIDTH), np.float32) for i in (1, 2)
    ]
    anchored = [
        replace(
            blank, anchor_output=random_frame(i), anchor_camera=random_frame(9), has_anchor=True
        )
        for i in range(2 * HELD_INPUTS)
    ]
    cases = [(h, n) for h in (blank, *anchored, anchored[0].without_anchor()) for n in noises]

    def play(opened: Engine[Array], case: tuple[History[Array], Array]) -> Array:
        return opened.step(case[0], random_frame(5), case[1], prepared)[0].copy()

    def copied(case: tuple[History[Array], Array]) -> tuple[History[Array], Array]:
        history, noise = case
        new = replace(history, anchor_output=history.anchor_output.copy())
        return new, noise.copy()

    first = [play(engine, case) for case in cases]
    again = [play(engine, case) for case in cases]
    fresh = [play(engine, copied(case)) for case in cases]
    assert all(map(np.array_equal, first, again))
    assert all(map(np.array_equal, first, fresh))
    assert len({frame.tobytes() for frame in first}) == len(cases) - 2  # a hidden anchor is none


@pytest.mark.skipif(not CAPABLE, reason="the processor has no bfloat16")
def test_slots_in_bfloat16_leave_and_come_back() -> None:
    engine = open_engine("openvino", random_bundle(), height=HEIGHT, width=WIDTH)
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 1)
    noise = np.zeros((3, HEIGHT, WIDTH), np.float32)
    _, history = engine.step(engine.empty_history(), random_frame(0), noise, prepared)
    outside = [[engine.to_numpy(v) for v in slot] for slot in history.slots]
    assert {v.dtype for slot in outside for v in slot} == {np.dtype(np.float32)}
    assert float(np.abs(outside[0][0]).max()) > 0.1
    back = tuple(tuple(engine.to_engine(v) for v in slot) for slot in outside)
    frames = [
        engine.step(replace(history, slots=slots), random_frame(1), noise, prepared)[0]
        for slots in (history.slots, back)
    ]
    np.testing.assert_array_equal(*frames)


def test_bfloat16_is_rounded_to_even() -> None:
    values = np.array(
        [1.0, -2.5, 0.1, 3.14159, 1e-30, -65504.0, 1.00390625, 1.01171875], np.float32
    )
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(widened(narrowed(values)), expected)


def test_masked_slots_never_reach_the_frame() -> None:
    reference = eager()
    history = random_history(TINY, 6, 1)
    rubbish = tuple(torch.full_like(v, 50.0) for v in history.slots[1])
    noise = torch.zeros(3, HEIGHT, WIDTH)
    prepared = reference.prepare(reference.encode_prompt(*random_tokens(0)), 1)
    camera = torch.from_numpy(random_frame(0))
    first, _ = reference.step(history, camera, noise, prepared)
    changed = replace(history, slots=(history.slots[0], rubbish))
    second, _ = reference.step(changed, camera, noise, prepared)
    assert torch.equal(first, second)


@pytest.mark.parametrize("size", [(256, 256), (240, 320), (288, 512), (432, 768)], ids=str)
def test_live_sizes_open_and_step(size: tuple[int, int]) -> None:
    engine = open_engine("auto", random_bundle(), height=size[0], width=size[1])
    camera = random_frame(0, *size)
    noise = np.random.default_rng(0).standard_normal((3, *size), np.float32)
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 1)
    given = engine.to_engine(camera), engine.to_engine(noise), prepared
    _, history = engine.step(engine.empty_history(), *given)
    out = engine.to_numpy(engine.step(history, *given)[0])
    assert out.shape == camera.shape
    assert out.dtype == np.uint8
    assert float(out.std()) > 1


def test_more_than_eight_networks_stay_compiled() -> None:
    """As where the shapes of blocks are measured, or a server has many models and sizes."""
    graphs: list[torch.fx.GraphModule] = []

    def counted(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    for number in range(1, 10):
        spec = replace(TINY, blocks=(BlockSpec(heads=1, ffn=8 * number),))
        engine = torch_engine(random_bundle(spec), 16, 16, "float32", compiled=True)
        engine.denoise = torch.compile(denoise_step, dynamic=False, backend=counted)
        prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 1)
        camera, noise = torch.zeros((16, 16, 3), dtype=torch.uint8), torch.zeros(3, 16, 16)
        engine.step(engine.empty_history(), camera, noise, prepared)
        assert len(graphs) == number


def test_auto_names_the_engine_it_took() -> None:
    name = open_engine("auto", random_bundle(), height=HEIGHT, width=WIDTH).name
    first = installed_engines()[0]
    assert name.startswith("torch" if first == "torch" else first)


@pytest.mark.parametrize(
    ("name", "precision", "size", "message"),
    [
        ("tensorflow", "auto", (32, 48), "choose auto or one of openvino"),
        ("openvino", "float64", (32, 48), "choose one of auto, float32"),
        ("onnxruntime", "bfloat16", (32, 48), "use --engine openvino"),
        ("openvino", "auto", (30, 48), "use for example 48x32"),
    ],
)
def test_what_cannot_be_opened(
    name: str, precision: str, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(name, random_bundle(), height=size[0], width=size[1], precision=precision)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed_engines", tuple)
    with pytest.raises(UserError, match=r'pip install "everframe\[onnxruntime\]"'):
        open_engine("onnxruntime", random_bundle(), height=HEIGHT, width=WIDTH)
    with pytest.raises(UserError, match="pip install openvino"):
        open_engine("auto", random_bundle(), height=HEIGHT, width=WIDTH)
