"""The emulated schedule makes the frames of eager torch, in whatever order the CTAs run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.arch.spec import BlockSpec, Spec
from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.check import check_shared_memory
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_tasks
from everframe.runtime.megakernel.tiles import Tiles, default_tiles
from tests.nets import ALONE, HALVES, TINY, UNEVEN, random_bundle, random_frame
from tests.runtime.megakernel.launches import Stream, noise_of, stream

SMALL = (32, 48)
FLOAT_TOLERANCE = 2e-4
WIDE_HEADS = replace(TINY, head_dim=128, blocks=(BlockSpec(heads=1, ffn=96, history_frames=2),))
MIDDLE_HEADS = replace(TINY, head_dim=64, prompt_tokens=3)
SPECS = {
    "tiny": TINY,
    "uneven": UNEVEN,
    "halves": HALVES,
    "alone": ALONE,
    "head 128": WIDE_HEADS,
    "head 64": MIDDLE_HEADS,
}
SPLIT = Tiles(
    rows=16,
    model_cols=32,
    up_cols=16,
    head_cols=32,
    keys=16,
    conv_rows=64,
    attend_parts=3,
    out_parts=2,
    down_parts=2,
)
"""Small tiles: several blocks of rows, ragged ends, and every instruction split."""
SLICED = replace(SPLIT, rows=32, merge_rows=16, finish_rows=16, embed_parts=2, rehearsed=1, order=2)
"""Partial sums are added by instructions of their own."""


def compare(made: Stream, size: tuple[int, int], frames: int) -> None:
    """Frame by frame, each engine with the memory that eager torch made."""
    history = made.engine.empty_history()
    noise = noise_of(size)
    for number in range(frames):
        camera = torch.from_numpy(random_frame(number, *size))
        truth, after = made.engine.step(history, camera, noise, made.prepared)
        result = made.emulate(history, camera, noise, seed=number)
        error = np.abs(result.frame.astype(int) - truth.numpy().astype(int))
        assert error.max() <= 1, number
        assert (error > 0).mean() < 1e-3
        for name, slot in zip(result.slots, after.slots[0] if after.slots else (), strict=True):
            scale = float(slot.abs().max())
            np.testing.assert_allclose(
                result.slots[name], slot.numpy(), atol=FLOAT_TOLERANCE * scale
            )
        history = after if after.has_anchor else after.anchored(output=truth, camera=camera)


@pytest.mark.parametrize("name", SPECS)
def test_frames_of_eager_torch_until_the_ring_has_wrapped(name: str) -> None:
    spec = SPECS[name]
    made = stream(random_bundle(spec), SMALL)
    compare(made, SMALL, frames=spec.window + 3)


@pytest.mark.parametrize("steps", [2, 4])
def test_several_denoising_steps_in_one_launch(steps: int) -> None:
    compare(stream(random_bundle(UNEVEN), SMALL, steps=steps), SMALL, frames=2)


@pytest.mark.parametrize("tiles", [SPLIT, SLICED], ids=["split", "sums apart"])
@pytest.mark.parametrize("spec", [UNEVEN, HALVES, WIDE_HEADS], ids=["uneven", "halves", "head 128"])
def test_every_split_on_ragged_tiles(spec: Spec, tiles: Tiles) -> None:
    size = (80, 112)  # 35 tokens in blocks of 16; 56 positions a row in tiles of 64
    compare(stream(random_bundle(spec), size, steps=2, tiles=tiles, sms=7), size, frames=3)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_sums_apart_in_any_order_make_the_same_bits(order: int) -> None:
    results: list[bytes] = []
    for tiles in (replace(SLICED, merge_rows=0, finish_rows=0), SLICED):
        tiles = replace(tiles, order=order)
        made = stream(random_bundle(UNEVEN), (64, 64), steps=2, tiles=tiles, sms=9)
        camera = torch.from_numpy(random_frame(3, 64, 64))
        history = made.engine.empty_history()
        result = made.emulate(history, camera, noise_of((64, 64)), seed=order)
        results.append(
            result.frame.tobytes() + b"".join(s.tobytes() for s in result.slots.values())
        )
    assert results[0] == results[1]


@pytest.mark.parametrize("sms", [1, 5, 264])
def test_any_number_of_ctas_makes_the_same_bits(sms: int) -> None:
    results: list[bytes] = []
    for count in (132, sms):
        made = stream(random_bundle(UNEVEN), (64, 64), steps=2, tiles=SPLIT, sms=count)
        history = made.engine.empty_history()
        camera = torch.from_numpy(random_frame(3, 64, 64))
        result = made.emulate(history, camera, noise_of((64, 64)), seed=count)
        slots = b"".join(slot.tobytes() for slot in result.slots.values())
        results.append(result.frame.tobytes() + slots)
    assert results[0] == results[1]


def test_random_orders_make_the_same_bits() -> None:
    made = stream(random_bundle(UNEVEN), (64, 64), tiles=SPLIT, sms=20)
    history = made.engine.empty_history()
    camera = torch.from_numpy(random_frame(3, 64, 64))
    results = [made.emulate(history, camera, noise_of((64, 64)), seed) for seed in range(6)]
    for other in results[1:]:
        assert np.array_equal(results[0].frame, other.frame)
        for name, slot in results[0].slots.items():
            assert np.array_equal(slot, other.slots[name])


@pytest.mark.parametrize(("name", "size"), [("pocket", (144, 208)), ("studio", (64, 96))])
def test_the_shipped_models(name: str, size: tuple[int, int]) -> None:
    compare(stream(Bundle.from_pretrained(name), size), size, frames=2)


def test_the_largest_preset_can_be_scheduled() -> None:
    spec = preset("broadcast")
    short = replace(spec, blocks=spec.blocks[:2])
    plan = plan_frame(step_program(short, 704, 1280))
    tiles = default_tiles(plan)
    check_shared_memory(plan, tiles)
    schedule = schedule_tasks(lower(plan, tiles, 1), 132)
    assert schedule.filled > 0.7
