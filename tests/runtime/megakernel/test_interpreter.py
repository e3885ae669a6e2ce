"""The Triton kernel in Triton's interpreter against eager torch. Runs where triton is installed
with a NumPy that its interpreter works with (below 2.3): `TRITON_INTERPRET=1 pytest` on this file.

The interpreter runs CTAs one after the other: schedules of several lists are given to it by
instructions, in a random legal order, another for each frame.
"""

import os
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.arch.spec import BlockSpec, Spec
from everframe.runtime.engine import open_engine
from everframe.runtime.megakernel.encode import TASK
from everframe.runtime.megakernel.tiles import Tiles
from everframe.runtime.torch_engine import TorchEngine, torch_engine
from tests.exact import ExactEngine, same_memory_errors
from tests.nets import ALONE, HALVES, TINY, UNEVEN, random_bundle, random_frame, random_tokens
from tests.runtime.megakernel.launches import first_up, noise_of

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and find_spec("triton") is not None
pytestmark = [
    pytest.mark.skipif(not INTERPRETED, reason="needs triton and TRITON_INTERPRET=1"),
    pytest.mark.timeout(400),
]
SIZE = (32, 48)
WIDE_HEADS = replace(TINY, head_dim=128, blocks=(BlockSpec(heads=1, ffn=96, history_frames=2),))
SPLIT = Tiles(rows=16, model_cols=32, keys=16, attend_parts=3, down_parts=2, conv_rows=64)
SLICED = replace(
    SPLIT,
    rows=32,
    merge_rows=16,
    finish_rows=16,
    out_parts=2,
    embed_parts=2,
    rehearsed=1,
    order=2,
)
FINE = replace(UNEVEN, patch=8)
"""24 tokens at `SIZE`, where the others have 6: more than a tile of keys."""
FINE_HEADS = replace(WIDE_HEADS, patch=8)
EVEN_SIZE = (32, 64)
"""32 tokens of `FINE`: whole tiles of keys."""
RAGGED = Tiles(rows=16, keys=64)


def engines(
    spec: Spec,
    tiles: Tiles | None,
    poll_limit: int | None = None,
    ctas: int = 1,
    size: tuple[int, int] = SIZE,
) -> list[TorchEngine]:
    from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine

    bundle = random_bundle(spec)
    options = KernelOptions(tiles=tiles, ctas=ctas, interpreted=True)
    kernel = MegakernelEngine(bundle, *size, torch.device("cpu"), options)
    if poll_limit is not None:
        kernel.kernel().recompile(LIMIT=poll_limit)
    return [kernel, torch_engine(bundle, *size, "float32", compiled=False)]


def frames(engine: TorchEngine, steps: int, count: int) -> list[np.ndarray]:
    code = engine.encode_prompt(*random_tokens(0))
    prepared, history, made = engine.prepare(code, steps), engine.empty_history(), []
    for number in range(count):
        camera: Tensor = torch.from_numpy(random_frame(number, *SIZE))
        frame, history = engine.step(history, camera, noise_of(SIZE), prepared)
        if not history.has_anchor:
            history = history.anchored(output=frame, camera=camera)
        made.append(engine.to_numpy(frame).astype(int))
    return made


@pytest.mark.parametrize(
    ("spec", "steps", "tiles", "ctas", "size"),
    [
        (TINY, 1, None, 1, SIZE),
        (FINE, 1, SPLIT, 3, SIZE),
        (FINE, 1, replace(SPLIT, attend_parts=8), 1, EVEN_SIZE),
        (FINE_HEADS, 1, replace(SPLIT, down_parts=1), 1, EVEN_SIZE),
        (UNEVEN, 2, None, 7, SIZE),
        (HALVES, 2, None, 5, SIZE),
        (ALONE, 1, None, 5, SIZE),
        (WIDE_HEADS, 1, None, 1, SIZE),
        (UNEVEN, 1, SPLIT, 1, SIZE),
        (UNEVEN, 1, SPLIT, 13, SIZE),
        (FINE, 1, SLICED, 5, SIZE),
        (WIDE_HEADS, 2, SLICED, 3, SIZE),
        (TINY, 1, RAGGED, 3, SIZE),
    ],
    ids=[
        "tiny",
        "full tiles, 3 CTAs",
        "only full tiles",
        "head 128, full tiles",
        "uneven, two steps, 7 CTAs",
        "halves, 5 CTAs",
        "no past frames, 5 CTAs",
        "head 128",
        "split",
        "split, 13 CTAs",
        "sums apart, 5 CTAs",
        "head 128, sums apart, two steps",
        "keys beyond the rows, 3 CTAs",
    ],
)
def test_the_kernel_makes_the_frames_of_eager_torch(
    spec: Spec, steps: int, tiles: Tiles | None, ctas: int, size: tuple[int, int]
) -> None:
    kernel, eager = engines(spec, tiles, ctas=ctas, size=size)
    code = eager.encode_prompt(*random_tokens(0))
    prepared = [e.prepare(code, steps) for e in (kernel, eager)]
    history, slots = eager.empty_history(), kernel.empty_history().slots
    for number in range(spec.window + 2):
        camera = torch.from_numpy(random_frame(number, *size))
        # pictures of eager torch, keys and values of the kernel itself
        own = replace(history, slots=slots)
        made, after = kernel.step(own, camera, noise_of(size), prepared[0])
        truth, history = eager.step(history, camera, noise_of(size), prepared[1])
        error = np.abs(kernel.to_numpy(made).astype(int) - truth.numpy().astype(int))
        assert error.max() <= 1, number
        assert (error > 0).mean() < 1e-3
        slots = after.slots
        if not history.has_anchor:
            history = history.anchored(output=truth, camera=camera)


