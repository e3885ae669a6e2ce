"""Looks of old screens: pixels, handheld greens, tape, terminals."""

from functools import lru_cache

import torch
from torch import Tensor

from everframe.data.looks.colour import (
    contrast,
    luma,
    posterise,
    saturate,
    sigmoid_step,
    swatch,
    tint_ramp,
)
from everframe.data.looks.filters import blocks, blur, shift
from everframe.data.looks.look import State
from everframe.data.looks.texture import coordinates_of, stripes

# Order in which the dots of an 8 x 8 character light up as its cell gets brighter (0 first):
# a point, a plus, an asterisk, then a full block with its border left dark.
GLYPH = (
    "99999999",
    "98777789",
    "97533579",
    "97312379",
    "97321379",
    "97533579",
    "98777789",
    "99999999",
)


@lru_cache(maxsize=8)
def tiled(rows: tuple[str, ...], height: int, width: int, device: torch.device) -> Tensor:
    """[H, W] thresholds 0..1 from rows of digits, repeated over the frame."""
    tile = torch.tensor([[int(c) / 9 for c in row] for row in rows], device=device)
    y, x = coordinates_of(torch.empty(height, width, device=device))
    return tile[y.long() % len(rows), x.long() % len(rows[0])]


def pixel_art(x: Tensor, _: State) -> Tensor:
    """Eight-pixel squares in a small bright palette."""
    big = saturate(contrast(blocks(x, 8), 4.5), 2.2)
    return posterise(big, 4, 0.2)


def handheld(x: Tensor, _: State) -> Tensor:
    """Four olive greens on a small dot-matrix screen, ordered dither."""
    tone = contrast(blocks(luma(x), 4), 5.0, 0.5)
    threshold = tiled(("00006666", "00006666", "00006666", "00006666",
                       "99993333", "99993333", "99993333", "99993333"),
                      x.shape[-2], x.shape[-1], x.device)  # fmt: skip
    level = posterise((tone + (threshold - 0.5) * 0.26).clamp(0, 1), 3, 0.14)
    out = tint_ramp(level, (0.0, 1 / 3, 2 / 3, 1.0), "0f380f", "306230", "8bac0f", "c4d82e")
    y, across = coordinates_of(x)
    gap = ((y.remainder(4) > 2.5) | (across.remainder(4) > 2.5)).float()
    return out * (1 - 0.12 * gap)


def vhs(x: Tensor, _: State) -> Tensor:
    """Tape: colours beside their shapes, scan lines, a torn band at the bottom."""
    red = blur(shift(x[:, :, 0:1], 0, -5), 2.5)
    green = blur(x[:, :, 1:2], 0.8)
    blue = blur(shift(x[:, :, 2:3], 0, 5), 2.5)
    out = saturate(torch.cat([red, green, blue], 2), 1.7)
    y, _across = coordinates_of(x)
    band = sigmoid_step(y, x.shape[-2] * 0.9, 0.6)
    out = out + band * (shift(out, 0, 14) - out)
    scan = 0.84 + 0.16 * stripes(x, 4.0, 0.0)
    lift = swatch("2a1038", x) + band * 0.12 * (1 + stripes(x, 5.333, 32.0))
    return (out * scan * 0.95 + lift).clamp(0, 1)


def terminal(x: Tensor, _: State) -> Tensor:
    """Amber characters on a black tube."""
    tone = contrast(blocks(blur(luma(x), 1.0), 8), 5.0, 0.45)
    glyph = tiled(GLYPH, x.shape[-2], x.shape[-1], x.device)
    lit = sigmoid_step(tone * 0.98, glyph, 14.0) * (0.2 + 0.8 * tone)
    glow = lit + 0.5 * blur(lit, 2.5)
    return tint_ramp(glow, (0.0, 0.5, 1.1), "0d0500", "c76a00", "ffd27a")
