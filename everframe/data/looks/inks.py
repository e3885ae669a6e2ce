"""Hidden looks whose state is colours: palettes, inks, screens and lookup tables.

The colours are drawn once per stream; neither prompt nor camera tells them.
"""

import torch
from torch import Tensor

from everframe.data.looks.colour import (
    contrast,
    hsv_to_rgb,
    luma,
    posterise,
    ramp,
    sigmoid_step,
)
from everframe.data.looks.filters import blur, kuwahara, lines
from everframe.data.looks.look import State
from everframe.data.looks.texture import (
    TAU,
    coordinates_of,
    fractal_noise,
    grain_of,
    spread,
    uniform,
    value_noise,
)


def random_ink(batch: int, generator: torch.Generator, low: float, high: float) -> Tensor:
    """[B, 3] saturated colour of random hue with value in low..high."""
    hue = uniform(batch, generator)[:, 0]
    saturation = uniform(batch, generator, 0.65, 1.0)[:, 0]
    return hsv_to_rgb(hue, saturation, uniform(batch, generator, low, high)[:, 0])


def random_paper(batch: int, generator: torch.Generator) -> Tensor:
    """[B, 3] light colour of random hue."""
    hue = uniform(batch, generator)[:, 0]
    saturation = uniform(batch, generator, 0.04, 0.38)[:, 0]
    return hsv_to_rgb(hue, saturation, uniform(batch, generator, 0.88, 1.0)[:, 0])


