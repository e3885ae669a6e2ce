"""The mega kernel on a Hopper GPU: `pytest -m gpu tests/runtime/megakernel/test_gpu.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.arch.presets import PRESETS
from everframe.runtime.engine import open_engine
from everframe.runtime.torch_engine import TorchEngine, torch_engine
from everframe.runtime.torch_shapes import SHAPES, drawn_bundle
from everframe.stream.session import Session
from tests.exact import ExactEngine, same_memory_errors
from tests.nets import TINY, UNEVEN, random_bundle, random_frame, random_tokens
from tests.runtime.megakernel.launches import first_up

if TYPE_CHECKING:
    from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]
SIZE = (256, 256)
SMALL = (64, 96)
WORSE = 1.25
"""How much larger than that of compiled bfloat16 the error may be."""
Frames = list[NDArray[np.uint8]]


def kernel_engine(
    bundle: Bundle, size: tuple[int, int], options: KernelOptions | None = None
) -> MegakernelEngine:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine

    return MegakernelEngine(bundle, *size, torch.device("cuda"), options)


def stream(engine: TorchEngine, count: int, steps: int = 1) -> Iterator[torch.Tensor]:
    """A stream that feeds on its own output; first with one row of slots, then with all."""
    size = (engine.height, engine.width)
    code = np.random.default_rng(0).standard_normal(
        (engine.spec.prompt_tokens + 1, engine.spec.prompt_width)
    )
    prepared = engine.prepare(code.astype(np.float32), steps)
    noise = engine.to_engine(np.random.default_rng(1).standard_normal((3, *size), np.float32))
    history = engine.empty_history()
    for number in range(count):
        camera = engine.to_engine(random_frame(number % 7, *size))
        frame, history = engine.step(history, camera, noise, prepared)
        if not history.has_anchor:
            history = history.anchored(output=frame, camera=camera)
        yield frame


def frames(engine: TorchEngine, count: int, steps: int = 1) -> Frames:
    return [engine.to_numpy(frame) for frame in stream(engine, count, steps)]


def exact(bundle: Bundle, size: tuple[int, int]) -> ExactEngine:
    return ExactEngine(bundle, *size, torch.device("cuda"))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", ["pocket", "studio"])
def test_no_worse_than_compiled_bfloat16(name: str, steps: int) -> None:
    bundle = Bundle.from_pretrained(name)
    truth = exact(bundle, SIZE)
    compiled = torch_engine(bundle, *SIZE, "bfloat16", compiled=True)
    allowed = same_memory_errors(compiled, truth, 6, steps)
    error = same_memory_errors(kernel_engine(bundle, SIZE), truth, 6, steps)
    assert error <= WORSE * allowed + 0.02, (error, allowed)


@pytest.mark.parametrize("size", [SMALL, (80, 112), (144, 208)], ids=str)
@pytest.mark.parametrize("spec", [TINY, UNEVEN], ids=["tiny", "uneven"])
def test_ragged_sizes_and_uneven_blocks(spec: object, size: tuple[int, int]) -> None:
    assert spec in (TINY, UNEVEN)
    bundle = random_bundle(TINY if spec is TINY else UNEVEN)
    truth = exact(bundle, size)
    half = torch_engine(bundle, *size, "bfloat16", compiled=False)
    allowed = same_memory_errors(half, truth, 6, 2)
    error = same_memory_errors(kernel_engine(bundle, size), truth, 6, 2)
    assert error <= WORSE * allowed + 0.05, (error, allowed)


def test_parts_that_have_no_keys_yet() -> None:
    """A pruned `pocket`, with gains as trained ones are: eight parts, of which one has only keys of
    frames that are still to come. It once made the first frame NaN.
    """
    from everframe.runtime.megakernel.tiles import default_tiles

    kept = ((5, 128), (4, 64), (5, 64), (1, 128), (5, 704))
    whole = PRESETS["control"]
    blocks = zip(whole.blocks, kept, strict=True)
    spec = replace(whole, blocks=tuple(replace(b, heads=h, ffn=f) for b, (h, f) in blocks))
    bundle = random_bundle(spec)
    gains = {n: v * 2.6 for n, v in bundle.weights.items() if n.endswith(("q_gain", "k_gain"))}
    bundle = replace(bundle, weights={**bundle.weights, **gains})
    size = (224, 288)
    engine, truth = kernel_engine(bundle, size), exact(bundle, size)
    assert default_tiles(engine.plan).attend_parts == 8
    half = torch_engine(bundle, *size, "bfloat16", compiled=False)
    allowed = same_memory_errors(half, truth, 4, 1)
    assert same_memory_errors(engine, truth, 4, 1) <= WORSE * allowed + 0.05


def test_the_same_bits_for_any_number_of_ctas_and_with_delays() -> None:
    from everframe.runtime.megakernel.tiles import default_tiles
    from everframe.runtime.megakernel.torch_engine import KernelOptions

    bundle = Bundle.from_pretrained("pocket")
    tiles = default_tiles(kernel_engine(bundle, SIZE).plan)
    results = [
        frames(kernel_engine(bundle, SIZE, KernelOptions(tiles=tiles, ctas=ctas)), 4)
        for ctas in (132, 131, 66, 7, 1)
    ]
    delayed = KernelOptions(tiles=tiles, delayed=True)
    results.append(frames(kernel_engine(bundle, SIZE, delayed), 4))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_the_same_bits_again_and_again_beside_a_bandwidth_hog() -> None:
    engine = kernel_engine(Bundle.from_pretrained("pocket"), SIZE)
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 1)
    noise = torch.randn((3, *SIZE), device="cuda")
    camera = engine.to_engine(random_frame(0, *SIZE))
    first, history = engine.step(engine.empty_history(), camera, noise, prepared)
    history = history.anchored(output=first, camera=camera)
    truth, _ = engine.step(history, camera, noise, prepared)
    hog, data = torch.cuda.Stream(), torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    different = torch.zeros((), dtype=torch.int64, device="cuda")
    for number in range(10_000):
        if number % 50 == 0:
            with torch.cuda.stream(hog):
                data.copy_(data.flip(0))
        again, _ = engine.step(history, camera, noise, prepared)
        different += (again != truth).sum()
        if number % 1000 == 999:
            engine.kernel().check()
    assert int(different) == 0


@pytest.mark.parametrize("shape", ["C", "D"])
def test_large_tiles_and_the_copy_engine(shape: str) -> None:
    """Pointers against descriptors, and both against float64; no weight is zero."""
    from everframe.runtime.megakernel.tiles import default_tiles
    from everframe.runtime.megakernel.torch_engine import KernelOptions

    spec, size = SHAPES[shape]
    bundle = drawn_bundle(replace(spec, blocks=spec.blocks[:4]))
    truth = exact(bundle, size)
    half = torch_engine(bundle, *size, "bfloat16", compiled=False)
    allowed = WORSE * same_memory_errors(half, truth, 6, 1) + 0.05
    plain = kernel_engine(bundle, size)
    tiles = default_tiles(plain.plan)
    assert tiles.rows == 128
    bulk = kernel_engine(bundle, size, KernelOptions(tiles=replace(tiles, bulk=1)))
    assert same_memory_errors(plain, truth, 6, 1) <= allowed
    assert same_memory_errors(bulk, truth, 6, 1) <= allowed
    a, b = (frames(each, 2)[1].astype(float) for each in (plain, bulk))
    assert np.abs(a - b).mean() <= allowed


@pytest.mark.parametrize("shape", ["C", "D"])
def test_the_gluon_kernel_is_no_worse_than_eager_bfloat16(shape: str) -> None:
    from everframe.runtime.megakernel.tiles import GLUON
    from everframe.runtime.megakernel.torch_engine import KernelOptions

    spec, size = SHAPES[shape]
    bundle = drawn_bundle(replace(spec, blocks=spec.blocks[:4]))
    truth = exact(bundle, size)
    half = torch_engine(bundle, *size, "bfloat16", compiled=False)
    allowed = WORSE * same_memory_errors(half, truth, 6, 1) + 0.05
    engine = kernel_engine(bundle, size, KernelOptions(kernel=GLUON))
    assert engine.name.endswith("gluon)")
    assert same_memory_errors(engine, truth, 6, 1) <= allowed


@pytest.mark.parametrize(("shape", "light"), [("C", 0), ("D", 0), ("D", 1)])
def test_the_gluon_kernel_makes_the_same_bits_whatever_happens(shape: str, light: int) -> None:
    """For any number of CTAs, with delays in every partition, in poisoned scratch, and again."""
    from everframe.runtime.megakernel.tiles import GLUON
    from everframe.runtime.megakernel.torch_engine import KernelOptions

    spec, size = SHAPES[shape]
    bundle = drawn_bundle(replace(spec, blocks=spec.blocks[:3]))
    plain = kernel_engine(bundle, size, KernelOptions(kernel=GLUON))
    right, tiles = frames(plain, 6), replace(plain.tiles, light_fences=light)
    first = kernel_engine(bundle, size, KernelOptions(kernel=GLUON, tiles=tiles))
    for ctas, delayed in ((132, True), (131, False), (66, True), (7, False)):
        options = KernelOptions(kernel=GLUON, tiles=tiles, ctas=ctas, delayed=delayed)
        other = kernel_engine(bundle, size, options)
        other.kernel().poison()
        assert all(np.array_equal(a, b) for a, b in zip(right, frames(other, 6), strict=True))
    for _ in range(200):
        assert np.array_equal(right[1], frames(first, 2)[1])


def test_a_stuck_instruction_of_the_gluon_kernel_is_named() -> None:
    from everframe.runtime.megakernel.tiles import GLUON
    from everframe.runtime.megakernel.torch_engine import KernelOptions
    from everframe.runtime.megakernel.torch_launch import KernelStuckError

    spec, size = SHAPES["C"]
    bundle = drawn_bundle(replace(spec, blocks=spec.blocks[:1]))
    engine = kernel_engine(bundle, size, KernelOptions(kernel=GLUON))
    clean, kernel = frames(engine, 2), engine.kernel()
    kernel.recompile(LIMIT=20_000)
    row = first_up(kernel)
    kernel.table[row, 3] += 1
    with pytest.raises(KernelStuckError, match=r"blocks\.0\.up"):
        frames(engine, 1)
    kernel.table[row, 3] -= 1
    assert all(np.array_equal(a, b) for a, b in zip(clean, frames(engine, 2), strict=True))


def test_small_models_get_the_triton_kernel() -> None:
    from everframe.runtime.megakernel.tiles import GLUON
    from everframe.runtime.megakernel.torch_engine import megakernel_engine

    engine = megakernel_engine(Bundle.from_pretrained("pocket"), *SIZE, "auto", GLUON)
    assert engine.name == "megakernel (cuda bfloat16)"  # small: nothing else was wanted


def test_streams_side_by_side_make_the_frames_of_one_alone() -> None:
    from everframe.runtime.megakernel.torch_engine import KernelOptions

    engine = kernel_engine(Bundle.from_pretrained("pocket"), SIZE, KernelOptions(ctas=16))
    alone = frames(engine, 8)
    lanes = [(each, torch.cuda.Stream()) for each in (engine.beside() for _ in range(12))]
    torch.cuda.synchronize()
    running = [stream(each, 8) for each, _ in lanes]
    made: list[list[torch.Tensor]] = [[] for _ in lanes]
    for _ in range(8):
        for (_, own), source, into in zip(lanes, running, made, strict=True):
            with torch.cuda.stream(own):
                into.append(next(source))
    torch.cuda.synchronize()
    for (each, _), results in zip(lanes, made, strict=True):
        each.kernel().check()
        for right, frame in zip(alone, results, strict=True):
            assert np.array_equal(right, frame.cpu().numpy())


def test_poisoned_scratch_changes_nothing() -> None:
    engine = kernel_engine(Bundle.from_pretrained("pocket"), SIZE)
    clean = frames(engine, 3)
    engine.kernel().poison()
    assert all(np.array_equal(a, b) for a, b in zip(clean, frames(engine, 3), strict=True))


def test_a_stuck_instruction_is_named_and_the_engine_goes_on() -> None:
    from everframe.runtime.megakernel.torch_launch import KernelStuckError

    engine = kernel_engine(random_bundle(), SMALL)
    clean, kernel = frames(engine, 2), engine.kernel()
    kernel.recompile(LIMIT=20_000)
    row = first_up(kernel)
    kernel.table[row, 3] += 1
    with pytest.raises(KernelStuckError, match=r"blocks\.0\.up"):
        frames(engine, 1)
    kernel.table[row, 3] -= 1
    assert all(np.array_equal(a, b) for a, b in zip(clean, frames(engine, 2), strict=True))


def test_a_hundred_thousand_frames_of_a_session() -> None:
    """Each frame is read back, so one that got stuck would raise."""
    session = Session.from_pretrained("pocket", prompt="pencil sketch", engine="megakernel")
    assert session.stats.engine == "megakernel (cuda bfloat16)"
    cameras = [random_frame(number, *SIZE) for number in range(8)]
    for number in range(100_000):
        frame = session.step(cameras[number % 8])
        if number % 5000 == 4999:
            assert float(frame.std()) > 1
        if number % 20_000 == 19_999:
            session.update(prompt=("oil painting", "pencil sketch")[number // 20_000 % 2])


def test_the_engine_opens_by_name() -> None:
    engine = open_engine("megakernel", Bundle.from_pretrained("pocket"), height=256, width=256)
    assert engine.name == "megakernel (cuda bfloat16)"


def test_what_it_cannot_run_falls_back_and_says_so() -> None:
    engine = open_engine("megakernel", random_bundle(), height=64, width=64, precision="float32")
    assert engine.name.startswith("compiled (cuda float32) instead of megakernel: ")
    assert "bfloat16" in engine.name
