"""Sphere tracing of a world into a G-buffer: what each pixel sees, before any colour.

Every function is elementwise over [B, T, H, W] with no data-dependent control flow, so each one
compiles into a few kernels; the march is cut into chunks of `CHUNK` steps to keep kernels small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from everframe.data.worlds.geometry import (
    ROAD,
    Geometry,
    classify,
    ground_height,
    nearest,
    objects,
    road_side,
    tallest,
)
from everframe.data.worlds.noise import smooth

FAR = 90.0
CHUNK = 4
CHUNKS = 14
SHADOW_CHUNK = 5
SHADOW_CHUNKS = 2
AO_TAPS = ((0.12, 2.2), (0.35, 1.0), (0.8, 0.45))

Three = tuple[Tensor, Tensor, Tensor]


class Rays(NamedTuple):
    """One ray per pixel: origin [B, T, 1, 1] or [B, T, H, W], unit direction [B, T, H, W]."""

    ox: Tensor
    oy: Tensor
    oz: Tensor
    dx: Tensor
    dy: Tensor
    dz: Tensor
    pixel: Tensor  # width of a pixel at one metre, [B, 1, 1, 1]


class GBuffer(NamedTuple):
    """What the pixels see; all [B, T, H, W], float32 unless said."""

    depth: Tensor  # metres along the ray, FAR where only sky
    hit: Tensor  # bool
    x: Tensor
    y: Tensor
    z: Tensor
    nx: Tensor
    ny: Tensor
    nz: Tensor
    lx: Tensor  # unit direction to the light
    ly: Tensor
    lz: Tensor
    label: Tensor  # int64, geometry.CLASSES
    chance: Tensor  # 0..1, one value per object
    lateral: Tensor  # sideways position on the road, metres
    shadow: Tensor  # 1 lit .. 0 in shadow
    ao: Tensor  # 1 open .. 0 enclosed


def _point(t: Tensor, rays: Rays) -> Three:
    return rays.ox + t * rays.dx, rays.oy + t * rays.dy, rays.oz + t * rays.dz


def _to_border(p: Tensor, d: Tensor, cell: Tensor) -> Tensor:
    """Distance along the ray to the border of the grid cell, on one axis."""
    ahead = torch.where(d > -1e-4, 1.0, 0.0)
    safe = torch.where(d.abs() < 1e-4, 1e-4, d)
    return (((torch.floor(p / cell) + ahead) * cell - p) / safe).clamp_min(0.0)


def advance(t: Tensor, rays: Rays, g: Geometry) -> Tensor:
    """Take CHUNK sphere-tracing steps from distance t; never past the border of a cell.

    A cell knows only its own object, so a step stops just behind the border. The ground is a height
    field of bounded slope, so the step to it follows from the ray's own slope: a level ray crosses
    a plain in a few steps. Above all objects, and far from where they may stand, no border counts.
    """
    steep = 0.1 + 0.3 * g.amp
    roof = tallest(g)
    for _ in range(CHUNK):
        x, y, z = _point(t, rays)
        border = torch.minimum(_to_border(x, rays.dx, g.cell), _to_border(z, rays.dz, g.cell))
        level = (y - ground_height(x, z, g)) / (steep - rays.dy).clamp_min(0.02)
        side, _ = road_side(x, z, g)
        free = torch.maximum(border, 0.9 * (g.margin - g.side * side - 0.6 * g.cell))
        step = torch.minimum(objects(x, y, z, g) * 0.95, free + 0.01)
        down = (y - roof) / (-rays.dy).clamp_min(1e-3) + 0.01
        step = torch.minimum(torch.where(y > roof, down, step), level)
        t = (t + step).clamp(0.0, FAR)
    return t


def normals(t: Tensor, rays: Rays, g: Geometry) -> Three:
    """Unit normals by four evaluations on a tetrahedron whose size grows with distance."""
    x, y, z = _point(t, rays)
    e = 0.002 + 0.6 * rays.pixel * t
    a = nearest(x + e, y - e, z - e, g)
    b = nearest(x - e, y - e, z + e, g)
    c = nearest(x - e, y + e, z - e, g)
    d = nearest(x + e, y + e, z + e, g)
    nx, ny, nz = a - b - c + d, c + d - a - b, b + d - a - c
    scale = torch.rsqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    return nx * scale, ny * scale, nz * scale


def to_light(p: Three, n: Three, light: Tensor) -> tuple[Rays, Tensor]:
    """Rays from surface points to a light at [B, 3] metres, and the light's distance."""
    vx = light[:, 0, None, None, None] - p[0]
    vy = light[:, 1, None, None, None] - p[1]
    vz = light[:, 2, None, None, None] - p[2]
    reach = torch.sqrt(vx * vx + vy * vy + vz * vz + 1e-6)
    ox, oy, oz = p[0] + 0.03 * n[0], p[1] + 0.03 * n[1], p[2] + 0.03 * n[2]
    beams = Rays(
        ox=ox, oy=oy, oz=oz, dx=vx / reach, dy=vy / reach, dz=vz / reach, pixel=light[:, :1]
    )  # fmt: skip
    return beams, reach


