"""Hidden looks made of pieces: glass, tiles, bricks, crystals, stitches, patches.

Layout and colours of the pieces are drawn once per stream and stay fixed to the screen.
"""

from math import ceil

import torch
from torch import Tensor

from everframe.data.looks.colour import contrast, hsv_to_rgb, luma, posterise, ramp, saturate
from everframe.data.looks.filters import at_sites, blur, kuwahara, lines, relief
from everframe.data.looks.inks import random_ink, random_paper
from everframe.data.looks.look import State
from everframe.data.looks.texture import (
    TAU,
    cell_values,
    cells,
    coordinates,
    coordinates_of,
    spread,
    uniform,
    value_noise,
)


def _border(edge: Tensor, width_px: float) -> Tensor:
    """1 on a border of the given half width in px, 0 inside, one pixel soft."""
    return torch.sigmoid((width_px - edge) * 3.0)


def draw_stained_glass(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Cells of about 18 px, a jewel tint each, ripples in the glass."""
    site, edge, ident = cells(batch, height, width, 18, generator)
    random = cell_values(ident, height, width, 18, 2, generator)
    family = uniform(batch, generator).view(batch, 1, 1, 1, 1)
    hue = (family + 0.62 * random[:, :, :1]) % 1
    tint = hsv_to_rgb(hue[:, :, 0], 0.82, 0.75 + 0.25 * random[:, :, 1]).movedim(-1, 2)
    ripple = value_noise((batch, 1, height, width), 6, generator)
    return {"site": site, "lead": _border(edge, 1.6), "tint": tint * (1 + 0.08 * ripple)}


def stained_glass(x: Tensor, state: State) -> Tensor:
    """Tinted panes between lead lines."""
    pane = contrast(at_sites(blur(x, 4.0), state["site"]), 7.0, 0.5)
    tone = luma(pane)
    lit = (0.3 * pane + state["tint"] * (0.06 + 1.05 * tone)).clamp(0, 1)
    return lit * (1 - 0.93 * state["lead"])


def draw_mosaic(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Stones of about 9 px with their own shade; grout and colour cast of the work."""
    site, edge, ident = cells(batch, height, width, 9, generator, jitter=0.45)
    shade = cell_values(ident, height, width, 9, 3, generator)
    cast = hsv_to_rgb(uniform(batch, generator)[:, 0], 0.55, 1.0)
    grout = hsv_to_rgb(uniform(batch, generator)[:, 0], 0.3,
                       uniform(batch, generator, 0.1, 0.9)[:, 0])  # fmt: skip
    return {
        "site": site,
        "grout_mask": _border(edge, 0.9),
        "shade": 0.26 * (shade - 0.5),
        "cast": spread(cast),
        "grout": spread(grout),
    }


def mosaic(x: Tensor, state: State) -> Tensor:
    """Small stones in grout."""
    stone = saturate(at_sites(blur(x, 2.5), state["site"]), 1.7)
    stone = (contrast(stone, 4.0) * (0.4 + 0.6 * state["cast"]) * 1.15 + state["shade"]).clamp(0, 1)
    return stone + state["grout_mask"] * (state["grout"] - stone)


def draw_toy_bricks(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Six brick colours, dark to light, and the place of the grid."""
    hue = uniform(batch, generator, 0.0, 1.0, 6)
    value = torch.tensor([0.16, 0.4, 0.62, 0.8, 0.95, 1.0], device=generator.device)
    saturation = uniform(batch, generator, 0.6, 1.0, 6)
    saturation = saturation * torch.tensor([0.6, 1, 1, 1, 0.9, 0.25], device=generator.device)
    return {"bricks": hsv_to_rgb(hue, saturation, value.expand_as(hue))}


def toy_bricks(x: Tensor, state: State) -> Tensor:
    """Plastic bricks with studs, 16 px at a time two by two."""
    y, across = coordinates_of(x)
    down, right = y.remainder(8) - 3.5, across.remainder(8) - 3.5
    middle = ((y / 8).floor() * 8 + 4).clamp(max=x.shape[-2] - 1).long() * x.shape[-1]
    site = (middle + ((across / 8).floor() * 8 + 4).clamp(max=x.shape[-1] - 1).long())[None]
    tone = at_sites(contrast(blur(luma(x), 3.0), 4.5), site)
    brick = ramp(posterise(tone, 5, 0.12), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), state["bricks"])
    radius = (down.square() + right.square()).sqrt()
    rim = (-(radius - 2.7).square() * 1.1).exp()
    light = rim * (-(down + right) / 4).tanh()
    seam = torch.sigmoid((torch.maximum(down.abs(), right.abs()) - 3.4) * 6)
    return (brick * (1 + 0.4 * light - 0.3 * seam) + 0.12 * light.clamp(min=0)).clamp(0, 1)


def draw_crystal(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Facets of about 12 px, each with a tilt, and the colour of the gem."""
    site, edge, ident = cells(batch, height, width, 12, generator, jitter=1.0)
    random = cell_values(ident, height, width, 12, 3, generator) - 0.5
    y, x = coordinates(height, width, generator.device)
    place = site.float()
    middle_y = torch.div(place, width, rounding_mode="floor")[:, None, None]
    middle_x = place.remainder(width)[:, None, None]
    slant = random[:, :, :1] * (y - middle_y) + random[:, :, 1:2] * (x - middle_x)
    return {
        "site": site,
        "light": 0.05 * slant + 0.3 * random[:, :, 2:3],
        "ridge": _border(edge, 0.5),
        "gem": spread(random_ink(batch, generator, 0.85, 1.0)),
    }


def crystal(x: Tensor, state: State) -> Tensor:
    """Cut gem: the picture broken into tilted coloured facets."""
    colour = at_sites(contrast(blur(x, 2.5), 7.0, 0.5), state["site"])
    tone = (luma(colour) * 0.9 + 0.32 * state["light"] + 0.03).clamp(0, 1)
    gem = state["gem"]
    facet = gem * tone * 1.25 + (1 - gem) * tone.square() * 0.85
    out = 0.82 * facet + 0.18 * colour
    return (out + 0.35 * state["ridge"] * (0.25 + tone)).clamp(0, 1)


def draw_knitted(batch: int, _h: int, _w: int, generator: torch.Generator) -> State:
    """Five yarns, dark to light."""
    hue = uniform(batch, generator) + uniform(batch, generator, -0.3, 0.3, 5)
    value = torch.tensor([0.2, 0.42, 0.62, 0.82, 0.96], device=generator.device)
    saturation = uniform(batch, generator, 0.25, 0.85, 5)
    return {"yarns": hsv_to_rgb(hue % 1, saturation, value.expand_as(hue))}


def knitted(x: Tensor, state: State) -> Tensor:
    """Wool stitches: rows of small V shapes in the stream's yarns."""
    y, across = coordinates_of(x)
    arm = (across.remainder(8) - 3.5).abs()
    stitch = y + arm * 1.1
    row = torch.div(stitch, 8, rounding_mode="floor")
    middle_y = (row * 8 + 2).clamp(0, x.shape[-2] - 1).long()
    middle_x = ((across / 8).floor() * 8 + 4).clamp(max=x.shape[-1] - 1).long()
    tone = at_sites(contrast(blur(luma(x), 2.5), 5.0), (middle_y * x.shape[-1] + middle_x)[None])
    yarn = ramp(posterise(tone, 4, 0.12), (0.0, 0.25, 0.5, 0.75, 1.0), state["yarns"])
    round_ = (TAU / 2 * stitch.remainder(8) / 8).sin() * (1 - 0.5 * (arm > 3.2).float())
    fibre = 0.07 * (TAU * (y - arm * 2.0) / 4).sin()
    gap = (-(arm - 0.0).square() * 1.5).exp()
    return (yarn * (0.45 + 0.62 * round_ + fibre - 0.25 * gap)).clamp(0, 1)


def draw_embroidery(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Cloth, thread cast, and a direction of stitch for each patch of the cloth."""
    _site, edge, ident = cells(batch, height, width, 24, generator)
    angle = cell_values(ident, height, width, 24, 1, generator) * TAU / 2
    y, x = coordinates(height, width, generator.device)
    over = y * angle.cos() - x * angle.sin()
    along = x * angle.cos() + y * angle.sin()
    thread = (TAU * over / 4.5 + 0.8 * (TAU * along / 18).sin()).sin()
    return {
        "thread": thread * (1 - 0.6 * _border(edge, 0.8)),
        "cloth": spread(random_paper(batch, generator) * 0.85),
        "cast": spread(random_ink(batch, generator, 0.9, 1.0)),
    }


def embroidery(x: Tensor, state: State) -> Tensor:
    """Satin stitch on cloth; the lights stay bare cloth."""
    smooth = saturate(kuwahara(x, 4), 2.0)
    tone = luma(smooth)
    sheen = 1 + 0.3 * state["thread"]
    thread = (0.55 * smooth + 0.5 * state["cast"] * (0.12 + tone)) * sheen
    bare = torch.sigmoid((tone - 0.66) * 14)
    y, across = coordinates_of(x)
    weave = 1 + 0.06 * (TAU * y / 4).sin() * (TAU * across / 4).sin()
    out = thread + bare * (state["cloth"] * weave - thread)
    return (out * (1 - 0.75 * lines(tone, 1.3, 22.0))).clamp(0, 1)


def draw_quilt(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    """Square patches of 32 px, each a fabric: two colours and a print."""
    rows, columns = ceil(height / 32), ceil(width / 32)
    device = generator.device
    random = torch.rand(batch, 5, rows, columns, generator=generator, device=device)
    fabric = random.repeat_interleave(32, 2).repeat_interleave(32, 3)[:, :, :height, :width]
    base = hsv_to_rgb(fabric[:, 0], 0.35 + 0.5 * fabric[:, 1], 0.95)
    print_ = hsv_to_rgb((fabric[:, 0] + 0.3 + 0.4 * fabric[:, 2]) % 1, 0.75, 0.85)
    y, x = coordinates(height, width, device)
    stripe = (TAU * (x * fabric[:, 3].round() + y * (1 - fabric[:, 3].round())) / 8).sin()
    dots = (TAU * x / 8).sin() * (TAU * y / 8).sin() * 1.5
    motif = torch.sigmoid(5 * (torch.where(fabric[:, 4] > 0.5, stripe, dots) - 0.25))
    colour = base + motif[..., None] * (print_ - base)
    return {"fabric": colour.movedim(-1, 1)[:, None]}


def quilt(x: Tensor, state: State) -> Tensor:
    """Padded patchwork that carries the picture as light and shade."""
    tone = contrast(blur(luma(x), 1.0), 8.0, 0.5)
    y, across = coordinates_of(x)
    down, right = (y.remainder(32) - 15.5) / 16, (across.remainder(32) - 15.5) / 16
    puff = 1 - 0.35 * (down**6 + right**6)
    seam = torch.maximum(down.abs(), right.abs())
    stitch = torch.sigmoid((seam - 0.9) * 40) * (0.5 + 0.5 * (TAU * (y + across) / 8).sin())
    out = state["fabric"] * (0.1 + 1.05 * tone) * puff
    out = out + 0.25 * relief(tone, 2.5, 1.5)
    return (out + 0.4 * stitch * (1 - out)).clamp(0, 1)
