"""Person masks and person looks: shapes, the person kept, the room replaced, calm, hidden state."""

import os
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.looks import LOOKS
from everframe.data.people import backdrops, masks, matte
from everframe.data.people.composite import (
    PERSON_LOOKS,
    Backdrop,
    PersonLook,
    measure_light,
    relight_and_composite,
    swap_room,
)
from everframe.data.source import clip_size, read_clip, write_clip
from everframe.data.worlds.world import DRESSES

MODEL = "EVERFRAME_SEGMENTATION_MODEL"
SENSOR_NOISE = 2 / 255
SIZES = ((64, 96), (72, 56))
HIDDEN = tuple(look for look in PERSON_LOOKS if look.hidden)
DRAWN = (
    backdrops.gradient,
    backdrops.studio,
    backdrops.sun_disc,
    backdrops.space,
    backdrops.mountains,
    backdrops.city,
    backdrops.sea,
)

each_look = pytest.mark.parametrize("look", PERSON_LOOKS, ids=lambda look: look.name)
each_hidden = pytest.mark.parametrize("look", HIDDEN, ids=lambda look: look.name)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(height: int, width: int) -> Tensor:
    """Person mask [H, W]: a soft disc."""
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-width / height, width / height, width)[None, :]
    return torch.sigmoid(((y * y + x * x).sqrt() - 0.55) * -40)


