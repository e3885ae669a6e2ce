"""History augmentation: damage the remembered frames as a long run would, so that the model repairs
them.

Each operator takes frames [B, T, 3, H, W] in -1..1 and is applied to a random share of the frames,
independently. Shares in `AugmentConfig`; reasons in docs/model.md, section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Shares of damaged frames (0..1) and strengths (in the -1..1 range)."""

    clean_share: float = 0.2
    swap_share: float = 0.03
    repeat_share: float = 0.05
    resample_share: float = 0.3
    blur_share: float = 0.12
    saturation_share: float = 0.25
    saturation_max: float = 0.35
    exposure_share: float = 0.3
    exposure_max: float = 0.3
    offset_share: float = 0.25
    offset_max: float = 0.15
    noise_share: float = 0.4
    noise_max: float = 0.3


DRAWS = 18
"""Uniform numbers that one frame takes."""


def corrupt(
    frames: Tensor,
    patch: int,
    config: AugmentConfig,
    generator: torch.Generator,
    damage: Damage | None = None,
) -> Tensor:
    """One to several faults per frame; `clean_share` of the frames is left alone.

    `damage`: a compiled version of the function of that name.
    """
    b, t, c, h, w = frames.shape
    device = frames.device
    draws = torch.rand((DRAWS, b, t, 1, 1, 1), device=device, generator=generator)
    cells = torch.randn((b, t, c, h // patch, w // patch), device=device, generator=generator)
    grain = torch.randn(frames.shape, device=device, generator=generator)
    return (damage or apply_damage)(frames, draws, cells, grain, config)


def apply_damage(
    frames: Tensor, draws: Tensor, cells: Tensor, grain: Tensor, config: AugmentConfig
) -> Tensor:
    """The faults for given random numbers: `draws` [18, B, T, 1, 1, 1] uniform, others normal."""
    active = (draws[0] > config.clean_share).float()

    def chosen(index: int, share: float) -> Tensor:
        return (draws[index] < share).float() * active

    x = misplace(frames, draws[1] + 1 - active, config)
    x = x + chosen(2, config.resample_share) * (resample(x, draws[3]) - x)
    x = x + chosen(4, config.blur_share) * (blur(x, draws[5]) - x)
    x = x + chosen(6, config.saturation_share) * (saturate(x, draws[7], config.saturation_max) - x)
    x = x + chosen(8, config.exposure_share) * (expose(x, draws[9:13], config.exposure_max) - x)
    x = x + chosen(13, config.offset_share) * draws[14] * config.offset_max * seams(
        cells, frames.shape[-2:]
    )
    return x + chosen(15, config.noise_share) * draws[16] * config.noise_max * grain


def misplace(frames: Tensor, draw: Tensor, config: AugmentConfig) -> Tensor:
    """Some frames come from another stream, some are the frame before once more."""
    other = frames.roll(1, 0)
    late = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    x = torch.where(draw < config.swap_share, other, frames)
    again = (draw >= config.swap_share) & (draw < config.swap_share + config.repeat_share)
    return torch.where(again, late, x)


def resample(x: Tensor, amount: Tensor) -> Tensor:
    """Down and up again by 2 or 4, mixed by `amount`: the blur that a model locks into."""
    flat = x.flatten(0, 1)
    size = flat.shape[-2:]
    half = F.interpolate(F.avg_pool2d(flat, 2), size=size, mode="bilinear", align_corners=False)
    quarter = F.interpolate(F.avg_pool2d(flat, 4), size=size, mode="bilinear", align_corners=False)
    half, quarter = half.view_as(x), quarter.view_as(x)
    low = torch.where(amount < 0.7, half, quarter)
    return x + (0.3 + 0.7 * amount) * (low - x)


def blur(x: Tensor, amount: Tensor) -> Tensor:
    """Means of 3 x 3 pixels, twice, mixed by `amount` (0..1)."""
    flat = x.flatten(0, 1)
    for _ in range(2):
        flat = F.avg_pool2d(flat, 3, stride=1, padding=1, count_include_pad=False)
    return x + amount * (flat.view_as(x) - x)


def saturate(x: Tensor, draw: Tensor, limit: float) -> Tensor:
    """Distance from grey times 1 +- `limit`."""
    gray = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(2, keepdim=True)
    return gray + (x - gray) * (1 + (draw * 2 - 1) * limit)


def expose(x: Tensor, draws: Tensor, limit: float) -> Tensor:
    """Gain and a colour cast, from four uniform numbers per frame."""
    symmetric = (draws * 2 - 1) * limit
    return x * (1 + symmetric[0]) + torch.cat([*symmetric[1:4]], 2) / 3


def seams(cells: Tensor, size: torch.Size) -> Tensor:
    """An offset per patch: the grid that a patch-wise head leaves."""
    rows, cols = (n // m for n, m in zip(size, cells.shape[-2:], strict=True))
    return cells.repeat_interleave(rows, -2).repeat_interleave(cols, -1)


Damage = Callable[[Tensor, Tensor, Tensor, Tensor, AugmentConfig], Tensor]
