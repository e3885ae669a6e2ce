"""Colour-map and light looks: each pixel's colour and place decide, or a wide glow."""

from torch import Tensor

from everframe.data.looks.colour import (
    contrast,
    luma,
    ramp,
    saturate,
    screen,
    swatch,
    swatches,
    tint_ramp,
)
from everframe.data.looks.filters import blur, shift, slope
from everframe.data.looks.look import State
from everframe.data.looks.texture import coordinates_of, grain_of, stripes, vignette_of


def sepia(x: Tensor, _: State) -> Tensor:
    """Faded brown photograph."""
    out = tint_ramp(luma(x), (0.0, 0.25, 0.6, 1.0), "2a1708", "6b4423", "c79a62", "fdeecb")
    return (out * (1 - 0.35 * vignette_of(x))).clamp(0, 1)


def noir(x: Tensor, _: State) -> Tensor:
    """Hard black and white with dark corners."""
    tone = contrast(luma(x), 9.0, 0.45) * (1 - 0.75 * vignette_of(x))
    return tone.expand_as(x)


def night_vision(x: Tensor, _: State) -> Tensor:
    """Green image intensifier."""
    tone = luma(x) ** 0.75
    out = tint_ramp(tone, (0.0, 0.5, 1.0), "00140a", "1c9c2c", "d2ffb8")
    scan = 0.9 + 0.1 * stripes(x, 4.0, 0.0)
    return (out * scan * (1 - 0.85 * vignette_of(x))).clamp(0, 1)


def thermal(x: Tensor, _: State) -> Tensor:
    """Heat camera colours."""
    return tint_ramp(
        luma(x), (0.0, 0.2, 0.45, 0.7, 0.9, 1.0),
        "04003a", "4b0091", "d6246a", "ff8a00", "ffe14d", "ffffff",
    )  # fmt: skip


def golden_hour(x: Tensor, _: State) -> Tensor:
    """Low warm sun from above."""
    y, _x = coordinates_of(x)
    sun = 0.4 * (1 - y / x.shape[-2])
    warm = x * swatch("ffd08a", x) * 1.12
    return screen(warm.clamp(0, 1), sun * swatch("ff9a3c", x)).clamp(0, 1)


def moonlight(x: Tensor, _: State) -> Tensor:
    """Blue night."""
    tone = luma(x)
    blue = tint_ramp(tone, (0.0, 0.5, 1.0), "01040f", "173a7a", "a9ccff")
    return (0.82 * blue + 0.18 * x * tone) * (1 - 0.45 * vignette_of(x))


def infrared_film(x: Tensor, _: State) -> Tensor:
    """False-colour film: greens and warm tones turn crimson, blues turn teal."""
    red, green, blue = x[:, :, 0:1], x[:, :, 1:2], x[:, :, 2:3]
    tone = luma(x)
    warm = ((red + green) * 0.5 - blue + 0.12).clamp(0, 1) * 2.2
    base = tint_ramp(tone, (0.0, 0.5, 1.0), "0b0720", "9a5a86", "ffeaf4")
    crimson = tint_ramp(tone, (0.0, 0.5, 1.0), "3a0018", "ff2470", "ffc4d8")
    teal = tint_ramp(tone, (0.0, 0.5, 1.0), "00202a", "1d98a4", "d8fff8")
    cold = ((blue - red) * 3.0).clamp(0, 1)
    out = base + (crimson - base) * warm.clamp(0, 1)
    return out + (teal - out) * cold


def cyberpunk(x: Tensor, _: State) -> Tensor:
    """Teal shadows, magenta lights."""
    tone = contrast(luma(x), 6.0, 0.5)
    duo = tint_ramp(
        tone, (0.0, 0.3, 0.55, 0.8, 1.0), "050018", "063a78", "8a1fb0", "ff2fa0", "ffd9f4"
    )
    cyan = ((x[:, :, 2:3] - x[:, :, 0:1]) * 3.0).clamp(0, 1)
    return (duo + cyan * (swatch("00e5ff", x) * (0.25 + luma(x)) - duo)).clamp(0, 1)


