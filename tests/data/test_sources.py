"""Where frames come from: files, crops of footage, dead leaves, rendered worlds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.clip_bank import RENEW_EVERY, SPARE_FRAMES, ClipBank
from everframe.data.footage import (
    FPS_CHOICES,
    STORE_HEIGHT,
    STORE_WIDTH,
    Footage,
    crop_grid,
    draw_crop,
    draw_times,
    photometric,
)
from everframe.data.leaves import draw_leaves
from everframe.data.source import clip_size, read_clip, write_clip
from everframe.data.world_bank import WorldBank, to_and_fro
from everframe.data.worlds.world import Worlds

CPU = torch.device("cpu")
SIZE = (32, 48)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def plain_clip(level: int, frames: int = 12) -> np.ndarray:
    return np.full((frames, 64, 96, 3), level, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training clips (dark, grey), one held-out clip (white), and a mask for the grey one."""
    root = tmp_path_factory.mktemp("footage")
    for name in ("clips", "masks"):
        (root / name).mkdir()
    write_clip(root / "clips" / "dark.mp4", plain_clip(40))
    write_clip(root / "clips" / "grey.mp4", plain_clip(120))
    write_clip(root / "clips" / "white.mp4", plain_clip(240))
    mask = plain_clip(0)
    mask[:, :, 48:] = 255
    write_clip(root / "masks" / "grey.mask.mp4", mask)
    return root


@pytest.fixture(scope="module")
def footage(folder: Path) -> Footage:
    return Footage(folder, ("white",), CPU)


def test_a_clip_survives_a_file(tmp_path: Path) -> None:
    ramp = np.linspace(30, 220, 96).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (5, 64, 96, 3)).copy()
    frames[3:] = 255 - frames[3:]
    path = tmp_path / "clip.mp4"
    write_clip(path, frames, crf=10)
    assert clip_size(path) == (64, 96)
    back = read_clip(path, height=64, width=96)
    assert back.shape == frames.shape
    assert back.dtype == np.uint8
    assert float(np.abs(back.astype(float) - frames).mean()) < 3
    assert len(read_clip(path, height=32, width=48, limit=2)) == 2


def test_another_aspect_is_cropped_in_the_centre(tmp_path: Path) -> None:
    frames = plain_clip(0, 2)
    frames[:, :, 24:72] = 255  # the middle half
    write_clip(tmp_path / "clip.mp4", frames, crf=5)
    square = read_clip(tmp_path / "clip.mp4", height=32, width=32)
    assert square.shape == (2, 32, 32, 3)
    white = (square[0, 16, :, 0] > 128).mean()
    assert white == pytest.approx(48 / 64, abs=0.1)


def test_files_that_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for content in (None, b"", b"no video"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match="cannot read a video"):
            read_clip(path, height=32, width=32)
    with pytest.raises(UserError, match="put footage there"):
        Footage(tmp_path / "nowhere", (), CPU)


def test_draws_of_footage_have_shape_and_range(footage: Footage) -> None:
    out = footage.draw(6, 4, SIZE, rng())
    assert out.shape == (6, 6, 4, *SIZE)
    assert out.dtype == torch.float32
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert torch.equal(footage.draw(6, 4, SIZE, rng()), out)
    assert not torch.equal(footage.draw(6, 4, SIZE, rng(1)), out)


def test_held_out_clips_are_never_drawn(footage: Footage) -> None:
    assert [clip.name for clip in footage.clips] == ["dark", "grey"]
    levels = footage.draw(100, 1, SIZE, rng())[:, :, :3].mean((1, 2, 3, 4)) * 255
    near = [int((levels - level).abs().lt(12).sum()) for level in (40, 120, 240)]
    assert near[0] > 10
    assert near[1] > 10
    assert near[0] + near[1] == 100
    assert near[2] == 0


