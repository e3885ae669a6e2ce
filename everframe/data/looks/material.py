"""Sculpted looks: stone, gold, chrome."""

from torch import Tensor

from everframe.data.looks.colour import contrast, luma, tint_ramp
from everframe.data.looks.filters import blur, kuwahara, relief, slope
from everframe.data.looks.look import State
from everframe.data.looks.texture import TAU, coordinates_of, grain_of, vignette_of


def stone_relief(x: Tensor, _: State) -> Tensor:
    """Grey carved slab lit from the upper left."""
    tone = luma(kuwahara(x, 3))
    light = relief(tone, 11.0, 1.2)
    speckle = 0.015 * grain_of(x, 32)
    out = 0.5 + 0.42 * light + 0.4 * (tone - 0.5) + speckle
    return tint_ramp(out, (0.0, 0.5, 1.0), "1f1e1c", "8b867c", "f3efe4")


def gold_statue(x: Tensor, _: State) -> Tensor:
    """Polished gold with moving highlights."""
    tone = blur(luma(kuwahara(x, 3)), 1.0)
    light = relief(tone, 9.0, 1.2)
    sheen = 0.5 + 0.5 * (TAU * (tone * 1.5 + 0.12 * light)).sin()
    out = 0.62 * contrast(tone, 6.0, 0.48) + 0.32 * light + 0.2 * sheen
    out = out * (1 - 0.3 * vignette_of(x))
    return tint_ramp(
        out, (0.0, 0.25, 0.5, 0.72, 0.95), "1c0d02", "6e3d06", "cf8f14", "ffd65a", "fff8d8"
    )


def chrome(x: Tensor, _: State) -> Tensor:
    """Liquid metal that mirrors a sky and a dark horizon."""
    tone = blur(luma(kuwahara(x, 4)), 1.6)
    down, right = slope(blur(tone, 1.5))
    y, _across = coordinates_of(x)
    mirror = tone * 1.15 + (9.0 * (down + 0.4 * right)).tanh() * 0.35
    band = 0.5 - 0.5 * (TAU * mirror * 1.6).cos()
    out = 0.75 * band + 0.25 * tone + 0.06 * (y / x.shape[-2] - 0.5)
    return tint_ramp(
        out, (0.0, 0.3, 0.55, 0.8, 1.0), "090c14", "39465c", "93a5bd", "dbe7f5", "ffffff"
    )
