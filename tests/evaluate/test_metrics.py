import math

import pytest
import torch
import torch.nn.functional as F

from everframe.evaluate import metrics
from tests.evaluate.toy import picture

PATCH = 16


def test_psnr_of_a_known_error() -> None:
    target = torch.full((2, 3, 8, 8), 0.5)
    output = target + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert metrics.psnr(output, target).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_psnr_of_equal_pictures_is_the_limit() -> None:
    same = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert metrics.psnr(same, same).item() == pytest.approx(metrics.PSNR_LIMIT_DB)


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert metrics.ssim(x, y).item() == pytest.approx(expected, abs=1e-4)


def test_ssim_orders_degradations() -> None:
    clean = picture(1)[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    same, slight, strong = (metrics.ssim(clean + s * noise, clean).item() for s in (0, 0.02, 0.1))
    assert same == pytest.approx(1, abs=1e-5)
    assert 1 > slight > strong > 0


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="11 px"):
        metrics.ssim(torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))


def test_blockiness_of_a_ramp_is_one_and_of_steps_at_the_lattice_is_large() -> None:
    ramp = (torch.arange(64.0) / 64).expand(1, 3, 64, 64)
    assert metrics.blockiness(ramp, PATCH).item() == pytest.approx(1)
    # one direction has steps of 1/4 only on the lattice over the floor, the other is flat: 1
    steps = (torch.arange(64) // PATCH / 4).expand(1, 3, 64, 64)
    expected = (0.25 / metrics.GRADIENT_FLOOR + 1) / 2
    assert metrics.blockiness(steps, PATCH).item() == pytest.approx(expected, rel=1e-3)


def test_a_faint_grid_raises_blockiness_only_at_its_own_lattice() -> None:
    clean = picture(2)[None]
    checks = torch.arange(64) // PATCH
    grid = clean + 0.05 * ((checks[:, None] + checks[None]) % 2)
    before, after = (metrics.blockiness(x, PATCH).item() for x in (clean, grid))
    assert after > 1.15 * before
    elsewhere = [metrics.blockiness(x, 12).item() for x in (clean, grid)]
    assert elsewhere[1] < 1.1 * elsewhere[0]


def test_blur_lowers_sharpness_and_a_plane_has_none() -> None:
    clean = picture(3, cells=32)[None]
    blurred = F.avg_pool2d(F.pad(clean, (2, 2, 2, 2), "reflect"), 5, stride=1)
    assert metrics.sharpness(blurred).item() < 0.6 * metrics.sharpness(clean).item()
    plane = (torch.arange(32.0) / 32).expand(1, 3, 32, 32)
    assert metrics.sharpness(plane).item() == pytest.approx(0, abs=1e-6)


def test_sharpness_of_one_dot() -> None:
    dot = torch.zeros(1, 3, 5, 5)
    dot[..., 2, 2] = 1
    assert metrics.sharpness(dot).item() == pytest.approx((4 + 4 * 1) / 9)


def test_flicker_is_in_grey_levels() -> None:
    clip = torch.zeros(3, 3, 4, 4)
    clip[1] = 2 / 255
    assert metrics.flicker(clip) == pytest.approx(2, abs=1e-4)
    assert metrics.flicker(clip[::2]) == 0
    with pytest.raises(ValueError, match="two frames"):
        metrics.flicker(clip[:1])


def test_frames_survive_the_way_to_pictures_and_back() -> None:
    levels = torch.arange(192, dtype=torch.uint8).view(1, 8, 8, 3).numpy()
    assert (metrics.to_frames(metrics.to_pictures(levels)) == levels).all()
    assert math.isclose(metrics.to_pictures(levels).max().item(), 191 / 255, rel_tol=1e-6)
