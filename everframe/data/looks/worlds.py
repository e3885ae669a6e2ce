"""Hidden looks with a drawn texture or a drawn world behind the dark parts of the picture."""

import torch
from torch import Tensor

from everframe.data.looks.colour import (
    contrast,
    hsv_to_rgb,
    luma,
    ramp,
    screen,
    sigmoid_step,
    swatches,
)
from everframe.data.looks.filters import blur, kuwahara, lines, relief, slope
from everframe.data.looks.inks import random_ink, random_paper, rotated
from everframe.data.looks.look import State
from everframe.data.looks.texture import (
    TAU,
    cell_values,
    cells,
    coordinates,
    fractal_noise,
    spread,
    uniform,
    value_noise,
)


def draw_tinted_watercolour(
    batch: int, height: int, width: int, generator: torch.Generator
) -> State:
    """Paper relief, blooms of pigment, two tints."""
    return {
        "paper": fractal_noise((batch, 1, height, width), 4, 2, generator),
        "bloom": fractal_noise((batch, 1, height, width), 48, 3, generator),
        "tint0": spread(random_ink(batch, generator, 0.75, 1.0)),
        "tint1": spread(random_ink(batch, generator, 0.75, 1.0)),
        "sheet": spread(random_paper(batch, generator)),
    }


def tinted_watercolour(x: Tensor, state: State) -> Tensor:
    """Wet wash of two drawn pigments on a drawn sheet."""
    tone = contrast(luma(kuwahara(x, 5)), 4.0)
    mix = torch.sigmoid(state["bloom"] * 2.0)
    pigment = state["tint0"] + mix * (state["tint1"] - state["tint0"])
    amount = (1 - tone) ** 1.1 * (1.1 + 0.16 * state["bloom"]) + 0.6 * lines(tone, 1.6, 14.0)
    wash = state["sheet"] * (1 - amount.clamp(0, 1.2) * (1 - pigment * 0.85))
    deep = wash * (1 - 0.45 * sigmoid_step(-tone, -0.22, 14.0))
    return (deep * (1 + 0.03 * state["paper"])).clamp(0, 1)