def x_ray(x: Tensor, _: State) -> Tensor:
    """Inverted cold plate."""
    tone = contrast(1 - luma(x), 5.0, 0.5)
    return tint_ramp(tone, (0.0, 0.45, 1.0), "000611", "2b6ea8", "f0fbff")


def film_negative(x: Tensor, _: State) -> Tensor:
    """Colour negative with its orange mask."""
    inverse = saturate(1 - x, 1.4)
    return (inverse * swatch("ffb070", x) * 0.92 + 0.06).clamp(0, 1)


def dreamy_glow(x: Tensor, _: State) -> Tensor:
    """Pink haze around all lights."""
    haze = blur(x, 9.0)
    lit = screen(x, haze * 0.7)
    tint = tint_ramp(luma(lit), (0.0, 0.5, 1.0), "5a2a6e", "ff9ec4", "fff4ee")
    return (0.45 * lit + 0.55 * tint + 0.15 * haze * swatch("ff9ad0", x)).clamp(0, 1)


def frost(x: Tensor, _: State) -> Tensor:
    """Desaturated cold picture with snow on upper edges and ice at the border."""
    tone = luma(x)
    cold = tint_ramp(tone, (0.0, 0.4, 1.0), "1b3550", "7fa6c4", "f6fcff")
    out = 0.25 * x + 0.75 * cold
    down, _right = slope(blur(tone, 1.6))
    snow = (-down * 16 - 0.12).clamp(0, 1)
    ice = ((vignette_of(x) - 0.35) * 1.6 + 0.06 * grain_of(x)).clamp(0, 0.9)
    white = swatch("f7fcff", x)
    out = out + (white - out) * snow
    return out + (white - out) * ice


def underwater(x: Tensor, _: State) -> Tensor:
    """Deep blue-green water with a fixed net of light."""
    tone = blur(luma(x), 0.8)
    water = tint_ramp(tone, (0.0, 0.45, 0.8, 1.0), "00182e", "00617f", "27c4b2", "d9fff0")
    y, _x = coordinates_of(x)
    net = stripes(x, 32.0, 64.0) + stripes(x, -64.0, 32.0) + stripes(x, 21.333, -64.0) * 0.6
    light = (-1.8 * net.square()).exp() * (1 - 0.8 * y / x.shape[-2]) * 0.45
    out = 0.85 * water + 0.2 * blur(x, 1.5) * swatch("70e8e0", x)
    return screen(out.clamp(0, 1), light * swatch("8affe6", x))


def hologram(x: Tensor, _: State) -> Tensor:
    """Projected cyan figure with scan lines."""
    tone = luma(x)
    down, right = slope(blur(tone, 1.2))
    rim = ((down.square() + right.square() + 1e-4).sqrt() - 0.012).clamp(min=0) * 9
    body = 0.5 * tone + rim.clamp(0, 1) * 0.9
    scan = 0.72 + 0.28 * stripes(x, 4.0, 0.0)
    out = tint_ramp(body * scan, (0.0, 0.4, 0.8, 1.2), "020a1c", "0a6fa8", "4ff0ff", "ffffff")
    fringe = (shift(rim, 0, 3) - rim).clamp(0, 1) * 0.5
    return (out + fringe * swatch("b03cff", x)).clamp(0, 1)


def neon_lines(x: Tensor, _: State) -> Tensor:
    """Glowing outlines on black; cyan at the left, magenta at the right."""
    tone = blur(luma(x), 0.9)
    down, right = slope(tone)
    edge = ((down.square() + right.square() + 4e-5).sqrt() - 0.012).clamp(min=0)
    tube = (edge * 16).tanh()
    glow = blur(tube, 3.5)
    _y, across = coordinates_of(x)
    place = (across / x.shape[-1]).expand(1, 1, 1, *x.shape[-2:])
    hue = ramp(place, (0.0, 0.5, 1.0), swatches(("00e8ff", "7a4dff", "ff2fa8"), x.device))
    base = swatch("080418", x) + 0.1 * tone * hue
    return (base + hue * (0.9 * tube + 0.9 * glow) + 0.45 * tube * tube).clamp(0, 1)