def scene(batch: int, frames: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A shaded skin-coloured ball before a striped blue-grey wall, and its mask."""
    mask = disc(height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(0, 1, width)[None, :].expand(height, width)
    stripes = 0.15 * torch.sin(x * 60)
    wall = torch.stack([0.55 + 0.1 * x, 0.6 + 0.1 * y, 0.7 - 0.1 * x]) + stripes
    folds = 0.8 + 0.2 * torch.sin(x * 25) * torch.cos(y * 20)
    person = torch.tensor([0.8, 0.55, 0.4]).view(3, 1, 1) * folds
    picture = wall + mask * (person - wall)
    return (
        picture.expand(batch, frames, 3, height, width).clone(),
        mask.expand(batch, frames, 1, height, width).clone(),
    )


def inner_and_outer(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where surely person and where surely room."""
    low, high = matte.smoothstep(mask, 0.0, 0.02), matte.smoothstep(mask, 0.98, 1.0)
    return high > 0.99, low < 0.01


@each_look
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shape_range_and_determinism(look: PersonLook, size: tuple[int, int]) -> None:
    frames, mask = scene(2, 2, *size)
    before = frames.clone(), mask.clone()
    out = look.apply(frames, mask, look.draw(2, *size, generator(0)))
    assert out.shape == frames.shape
    assert out.dtype == torch.float32
    assert bool(torch.isfinite(out).all())
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert torch.equal(out, look.apply(frames, mask, look.draw(2, *size, generator(0))))
    assert torch.equal(frames, before[0])
    assert torch.equal(mask, before[1])


@each_look
def test_extreme_frames_and_empty_or_full_masks(look: PersonLook) -> None:
    noise = torch.rand(1, 1, 3, 64, 96, generator=generator(9)).round()
    frames = torch.cat([noise, torch.zeros_like(noise), torch.ones_like(noise)], 1)
    for level in (0.0, 1.0):
        mask = torch.full((1, 3, 1, 64, 96), level)
        out = look.apply(frames, mask, look.draw(1, 64, 96, generator(1)))
        assert bool(torch.isfinite(out).all())
        assert 0 <= float(out.min()) <= float(out.max()) <= 1


@each_look
def test_look_changes_the_picture_and_still_frames_stay_still(look: PersonLook) -> None:
    frames, mask = scene(1, 3, 64, 96)
    out = look.apply(frames, mask, look.draw(1, 64, 96, generator(5)))
    assert float((out - frames).abs().mean()) > 0.015
    torch.testing.assert_close(out[:, 1:], out[:, :-1], atol=1e-5, rtol=0)


@each_look
def test_calm_under_sensor_noise(look: PersonLook) -> None:
    frames, mask = scene(1, 2, 112, 144)
    noise = SENSOR_NOISE * torch.randn(frames.shape, generator=generator(6))
    state = look.draw(1, 112, 144, generator(7))
    clean = look.apply(frames, mask, state)
    change = look.apply((frames + noise).clamp(0, 1), mask, state) - clean
    assert float(change.abs().mean()) < 1.6 * float(noise.abs().mean())


@each_look
def test_streams_do_not_meet(look: PersonLook) -> None:
    frames, mask = scene(2, 2, 64, 96)
    frames[1] = frames[1] * 0.6
    state = look.draw(2, 64, 96, generator(2))
    alone = {name: value[1:] for name, value in state.items()}
    both = look.apply(frames, mask, state)[1:]
    torch.testing.assert_close(both, look.apply(frames[1:], mask[1:], alone), atol=1e-4, rtol=0)


@each_hidden
def test_the_state_decides_the_room_of_hidden_looks(look: PersonLook) -> None:
    frames, mask = scene(4, 1, 64, 96)
    state = look.draw(4, 64, 96, generator(3))
    assert all(value.shape[0] == 4 for value in state.values())
    out = look.apply(frames, mask, state)
    assert torch.equal(out, look.apply(frames, mask, look.draw(4, 64, 96, generator(3))))
    room = inner_and_outer(mask[:1])[1].expand(1, 1, 3, 64, 96)
    pairs = [
        float((out[i : i + 1] - out[j : j + 1])[room].abs().mean())
        for i, j in combinations(range(4), 2)
    ]
    assert sum(pairs) / len(pairs) > 0.04


@each_hidden
def test_the_old_room_is_gone(look: PersonLook) -> None:
    frames, mask = scene(1, 1, 64, 96)
    outer = inner_and_outer(mask)[1].expand_as(frames)
    other = torch.where(outer, torch.rand(frames.shape, generator=generator(4)), frames)
    state = look.draw(1, 64, 96, generator(5))
    change = look.apply(other, mask, state) - look.apply(frames, mask, state)
    assert float(change[outer].abs().max()) < 1e-3
    assert float(change.abs().mean()) < 0.02


def test_only_hidden_looks_have_a_state() -> None:
    assert [
        k.name for k in PERSON_LOOKS if (k.draw(1, 32, 32, generator(0)) == {}) == k.hidden
    ] == []


def test_the_person_stays_a_person_in_another_room() -> None:
    frames, mask = scene(1, 1, 96, 128)
    inner = inner_and_outer(mask)[0].expand_as(frames)
    for name in ("mountain_sunset", "studio_backdrop", "colour_stage"):
        look = next(k for k in PERSON_LOOKS if k.name == name)
        out = look.apply(frames, mask, look.draw(1, 96, 128, generator(8)))
        pair = torch.stack([out[inner], frames[inner]])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.7, name


def test_light_follows_the_background() -> None:
    frames, mask = scene(1, 1, 64, 96)
    right = torch.linspace(0, 1, 96).expand(1, 1, 3, 64, 96) ** 2
    light = measure_light(right)
    assert float(light.toward[0, 0, 1]) > 0.2
    assert abs(float(light.toward[0, 0, 0])) < 0.01
    inner = inner_and_outer(mask)[0].expand_as(frames)
    bright, dark = torch.full_like(frames, 0.9), torch.full_like(frames, 0.05)
    by_day = relight_and_composite(frames, mask, bright, measure_light(bright))
    by_night = relight_and_composite(frames, mask, dark, measure_light(dark))
    assert float(by_day[inner].mean()) > float(by_night[inner].mean()) + 0.1


def test_gradients_flow_through_frame_and_mask() -> None:
    frames, mask = scene(1, 1, 48, 64)
    frames.requires_grad_()
    mask.requires_grad_()
    room = torch.full((1, 1, 3, 48, 64), 0.4)
    swap_room(frames, mask, room).mean().backward()
    assert frames.grad is not None
    assert mask.grad is not None
    assert bool(torch.isfinite(frames.grad).all() and torch.isfinite(mask.grad).all())
    assert float(frames.grad.abs().sum()) > 0
    assert float(mask.grad.abs().sum()) > 0


@pytest.mark.parametrize("backdrop", DRAWN, ids=lambda f: f.__name__)
def test_backdrops_are_pictures(backdrop: Backdrop) -> None:
    place = backdrop(3, 64, 96, generator(1))
    assert place.shape == (3, 1, 3, 64, 96)
    assert 0 <= float(place.min()) <= float(place.max()) <= 1
    assert float(place.std((3, 4)).mean()) > 0.03


def test_prompts_are_enough_and_unique() -> None:
    assert len(PERSON_LOOKS) >= 10
    assert len(HIDDEN) >= 5
    others = [p for look in (*LOOKS, *DRESSES) for p in (*look.prompts, *look.held_out)]
    taken = {look.name for look in (*LOOKS, *DRESSES)}
    names = [look.name for look in PERSON_LOOKS]
    assert len(set(names)) == len(names)
    assert set(names) & taken == set()
    own: list[str] = []
    for look in PERSON_LOOKS:
        assert len(look.prompts) >= 12, look.name
        assert len(look.held_out) == 3, look.name
        own += [*look.prompts, *look.held_out]
    for prompt in own:
        assert prompt == prompt.strip().lower()
        assert 2 <= len(prompt.split()) <= 8, prompt
    assert len(set(own)) == len(own)
    assert set(own) & set(others) == set()


def test_masks_are_calmed_only_where_nothing_moves() -> None:
    mask = torch.zeros(3, 1, 16, 16)
    mask[1] = 1
    still = torch.full((3, 1, 16, 16), 0.5)
    calmed = masks.calm(mask, still)
    assert float(calmed[1].max()) < 0.6
    assert float(calmed[0].min()) > 0.2
    moving = still.clone()
    moving[1] = 0.9
    torch.testing.assert_close(masks.calm(mask, moving), mask, atol=1e-3, rtol=0)


def test_a_missing_model_or_package_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="npm pack @mediapipe/selfie_segmentation"):
        masks.PersonSegmenter(tmp_path / "absent.tflite")
    model = tmp_path / "model.tflite"
    model.write_bytes(b"no model")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match="pip install ai-edge-litert"):
        masks.PersonSegmenter(model)


