"""Distances and image statistics in torch: pure functions on batches of pictures in 0..1.

Every function takes [N, 3, H, W] float tensors, RGB, 0..1, and returns one value per picture, [N],
unless it says otherwise. `docs/evaluation.md` has the equations.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_LIMIT_DB = 100.0
"""PSNR of equal pictures, where the formula gives infinity: keeps means finite and JSON valid."""

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2
GRADIENT_FLOOR = 1e-4
"""Smallest mean gradient that is divided by: a flat picture has neither grid nor texture."""

GREY_LEVELS = 255


def to_pictures(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Turn border frames [N, H, W, 3] uint8 into [N, 3, H, W] float32, 0..1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / GREY_LEVELS


def to_frames(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """Turn pictures [N, 3, H, W], 0..1, into border frames [N, H, W, 3] uint8, rounded."""
    levels = (pictures.clamp(0, 1) * GREY_LEVELS).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB against a peak of 1, at most `PSNR_LIMIT_DB`."""
    error = (output - target).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp(min=10 ** (-PSNR_LIMIT_DB / 10)))


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity, -1..1 (Wang et al. 2004): Gaussian window, valid area, mean of RGB.

    Raises ValueError for pictures smaller than the window.
    """
    if min(output.shape[-2:]) < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW_PX} px, got {tuple(output.shape[-2:])}")
    mean_x, mean_y = _window_mean(output), _window_mean(target)
    variance_x = _window_mean(output.square()) - mean_x.square()
    variance_y = _window_mean(target.square()) - mean_y.square()
    covariance = _window_mean(output * target) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x.square() + mean_y.square() + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return (luminance * structure).mean((1, 2, 3))


def blockiness(pictures: Tensor, patch: int) -> Tensor:
    """Mean gradient across the lattice of `patch` pixels over the mean gradient elsewhere.

    1 without a grid; above 1 with one. The mean of both directions; 1 for a flat picture. Raises
    ValueError where there is no border between two patches.
    """
    if min(pictures.shape[-2:]) <= patch or patch < 2:
        raise ValueError(f"no {patch} px lattice in a picture of {tuple(pictures.shape[-2:])}")
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean((1, 3))
    right = (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2))
    return (_lattice_ratio(down, patch) + _lattice_ratio(right, patch)) / 2


def sharpness(pictures: Tensor) -> Tensor:
    """Mean absolute Laplacian (four neighbours), 0..4."""
    centre = pictures[..., 1:-1, 1:-1]
    neighbours = (
        pictures[..., :-2, 1:-1]
        + pictures[..., 2:, 1:-1]
        + pictures[..., 1:-1, :-2]
        + pictures[..., 1:-1, 2:]
    )
    return (4 * centre - neighbours).abs().mean((1, 2, 3))


def flicker(clip: Tensor) -> float:
    """Mean change from frame to frame of one clip [T, 3, H, W] with T >= 2, in grey levels.

    Shows instability only where the camera stands still: elsewhere motion counts too.
    """
    if len(clip) < 2:
        raise ValueError("flicker needs at least two frames")
    return float((clip[1:] - clip[:-1]).abs().mean()) * GREY_LEVELS


def _window_mean(pictures: Tensor) -> Tensor:
    """Gaussian-weighted local mean over the valid area, one channel at a time."""
    at = torch.arange(SSIM_WINDOW_PX, device=pictures.device) - SSIM_WINDOW_PX // 2
    weight = torch.exp(-at.float().square() / (2 * SSIM_SIGMA_PX**2))
    weight = (weight / weight.sum()).to(pictures.dtype)
    planes = pictures.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(F.conv2d(planes, weight.view(1, 1, -1, 1)), weight.view(1, 1, 1, -1))
    return planes.view(*pictures.shape[:2], *planes.shape[-2:])


def _lattice_ratio(gradient: Tensor, patch: int) -> Tensor:
    """[N, L] mean gradients between neighbours -> on-lattice mean over off-lattice mean, [N]."""
    at = torch.arange(gradient.shape[1], device=gradient.device)
    on = at % patch == patch - 1
    crossing = gradient[:, on].mean(1).clamp(min=GRADIENT_FLOOR)
    return crossing / gradient[:, ~on].mean(1).clamp(min=GRADIENT_FLOOR)
