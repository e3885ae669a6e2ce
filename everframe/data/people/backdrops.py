"""Drawn places for behind a person: static pictures [B, 1, 3, H, W] in 0..1, one per stream.

Each function takes (B, H, W, generator) and draws all that makes two streams differ. Features are
sized by the frame's height, edges are smooth over a pixel or more, and detail is kept low, as
behind a person in focus: a small model must be able to invent such a picture and then keep it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from everframe.data.looks.colour import hsv_to_rgb
from everframe.data.looks.filters import blur
from everframe.data.looks.texture import (
    TAU,
    coordinates,
    fractal_noise,
    spread,
    uniform,
    value_noise,
)
from everframe.data.people.matte import smoothstep


def _places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(down, right) in heights: down 0..1, right 0..W/H, each [H, W]."""
    y, x = coordinates(height, width, device)
    return (y + 0.5) / height, (x + 0.5) / height


def _colour(hue: Tensor, saturation: float, value: float) -> Tensor:
    """hue [B, 1] -> [B, 1, 3, 1, 1]."""
    return spread(hsv_to_rgb(hue[:, 0] % 1, saturation, value))


def _cell(height: int, share: float) -> int:
    return max(4, round(height * share))


def _mix(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    return a + weight * (b - a)


def gradient(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Two saturated colours along a random direction."""
    down, right = _places(height, width, generator.device)
    angle = spread(uniform(batch, generator, 0.0, TAU))
    along = (down - 0.5) * angle.sin() + (right - width / height / 2) * angle.cos()
    hue = uniform(batch, generator)
    first = _colour(hue, 0.8, 0.95)
    second = _colour(hue + uniform(batch, generator, 0.18, 0.6), 0.85, 0.75)
    return _mix(first, second, torch.sigmoid(along * 5.0))


def studio(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Mottled canvas in one muted colour under a spot light."""
    down, right = _places(height, width, generator.device)
    mottle = fractal_noise((batch, 1, height, width), _cell(height, 0.3), 3, generator)
    across = spread(uniform(batch, generator, 0.3, 0.7)) * width / height
    spot = torch.exp(-((down - 0.4).square() + (right - across).square()) / 0.22)
    canvas = _colour(uniform(batch, generator), 0.55, 0.9)
    return (canvas * (0.2 + 0.62 * spot + 0.03 * mottle)).clamp(0, 1)


def sun_disc(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A huge low sun in a glowing two-colour sky, without ground."""
    down, right = _places(height, width, generator.device)
    hue = uniform(batch, generator)
    low = _colour(hue, 0.75, 1.0)
    high = _colour(hue + uniform(batch, generator, 0.08, 0.3), 0.8, 0.62)
    across = spread(uniform(batch, generator, 0.15, 0.85)) * width / height
    level = spread(uniform(batch, generator, 0.3, 0.6))
    distance = ((down - level).square() + (right - across).square()).sqrt()
    disc = smoothstep(-distance, -0.235, -0.215)
    glow = torch.exp(-distance * 3.0)
    sky = _mix(high, low, smoothstep(down, 0.0, 1.0))
    return (sky + 0.35 * glow * low + 0.6 * disc * (1 - 0.75 * sky)).clamp(0, 1)


def space(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Stars, two clouds of nebula, one planet."""
    device = generator.device
    down, right = _places(height, width, device)
    size = (batch, 2, height, width)
    cloud = fractal_noise(size, _cell(height, 0.42), 4, generator, 0.5)
    density = smoothstep(cloud, -0.4, 2.4) ** 1.3
    hue = uniform(batch, generator)
    one = _colour(hue, 0.85, 0.9) * density[:, :, 0:1]
    two = _colour(hue + uniform(batch, generator, 0.15, 0.4), 0.8, 0.8) * density[:, :, 1:2]
    stars = _stars(batch, height, width, generator)
    sky = torch.tensor([0.012, 0.012, 0.035], device=device).view(3, 1, 1)
    out = sky + 0.75 * one + 0.6 * two + stars
    radius = spread(uniform(batch, generator, 0.09, 0.2))
    across = spread(uniform(batch, generator, 0.08, 0.92)) * width / height
    level = spread(uniform(batch, generator, 0.12, 0.5))
    y, x = (down - level) / radius, (right - across) / radius
    inside = smoothstep(-(y * y + x * x), -1.0, -0.94)
    depth = (1 - y * y - x * x).clamp(min=1e-4).sqrt()
    day = (0.15 + 0.95 * (0.6 * depth - 0.5 * y - 0.6 * x)).clamp(0, 1.1)
    bands = 0.82 + 0.18 * (9 * y + 2.5 * cloud[:, :, 0:1]).sin()
    planet = _colour(uniform(batch, generator), 0.5, 0.95) * bands * day
    return _mix(out, planet, inside).clamp(0, 1)


def _stars(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """About one star per 500 px, [B, 1, 1, H, W]."""
    device = generator.device
    count = max(16, height * width // 500)
    place = torch.rand(batch, count, generator=generator, device=device) * (height * width)
    power = torch.rand(batch, count, generator=generator, device=device) ** 3
    points = torch.zeros(batch, height * width, device=device)
    # `scatter_reduce` by maximum has one result whatever the order of writing.
    points = points.scatter_reduce(1, place.long(), power, "amax")
    points = points.view(batch, 1, 1, height, width)
    scale = height / 224
    near = blur(points, round(0.7 * scale, 3)) * (3.6 * scale * scale)
    return near + blur(points, round(2.2 * scale, 3)) * (9.0 * scale * scale)


def _ridge(
    batch: int, width: int, height: int, coarse: float, generator: torch.Generator
) -> Tensor:
    """A jagged line -1..1 over the columns, [B, 1, 1, 1, W]."""
    return fractal_noise((batch, 1, 1, width), _cell(height, coarse), 5, generator, 0.5)


def mountains(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Five hazy ridges under a setting sun."""
    device = generator.device
    down, right = _places(height, width, device)
    zenith = _colour(uniform(batch, generator, 0.58, 0.85), 0.6, 0.5)
    middle = _colour(uniform(batch, generator, 0.93, 1.04), 0.55, 0.92)
    horizon = _colour(uniform(batch, generator, 0.06, 0.13), 0.7, 1.0)
    sky = _mix(zenith, middle, smoothstep(down, -0.05, 0.38))
    sky = _mix(sky, horizon, smoothstep(down, 0.2, 0.56))
    across = spread(uniform(batch, generator, 0.1, 0.9)) * width / height
    level = spread(uniform(batch, generator, 0.28, 0.46))
    distance = ((down - level).square() + (right - across).square()).sqrt()
    sun = smoothstep(-distance, -0.062, -0.05)
    out = sky + 0.55 * torch.exp(-distance * 5.0) * horizon + sun * (1.05 - sky)
    night = _mix(zenith * 0.3, torch.zeros_like(zenith), torch.tensor(0.3, device=device))
    edge = 1.2 / height
    for step in range(5):
        near = (step + 1) / 5
        ridge = _ridge(batch, width, height, 0.62 - 0.07 * step, generator)
        top = 0.4 + 0.115 * step + (0.075 - 0.006 * step) * ridge
        rock = _mix(_mix(middle, horizon, torch.tensor(0.35, device=device)), night, near**0.55)
        mist = smoothstep(down - top, 0.0, 0.22) * (0.55 * (1 - near))
        out = _mix(out, _mix(rock, horizon, mist), smoothstep(down - top, -edge, edge))
    return out.clamp(0, 1)


def _picked(table: Tensor, index: Tensor) -> Tensor:
    """table [B, n], index [B, H, W] -> [B, 1, 1, H, W]."""
    return table.gather(1, index.flatten(1)).view(index.shape)[:, None, None]


def _houses(
    picture: Tensor, wide: float, roofs: tuple[float, float], wall: Tensor, gen: torch.Generator
) -> Tensor:
    """Lay one row of houses with lit windows over a picture; `wide` and `roofs` in heights."""
    batch, height, width = picture.shape[0], picture.shape[-2], picture.shape[-1]
    device = gen.device
    down, right = _places(height, width, device)
    place = right / wide + uniform(batch, gen, 1.0, 2.0)[:, :, None]
    number = place.floor().long()
    count = int(width / height / wide) + 4
    roof = _picked(uniform(batch, gen, *roofs, count), number)
    inside = smoothstep(down - roof, -0.8 / height, 0.8 / height)
    gap = 1 - smoothstep((place - number - 0.5).abs(), 0.44, 0.49)
    inside = inside * gap[:, None, None]
    columns, rows, storey = 4, int(1.2 / (wide * 0.3)) + 2, wide * 0.3
    across = (place - number) * columns
    level = (down - roof) / storey
    column = number * columns + across.floor().long().clamp(0, columns - 1)
    row = level[:, 0, 0].floor().long().clamp(0, rows - 1)
    lamps = uniform(batch, gen, 0.0, 1.0, count * columns * rows)
    lamp = _picked(lamps, column * rows + row)
    u, v = (across - across.floor() - 0.5).abs(), (level - level.floor() - 0.5).abs()
    pane = (1 - smoothstep(u, 0.22, 0.38))[:, None, None] * (1 - smoothstep(v, 0.2, 0.36))
    pane = pane * smoothstep(level, 0.3, 0.5)
    warm = torch.tensor([1.0, 0.74, 0.36], device=device).view(3, 1, 1)
    cold = torch.tensor([0.62, 0.82, 1.0], device=device).view(3, 1, 1)
    tenant = _picked(uniform(batch, gen, count=count), number)
    colour = _mix(warm, cold, smoothstep(tenant, 0.6, 0.7))
    shine = pane * smoothstep(lamp, 0.55, 0.62) * (0.45 + 0.55 * lamp)
    return _mix(picture, wall + shine * colour, inside)


def city(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Skyline at night, a little out of focus: three rows of towers with lit windows."""
    down, _right = _places(height, width, generator.device)
    hue = uniform(batch, generator, 0.55, 0.95)
    top = _colour(hue, 0.75, 0.13)
    low = _colour(hue + uniform(batch, generator, -0.12, 0.2), 0.65, 0.62)
    smog = value_noise((batch, 1, height, width), _cell(height, 0.4), generator)
    sky = _mix(top, low, smoothstep(down + 0.05 * smog, 0.0, 0.85))
    far = _mix(top, low, torch.tensor(0.42, device=sky.device))
    out = _houses(sky, 0.085, (0.2, 0.62), far, generator)
    out = _houses(out, 0.13, (0.28, 0.75), _mix(top, low, torch.full_like(smog, 0.16)), generator)
    out = _houses(out, 0.2, (0.45, 1.0), top * 0.55, generator)
    scale = height / 224
    soft = blur(out, round(0.8 * scale, 3))
    return (soft + 0.35 * blur(out.square(), round(6.0 * scale, 3))).clamp(0, 1)


def sea(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Deep water with slanting shafts of light from above."""
    down, right = _places(height, width, generator.device)
    hue = uniform(batch, generator, 0.47, 0.6)
    light = _colour(hue - 0.03, 0.5, 0.95)
    deep = _colour(hue + 0.05, 0.9, 0.24)
    murk = fractal_noise((batch, 1, height, width), _cell(height, 0.35), 2, generator)
    water = _mix(light, deep, smoothstep(down + 0.035 * murk, -0.15, 0.95))
    lean = spread(uniform(batch, generator, -0.5, 0.5))
    source = spread(uniform(batch, generator, 0.2, 0.8)) * width / height
    angle = (right - source) / (down + 0.55) + lean
    phase = spread(uniform(batch, generator, 0.0, TAU))
    rays = (9 * angle + phase).sin() + 0.7 * (17 * angle - 2 * phase).sin()
    shafts = smoothstep(rays, 0.1, 1.6) * (1 - smoothstep(down, 0.0, 0.9))
    return (water + 0.4 * shafts * light).clamp(0, 1)


def caustics(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Net of light that rippled water throws, [B, 1, 1, H, W], mostly 0, up to about 1."""
    size = (batch, 2, height, width)
    field = fractal_noise(size, _cell(height, 0.2), 2, generator, 0.5)
    lines = torch.exp(-((field / 0.34) ** 2))
    patches = smoothstep(
        value_noise((batch, 1, height, width), _cell(height, 0.3), generator), -1, 1
    )
    return 0.9 * lines.prod(2, keepdim=True) + 0.6 * lines.mean(2, keepdim=True) * patches
