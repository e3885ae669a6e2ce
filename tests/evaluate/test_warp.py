import numpy as np
import pytest
import torch

from everframe.core.dims import ArrayF32, FrameU8
from everframe.evaluate.metrics import to_frames, to_pictures
from everframe.evaluate.warp import camera_motion, dis_flow, trusted, warp, warp_error
from tests.evaluate.toy import moving_clip, picture

STEP_PX = 2


def known_motion(sign: float) -> torch.Tensor:
    """The crop moves right by 2 px a frame, so this frame's p was at p + 2 in the one before."""
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0] = STEP_PX * sign
    return flow


def test_warp_moves_by_whole_pixels() -> None:
    row = torch.arange(8.0).expand(1, 3, 4, 8) / 8
    flow = torch.zeros(1, 2, 4, 8)
    flow[:, 0] = 1
    moved = warp(row, flow)
    assert torch.allclose(moved[..., :-1], row[..., 1:], atol=1e-6)


def test_a_moving_picture_has_no_error_under_its_true_motion() -> None:
    clip = to_pictures(moving_clip("moving", seed=4).frames)
    back, forth = known_motion(1), known_motion(-1)
    mask = trusted(back, forth)
    assert mask[..., :-STEP_PX].all()
    assert not mask[..., -STEP_PX:].any()  # these pixels came in from outside
    moving = warp_error(clip[1:2], clip[:1], back, mask)
    frozen = warp_error(clip[1:2], clip[1:2], back, mask)
    assert moving.item() < 1e-6
    assert frozen.item() > 0.01


def test_contradicting_flows_are_not_trusted() -> None:
    assert not trusted(known_motion(1), known_motion(1)).any()


def test_an_empty_mask_gives_zero() -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    assert warp_error(x, 1 - x, known_motion(0), mask).item() == 0


def test_camera_motion_asks_for_both_directions() -> None:
    def flow(start: FrameU8, end: FrameU8) -> ArrayF32:
        sign = float(end[0, 0, 0]) - float(start[0, 0, 0])
        return np.full((*start.shape[:2], 2), sign, np.float32)

    bright, dark = (np.full((1, 8, 8, 3), level, np.uint8) for level in (3, 1))
    back, mask = camera_motion(flow, bright, dark)
    assert (back == -2).all()
    assert mask[0, 0, 2:, 2:].all()
    assert not mask[0, 0, :2].any()


def test_dis_finds_the_motion_of_a_textured_clip() -> None:
    pytest.importorskip("cv2", reason="OpenCV is in the evaluate extra")
    wide = picture(5, 96, 132, cells=24)
    before, now = to_frames(torch.stack([wide[:, :, :128], wide[:, :, 2:130]]))
    back, mask = camera_motion(dis_flow(), now[None], before[None])
    inner = back[0, :, 16:-16, 16:-16]
    assert inner[0].median().item() == pytest.approx(STEP_PX, abs=0.15)
    assert inner[1].median().item() == pytest.approx(0, abs=0.15)
    assert mask.float().mean().item() > 0.8
    pair = to_pictures(now[None]), to_pictures(before[None])
    moving = warp_error(*pair, back, mask).item()
    frozen = warp_error(pair[0], pair[0], back, mask).item()
    assert moving < 0.3 * frozen
