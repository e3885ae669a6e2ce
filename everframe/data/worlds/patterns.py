"""Surface patterns as masks 0..1, softened where they would be finer than a pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from everframe.data.worlds.noise import hash32, smooth, unit

PATTERNS = (
    "none", "brick", "planks", "checker", "windows", "strata", "veins", "dots", "patches",
    "object", "grid", "knit", "lane", "facets",
)  # fmt: skip
_MEAN = (0.0, 0.15, 0.08, 0.5, 0.35, 0.5, 0.15, 0.25, 0.5, 0.5, 0.1, 0.3, 0.05, 0.5)


def _line(x: Tensor, width: float, footprint: Tensor) -> Tensor:
    """1 on lines at every integer, `width` wide to each side."""
    distance = (x - torch.floor(x + 0.5)).abs()
    soft = 0.02 + 0.7 * footprint
    return (1.0 - (distance - width) / soft).clamp(0.0, 1.0)


def _inside(x: Tensor, half: float, footprint: Tensor) -> Tensor:
    """1 within `half` of the middle of every unit interval."""
    distance = (x - torch.floor(x) - 0.5).abs()
    return ((half - distance) / (0.02 + 0.7 * footprint) + 0.5).clamp(0.0, 1.0)


def pattern_masks(
    u: Tensor, v: Tensor, footprint: Tensor, noise: Tensor, chance: Tensor, seed: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Evaluate every pattern of PATTERNS at surface coordinates.

    Args:
        u, v: surface coordinates in pattern units.
        footprint: size of a pixel in pattern units.
        noise: fractal noise at the point, 0..1.
        chance: a number per object, 0..1.
        seed: int32, per stream.

    Returns:
        The masks in the order of PATTERNS, and a hash 0..1 per unit square (which window is lit).
    """
    row = torch.floor(v)
    square = unit(
        hash32(
            torch.floor(u).to(torch.int32), row.to(torch.int32),
            (chance * 255.0).to(torch.int32), seed,
        )
    )  # fmt: skip
    zero = torch.zeros_like(u)
    shifted = u * 0.5 + 0.5 * (row - 2.0 * torch.floor(0.5 * row))
    brick = torch.maximum(_line(v, 0.05, footprint), _line(shifted, 0.03, 0.5 * footprint))
    board = unit(hash32(row.to(torch.int32), torch.zeros_like(seed), torch.zeros_like(seed), seed))
    planks = torch.maximum(_line(v, 0.03, footprint), _line(u * 0.2 + board, 0.006, footprint))
    planks = torch.maximum(planks, 0.35 * board)
    cu, cv = torch.sin(torch.pi * u), torch.sin(torch.pi * v)
    checker = (0.5 + cu * cv / (0.15 + 3.0 * footprint)).clamp(0.0, 1.0)
    windows = _inside(u, 0.3, footprint) * _inside(v, 0.33, footprint)
    strata = 0.5 + 0.5 * torch.sin(6.2832 * v + 5.0 * noise)
    ridge = (noise - 0.5).abs()
    veins = 1.0 - smooth(0.0, 0.09, ridge)
    du, dv = u - torch.floor(u) - 0.5, v - torch.floor(v) - 0.5
    radial = torch.sqrt(du * du + dv * dv + 1e-6)
    dots = ((0.29 - radial) / (0.02 + footprint) + 0.5).clamp(0.0, 1.0)
    patches = smooth(0.38, 0.62, noise)
    grid = torch.maximum(_line(u, 0.03, footprint), _line(v, 0.03, footprint))
    knit = 0.5 + 0.5 * torch.cos(6.2832 * (v + 0.9 * (u - torch.floor(u) - 0.5).abs()))
    lane = _line(u, 0.0, footprint) * (u.abs() < 0.5) * _inside(v * 0.4, 0.25, footprint)
    masks = (
        zero, brick, planks, checker, windows, strata, veins, dots, patches, chance + zero, grid,
        0.3 + 0.7 * (1.0 - knit * knit), lane, square,
    )  # fmt: skip
    return masks, square


def pick_pattern(masks: tuple[Tensor, ...], kind: Tensor, footprint: Tensor) -> Tensor:
    """Choose each pixel's pattern (`kind`: index into PATTERNS) and fade it with distance."""
    chosen, mean = masks[0], torch.zeros_like(masks[0])
    for index, (mask, level) in enumerate(zip(masks[1:], _MEAN[1:], strict=True), start=1):
        here = (kind - index).abs() < 0.5
        chosen = torch.where(here, mask, chosen)
        mean = torch.where(here, level, mean)
    per_object = ((kind - PATTERNS.index("object")).abs() < 0.5) | (
        (kind - PATTERNS.index("veins")).abs() < 0.5
    )
    keep = torch.where(per_object, 1.0, (1.5 - 2.2 * footprint).clamp(0.0, 1.0))
    return mean + (chosen - mean) * keep
