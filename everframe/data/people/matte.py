"""What a person mask says of a picture: a clean matte, true edge colours, statistics, and a shape.

Shared by the looks that dress the person and those that change the place. Lengths are given for a
frame of 224 rows and grow with the frame. Every function is smooth in (frame, mask).
"""

from __future__ import annotations

import torch
from torch import Tensor

from everframe.data.looks.colour import luma
from everframe.data.looks.filters import blur, slope

REFERENCE_ROWS = 224
GAMMA = 2.2
ERODE_LOW, ERODE_HIGH = 0.3, 0.92
"""Soft threshold of the raw mask: above one half on average, so the matte lies inside the edge."""
PRIOR_SHARE = 0.01
"""Weight of the whole frame in person statistics, as a share of its pixels: no person, no fault."""


def px(x: Tensor, length: float) -> float:
    """`length` (px at 224 rows) for frames [..., H, W]; rounded so that filters can be cached."""
    return round(length * x.shape[-2] / REFERENCE_ROWS, 3)


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """Cubic step from 0 at `low` to 1 at `high`."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def matte_of(mask: Tensor) -> Tensor:
    """Slightly eroded, feathered matte of a raw mask; both [B, T, 1, H, W] in 0..1."""
    return smoothstep(blur(mask, px(mask, 0.7)), ERODE_LOW, ERODE_HIGH)


def clean_edges(x: Tensor, matte: Tensor) -> Tensor:
    """The person's own colour where the old background shines through soft edges.

    Args:
        x: [B, T, 3, H, W] frame.
        matte: [B, T, 1, H, W].

    Returns:
        [B, T, 3, H, W]: the frame inside the person, inner colours drawn outwards at its edge.
    """
    inner = smoothstep(blur(matte, px(x, 1.5)), 0.7, 0.98)
    sigma = px(x, 3.0)
    spread = blur(x * inner, sigma) / (blur(inner, sigma) + 1e-3)
    reach = smoothstep(blur(inner, sigma), 0.01, 0.08)  # thin parts keep their own colour
    return x + (1 - inner) * reach * (spread - x)


def linear(x: Tensor) -> Tensor:
    """Display values 0..1 to linear light."""
    return x.clamp(0, 1) ** GAMMA


def display(light: Tensor) -> Tensor:
    """Linear light to display values 0..1; the upper end is rolled off instead of cut."""
    knee = 0.8
    over = (light - knee).clamp(min=0)
    rolled = light.clamp(1e-6, knee) + (1 - knee) * (1 - torch.exp(-over / (1 - knee)))
    return rolled.clamp(0, 1) ** (1 / GAMMA)


def mean_inside(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over time and frame: x [B, T, C, H, W] -> [B, 1, C, 1, 1]."""
    prior = PRIOR_SHARE * x[:, :, :1].numel() / x.shape[0]
    whole = x.mean((1, 3, 4), keepdim=True)
    inside = (x * weight).sum((1, 3, 4), keepdim=True)
    total = weight.expand_as(x[:, :, :1]).sum((1, 3, 4), keepdim=True)
    return (inside + prior * whole) / (total + prior)


def local_tone(x: Tensor, matte: Tensor, reach_px: float = 14.0) -> Tensor:
    """Brightness against the person's surroundings within the person, about -0.5..0.5.

    Takes most of the clothes' colour away and leaves folds and features. [B, T, 1, H, W].
    """
    tone = luma(x)
    sigma = px(x, reach_px)
    around = blur(tone * matte, sigma) / (blur(matte, sigma) + 1e-2)
    return (tone - around) * matte


def normals(detail: Tensor, matte: Tensor, roundness: float = 1.0, depth: float = 1.0) -> Tensor:
    """Unit normals (down, right, towards the viewer) [B, T, 3, H, W] of an inflated cut-out.

    The matte gives the round body, `detail` (of `local_tone`) the relief upon it.
    """
    body = blur(matte, px(matte, 6.0)) + 1.6 * blur(matte, px(matte, 16.0))
    fine = blur(detail, px(matte, 1.1)) + 1.5 * blur(detail, px(matte, 3.0))
    scale = matte.shape[-2] / REFERENCE_ROWS
    down, right = slope((18 * roundness * body + 9 * depth * fine) * scale)
    length = (down * down + right * right + 1).sqrt()
    return torch.cat([-down / length, -right / length, 1 / length], 2)


def lit(normal: Tensor, down: float, right: float, front: float) -> Tensor:
    """Cosine between normals and the direction to a light, -1..1, [B, T, 1, H, W]."""
    length = (down * down + right * right + front * front) ** 0.5
    part = normal[:, :, 0:1] * down + normal[:, :, 1:2] * right + normal[:, :, 2:3] * front
    return part / length