def dim(s: Tensor, lit: Tensor, reach: Tensor, rays: Rays, g: Geometry) -> tuple[Tensor, Tensor]:
    """Take SHADOW_CHUNK steps from distance s towards the light; `lit` keeps the least opening."""
    longest = 0.3 * g.cell
    for _ in range(SHADOW_CHUNK):
        d = nearest(*_point(s, rays), g)
        lit = torch.where(s < reach * 0.9, torch.minimum(lit, 7.0 * d / s), lit)
        s = s + torch.minimum(d.clamp_min(0.08), longest)
    return s, lit


def occlusion(p: Three, n: Three, g: Geometry) -> Tensor:
    """Ambient occlusion from three taps along the normal: 1 open .. 0 enclosed."""
    total = torch.zeros_like(p[0])
    for tap, weight in AO_TAPS:
        d = nearest(p[0] + tap * n[0], p[1] + tap * n[1], p[2] + tap * n[2], g)
        total = total + weight * (tap - d).clamp_min(0.0)
    return torch.exp(-0.9 * total)


class Kernels(NamedTuple):
    """The heavy functions of a march: plain, or compiled by `compiled`."""

    advance: Callable[[Tensor, Rays, Geometry], Tensor] = advance
    normals: Callable[[Tensor, Rays, Geometry], Three] = normals
    dim: Callable[[Tensor, Tensor, Tensor, Rays, Geometry], tuple[Tensor, Tensor]] = dim
    occlusion: Callable[[Three, Three, Geometry], Tensor] = occlusion
    classify: Callable[[Tensor, Tensor, Tensor, Geometry], Three] = classify


def compiled() -> Kernels:
    """The functions fused by torch.compile; each compiles at its first call with a new shape."""
    return Kernels(
        advance=torch.compile(advance, dynamic=False),
        normals=torch.compile(normals, dynamic=False),
        dim=torch.compile(dim, dynamic=False),
        occlusion=torch.compile(occlusion, dynamic=False),
        classify=torch.compile(classify, dynamic=False),
    )


def march(rays: Rays, light: Tensor, g: Geometry, kernels: Kernels) -> GBuffer:
    """Trace all rays.

    Args:
        rays: one ray per pixel.
        light: [B, 3] position of the light in metres (far away for a sun).
        g: numbers of the B worlds.
        kernels: the functions to trace with.
    """
    t = torch.full_like(rays.dx, 0.02)
    for _ in range(CHUNKS):
        t = kernels.advance(t, rays, g)
    p = _point(t, rays)
    n = kernels.normals(t, rays, g)
    beams, reach = to_light(p, n, light)
    s, lit = torch.full_like(t, 0.06), torch.ones_like(t)
    for _ in range(SHADOW_CHUNKS):
        s, lit = kernels.dim(s, lit, reach, beams, g)
    label, chance, gap = kernels.classify(*p, g)
    # A ray that ran out of steps in mid-air beside an object saw past it.
    hit = (t < FAR * 0.99) & ((gap < 0.03 + 0.015 * t) | (label <= ROAD))
    _, lateral = road_side(p[0], p[2], g)
    return GBuffer(
        depth=torch.where(hit, t, FAR), hit=hit, x=p[0], y=p[1], z=p[2], nx=n[0], ny=n[1], nz=n[2],
        lx=beams.dx, ly=beams.dy, lz=beams.dz, label=label, chance=chance, lateral=lateral,
        shadow=smooth(0.0, 1.0, lit), ao=kernels.occlusion(p, n, g),
    )  # fmt: skip