def test_masked_draws_come_from_clips_with_masks(footage: Footage) -> None:
    assert footage.has_masks
    out = footage.draw(20, 2, SIZE, rng(), masked=True)
    assert float((out[:, :, :3] * 255 - 120).abs().mean()) < 12
    assert 0.2 < float(out[:, :, 3].mean()) < 0.8


@pytest.mark.parametrize("length", [2, 9, 40])
def test_times_stay_inside_a_clip_and_move_evenly(length: int) -> None:
    for seed in range(60):
        times = draw_times(length, 8, rng(seed))
        assert times.shape == (10,)
        assert times.min() >= 0
        assert times.max() < length
        steps = np.diff(times[:-1])
        assert np.all(steps >= 0) or np.all(steps <= 0)
        assert np.abs(steps).max() <= max(FPS_CHOICES)


@pytest.mark.parametrize("size", [(32, 48), (48, 32), (64, 64)], ids=str)
def test_crops_stay_inside_the_stored_picture(size: tuple[int, int]) -> None:
    for seed in range(60):
        x, y, half_x, half_y = draw_crop(400, 6, size, rng(seed))
        assert x.shape == (8,)
        np.testing.assert_allclose(half_x / half_y, size[1] / size[0], rtol=1e-5)
        assert (x - half_x).min() > -1e-2
        assert (x + half_x).max() < 400 + 1e-2
        assert (y - half_y).min() > -1e-2
        assert (y + half_y).max() < STORE_HEIGHT + 1e-2


def test_a_crop_of_everything_is_the_identity_and_flips() -> None:
    box = torch.tensor(
        [[STORE_WIDTH / 2], [STORE_HEIGHT / 2], [STORE_WIDTH / 2], [STORE_HEIGHT / 2]]
    )
    grid = crop_grid(box, torch.ones(1), (2, 4))
    expected = (torch.arange(4) + 0.5) / 4 * 2 - 1
    torch.testing.assert_close(grid[0, 0, :, 0], expected)
    torch.testing.assert_close(grid[0, :, 0, 1], torch.tensor([-0.5, 0.5]))
    flipped = crop_grid(box, -torch.ones(1), (2, 4))
    torch.testing.assert_close(flipped[0, 0, :, 0], -expected)


