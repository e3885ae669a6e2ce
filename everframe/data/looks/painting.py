"""Painted looks: Kuwahara brush work, washes, flat cel colour."""

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
from everframe.data.looks.filters import at_sites, blur, kuwahara, lines, relief
from everframe.data.looks.look import State
from everframe.data.looks.texture import (
    TAU,
    coordinates_of,
    dot_lattice,
    grain_of,
    stripes,
    triangles,
)


def cel_colour(x: Tensor, levels: int, softness: float = 0.15) -> Tensor:
    """Flat colour areas: the chroma of a smoothed frame on a soft staircase of its luma."""
    smooth = kuwahara(x, 3)
    tone = luma(smooth)
    return (smooth * (posterise(tone, levels, softness) + 0.06) / (tone + 0.06)).clamp(0, 1)


def oil_painting(x: Tensor, _: State) -> Tensor:
    """Thick strokes with raised paint."""
    paint = saturate(kuwahara(kuwahara(x, 5), 5), 2.0)
    tone = luma(paint)
    bristle = 0.05 * stripes(x, 5.333, 16.0) + 0.04 * grain_of(x, 16)
    height = tone + bristle * (0.3 + tone)
    return (contrast(paint, 5.0) * (1 + 0.28 * relief(height, 7.0, 0.8))).clamp(0, 1)


def watercolour(x: Tensor, _: State) -> Tensor:
    """Thin washes on white paper, darker rims, paper left bare in the lights."""
    wash = saturate(kuwahara(x, 7), 1.8)
    tone = luma(wash)
    rim = lines(tone, 2.0, 14.0)
    thin = 1 - (1 - wash) * 0.8
    bare = sigmoid_step(tone, 0.62, 11.0)
    out = thin + (swatch("fdfbf5", x) - thin) * bare
    return (out * (1 - 0.6 * rim) * (1 + 0.02 * grain_of(x))).clamp(0, 1)


def ukiyo_e(x: Tensor, _: State) -> Tensor:
    """Woodblock print: indigo to cream blocks, dark key lines, wood grain."""
    smooth = kuwahara(x, 4)
    tone = luma(smooth)
    block = tint_ramp(
        posterise(tone, 4, 0.15), (0.0, 0.25, 0.5, 0.75, 1.0),
        "1b2a4a", "2f5d7e", "b8805a", "e8c99a", "f5ead0",
    )  # fmt: skip
    chroma = (smooth - tone) * 1.3
    y, across = coordinates_of(x)
    wood = (TAU * (y + 1.5 * (TAU * across / 64).sin()) / 5.333).sin()
    out = (block + chroma) * (1 + 0.03 * wood)
    line = lines(tone, 1.3, 22.0)
    return (out + line * (swatch("1a1418", x) - out)).clamp(0, 1)


def cartoon(x: Tensor, _: State) -> Tensor:
    """Flat bright colours and bold black outlines."""
    flat = contrast(saturate(cel_colour(x, 4), 2.2), 4.5, 0.48)
    return (flat * 1.08 * (1 - lines(luma(x), 1.3, 24.0))).clamp(0, 1)


def anime(x: Tensor, _: State) -> Tensor:
    """Two-tone cel shading with violet shadows, pale lights and thin lines."""
    smooth = kuwahara(x, 4)
    tone = luma(smooth)
    shade = sigmoid_step(tone, 0.42, 26.0)
    hair = sigmoid_step(tone, 0.2, 26.0)
    chroma = smooth - tone
    lit = 0.86 + 0.25 * (tone - 0.5) + 1.5 * chroma
    dark = swatch("8d7fb8", x) + 1.2 * chroma
    deep = swatch("2b2448", x) + 1.2 * chroma
    out = dark + (lit - dark) * shade
    out = deep + (out - deep) * hair
    thin = lines(luma(x), 0.8, 14.0)
    out = (out + 0.12 * blur(out.clamp(0, 1), 5.0)).clamp(0, 1)
    return out * (1 - 0.8 * thin)


def pointillism(x: Tensor, _: State) -> Tensor:
    """Dots of pure colour on a canvas, warm and cool dots side by side."""
    site, distance, parity = dot_lattice(x.shape[-2], x.shape[-1], 8, x.device)
    colour = at_sites(saturate(blur(x, 2.0), 2.4), site)
    warm = swatch("ffb060", x) - swatch("7f7f7f", x)
    colour = (colour + 0.32 * parity * warm).clamp(0, 1)
    radius = 3.3 + 1.1 * (1 - luma(colour))
    dot = ((radius - distance) * 0.9 + 0.5).clamp(0, 1)
    canvas = swatch("f3e9d2", x)
    return canvas + dot * (colour - canvas)


def low_poly(x: Tensor, _: State) -> Tensor:
    """Flat triangles with faceted light."""
    site, facet = triangles(x.shape[-2], x.shape[-1], 8, x.device)
    colour = at_sites(saturate(blur(x, 1.8), 1.7), site)
    return (contrast(colour, 4.0) * (1 + 0.11 * facet)).clamp(0, 1)


def clay(x: Tensor, _: State) -> Tensor:
    """Modelling clay: soft bright lumps with finger prints and a gentle gloss."""
    smooth = blur(kuwahara(x, 5), 1.0)
    tone = luma(smooth)
    flat = saturate(smooth * (posterise(tone, 4, 0.25) + 0.1) / (tone + 0.1), 2.6)
    y, across = coordinates_of(x)
    ring = (TAU * (y + 4 * (TAU * across / 32).sin()) / 5.333).sin()
    height = tone * 2.0 + 0.035 * ring
    light = relief(height, 6.0, 1.8)
    gloss = (light - 0.3).clamp(min=0) * 0.4
    return ((flat * 0.85 + 0.12) * (1 + 0.5 * light) + gloss).clamp(0, 1)
