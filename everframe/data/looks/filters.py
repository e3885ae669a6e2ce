"""Neighbourhood filters of the looks, for [..., H, W] batches of any frame size.

A Gaussian is two products with small banded matrices: a handful of large launches whatever the
width, exact at the border. All filters are smooth functions of the frame, so slow video in gives
slow video out.
"""

from functools import lru_cache
from math import exp

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.data.looks.colour import luma


@lru_cache(maxsize=128)
def gaussian_matrix(sigma_px: float, size: int, device: torch.device) -> Tensor:
    """[size, size] Gaussian along one axis with the border pixel repeated; rows sum to 1."""
    radius = max(1, int(3 * sigma_px + 0.5))
    place = torch.arange(size)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for offset in range(-radius, radius + 1):
        weight = exp(-0.5 * (offset / sigma_px) ** 2)
        matrix[place, (place + offset).clamp(0, size - 1)] += weight
    return (matrix / matrix.sum(1, keepdim=True)).float().to(device)


def blur(x: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur of the last two axes; in float32 also where the caller runs autocast."""
    rows = gaussian_matrix(sigma_px, x.shape[-2], x.device)
    columns = gaussian_matrix(sigma_px, x.shape[-1], x.device)
    with torch.autocast(x.device.type, enabled=False):
        return rows @ (x.float() @ columns.T)


def lines(tone: Tensor, sigma_px: float = 1.0, gain: float = 12.0) -> Tensor:
    """Dark outlines 0..1: clamped difference of Gaussians of tone [..., H, W]."""
    narrow = blur(tone, sigma_px)
    # The dead zone keeps sensor noise out of flat areas; tanh keeps the response smooth.
    excess = (blur(narrow, 1.25 * sigma_px) - narrow - 0.008).clamp(min=0)
    return torch.tanh(gain * excess)


def shift(x: Tensor, down: int, right: int) -> Tensor:
    """Move the picture by whole pixels; the border pixel is repeated."""
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) - right).clamp(0, width - 1)
    return x.index_select(-2, rows).index_select(-1, columns)


def slope(tone: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences (down, right) of [..., H, W], per pixel."""
    down = (shift(tone, -1, 0) - shift(tone, 1, 0)) * 0.5
    right = (shift(tone, 0, -1) - shift(tone, 0, 1)) * 0.5
    return down, right


def relief(tone: Tensor, gain: float, softness_px: float = 1.0) -> Tensor:
    """Shading -1..1 of tone seen as a height map, lit from the upper left."""
    down, right = slope(blur(tone, softness_px))
    return torch.tanh((down + right) * gain)


def _pad(x: Tensor, px: int) -> Tensor:
    flat = x.reshape(-1, 1, *x.shape[-2:])
    return F.pad(flat, (px, px, px, px), mode="replicate")


def kuwahara(x: Tensor, radius: int, sharpness: float = 1.0) -> Tensor:
    """Soft Kuwahara filter (paint-like flat areas with clear edges), [B, T, 3, H, W].

    Means over the four (radius+1)^2 quadrants around each pixel, weighted by 1 / (1 + variance^2).
    One box mean gives all four: the quadrants are shifted windows of it.
    """
    batch, frames, _, height, width = x.shape
    # Centred tones keep the difference of squares accurate in float32.
    tone = luma(x) - 0.5
    stack = torch.cat([x, tone, tone * tone], 2)
    size = radius + 1
    means = F.avg_pool2d(F.avg_pool2d(_pad(stack, radius), (size, 1), 1), (1, size), 1)
    means = means.view(batch, frames, 5, height + radius, width + radius)
    total = torch.zeros_like(x)
    weights = torch.zeros_like(tone)
    for top in (0, radius):
        for left in (0, radius):
            part = means[..., top : top + height, left : left + width]
            variance = (part[:, :, 4:5] - part[:, :, 3:4].square()).clamp(min=0) * 65025 * sharpness
            weight = 1 / (1 + variance * variance)
            total = total + weight * part[:, :, :3]
            weights = weights + weight
    return total / weights


def blocks(x: Tensor, size_px: int) -> Tensor:
    """Mean of each size x size block, spread over the block; [..., H, W]."""
    height, width = x.shape[-2:]
    flat = x.reshape(-1, 1, height, width)
    small = F.avg_pool2d(flat, size_px, ceil_mode=True, count_include_pad=False)
    large = small.repeat_interleave(size_px, -2).repeat_interleave(size_px, -1)
    return large[..., :height, :width].reshape(x.shape)


def at_sites(x: Tensor, site: Tensor) -> Tensor:
    """Colour of each pixel's site.

    Args:
        x: [B, T, C, H, W].
        site: [B or 1, H, W] int64, the flat index of a pixel.

    Returns:
        [B, T, C, H, W].
    """
    index = site.reshape(site.shape[0], 1, 1, -1).expand(*x.shape[:3], -1)
    return x.flatten(3).gather(3, index).view(x.shape)
