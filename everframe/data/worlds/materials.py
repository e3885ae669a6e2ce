"""Colour a G-buffer: one shading function, driven by tables of numbers, serves every dress.

A dress is a table of surface materials (one row per class of surface) and one row of light and
air. Because a dress is numbers only, streams with different dresses share the same kernels, and a
hidden dress is a table with drawn entries.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.data.worlds.geometry import LEAF, ROAD, ROOM, THING, TRUNK, Geometry
from everframe.data.worlds.march import GBuffer, Rays, Three
from everframe.data.worlds.noise import fbm, mix, smooth, value_noise
from everframe.data.worlds.patterns import PATTERNS, pattern_masks, pick_pattern

Rgb = tuple[float, float, float]
BLACK: Rgb = (0.0, 0.0, 0.0)
GLOW_MASKS = ("all", "pattern", "windows", "cracks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One kind of surface. Colours are linear light, 0..1 (glow may exceed 1)."""

    a: Rgb  # main colour
    b: Rgb = BLACK  # colour of the pattern: joints, panes, the second colour
    glow: Rgb = BLACK  # light that the surface gives off
    grain: float = 0.25  # brightness change by noise
    pattern: str = "none"  # one of patterns.PATTERNS
    scale: float = 1.0  # pattern units per metre
    strength: float = 1.0  # weight of the pattern colour, 0..1
    glow_by: str = "all"  # one of GLOW_MASKS: where the glow shows
    gloss: float = 0.0  # weight of highlight and sky reflection
    cover: float = 1.0  # share of the dress's cover (snow, moss) that lies on it
    vary: float = 0.0  # change of brightness from object to object


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """Light and air of a dress. Colours are linear light."""

    sun: Rgb = (1.25, 1.15, 1.0)
    above: Rgb = (0.34, 0.42, 0.52)  # light from the sky
    below: Rgb = (0.16, 0.15, 0.13)  # light from the ground
    horizon: Rgb = (0.62, 0.75, 0.88)
    zenith: Rgb = (0.12, 0.3, 0.68)
    cloud: Rgb = (0.95, 0.95, 0.97)
    cover_colour: Rgb = (0.85, 0.9, 0.98)
    ink_colour: Rgb = BLACK
    clouds: float = 0.5  # 0..1
    stars: float = 0.0  # 0..1
    disc: float = 0.0  # brightness of the sun's disc and halo
    fog: float = 0.012  # per metre
    cover: float = 0.0  # share of upward surfaces hidden by the cover colour
    lit: float = 1.0  # 1: lit; 0: bare colours
    shade: float = 1.0  # weight of cast shadows
    ink: float = 0.0  # weight of outlines
    ripple: float = 0.0  # light that dances on surfaces, as under water
    bands: float = 0.0  # 1: light in three flat steps
    open: float = 1.0  # exposure


