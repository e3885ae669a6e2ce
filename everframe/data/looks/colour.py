"""Colour primitives of the looks: named swatches, tone ramps, HSV, and soft tone steps."""

from functools import lru_cache
from math import exp, tanh

import torch
from torch import Tensor


@lru_cache(maxsize=512)
def swatches(hexes: tuple[str, ...], device: torch.device) -> Tensor:
    """Colours "rrggbb" as [K, 3] float32 in 0..1."""
    rows = [[int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)] for h in hexes]
    return torch.tensor(rows, dtype=torch.float32, device=device)


def swatch(hex_: str, like: Tensor) -> Tensor:
    """One colour "rrggbb" as [3, 1, 1] on the device of `like`."""
    return swatches((hex_,), like.device).view(3, 1, 1)


def luma(x: Tensor) -> Tensor:
    """Luma (ITU-R BT.601) [..., 1, H, W] of RGB [..., 3, H, W]."""
    return 0.299 * x[..., 0:1, :, :] + 0.587 * x[..., 1:2, :, :] + 0.114 * x[..., 2:3, :, :]


def saturate(x: Tensor, amount: float) -> Tensor:
    """Scale the distance from grey by `amount`; 0..1."""
    return torch.lerp(luma(x).expand_as(x), x, amount).clamp(0, 1)


def ramp(tone: Tensor, positions: tuple[float, ...], colours: Tensor) -> Tensor:
    """Piecewise linear colour map.

    Args:
        tone: [B, T, 1, H, W].
        positions: K increasing tones.
        colours: [K, 3] for all streams or [B, K, 3].

    Returns:
        [B, T, 3, H, W].
    """
    table = colours if colours.dim() == 3 else colours[None]
    table = table[:, :, None, :, None, None]  # [B or 1, K, 1, 3, 1, 1]
    out = table[:, 0]
    for i in range(len(positions) - 1):
        part = ((tone - positions[i]) / (positions[i + 1] - positions[i])).clamp(0, 1)
        out = out + (table[:, i + 1] - table[:, i]) * part
    return out


def tint_ramp(tone: Tensor, positions: tuple[float, ...], *hexes: str) -> Tensor:
    """`ramp` with fixed colours "rrggbb"."""
    return ramp(tone, positions, swatches(hexes, tone.device))


def hsv_to_rgb(hue: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """HSV in 0..1 (hue wraps), any shape [...] -> RGB [..., 3]."""
    k = torch.stack([(n + hue * 6) % 6 for n in (5.0, 3.0, 1.0)], -1)
    wave = torch.minimum(k, 4 - k).clamp(0, 1)
    sat = torch.as_tensor(saturation, device=hue.device).expand_as(hue)[..., None]
    val = torch.as_tensor(value, device=hue.device).expand_as(hue)[..., None]
    return val - val * sat * wave


def sigmoid_step(x: Tensor, threshold: Tensor | float, gain: float) -> Tensor:
    """Soft 0-to-1 step at `threshold` with slope gain/4."""
    return torch.sigmoid((x - threshold) * gain)


def posterise(x: Tensor, levels: int, softness: float = 0.18) -> Tensor:
    """Soft staircase 0..1 -> 0..1 with `levels` steps up; 0 and 1 stay.

    A small `softness` (in steps) makes hard edges that boil under sensor noise.
    """
    scaled = x * levels
    base = scaled.floor()
    rise = torch.tanh((scaled - base - 0.5) / softness) / tanh(0.5 / softness)
    return ((base + 0.5 + 0.5 * rise) / levels).clamp(0, 1)


def screen(a: Tensor, b: Tensor) -> Tensor:
    """Screen blend of two light layers."""
    return 1 - (1 - a) * (1 - b)


def contrast(x: Tensor, gain: float, centre: float = 0.5) -> Tensor:
    """S-curve that keeps 0 and 1 about fixed; gain around 4..10."""
    low = 1 / (1 + exp(gain * centre))
    high = 1 / (1 + exp(-gain * (1 - centre)))
    return ((torch.sigmoid((x - centre) * gain) - low) / (high - low)).clamp(0, 1)
