"""Drawn looks: graphite, charcoal, ink, blueprint, engraved lines."""

import torch
from torch import Tensor

from everframe.data.looks.colour import contrast, luma, sigmoid_step, swatch, tint_ramp
from everframe.data.looks.filters import blur, lines
from everframe.data.looks.look import State
from everframe.data.looks.texture import TAU, coordinates_of, grain_of, stripes


def pencil(x: Tensor, _: State) -> Tensor:
    """Graphite on white paper: dodge shading, outlines, one layer of strokes in the shade."""
    tone = luma(x)
    light = 1 - blur(1 - tone, 6.0)
    dodge = ((tone + 0.12) / (light + 0.12)).clamp(0, 1.05) - 0.05
    shade = (0.62 - blur(tone, 1.5)).clamp(0, 0.5) * 0.55
    stroke = 0.75 + 0.5 * stripes(x, 8.0, 5.333)
    out = dodge * (1 - 0.75 * lines(tone, 1.0, 14.0)) - shade * stroke
    out = out + 0.02 * grain_of(x)
    return tint_ramp(out, (0.0, 0.5, 1.0), "26272c", "85868c", "fbfaf6")


def charcoal(x: Tensor, _: State) -> Tensor:
    """Broad black chalk on rough grey-brown paper."""
    tone = blur(luma(x), 0.8)
    dust = contrast(tone, 9.0, 0.46) + 0.035 * grain_of(x)
    out = dust * (1 - 0.95 * lines(tone, 1.6, 40.0))
    return tint_ramp(out, (0.0, 0.35, 1.0), "0a0909", "4c4743", "ded6c6")


def cross_hatch(x: Tensor, _: State) -> Tensor:
    """Ink pen: more crossing layers of strokes the darker the tone."""
    tone = contrast(blur(luma(x), 1.0), 5.0, 0.45)
    light = torch.ones_like(tone)
    layers = ((0.7, 8.0, 8.0), (0.5, 8.0, -8.0), (0.32, 5.333, 16.0), (0.16, 16.0, -5.333))
    for threshold, down, right in layers:
        dark = sigmoid_step(-tone, -threshold, 16.0)
        stroke = sigmoid_step(stripes(x, down, right), 0.15, 5.0)
        light = light * (1 - 0.85 * dark * stroke)
    light = light * (1 - lines(tone, 1.2, 26.0))
    return tint_ramp(light, (0.0, 1.0), "16140f", "f6efdd")


def blueprint(x: Tensor, _: State) -> Tensor:
    """White plan lines on blue, over a 16 px grid."""
    tone = luma(x)
    line = lines(tone, 1.1, 36.0)
    y, across = coordinates_of(x)
    fine = (TAU * y / 16).cos().clamp(min=0) ** 24 + (TAU * across / 16).cos().clamp(min=0) ** 24
    shade = sigmoid_step(-blur(tone, 1.5), -0.35, 16.0) * sigmoid_step(
        stripes(x, 8.0, 8.0), 0.3, 6.0
    )
    light = 0.14 * fine.clamp(0, 1) + 0.35 * shade + line
    return tint_ramp(light, (0.0, 0.5, 1.0), "0d3f8f", "6fa0dc", "f4faff")


def banknote(x: Tensor, _: State) -> Tensor:
    """Green engraving: wavy lines that swell with the dark."""
    tone = contrast(blur(luma(x), 0.8), 5.0, 0.45)
    y, across = coordinates_of(x)
    wave = (TAU * (y + 2.2 * (TAU * across / 32).sin()) / 4).sin() * 0.5 + 0.5
    ink = sigmoid_step(wave * 0.8 + 0.1, tone * 0.95 + 0.08, 9.0)
    ink = (ink + lines(tone, 1.1, 22.0)).clamp(0, 1)
    return tint_ramp(1 - ink, (0.0, 0.5, 1.0), "0e3b2a", "6f9a72", "e9eed2")


def ballpoint(x: Tensor, _: State) -> Tensor:
    """Blue pen doodle on lined paper."""
    tone = luma(x)
    soft = blur(tone, 1.3)
    y, across = coordinates_of(x)
    scribble = (TAU * (across + 3 * (TAU * y / 32).sin()) / 8 + TAU * y / 16).sin()
    dark = sigmoid_step(-soft, -0.45, 12.0)
    stroke = dark * (0.45 + 0.55 * sigmoid_step(scribble, 0.0, 3.0)) * 0.85
    ink = (stroke + 1.2 * lines(tone, 1.0, 16.0)).clamp(0, 1)
    rule = (TAU * y / 16).cos().clamp(min=0) ** 16
    paper = swatch("fdfdf6", x) + rule * (swatch("b9d4ee", x) - swatch("fdfdf6", x))
    return paper + ink * (swatch("1a2fa0", x) - paper)