def test_keys_that_do_not_exist_weigh_nothing() -> None:
    """A part of attention may have no others, as long as the ring fills. (What the interpreter does
    not show: on a GPU their scores less themselves, in one instruction, were not zero.)
    """
    from tests.runtime.megakernel.triton_empty import empty_tile

    out = torch.full((48,), torch.nan)
    kernel: Any = empty_tile
    kernel[(1,)](out, SCALE=0.18033688)
    total, top, weights = out.view(3, 16)
    assert torch.equal(total, torch.zeros(16))
    assert torch.equal(weights, torch.zeros(16))
    assert bool((top == -1e20).all())


@pytest.mark.parametrize("rows", [{"merge_rows": 16}, {"finish_rows": 16}], ids=str)
def test_sums_apart_make_the_same_bits(rows: dict[str, int]) -> None:
    whole = replace(SLICED, merge_rows=0, finish_rows=0)
    made = [
        frames(engines(UNEVEN, tiles, ctas=4)[0], 1, 3) for tiles in (whole, replace(whole, **rows))
    ]
    for a, b in zip(*made, strict=True):
        assert np.array_equal(a, b)


def test_the_comparison_with_float64_of_the_gpu_tests() -> None:
    kernel, eager = engines(UNEVEN, None)
    truth = ExactEngine(random_bundle(UNEVEN), *SIZE, torch.device("cpu"))
    assert same_memory_errors(eager, truth, 3, 2) < 0.01
    assert same_memory_errors(kernel, truth, 3, 2) < 0.01


def test_memory_of_another_engine_is_taken_over() -> None:
    kernel, eager = engines(TINY, None)
    code, camera = eager.encode_prompt(*random_tokens(0)), torch.from_numpy(random_frame(0, *SIZE))
    prepared = [e.prepare(code, 1) for e in (kernel, eager)]
    _, history = eager.step(eager.empty_history(), camera, noise_of(SIZE), prepared[1])
    results = [
        e.step(history, camera, noise_of(SIZE), p)[0].numpy().astype(int)
        for e, p in zip((kernel, eager), prepared, strict=True)
    ]
    # the kernel's own slots differ from eager's in shape only
    assert np.abs(results[0] - results[1]).max() <= 1


def test_kernels_beside_each_other_share_no_scratch() -> None:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine

    first, _ = engines(TINY, None)
    assert isinstance(first, MegakernelEngine)
    second = first.beside()
    prepared = first.prepare(first.encode_prompt(*random_tokens(0)), 1)
    own: list[list[np.ndarray]] = [[], []]
    histories = [first.empty_history(), second.empty_history()]
    for number in range(2):
        for i, engine in enumerate((first, second)):
            camera = torch.from_numpy(random_frame(number + 5 * i, *SIZE))
            frame, histories[i] = engine.step(histories[i], camera, noise_of(SIZE), prepared)
            if not histories[i].has_anchor:
                histories[i] = histories[i].anchored(output=frame, camera=camera)
            own[i].append(engine.to_numpy(frame))
            if number == 0:  # the other's next frame must not see this one's scratch
                engine.kernel().poison()
    assert first.kernel().epoch == second.kernel().epoch == 2
    assert np.array_equal(own[0], frames(first, 1, 2))


def test_a_stuck_instruction_is_named() -> None:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine
    from everframe.runtime.megakernel.torch_launch import KernelStuckError

    kernel, _ = engines(TINY, None, poll_limit=20)
    assert isinstance(kernel, MegakernelEngine)
    launch = kernel.kernel()
    row = first_up(launch)
    launch.table[row, 3] += 1
    with pytest.raises(KernelStuckError, match=r"blocks\.0\.up.* wait stage 0"):
        frames(kernel, 1, 1)
    launch.table[row, 3] -= 1
    assert len(frames(kernel, 1, 1)) == 1


def test_the_earliest_stuck_instruction_is_named() -> None:
    """Whatever waits for it gives up as well, sooner or later."""
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine
    from everframe.runtime.megakernel.torch_launch import KernelStuckError

    kernel, _ = engines(TINY, None, poll_limit=20)
    assert isinstance(kernel, MegakernelEngine)
    launch = kernel.kernel()
    last = len(launch.table) - 1  # a later instruction has been there already
    launch.error.fill_(int(launch.table[last, TASK]) * 4)
    row = first_up(launch)
    launch.table[row, 3] += 1
    with pytest.raises(KernelStuckError, match=r"blocks\.0\.up.* wait stage 0"):
        frames(kernel, 1, 1)


def test_the_poisoned_scratch_is_never_read() -> None:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine

    kernel, _ = engines(UNEVEN, None)
    assert isinstance(kernel, MegakernelEngine)
    clean = frames(kernel, 1, 2)
    kernel.kernel().poison()
    for a, b in zip(clean, frames(kernel, 1, 2), strict=True):
        assert np.array_equal(a, b)


def test_without_a_gpu_the_engine_falls_back_and_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    engine = open_engine("megakernel", random_bundle(), height=32, width=48)
    assert engine.name.startswith("compiled (cpu float32) instead of megakernel: ")
    assert "needs an NVIDIA GPU" in engine.name
