"""History augmentation: damage the remembered frames as a long run would, so that the model repairs
them.

Each operator takes frames [B, T, 3, H, W] in -1..1 and is applied to a random share of the frames,
independently. Shares in `AugmentConfig`; reasons in docs/model.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Shares of damaged frames (0..1) and strengths (in the -1..1 range)."""

    clean_share: float = 0.2
    blur_share: float = 0.35
    exposure_share: float = 0.35
    offset_share: float = 0.25
    noise_share: float = 0.4
    swap_share: float = 0.03
    repeat_share: float = 0.05
    noise_max: float = 0.3
    offset_max: float = 0.15
    exposure_max: float = 0.3


def corrupt(
    frames: Tensor, patch: int, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """One to several faults per frame; `clean_share` of the frames is left alone."""
    b, t = frames.shape[:2]

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        draw = torch.rand((b, t, 1, 1, 1), device=frames.device, generator=generator)
        return low + (high - low) * draw

    active = (uniform() > config.clean_share).float()

    def chosen(share: float) -> Tensor:
        return (uniform() < share).float() * active

    x = misplace(frames, uniform() + 1 - active, config)
    x = x + chosen(config.blur_share) * (soften(x, uniform()) - x)
    x = x + chosen(config.exposure_share) * (expose(x, config.exposure_max, generator) - x)
    x = x + chosen(config.offset_share) * seams(x, patch, uniform(0, config.offset_max), generator)
    grain = torch.randn(x.shape, device=x.device, generator=generator)
    return x + chosen(config.noise_share) * uniform(0, config.noise_max) * grain


def misplace(frames: Tensor, draw: Tensor, config: AugmentConfig) -> Tensor:
    """Some frames come from another stream, some are the frame before once more."""
    other = frames.roll(1, 0)
    late = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    x = torch.where(draw < config.swap_share, other, frames)
    again = (draw >= config.swap_share) & (draw < config.swap_share + config.repeat_share)
    return torch.where(again, late, x)


def soften(x: Tensor, amount: Tensor) -> Tensor:
    """Down and up again by 2 or 4, mixed by `amount`: the blur that a model locks into."""
    flat = x.flatten(0, 1)
    size = flat.shape[-2:]
    half = F.interpolate(F.avg_pool2d(flat, 2), size=size, mode="bilinear", align_corners=False)
    quarter = F.interpolate(F.avg_pool2d(flat, 4), size=size, mode="bilinear", align_corners=False)
    half, quarter = half.view_as(x), quarter.view_as(x)
    low = torch.where(amount < 0.7, half, quarter)
    return x + (0.3 + 0.7 * amount) * (low - x)


def expose(x: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    """Gain, saturation and a colour cast."""
    b, t = x.shape[:2]

    def symmetric(channels: int = 1) -> Tensor:
        shape = (b, t, channels, 1, 1)
        return (torch.rand(shape, device=x.device, generator=generator) * 2 - 1) * limit

    gray = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(2, keepdim=True)
    x = gray + (x - gray) * (1 + symmetric())
    return x * (1 + symmetric()) + symmetric(3) / 3


def seams(x: Tensor, patch: int, strength: Tensor, generator: torch.Generator) -> Tensor:
    """An offset per patch: the grid that a patch-wise head leaves."""
    b, t, c, h, w = x.shape
    cells = torch.randn((b * t, c, h // patch, w // patch), device=x.device, generator=generator)
    grid = F.interpolate(cells, size=(h, w), mode="nearest").view_as(x)
    return strength * grid
