"""Printed looks with fixed inks: newspaper, comic, pop art."""

from torch import Tensor

from everframe.data.looks.colour import (
    luma,
    posterise,
    saturate,
    sigmoid_step,
    swatch,
    tint_ramp,
)
from everframe.data.looks.filters import blur, kuwahara, lines
from everframe.data.looks.look import State
from everframe.data.looks.texture import stripes


def newspaper(x: Tensor, _: State) -> Tensor:
    """Black 45 degree dots on grey newsprint."""
    tone = blur(luma(x), 1.0)
    dots = 0.5 + 0.25 * (stripes(x, 8.0, 8.0) + stripes(x, 8.0, -8.0))
    ink = sigmoid_step(dots, tone * 0.95 + 0.03, 11.0)
    return tint_ramp(1 - ink, (0.0, 1.0), "1b1a1c", "dcd7c8")


def comic(x: Tensor, _: State) -> Tensor:
    """Primary inks, heavy outlines, Ben-Day dots in the middle tones."""
    smooth = saturate(kuwahara(x, 4), 2.6)
    tone = luma(smooth)
    flat = posterise(smooth, 2, 0.2)
    dots = 0.5 + 0.25 * (stripes(x, 8.0, 8.0) + stripes(x, 8.0, -8.0))
    middle = (1 - (tone - 0.5).abs() * 2.6).clamp(0, 1)
    dot = sigmoid_step(dots, 0.62, 14.0) * middle
    out = swatch("fff3c4", x) * (0.12 + 0.88 * flat)
    out = out * (1 - 0.55 * dot * (1 - swatch("ff5a4a", x)))
    return (out * (1 - lines(luma(x), 1.6, 32.0))).clamp(0, 1)


def pop_art(x: Tensor, _: State) -> Tensor:
    """Four screaming flat inks."""
    tone = blur(luma(kuwahara(x, 3)), 0.8)
    edges = (0.26, 0.34, 0.46, 0.54, 0.68, 0.76)
    return tint_ramp(tone, edges, "2a0a78", "ff1f8f", "ff1f8f", "ffd500", "ffd500", "28e0e8")