def test_no_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.mp4 clip"):
        masks.write_masks(tmp_path, tmp_path / "absent.tflite", tmp_path / "out")


class DarkIsPerson:
    """Stands in for the network: dark pixels are person."""

    def __init__(self, model_path: Path) -> None:
        del model_path

    def masks(self, frames: masks.Frames) -> masks.Frames:
        return np.where(frames.mean(-1) < 128, 255, 0).astype(np.uint8)


def test_mask_videos_have_the_clips_size_and_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.full((5, 32, 48, 3), 230, np.uint8)
    write_clip(tmp_path / "empty.mp4", frames)
    frames[:, :, :24] = 20
    write_clip(tmp_path / "half.mp4", frames)
    monkeypatch.setattr(masks, "PersonSegmenter", DarkIsPerson)
    done = masks.write_masks(tmp_path, tmp_path / "any", tmp_path / "masks", least_share=0.1)
    assert done["half"].share == pytest.approx(0.5, abs=0.03)
    assert done["empty"].share == 0
    written = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert written == ["half.mask.mp4", masks.SHARES_FILE]
    path = tmp_path / "masks" / "half.mask.mp4"
    assert clip_size(path) == (32, 48)
    mask = read_clip(path, height=32, width=48)
    assert mask.shape == (5, 32, 48, 3)
    assert mask[:, :, :16].min() > 230
    assert mask[:, :, 32:].max() < 25


@pytest.mark.skipif(
    MODEL not in os.environ,
    reason=f"set {MODEL} to the path of selfie_segmentation.tflite to run the network",
)
def test_the_network_gives_masks() -> None:
    pytest.importorskip("ai_edge_litert")
    frames = np.full((2, 96, 128, 3), 127, np.uint8)
    mask = masks.PersonSegmenter(Path(os.environ[MODEL])).masks(frames)
    assert mask.shape == (2, 96, 128)
    assert mask.dtype == np.uint8
    assert float((mask > 128).mean()) < 0.5
