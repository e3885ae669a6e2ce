"""The shape of a world: one signed distance field whose per-stream numbers make every biome.

A world is a ground with a road (or a disc: a rug, a mat), a grid of cells that hold one object each
(a box with a top, a tree or lamp, a turned body), and an optional room around it. Villages,
streets, woods, rooms and table-top scenes differ only in numbers, so one small function serves all
streams of a batch at once and compiles into one kernel. Lengths are metres, y is up, the road runs
along z.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from everframe.data.worlds.noise import bytes_of, hash32, smooth

GROUND, ROAD, WALL, ROOF, TRUNK, LEAF, THING, ROOM, CEILING = range(9)
CLASSES = ("ground", "road", "wall", "roof", "trunk", "leaf", "thing", "room", "ceiling")
AWAY = 1.0e3


class Geometry(NamedTuple):
    """Numbers of B worlds, each float32 [B, 1, 1, 1] (a tuple, so that torch.compile sees through).

    Shares and probabilities are 0..1. Lengths are metres.
    """

    seed: Tensor  # int32
    amp: Tensor  # height of the hills
    bend: Tensor  # sideways swing of the road
    bend_freq: Tensor  # radians per metre of that swing
    road_half: Tensor  # half width of the road, or radius of the disc
    disc: Tensor  # 1: a disc around the origin instead of a road
    side: Tensor  # 1: objects stand off the road or disc; -1: on it
    margin: Tensor  # least distance of a cell's middle from the road's edge
    cell: Tensor  # edge of a grid cell
    fill: Tensor  # share of cells that hold an object
    box: Tensor  # share of boxes among the objects
    tree: Tensor  # share of trees or lamps; the rest are turned bodies
    box_w: Tensor  # half width of a box as a share of the cell
    h_min: Tensor  # least height of a box
    h_range: Tensor  # spread of that height
    rounding: Tensor  # radius of the boxes' edges
    top_h: Tensor  # height of the top on a box
    top_w: Tensor  # width of the top relative to the box
    gable: Tensor  # 1: the top is a gable roof; 0: a block
    trunk_h: Tensor  # height of a trunk or lamp stand
    trunk_r: Tensor
    crown_r: Tensor  # radius of a crown or lamp shade
    crown_h: Tensor
    cone: Tensor  # share of cone-shaped crowns
    bump: Tensor  # relief of crowns
    thing_r: Tensor  # radius of turned bodies
    thing_h: Tensor
    pile: Tensor  # share of boxes that carry a turned body
    room_x: Tensor  # half width of the room (far away out of doors)
    room_z: Tensor
    room_y: Tensor


class Parts(NamedTuple):
    """Distances to the kinds of surface at a point, and what the point's cell holds."""

    ground: Tensor
    box: Tensor
    top: Tensor
    trunk: Tensor
    body: Tensor
    wall: Tensor
    ceiling: Tensor
    is_tree: Tensor
    chance: Tensor


def road_side(x: Tensor, z: Tensor, g: Geometry) -> tuple[Tensor, Tensor]:
    """Signed distance to the road's edge (negative on it) and sideways position on the road."""
    lateral = x - g.bend * torch.sin(z * g.bend_freq)
    along = lateral.abs()
    radius = torch.sqrt(x * x + z * z + 1e-6)
    return torch.where(g.disc > 0.5, radius, along) - g.road_half, lateral


def ground_height(x: Tensor, z: Tensor, g: Geometry) -> Tensor:
    """Height of the ground: level on the road, rolling hills beside it."""
    side, _ = road_side(x, z, g)
    phase = (g.seed & 1023).to(torch.float32) * 0.0061
    swell = torch.sin(0.19 * x + phase + 1.3 * torch.sin(0.11 * z + phase))
    ripple = torch.sin(0.33 * z - 0.27 * x + 2.0 * phase + 0.7 * swell)
    hills = 0.32 + 0.42 * swell + 0.26 * ripple
    return g.amp * hills * smooth(0.3, 9.0, side) + 0.06 * smooth(0.0, 0.15, side) * (1 - g.disc)


def tallest(g: Geometry) -> Tensor:
    """A height that no object reaches, [B, 1, 1, 1]."""
    box = g.h_min + g.h_range + 1.3 * (g.top_h + g.thing_h)
    tree = 1.2 * g.trunk_h + 1.3 * g.crown_h
    return torch.where(g.room_y < AWAY, AWAY, g.amp + torch.maximum(box, tree) + 0.3)


def _box(x: Tensor, y: Tensor, z: Tensor, rounding: Tensor) -> Tensor:
    x, y, z = x + rounding, y + rounding, z + rounding
    px, py, pz = x.clamp_min(0.0), y.clamp_min(0.0), z.clamp_min(0.0)
    inside = torch.maximum(x, torch.maximum(y, z)).clamp_max(0.0)
    return torch.sqrt(px * px + py * py + pz * pz + 1e-9) + inside - rounding


def _body(radial: Tensor, y: Tensor, radius: Tensor, height: Tensor, shape: Tensor) -> Tensor:
    """A body of revolution on y = 0; shape < 1 an ellipsoid, < 2 a cone, else a turned vase."""
    half = 0.5 * height
    v = (y - half) / half
    scaled = torch.sqrt((radial / radius) ** 2 + v * v + 1e-6)
    ball = (scaled - 1.0) * torch.minimum(radius, half)
    slant = height / torch.sqrt(radius * radius + height * height)
    cone = torch.maximum((radial - radius * 0.5 * (1.0 - v)) * slant, -y)
    waist = radius * (0.8 + 0.2 * torch.sin(2.6 * v + 5.0 * (shape - 2.0)))
    vase = torch.maximum((radial - waist) * 0.75, (y - half).abs() - half)
    return torch.where(shape < 1.0, ball, torch.where(shape < 2.0, cone, vase))