def test_photometric_changes_are_constant_along_a_stream() -> None:
    frame = torch.rand((6, 1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    frame[0] = 0.5
    out = photometric(frame.expand(6, 4, 3, 8, 8), torch.Generator().manual_seed(1))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert float((out - out[:, :1]).abs().mean()) < 0.04  # sensor noise only
    assert float((out[:, 0] - frame[:, 0]).abs().mean()) > 0.03


def test_leaves_depend_on_the_step_only() -> None:
    first, other = (ClipBank(seed=3, device=CPU) for _ in range(2))
    out = first.draw(RENEW_EVERY + 2, 3, 2, SIZE, rng())
    assert out.shape == (3, 4, 3, *SIZE)
    first.draw(5 * RENEW_EVERY, 3, 2, SIZE, rng())
    assert torch.equal(other.draw(2 * RENEW_EVERY - 1, 3, 2, SIZE, rng()), out)
    assert torch.equal(first.draw(RENEW_EVERY, 3, 2, SIZE, rng()), out)
    assert not torch.equal(other.draw(2 * RENEW_EVERY, 3, 2, SIZE, rng()), out)
    assert float((out[:, 1] - out[:, 0]).abs().mean()) > 0  # they move
    assert float(out.std()) > 0.05


def test_a_small_bank_of_leaves_has_few_clips() -> None:
    drawn = ClipBank(seed=3, device=CPU, clips=1).draw(0, 12, 2, SIZE, rng())
    upright = {clip[0].numpy().tobytes() for clip in drawn}
    assert len(upright) <= 2 * SPARE_FRAMES  # cut at as many places, mirrored or not


def test_sizes_that_fit_the_canvas_share_one_bank_of_leaves() -> None:
    drawn: list[tuple[int, int]] = []

    def counted(clips: int, frames: int, size: tuple[int, int], g: torch.Generator) -> Tensor:
        drawn.append(size)
        return draw_leaves(clips, frames, size, g)

    bank = ClipBank(seed=3, device=CPU, clips=2, canvas=(32, 48), draw=counted)
    sizes = ((32, 32), (16, 48), (32, 32), (48, 16), (32, 32), (48, 16))
    for step, size in enumerate(sizes):
        assert bank.draw(step, 2, 2, size, rng()).shape == (2, 4, 3, *size)
    assert drawn == [(32, 48), (48, 16)]
    other = ClipBank(seed=3, device=CPU, clips=2, canvas=(32, 48))
    again = [one.draw(3, 2, 2, (16, 16), rng()) for one in (bank, other)]
    assert torch.equal(again[0], again[1])


def world_bank(step_by_step: bool, step: int) -> WorldBank:
    bank = WorldBank(Worlds(16, 16, CPU), (16, 16), 2, seed=1, device=CPU, every=10)
    for each in range(0, step + 1, 5) if step_by_step else [step]:
        bank.renew(each)
    return bank


def test_the_world_bank_of_a_resumed_run_is_the_same() -> None:
    straight, resumed = world_bank(True, 20), world_bank(False, 20)
    drawn = [bank.draw(4, 3, (16, 16), rng()) for bank in (straight, resumed)]
    assert drawn[0][0].shape == (4, 5, 3, 16, 16)
    for mine, theirs in zip(drawn[0][:2], drawn[1][:2], strict=True):
        assert torch.equal(mine, theirs)
    assert np.array_equal(drawn[0][2], drawn[1][2])
    straight.renew(30)
    assert not torch.equal(straight.draw(4, 3, (16, 16), rng())[0], drawn[0][0])


def test_a_world_bank_of_short_clips_is_drawn_to_its_end() -> None:
    bank = WorldBank(
        Worlds(16, 16, CPU), (16, 16), 1, seed=1, device=CPU, every=10, dresses=["autumn"], length=4
    )
    bank.renew(0)
    source, target, dress = bank.draw(8, 3, (16, 16), rng())
    assert source.shape == target.shape == (8, 5, 3, 16, 16)
    assert len(set(dress)) == 1
    frames = {frame.numpy().tobytes() for frame in source[:, :-1].flatten(0, 1)}
    assert 1 < len(frames) <= 4


def test_smaller_frames_are_windows_of_the_worlds() -> None:
    bank = WorldBank(Worlds(32, 48, CPU), (32, 48), 1, seed=1, device=CPU, every=10, length=3)
    bank.renew(0)
    whole = bank.draw(1, 1, (32, 48), rng())[1][0, 1]
    assert bank.holds((16, 48))
    assert not bank.holds((48, 16))
    part = bank.draw(1, 1, (16, 16), rng())[1][0, 1]
    windows = whole.unfold(1, 16, 1).unfold(2, 16, 1)  # [3, y, x, 16, 16]
    same = (windows == part[:, None, None]).flatten(3).all(-1).all(0)
    assert bool(same.any())


def test_clips_longer_than_the_rendered_ones_go_to_and_fro() -> None:
    assert to_and_fro(np.arange(8), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert to_and_fro(np.arange(3), 1).tolist() == [0, 0, 0]
    bank = WorldBank(Worlds(16, 16, CPU), (16, 16), 1, seed=1, device=CPU, every=10, length=3)
    bank.renew(0)
    source, target, _ = bank.draw(2, 7, (16, 16), np.random.default_rng(0))
    assert source.shape == target.shape == (2, 9, 3, 16, 16)
    for frames in (source, target):
        assert torch.equal(frames[:, :4], frames[:, 4:8])
        assert not torch.equal(frames[:, 0], frames[:, 1])