def draw_neon_haze(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """A slow field of hues over the screen and the colour of the dark."""
    field = value_noise((batch, 1, height, width), 96, generator)[:, :, 0]
    hue = (uniform(batch, generator).view(batch, 1, 1, 1) + 0.3 * field) % 1
    return {
        "hue": hsv_to_rgb(hue, 0.9, 1.0).movedim(-1, 2),
        "base": spread(random_ink(batch, generator, 0.2, 0.35)),
    }


def neon_haze(x: Tensor, state: State) -> Tensor:
    """Outlines that shine in the drawn hues, in coloured fog."""
    tone = blur(luma(x), 1.0)
    tube = lines(tone, 1.6, 45.0)
    glow = blur(tube, 5.0)
    fog = state["base"] * (0.4 + 1.1 * tone)
    return (fog + state["hue"] * (0.55 * tube + 1.3 * glow) + 0.35 * tube * tube).clamp(0, 1)


def draw_aurora(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Curtains of light: a warped vertical wave and three colours."""
    y, x = coordinates(height, width, generator.device)
    warp = fractal_noise((batch, 1, height, width), 64, 2, generator)
    phase = spread(uniform(batch, generator))
    step = spread(uniform(batch, generator, 60.0, 110.0))
    curtain = 0.5 + 0.5 * (TAU * ((x + 0.35 * y) / step + phase + 0.3 * warp)).sin()
    hue = uniform(batch, generator)
    hues = (hue + uniform(batch, generator, 0.1, 0.55, 2)) % 1
    hues = torch.cat([hue, hues], 1)
    return {"curtain": curtain, "colours": hsv_to_rgb(hues, 0.85, 1.0)}


def aurora(x: Tensor, state: State) -> Tensor:
    """Polar lights poured over a night picture."""
    tone = contrast(blur(luma(x), 1.0), 5.0, 0.48)
    light = ramp(state["curtain"], (0.0, 0.5, 1.0), state["colours"])
    night = ramp(tone, (0.0, 1.0), swatches(("020414", "2c3350"), x.device))
    return screen(night, light * (0.05 + 0.95 * tone) * (0.6 + 0.4 * state["curtain"]))


def draw_alien_planet(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Sky colour, ground colour, plant colour, haze bands."""
    y, _x = coordinates(height, width, generator.device)
    band = fractal_noise((batch, 1, height, width), 80, 3, generator)
    hue = uniform(batch, generator)[:, 0]
    sky = hsv_to_rgb(hue, 0.7, 0.95)
    ground = hsv_to_rgb((hue + uniform(batch, generator, 0.25, 0.75)[:, 0]) % 1, 0.75, 0.6)
    plant = hsv_to_rgb(uniform(batch, generator)[:, 0], 0.9, 0.9)
    level = torch.sigmoid((y / height - 0.5) * 6 + 0.9 * band)
    return {"level": level, "sky": spread(sky), "ground": spread(ground), "plant": spread(plant)}


def alien_planet(x: Tensor, state: State) -> Tensor:
    """The room under another sun: two-colour haze, glowing warm things."""
    tone = contrast(luma(x), 5.0, 0.5)
    haze = state["sky"] + state["level"] * (state["ground"] - state["sky"])
    warm = ((x[:, :, 0:1] - x[:, :, 2:3] - 0.04) * 3.5).clamp(0, 1)
    lit = haze * (0.05 + 1.05 * tone) + 0.25 * tone.square()
    out = lit + warm * (state["plant"] * (0.2 + 0.9 * tone) - lit)
    return (out + 0.2 * blur(tone, 8.0) * haze).clamp(0, 1)


def draw_camouflage(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Four cloth colours in blotches."""
    hue = uniform(batch, generator) + uniform(batch, generator, -0.07, 0.07, 4)
    value = torch.tensor([0.22, 0.45, 0.65, 0.85], device=generator.device)
    table = hsv_to_rgb(hue % 1, uniform(batch, generator, 0.25, 0.65, 4), value.expand_as(hue))
    blotch = fractal_noise((batch, 1, height, width), 28, 2, generator, 0.4)
    return {"blotch": blotch, "cloth": table}


def camouflage(x: Tensor, state: State) -> Tensor:
    """The picture moves the borders of the blotches and shades the cloth."""
    tone = contrast(blur(luma(kuwahara(x, 3)), 1.2), 4.5, 0.48)
    field = 0.5 + 0.16 * state["blotch"] + 0.85 * (tone - 0.5)
    colour = ramp(field, (0.2, 0.28, 0.46, 0.54, 0.72, 0.8), state["cloth"][:, [0, 1, 1, 2, 2, 3]])
    return (colour * (0.4 + 0.75 * tone) * (1 - 0.6 * lines(tone, 1.4, 14.0))).clamp(0, 1)


def draw_marble(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Veins: ridges of warped noise; stone and vein colours."""
    warp = fractal_noise((batch, 1, height, width), 64, 3, generator, 0.4)
    y, x = coordinates(height, width, generator.device)
    angle = spread(uniform(batch, generator, 0.0, TAU / 2))
    along = x * angle.cos() + y * angle.sin()
    vein = 1 - (TAU * (along / 80 + 0.3 * warp)).sin().abs()
    hue = uniform(batch, generator)[:, 0]
    stone = hsv_to_rgb(hue, uniform(batch, generator, 0.03, 0.4)[:, 0],
                       uniform(batch, generator, 0.85, 1.0)[:, 0])  # fmt: skip
    return {
        "vein": vein.clamp(0, 1) ** 6,
        "cloud": 0.06 * warp,
        "stone": spread(stone),
        "mineral": spread(random_ink(batch, generator, 0.2, 0.6)),
    }


def marble(x: Tensor, state: State) -> Tensor:
    """Veined polished bust."""
    tone = blur(luma(kuwahara(x, 4)), 1.0)
    light = relief(tone, 8.0, 1.4)
    body = 0.38 + 0.62 * contrast(tone, 5.0, 0.5) + 0.36 * light + state["cloud"]
    out = state["stone"] * body
    out = out + 0.75 * state["vein"] * (state["mineral"] * body - out)
    return (out + 0.3 * (light - 0.45).clamp(min=0)).clamp(0, 1)


def draw_patina(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Where the metal has corroded, its grain, metal and salt colours."""
    metal = hsv_to_rgb(uniform(batch, generator, 0.02, 0.13)[:, 0], 0.8,
                       uniform(batch, generator, 0.7, 1.0)[:, 0])  # fmt: skip
    salt = hsv_to_rgb(uniform(batch, generator, 0.3, 0.62)[:, 0], 0.5, 0.85)
    return {
        "rust": fractal_noise((batch, 1, height, width), 40, 4, generator, 0.65),
        "pits": fractal_noise((batch, 1, height, width), 6, 2, generator),
        "metal": spread(metal),
        "salt": spread(salt),
    }


def patina(x: Tensor, state: State) -> Tensor:
    """Weathered bronze: bright metal on the ridges, salts in the hollows."""
    tone = blur(luma(kuwahara(x, 3)), 0.8)
    light = relief(tone, 10.0, 1.3)
    body = 0.1 + 0.75 * contrast(tone, 5.0, 0.5) + 0.4 * light + 0.03 * state["pits"]
    corroded = torch.sigmoid(1.7 * state["rust"] - 6.0 * (tone - 0.5) - 4.0 * light)
    metal = state["metal"] * body * 1.25 + 0.35 * (light - 0.3).clamp(min=0)
    return (metal + corroded * (state["salt"] * (body + 0.16) - metal)).clamp(0, 1)


def draw_graffiti(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """A sprayed wall: overlapping blobs of three paints; the tint of the front."""
    size = (batch, 1, height, width)
    wall = spread(random_paper(batch, generator) * 0.75)
    for _ in range(4):
        blob = torch.sigmoid(9 * (fractal_noise(size, 44, 2, generator, 0.35) - 0.45))
        ring = torch.sigmoid(9 * (fractal_noise(size, 44, 1, generator) - 1.1))
        paint = spread(random_ink(batch, generator, 0.75, 1.0))
        wall = wall + blob * (paint - wall)
        wall = wall * (1 - 0.8 * ring)
    return {"wall": wall.clamp(0, 1), "front": spread(random_ink(batch, generator, 0.9, 1.0))}


def graffiti(x: Tensor, state: State) -> Tensor:
    """The wall fills the lights; the dark parts are a stencil with a coloured rim."""
    tone = blur(luma(x), 1.3)
    stencil = sigmoid_step(-tone, -0.42, 20.0)
    half = sigmoid_step(-tone, -0.62, 20.0) * 0.35
    rim = 4 * stencil * (1 - stencil)
    out = state["wall"] * (1 - half) * (1 - 0.9 * stencil)
    return (out + 0.75 * rim * (state["front"] - out)).clamp(0, 1)


def _stars(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    site, _edge, ident = cells(batch, height, width, 16, generator)
    bright = cell_values(ident, height, width, 16, 1, generator)
    y, x = coordinates(height, width, generator.device)
    down = y - torch.div(site, width, rounding_mode="floor")
    right = x - site % width
    distance = (down.square() + right.square())[:, None, None]
    return bright * (-distance / (0.6 + 2.0 * bright**4)).exp()


def draw_nebula(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """A sky of coloured gas and stars."""
    size = (batch, 1, height, width)
    gas = torch.sigmoid(2.2 * fractal_noise(size, 64, 4, generator))
    other = torch.sigmoid(2.2 * fractal_noise(size, 48, 4, generator))
    first = spread(random_ink(batch, generator, 0.8, 1.0))
    second = spread(random_ink(batch, generator, 0.8, 1.0))
    stars = _stars(batch, height, width, generator)
    sky = 0.9 * gas.square() * first + 0.75 * other.square() * second + stars
    return {"sky": sky.clamp(0, 1), "light": spread(random_paper(batch, generator))}


def nebula(x: Tensor, state: State) -> Tensor:
    """The dark parts open on deep space; the lights become a pale glowing figure."""
    tone = contrast(blur(luma(x), 0.8), 8.0, 0.5)
    figure = state["light"] * (0.1 + 0.9 * tone)
    out = state["sky"] * (1 - tone) + figure * tone
    return (out + 0.5 * lines(luma(x), 1.4, 20.0) * state["sky"].sqrt()).clamp(0, 1)


def draw_paper_collage(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Five sheets of paper with their own fibres and torn edges."""
    hue = uniform(batch, generator, 0.0, 1.0, 5)
    value = torch.tensor([0.28, 0.55, 0.75, 0.9, 0.97], device=generator.device)
    saturation = uniform(batch, generator, 0.35, 0.85, 5)
    return {
        "sheets": hsv_to_rgb(hue, saturation, value.expand_as(hue)),
        "tear": fractal_noise((batch, 5, height, width), 10, 3, generator),
    }


def paper_collage(x: Tensor, state: State) -> Tensor:
    """Stacked torn papers: each lighter tone is one sheet higher, with a shadow and a white lip."""
    tone = contrast(blur(luma(kuwahara(x, 5)), 1.8), 4.0)
    sheets = state["sheets"]
    out = spread(sheets[:, 0]) * (1 + 0.04 * state["tear"][:, :, 0:1])
    for i in range(1, 5):
        height = tone - 0.2 * i + 0.007 * state["tear"][:, :, i : i + 1]
        cover = torch.sigmoid(height * 42)
        shadow = torch.sigmoid((height + 0.05) * 26) * (1 - cover)
        lip = (-(height - 0.02).square() * 2500).exp()
        sheet = spread(sheets[:, i]) * (1 + 0.04 * state["tear"][:, :, i : i + 1])
        out = out * (1 - 0.4 * shadow)
        out = out + cover * (sheet - out)
        out = out + 0.7 * lip * (0.96 - out)
    return out.clamp(0, 1)


def draw_tie_dye(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """A spiral of dyes around a random middle."""
    middle_y = spread(uniform(batch, generator, 0.25, 0.75)) * height
    middle_x = spread(uniform(batch, generator, 0.25, 0.75)) * width
    y, x = coordinates(height, width, generator.device)
    down, right = y - middle_y, x - middle_x
    radius = (down.square() + right.square() + 64.0).sqrt()
    arms = spread(uniform(batch, generator, 2.0, 5.0).round())
    bleed = fractal_noise((batch, 1, height, width), 20, 3, generator)
    turn = torch.atan2(down, right) / TAU * arms + (radius / 60) + 0.12 * bleed
    hue = (0.5 + 0.28 * (TAU * turn).sin() + spread(uniform(batch, generator))) % 1
    white = torch.sigmoid(5 * ((TAU * (turn * 2 + 0.2)).sin() - 0.75))
    dye = hsv_to_rgb(hue[:, :, 0], 0.85, 1.0).movedim(-1, 2)
    return {"dye": dye + 0.7 * white * (1 - dye)}


def tie_dye(x: Tensor, state: State) -> Tensor:
    """The picture printed in dark dye on the shirt."""
    tone = contrast(blur(luma(x), 1.0), 5.0, 0.45)
    out = state["dye"] * (0.1 + 0.9 * tone)
    return (out * (1 - 0.6 * lines(tone, 1.4, 10.0))).clamp(0, 1)


def draw_contour_map(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Land tints, line ink, the offset of the levels, the lie of the land."""
    low = hsv_to_rgb(uniform(batch, generator)[:, 0], 0.45, 0.8)
    high = random_paper(batch, generator)
    return {
        "land": torch.stack([low, high], 1),
        "ink": spread(random_ink(batch, generator, 0.25, 0.55)),
        "offset": spread(uniform(batch, generator)),
        "terrain": 0.16 * fractal_noise((batch, 1, height, width), 64, 2, generator),
        "angle": spread(uniform(batch, generator, 0.0, TAU / 2)),
    }


def contour_map(x: Tensor, state: State) -> Tensor:
    """Brightness as a hill country with height lines."""
    hill = blur(luma(x), 3.0) + state["terrain"] * 0.8
    level = hill * 5 + state["offset"]
    down, right = slope(level)
    # Distance to the level line in px; the floor keeps lines thin where the land is flat.
    steep = (down.square() + right.square() + 0.05**2).sqrt()
    line = torch.sigmoid((1.0 - (level - level.round()).abs() / steep) * 1.6)
    _along, over = rotated(x, state["angle"])
    grid = (TAU * over / 48).cos().clamp(min=0) ** 60
    land = ramp(hill, (0.15, 0.85), state["land"])
    out = land * (1 + 0.2 * relief(hill, 8.0, 1.0))
    return (out + (0.85 * line + 0.35 * grid).clamp(0, 1) * (state["ink"] - out)).clamp(0, 1)