def _flatten(item: Material | Air) -> list[float]:
    row: list[float] = []
    value: object
    for field, value in zip(fields(item), astuple(item), strict=True):
        if isinstance(value, tuple):
            row.extend(float(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        elif isinstance(value, str):
            names = PATTERNS if field.name == "pattern" else GLOW_MASKS
            row.append(float(names.index(value)))
        else:
            row.append(float(value))  # pyright: ignore[reportArgumentType]
    return row


def material_row(material: Material) -> list[float]:
    """The material as 17 numbers in the order of its fields."""
    return _flatten(material)


def air_row(air: Air) -> list[float]:
    """The air as numbers in the order of its fields."""
    return _flatten(air)


AIR_WIDTH = len(air_row(Air()))
MATERIAL_WIDTH = len(material_row(Material(a=BLACK)))


class _Columns:
    """Hands out the columns of a table in the order of a dataclass's fields."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._next = 0

    def one(self) -> Tensor:
        column = self._values[..., self._next]
        self._next += 1
        return column

    def three(self) -> Three:
        return self.one(), self.one(), self.one()


def _blend(a: Three, b: Three, weight: Tensor) -> Three:
    return mix(a[0], b[0], weight), mix(a[1], b[1], weight), mix(a[2], b[2], weight)


def _surface_coordinates(g: GBuffer, world: Geometry) -> tuple[Tensor, Tensor]:
    """Coordinates on the surface in metres: flat, upright, or around a body."""
    flat = g.ny.abs() > 0.65
    facing_x = g.nx.abs() > g.nz.abs()
    u = torch.where(flat, g.x, torch.where(facing_x, g.z, g.x))
    v = torch.where(flat, g.z, g.y)
    round_body = (g.label == TRUNK) | (g.label == LEAF) | (g.label == THING)
    lx = g.x - (torch.floor(g.x / world.cell) + 0.5) * world.cell
    lz = g.z - (torch.floor(g.z / world.cell) + 0.5) * world.cell
    around = torch.atan2(lz, lx + 1e-5) * 0.6366
    u = torch.where(round_body, around, u)
    v = torch.where(round_body, g.y, v)
    strip = (g.label == ROAD) & (world.disc < 0.5)
    return torch.where(strip, g.lateral, u), torch.where(strip, g.z, v)


def _sky(rays: Rays, g: GBuffer, world: Geometry, air: Three, zenith: Three, rest: Tensor) -> Three:
    """Sky colour along each ray; `rest` stacks cloud rgb, clouds, stars, disc on the last axis."""
    up = rays.dy.clamp_min(0.0)
    colour = _blend(air, zenith, 1.0 - torch.exp(-2.6 * up))
    plane = 1.0 / (up + 0.12)
    px, pz = rays.dx * plane * 1.3, rays.dz * plane * 1.3
    puff = fbm(px, torch.zeros_like(px), pz, world.seed, 0.15 + 0.02 * plane)
    clouds = rest[..., 3] * smooth(0.48, 0.72, puff) * smooth(0.02, 0.2, up)
    colour = _blend(colour, (rest[..., 0], rest[..., 1], rest[..., 2]), clouds)
    a, b = rays.dx * plane * 14.0, rays.dz * plane * 14.0
    du, dv = a - torch.floor(a) - 0.5, b - torch.floor(b) - 0.5
    spark = smooth(
        0.86, 1.0, value_noise(torch.floor(a), torch.floor(b), torch.zeros_like(a), world.seed)
    )
    star = rest[..., 4] * spark * (1.0 - 5.0 * torch.sqrt(du * du + dv * dv)).clamp(0.0, 1.0)
    star = star * smooth(0.05, 0.3, up)
    toward = (rays.dx * g.lx + rays.dy * g.ly + rays.dz * g.lz).clamp(0.0, 1.0)
    sun = rest[..., 5] * (smooth(0.9985, 0.9993, toward) + 0.35 * toward**48 + 0.18 * toward**8)
    return tuple(c + 1.4 * star + s * sun for c, s in zip(colour, (1.0, 0.85, 0.62), strict=True))  # pyright: ignore[reportReturnType]


def edges(g: GBuffer) -> Tensor:
    """Outlines of a G-buffer, 0..1: where class, object, normal or depth breaks."""
    strength = torch.zeros_like(g.depth)
    for axis in (-1, -2):
        count = g.depth.shape[axis] - 1
        pairs = [(a.narrow(axis, 0, count), a.narrow(axis, 1, count)) for a in (
            g.nx, g.ny, g.nz, g.chance, g.depth, g.label.to(g.depth.dtype))]  # fmt: skip
        turn = sum((a * b for a, b in pairs[:3]), torch.zeros_like(pairs[0][0]))
        other = ((pairs[5][0] - pairs[5][1]).abs() > 0.5) | (
            (pairs[3][0] - pairs[3][1]).abs() > 1e-3
        )
        near, far = pairs[4]
        gap = (near - far).abs() / torch.minimum(near, far).clamp_min(0.1)
        crease = torch.maximum(smooth(0.25, 0.6, 1.0 - turn), smooth(0.1, 0.3, gap))
        line = torch.maximum(crease, other.to(crease.dtype))
        before, after = ((0, 1), (1, 0)) if axis == -1 else ((0, 0, 0, 1), (0, 0, 1, 0))
        both = torch.maximum(F.pad(line, before), F.pad(line, after))
        strength = torch.maximum(strength, both)
    return strength * g.hit


def _albedo(
    m: _Columns, g: GBuffer, rays: Rays, world: Geometry
) -> tuple[Three, Three, Tensor, Tensor]:
    """Surface colour and glow; also gloss and cover share."""
    a, b, glow = m.three(), m.three(), m.three()
    grain, kind, scale, strength, glow_by = m.one(), m.one(), m.one(), m.one(), m.one()
    gloss, cover, vary = m.one(), m.one(), m.one()
    facing = (rays.dx * g.nx + rays.dy * g.ny + rays.dz * g.nz).abs().clamp_min(0.18)
    footprint = g.depth * rays.pixel / facing
    noise = fbm(g.x * 1.7, g.y * 1.7, g.z * 1.7, world.seed, 1.7 * footprint)
    u, v = _surface_coordinates(g, world)
    foot = footprint * scale
    masks, square = pattern_masks(u * scale, v * scale, foot, noise, g.chance, world.seed)
    mask = pick_pattern(masks, kind, foot)
    level = (1.0 + grain * 2.0 * (noise - 0.5)) * (1.0 + vary * (g.chance - 0.5))
    mixed = _blend(a, b, strength * mask)
    colour = (mixed[0] * level, mixed[1] * level, mixed[2] * level)
    crack = (1.0 - smooth(0.0, 0.11, (noise - 0.5).abs())) ** 2
    lamps = mask * smooth(0.45, 0.55, square)
    far = (1.5 - 2.2 * foot).clamp(0.0, 1.0)
    lamps = mix(mask * 0.5, lamps, far)
    where = torch.where(
        glow_by < 0.5,
        1.0,
        torch.where(glow_by < 1.5, mask, torch.where(glow_by < 2.5, lamps, crack)),
    )
    tint = 0.75 + 0.5 * square * far
    return (
        colour,
        (glow[0] * where * tint, glow[1] * where * tint, glow[2] * where * tint),
        gloss,
        cover,
    )


def shade(
    g: GBuffer, rays: Rays, world: Geometry, table: Tensor, air_table: Tensor, times: Tensor
) -> Tensor:
    """Colour a G-buffer in one dress per stream.

    Args:
        g: what the pixels see, [B, T, H, W].
        rays: the rays that the G-buffer was traced with.
        world: numbers of the B worlds.
        table: [B, classes, MATERIAL_WIDTH] materials.
        air_table: [B, AIR_WIDTH] light and air.
        times: [B, T] seconds, for what moves by itself.

    Returns:
        RGB [B, T, 3, H, W], 0..1, gamma 2.2.
    """
    streams = torch.arange(table.shape[0], device=table.device).reshape(-1, 1, 1, 1)
    colour, glow, gloss, cover_share = _albedo(_Columns(table[streams, g.label]), g, rays, world)
    air = _Columns(air_table[:, None, None, None, :])
    sun, above, below, horizon, zenith = (air.three() for _ in range(5))
    cloud, cover_colour, ink_colour = air.three(), air.three(), air.three()
    clouds, stars, disc, fog, cover, lit, shadow_weight = (air.one() for _ in range(7))
    ink, ripple, bands, exposure = (air.one() for _ in range(4))
    rest = torch.stack((*cloud, clouds, stars, disc), -1)
    sky = _sky(rays, g, world, horizon, zenith, rest)

    drift = fbm(g.x * 0.9, g.y * 0.9, g.z * 0.9, world.seed + 17, 0.9 * g.depth * rays.pixel)
    lies = cover * cover_share * smooth(0.25, 0.7, g.ny + 0.5 * (drift - 0.5))
    colour = _blend(colour, cover_colour, lies)

    facing = (g.nx * g.lx + g.ny * g.ly + g.nz * g.lz).clamp_min(0.0)
    steps = 0.3 + 0.35 * smooth(0.2, 0.25, facing) + 0.35 * smooth(0.6, 0.65, facing)
    facing = mix(facing, steps, bands)
    seconds = times[:, :, None, None]
    wave = value_noise(g.x * 2.2 + 0.5 * seconds, g.z * 2.2, g.y * 2.2 + 0.7 * seconds, world.seed)
    dance = 1.0 + ripple * (2.2 * (1.0 - smooth(0.0, 0.16, (wave - 0.5).abs())) - 0.6)
    direct = facing * mix(torch.ones_like(facing), g.shadow, shadow_weight) * dance
    hx, hy, hz = g.lx - rays.dx, g.ly - rays.dy, g.lz - rays.dz
    half = torch.rsqrt(hx * hx + hy * hy + hz * hz + 1e-6)
    spark = ((g.nx * hx + g.ny * hy + g.nz * hz) * half).clamp(0.0, 1.0) ** 40
    view = (rays.dx * g.nx + rays.dy * g.ny + rays.dz * g.nz).abs().clamp(0.0, 1.0)
    mirror = 0.05 + 0.45 * (1.0 - view) ** 4
    tilt = 0.5 + 0.5 * g.ny
    indoors = ((g.label >= ROOM) | (world.room_y < 100.0)).to(facing.dtype)
    air_weight = 1.0 - torch.exp(-((g.depth * fog) ** 1.5) * (1.0 - 0.5 * indoors))
    air_weight = torch.where(g.hit, air_weight, 1.0)
    outline = ink * edges(g) * torch.exp(-0.02 * g.depth)

    channels: list[Tensor] = []
    for i in range(3):
        around = mix(below[i], above[i], tilt)
        light = sun[i] * direct + around * g.ao
        shiny = gloss * (spark * sun[i] * direct * 0.9 + mirror * around * 1.2 * g.ao)
        value = mix(colour[i], colour[i] * light + shiny, lit) + glow[i]
        value = mix(value, ink_colour[i] + 0.0 * value, outline)
        value = mix(value, sky[i], air_weight) * exposure
        channels.append(value)
    rgb = torch.stack(channels, 2).clamp_min(0.0)
    rgb = rgb * (1.0 + rgb * 0.12) / (1.0 + 0.3 * rgb)
    return rgb.clamp(1e-5, 1.0) ** (1.0 / 2.2)