def parts(x: Tensor, y: Tensor, z: Tensor, g: Geometry) -> Parts:
    """Distances from points to each kind of surface in their own cell (all [B, T, H, W])."""
    cx, cz = torch.floor(x / g.cell), torch.floor(z / g.cell)
    mx, mz = (cx + 0.5) * g.cell, (cz + 0.5) * g.cell
    bits = hash32(cx.to(torch.int32), cz.to(torch.int32), torch.zeros_like(g.seed), g.seed)
    r0, r1, r2, r3 = bytes_of(bits)
    s0, s1, s2, chance = bytes_of(bits * 1540483477 + 12345)
    clear, _ = road_side(mx, mz, g)
    used = (clear * g.side > g.margin) & (r0 < g.fill)
    used = used & (mx.abs() < g.room_x) & (mz.abs() < g.room_z)
    is_box = used & (r1 < g.box)
    is_tree = used & (r1 >= g.box) & (r1 < g.box + g.tree)
    lone = used & (r1 >= g.box + g.tree)
    turn = s0 > 0.5
    lx, lz = x - mx, z - mz
    qx, qz = torch.where(turn, lx, lz), torch.where(turn, lz, lx)
    up = y - ground_height(mx, mz, g)

    wide, deep = g.cell * g.box_w * (0.65 + 0.35 * r2), g.cell * g.box_w * (0.65 + 0.35 * r3)
    tall = g.h_min + g.h_range * s1 * s1
    box = _box(
        qx.abs() - wide,
        (up - 0.5 * tall + 0.5).abs() - 0.5 * tall - 0.5,
        qz.abs() - deep,
        g.rounding,
    )
    over = up - tall
    top_h = g.top_h * (0.7 + 0.6 * s2)
    slope = g.gable * wide * g.top_w / top_h
    gable = (qx.abs() - wide * g.top_w + over * slope) / torch.sqrt(1.0 + slope * slope)
    cap = torch.maximum((over - 0.5 * top_h).abs() - 0.5 * top_h, qz.abs() - deep * g.top_w)
    top = torch.maximum(gable, cap)

    radial = torch.sqrt(lx * lx + lz * lz + 1e-6)
    piled = is_box & (s2 < g.pile)
    grow = 0.7 + 0.6 * r3
    trunk_h = g.trunk_h * (0.8 + 0.4 * r2)
    body_y = up - torch.where(is_tree, 0.85 * trunk_h, torch.where(piled, tall + top_h, -0.03))
    radius = torch.where(is_tree, g.crown_r, g.thing_r) * grow
    radius = torch.minimum(radius, 0.47 * g.cell - g.bump)
    height = torch.where(is_tree, g.crown_h, g.thing_h) * (0.7 + 0.6 * s0)
    shape = torch.where(is_tree, (s1 < g.cone).to(x.dtype) * 1.5, 3.6 * s1)
    body = _body(radial, body_y, radius, height, shape)
    relief = torch.sin(5.0 * x) * torch.sin(5.0 * y + 1.0) * torch.sin(5.0 * z + 2.0)
    body = torch.where(is_tree, (body - g.bump * relief) * 0.85, body)
    trunk = torch.maximum(radial - g.trunk_r, (up - 0.5 * trunk_h).abs() - 0.5 * trunk_h)

    return Parts(
        ground=(y - ground_height(x, z, g)) * 0.8,
        box=torch.where(is_box, box, AWAY),
        top=torch.where(is_box, top, AWAY),
        trunk=torch.where(is_tree, trunk, AWAY),
        body=torch.where(is_tree | piled | lone, body, AWAY),
        wall=torch.minimum(g.room_x - x.abs(), g.room_z - z.abs()),
        ceiling=g.room_y - y,
        is_tree=is_tree,
        chance=chance,
    )


def _solid(p: Parts) -> Tensor:
    solid = torch.minimum(torch.minimum(p.box, p.top), torch.minimum(p.trunk, p.body))
    return torch.minimum(solid, torch.minimum(p.wall, p.ceiling))


def objects(x: Tensor, y: Tensor, z: Tensor, g: Geometry) -> Tensor:
    """Signed distance to the nearest surface of the point's own cell, without the ground."""
    return _solid(parts(x, y, z, g))


def nearest(x: Tensor, y: Tensor, z: Tensor, g: Geometry) -> Tensor:
    """Signed distance to the nearest surface of the point's own cell."""
    p = parts(x, y, z, g)
    return torch.minimum(p.ground, _solid(p))


def classify(x: Tensor, y: Tensor, z: Tensor, g: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """Class index (int64, see CLASSES), the object's chance (0..1) and the distance at points."""
    p = parts(x, y, z, g)
    side, _ = road_side(x, z, g)
    label = torch.where(side < 0.0, ROAD, GROUND)
    best = p.ground
    body_label = torch.where(p.is_tree, LEAF, THING)
    for distance, value in (
        (p.box, WALL),
        (p.top, ROOF),
        (p.trunk, TRUNK),
        (p.body, body_label),
        (p.wall, ROOM),
        (p.ceiling, CEILING),
    ):
        closer = distance < best
        label = torch.where(closer, value, label)
        best = torch.minimum(best, distance)
    object_here = (label >= WALL) & (label <= THING)
    return label, torch.where(object_here, p.chance, 0.5), best