def rotated(x: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Screen coordinates turned by angle [B, 1, 1, 1, 1] (radians), each [B, 1, 1, H, W]."""
    y, across = coordinates_of(x)
    return (
        across * angle.cos() + y * angle.sin(),
        y * angle.cos() - across * angle.sin(),
    )


def dot_screen(x: Tensor, angle: Tensor, period_px: Tensor, phase: Tensor) -> Tensor:
    """Halftone screen 0..1 [B, 1, 1, H, W]; arguments [B, 1, 1, 1, 1], phase in turns."""
    along, over = rotated(x, angle)
    first = (TAU * (along / period_px + phase)).sin()
    second = (TAU * (over / period_px + phase * 1.7)).sin()
    return 0.5 + 0.25 * (first + second)


def draw_poster_palette(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Five colours, dark to light, of hues around one or two random ones."""
    start = uniform(batch, generator)
    hue = start + uniform(batch, generator, -0.35, 0.35, 5)
    saturation = uniform(batch, generator, 0.5, 1.0, 5)
    value = torch.linspace(0.16, 1.0, 5, device=generator.device)
    value = (value + uniform(batch, generator, -0.08, 0.08, 5)).clamp(0.08, 1)
    return {"palette": hsv_to_rgb(hue % 1, saturation, value)}


def poster_palette(x: Tensor, state: State) -> Tensor:
    """Screen poster in the five colours."""
    tone = contrast(blur(luma(kuwahara(x, 4)), 1.0), 4.0)
    return ramp(posterise(tone, 4, 0.15), (0.0, 0.25, 0.5, 0.75, 1.0), state["palette"])


def draw_duotone(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """A dark and a light ink at least a fifth of the hue circle apart."""
    hue = uniform(batch, generator)[:, 0]
    other = (hue + uniform(batch, generator, 0.2, 0.8)[:, 0]) % 1
    dark = hsv_to_rgb(hue, 0.95, 0.32)
    light = hsv_to_rgb(other, uniform(batch, generator, 0.5, 0.95)[:, 0], 1.0)
    return {"inks": torch.stack([dark, light], 1)}


def duotone(x: Tensor, state: State) -> Tensor:
    """Two inks."""
    return ramp(contrast(luma(x), 6.0, 0.48), (0.0, 1.0), state["inks"])


def draw_false_colour(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """A cyclic lookup table: hue runs from a random start for a random length."""
    start = uniform(batch, generator)
    length = uniform(batch, generator, 0.6, 1.3)
    way = uniform(batch, generator).round() * 2 - 1
    steps = torch.linspace(0, 1, 6, device=generator.device)
    hue = (start + way * length * steps) % 1
    value = torch.tensor([0.35, 0.75, 1.0, 0.95, 1.0, 1.0], device=generator.device)
    saturation = torch.tensor([1.0, 1.0, 0.95, 0.85, 0.8, 0.35], device=generator.device)
    return {"table": hsv_to_rgb(hue, saturation.expand_as(hue), value.expand_as(hue))}


def false_colour(x: Tensor, state: State) -> Tensor:
    """Smooth false-colour instrument picture with thin level lines."""
    tone = blur(luma(x), 1.6)
    out = ramp(tone, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), state["table"])
    level = (0.5 + 0.5 * (TAU * tone * 5).cos()) ** 6
    return (out * (1 - 0.45 * level)).clamp(0, 1)


def draw_halftone_ink(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Screen angle, period and phase; ink and paper."""
    return {
        "angle": spread(uniform(batch, generator, 0.0, TAU / 4)),
        "period": spread(uniform(batch, generator, 7.0, 11.0)),
        "phase": spread(uniform(batch, generator)),
        "ink": spread(random_ink(batch, generator, 0.15, 0.55)),
        "paper": spread(random_paper(batch, generator)),
    }


def halftone_ink(x: Tensor, state: State) -> Tensor:
    """Big dots of one ink."""
    tone = blur(luma(x), 1.2)
    screen = dot_screen(x, state["angle"], state["period"], state["phase"])
    ink = sigmoid_step(screen, tone * 0.92 + 0.03, 13.0)
    return state["paper"] + ink * (state["ink"] - state["paper"])


def draw_risograph(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Three transparent inks, their screens, their misregistration, uneven ink."""
    hue = uniform(batch, generator)
    hues = torch.cat([hue, hue + uniform(batch, generator, 0.25, 0.4),
                      hue + uniform(batch, generator, 0.55, 0.72)], 1) % 1  # fmt: skip
    inks = hsv_to_rgb(hues, 0.85, 0.95)
    noise = fractal_noise((batch, 1, height, width), 16, 3, generator)
    state = {f"ink{i}": spread(inks[:, i]) for i in range(3)}
    state["blotch"] = 1 - 0.11 * noise.abs()
    state["angle"] = spread(uniform(batch, generator, 0.0, TAU / 4))
    return state


def risograph(x: Tensor, state: State) -> Tensor:
    """Three overprinted soy inks: flat dark, dotted middle, washed light."""
    tone = blur(luma(x), 1.2)
    period = torch.full_like(state["angle"], 6.5)
    dots = dot_screen(x, state["angle"], period, period * 0)
    dark = sigmoid_step(-tone, -0.3, 22.0)
    middle = sigmoid_step(dots * 0.75 + 0.15, tone, 12.0)
    light = sigmoid_step(tone, 0.62, 14.0)
    coats = ((dark, "ink0"), (middle * 0.85, "ink1"), (light * 0.55, "ink2"))
    out = torch.full_like(x, 0.97)
    for amount, ink in coats:
        out = out * (1 - amount * state["blotch"] * (1 - state[ink]))
    return (out * (1 + 0.02 * grain_of(x))).clamp(0, 1)


def draw_linocut(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Ink, paper, direction of the gouge."""
    return {
        "ink": spread(random_ink(batch, generator, 0.2, 0.5)),
        "paper": spread(random_paper(batch, generator)),
        "angle": spread(uniform(batch, generator, 0.0, TAU / 2)),
        "phase": spread(uniform(batch, generator)),
    }


def linocut(x: Tensor, state: State) -> Tensor:
    """One-ink block print with gouge marks that widen with the light."""
    tone = contrast(blur(luma(kuwahara(x, 4)), 1.0), 4.0, 0.48)
    along, over = rotated(x, state["angle"])
    bend = 2.5 * (TAU * along / 40).sin()
    gouge = 0.5 + 0.5 * (TAU * ((over + bend) / 7.5 + state["phase"])).sin()
    cut = sigmoid_step(tone * 1.3 - 0.22, 1 - gouge, 9.0)
    ink = (1 - cut + 0.9 * lines(tone, 1.4, 14.0)).clamp(0, 1)
    return state["paper"] + ink * (state["ink"] - state["paper"])


def draw_zine(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Paper, outline ink, two flat colours and a line screen."""
    return {
        "paper": spread(random_paper(batch, generator)),
        "line": spread(random_ink(batch, generator, 0.05, 0.3)),
        "flat": spread(random_ink(batch, generator, 0.75, 1.0)),
        "shade": spread(random_ink(batch, generator, 0.35, 0.6)),
        "angle": spread(uniform(batch, generator, 0.0, TAU / 2)),
        "phase": spread(uniform(batch, generator)),
    }


def zine(x: Tensor, state: State) -> Tensor:
    """Small-press comic: fat ink, spot colour, screen-line shade."""
    tone = blur(luma(kuwahara(x, 4)), 0.8)
    _along, over = rotated(x, state["angle"])
    stroke = sigmoid_step((TAU * (over / 6.5 + state["phase"])).sin(), 0.0, 5.0)
    shade = sigmoid_step(-tone, -0.5, 26.0) * stroke
    spot = sigmoid_step(-(tone - 0.52).abs(), -0.15, 26.0)
    black = sigmoid_step(-tone, -0.2, 26.0)
    out = state["paper"] + spot * (state["flat"] - state["paper"])
    out = out + shade * (state["shade"] - out)
    ink = (black + lines(luma(x), 1.6, 30.0)).clamp(0, 1)
    return out + ink * (state["line"] - out)


def draw_chalk(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Board colour, chalk colour, wiped smears, stroke direction."""
    hue = uniform(batch, generator)[:, 0]
    saturation = uniform(batch, generator, 0.35, 0.8)[:, 0]
    board = hsv_to_rgb(hue, saturation, uniform(batch, generator, 0.1, 0.26)[:, 0])
    chalk = hsv_to_rgb(uniform(batch, generator)[:, 0], uniform(batch, generator, 0.1, 0.6)[:, 0],
                       1.0)  # fmt: skip
    return {
        "board": spread(board),
        "chalk": spread(chalk),
        "smear": 0.05 * fractal_noise((batch, 1, height, width), 32, 3, generator),
        "dust": value_noise((batch, 1, height, width), 3, generator),
        "angle": spread(uniform(batch, generator, 0.0, TAU / 2)),
    }


def chalk(x: Tensor, state: State) -> Tensor:
    """Chalk lines and rubbed light areas on a board."""
    tone = blur(luma(x), 1.0)
    _along, over = rotated(x, state["angle"])
    stroke = 0.55 + 0.45 * (TAU * over / 6.0 + 0.8 * state["dust"]).sin()
    rubbed = sigmoid_step(tone, 0.55, 12.0) * stroke * 0.7
    line = (lines(tone, 1.3, 34.0) * (0.9 + 0.25 * state["dust"])).clamp(0, 1)
    amount = (rubbed * 0.95 + line + state["smear"] + 0.05).clamp(0, 1)
    return (state["board"] + amount * (state["chalk"] - state["board"])).clamp(0, 1)
