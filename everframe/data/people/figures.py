"""Rendered people: figures of all builds, clothes and gestures with exact masks.

Few people are filmed, and a network that knows five people learns those five. Here is no end of
them: coarse bodies (`body.py`), sphere traced before a free background, so that "person" comes to
mean a shape and not a hoodie.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.data.clip_bank import ClipBank
from everframe.data.looks.texture import TAU, fractal_noise
from everframe.data.people import body
from everframe.data.people.body import Build, Point, Pose, Wobble, rotate

BANK_CLIPS = 16
RENEW_EVERY = 128
"""Steps for which a bank of figures is used: they cost more than leaves."""
STEPS = 24
STEP_SHARE = 0.9
FAR_FRAMES = (20.0, 220.0)
"""How far the anchor is from the clip, frames."""
VIEW_M = (0.5, 4.0)
"""Height of what the camera sees at the person: from a face to somebody at the end of a room."""
DISTANCE = 1.7
"""Of the camera, in heights of its view."""
BODY_M = 0.6
"""No part of a body is nearer to the camera than its axis by more than this."""
ASIDE, COMPANY_ASIDE = 0.22, 0.6
"""How far from the middle the first figure and the others stand, in widths of the picture."""
COMPANY_SHARES = (0.4, 0.15)
"""Of the streams, how many have a second and a third figure behind the first: alone, a network
learns that the one in the middle is *the* person and cuts away those beside.
"""
CLIPS_AT_ONCE = 4
"""Streams rendered together: a limit on memory."""
_TEXTURE = 96


class Wardrobe(NamedTuple):
    """Colours and cloth of B people."""

    colours: Tensor  # [B, body.GROUPS, 3]
    print: Tensor  # [B, 3] second colour of the top
    kind: Tensor  # [B, 1, 1, 1] 0 plain, 1 stripes, 2 checks, 3 a print on the chest
    cloth: Tensor  # [B, 1, 96, 96] woven unevenness
    sleeves: Tensor  # [B, 1, 1, 1] 1: down to the wrist
    hem: Tensor  # [B, 1, 1, 1] height at which the top ends


def draw_figures(
    streams: int, frames: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """[streams, frames + 2, 4, H, W] in 0..1: RGB and mask; the last frame (the anchor) is another
    moment of the same stream. Where the mask is 0 the colour means nothing.
    """
    figures = _drawn(streams, frames, size, ASIDE, generator)
    for share in COMPANY_SHARES:
        several = round(share * streams)
        if several:
            behind = _drawn(several, frames, size, COMPANY_ASIDE, generator)
            figures[:several] = before(figures[:several], behind)
    return figures


def before(front: Tensor, behind: Tensor) -> Tensor:
    """People before other people, both [B, T, 4, H, W]: the same kind of picture of all."""
    return torch.cat([place(front, behind[:, :, :3]), either(front[:, :, 3:], behind[:, :, 3:])], 2)


def figure_bank(
    *, seed: int, device: torch.device, canvas: tuple[int, int] = (0, 0), clips: int = BANK_CLIPS
) -> ClipBank:
    """A bank of rendered people, four channels."""
    return ClipBank(
        seed=seed,
        device=device,
        canvas=canvas,
        clips=clips,
        draw=draw_figures,
        name="figures",
        every=RENEW_EVERY,
    )


def place(figures: Tensor, background: Tensor) -> Tensor:
    """Figures [B, T, 4, H, W] before backgrounds [B, T, 3, H, W]."""
    mask = figures[:, :, 3:]
    return background + mask * (figures[:, :, :3] - background)


def either(mask: Tensor, other: Tensor) -> Tensor:
    """Mask of two masks: where one of them is."""
    return 1 - (1 - mask) * (1 - other)


def _drawn(
    streams: int, frames: int, size: tuple[int, int], aside: float, generator: torch.Generator
) -> Tensor:
    parts = [
        _draw(min(CLIPS_AT_ONCE, streams - start), frames, size, aside, generator)
        for start in range(0, streams, CLIPS_AT_ONCE)
    ]
    return torch.cat(parts)


def _draw(
    streams: int, frames: int, size: tuple[int, int], aside: float, generator: torch.Generator
) -> Tensor:
    """One figure each, up to `aside` widths of the picture from its middle."""
    on = generator.device
    times = torch.arange(frames + 2, device=on, dtype=torch.float32)
    low, high = FAR_FRAMES
    times[-1] = low + (high - low) * torch.rand((), device=on, generator=generator)
    wobble = Wobble(times, streams, generator)
    build = body.draw_build(wobble)
    pose = body.draw_pose(build, wobble)
    yaw = wobble.number(-0.7, 0.7) + 0.2 * wobble()
    origin, ray, pixel = _camera(size, aside, wobble)
    origin, ray = (_turned(v, yaw) for v in (origin, ray))
    p, miss = _trace(origin, ray, pixel, build, pose)
    mask = (1 - miss).clamp(0, 1)
    n, open_ = _normals(p, build, pose)
    colour = _paint(p, build, pose, _wardrobe(streams, generator))
    light = _turned(_direction(wobble), yaw)
    facing = (n[0] * light[0] + n[1] * light[1] + n[2] * light[2]).clamp_min(-0.3)
    ambient = wobble.number(0.3, 0.75) * (0.75 + 0.25 * n[1]) * open_
    shade = ambient + wobble.number(0.25, 0.8) * (0.3 + facing) / 1.3
    lit = (colour * shade[:, :, None] * wobble.number(0.8, 1.3)[:, :, None]).clamp(1e-4, 1)
    return torch.cat([lit ** (1 / 2.2), mask[:, :, None]], 2)


def _camera(size: tuple[int, int], aside: float, wobble: Wobble) -> tuple[Point, Point, Tensor]:
    """Origin and direction of all rays, and the width of a pixel at one metre."""
    height, width = size
    low, high = VIEW_M
    view = low * (high / low) ** wobble.number(0.0, 1.0)
    aspect = width / height
    # The head stays in the upper part of the picture, the less so the nearer the camera is.
    middle = 1.74 + view * (wobble.number(0.02, 0.25) - 0.5) + 0.01 * view * wobble()
    moved = view * aspect * (wobble.number(-aside, aside) + 0.02 * wobble())
    on = middle.device
    v = -(torch.arange(height, device=on) + 0.5).sub(height / 2)[:, None] / height
    u = (torch.arange(width, device=on) + 0.5).sub(width / 2)[None, :] / height
    length = torch.sqrt(u * u + v * v + DISTANCE * DISTANCE)
    still = torch.zeros_like(middle)
    ray = (u / length + still, v / length + still, -DISTANCE / length + still)
    return (
        (moved, middle, still + DISTANCE * view),
        ray,
        torch.full_like(view, 1 / DISTANCE / height),
    )


def _direction(wobble: Wobble) -> Point:
    """Unit direction to the light: before the person, mostly from above."""
    around, up = wobble.number(-1.7, 1.7), wobble.number(-0.1, 1.1)
    return up.cos() * around.sin(), up.sin(), up.cos() * around.cos()


def _turned(v: Point, yaw: Tensor) -> Point:
    x, z = rotate(v[0], v[2], yaw)
    return x, v[1] + 0 * x, z


def _trace(
    origin: Point, ray: Point, pixel: Tensor, build: Build, pose: Pose
) -> tuple[Point, Tensor]:
    """Where each ray hits or comes nearest, and by how many pixels it misses there."""

    def at(t: Tensor) -> Point:
        return origin[0] + t * ray[0], origin[1] + t * ray[1], origin[2] + t * ray[2]

    start = torch.sqrt(origin[0] ** 2 + origin[2] ** 2) - BODY_M
    t = start.clamp_min(0.05) + torch.zeros_like(ray[0])
    nearest, best = t, torch.full_like(t, 1e3)
    for _ in range(STEPS):
        distance = body.body(at(t), build, pose)
        miss = distance / (pixel * t)
        closer = miss < best
        nearest, best = torch.where(closer, t, nearest), torch.where(closer, miss, best)
        t = t + STEP_SHARE * distance
    return at(nearest), best


def _normals(p: Point, build: Build, pose: Pose) -> tuple[Point, Tensor]:
    """Unit normals, and how open the surroundings are (1: open, 0: a crease)."""
    e = 0.006
    corners = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
    x = y = z = torch.zeros_like(p[0])
    for a, b, c in corners:
        d = body.body((p[0] + a * e, p[1] + b * e, p[2] + c * e), build, pose)
        x, y, z = x + a * d, y + b * d, z + c * d
    scale = torch.rsqrt(x * x + y * y + z * z + 1e-12)
    n = (x * scale, y * scale, z * scale)
    reach = 0.06
    d = body.body((p[0] + reach * n[0], p[1] + reach * n[1], p[2] + reach * n[2]), build, pose)
    return n, 0.45 + 0.55 * (d / reach).clamp(0, 1)


def _wardrobe(streams: int, generator: torch.Generator) -> Wardrobe:
    on = generator.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(streams, *shape, device=on, generator=generator)

    dark, light = (torch.tensor(c, device=on) for c in ((0.06, 0.03, 0.02), (0.8, 0.52, 0.4)))
    skin = (dark + rand(1) ** 0.7 * (light - dark)) * (0.9 + 0.2 * rand(3))
    black, blond = (torch.tensor(c, device=on) for c in ((0.01, 0.008, 0.007), (0.5, 0.3, 0.12)))
    hair = black + rand(1) ** 3 * (blond - black) + (rand(1) < 0.15) * 0.4 * rand(1)
    clothes = rand(4, 3) ** 2
    grey = clothes.mean(-1, keepdim=True)
    clothes = grey + rand(4, 1) * 1.2 * (clothes - grey)
    top, second, bottom, shoes = clothes.clamp(0.005, 0.9).unbind(1)
    kinds = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], device=on)
    kind = kinds[torch.randint(6, (streams,), device=on, generator=generator)]
    return Wardrobe(
        colours=torch.stack([skin, hair, top, top, skin, bottom * 0.6, shoes * 0.5], 1),
        print=second,
        kind=kind[:, None, None, None],
        cloth=fractal_noise((streams, 1, _TEXTURE, _TEXTURE), 24, 3, generator)[:, 0],
        sleeves=(rand(1, 1, 1) < 0.65).float(),
        hem=0.82 + 0.18 * rand(1, 1, 1),
    )


def _paint(p: Point, build: Build, pose: Pose, clothes: Wardrobe) -> Tensor:
    """Linear colour [B, T, 3, H, W] of surface points."""
    parts = body.surfaces(p, build, pose)
    parts[body.SLEEVE] = parts[body.SLEEVE] + (1 - clothes.sleeves) * 10
    below = torch.sigmoid((clothes.hem - p[1]) * 200)  # the trunk wears trousers there
    parts[body.BOTTOM] = torch.minimum(parts[body.BOTTOM], parts[body.TOP] + (1 - below) * 10)
    parts[body.TOP] = parts[body.TOP] + below * 10
    weights = torch.softmax(torch.stack(parts, 2) * -400, 2)
    colour = torch.einsum("btghw,bgc->btchw", weights, clothes.colours)
    shirt = (weights[:, :, body.TOP] + weights[:, :, body.SLEEVE])[:, :, None]
    pattern = _pattern(p, pose, clothes)[:, :, None]
    second = clothes.print[:, None, :, None, None]
    colour = colour + shirt * pattern * (second - colour)
    x, y = p[0] - pose.chest[0], p[1] - pose.chest[1]
    grid = torch.stack([(x + 0.6 * p[2]) * 2.5, y * 2.5], -1)
    streams, frames, height, width = x.shape
    grid = (grid.remainder(4) - 2).abs() - 1  # mirrored over and over
    cloth = F.grid_sample(
        clothes.cloth,
        grid.reshape(streams, frames * height, width, 2),
        padding_mode="border",
        align_corners=False,
    ).view(streams, frames, 1, height, width)
    colour = colour * (1 - (1 - weights[:, :, body.SKIN, None]) * 0.12 * cloth).clamp_min(0.3)
    return _face(colour, p, build, pose, clothes, weights[:, :, body.SKIN, None])


def _pattern(p: Point, pose: Pose, clothes: Wardrobe) -> Tensor:
    """Share of the second colour on the top, [B, T, H, W]."""
    x, y = p[0] - pose.chest[0], p[1] - pose.chest[1]
    rows = torch.sigmoid(6 * torch.sin(y * TAU / 0.07))
    columns = torch.sigmoid(6 * torch.sin(x * TAU / 0.07))
    inside = torch.sigmoid((0.09 - torch.maximum(x.abs(), (y + 0.08).abs())) * 300)
    drawing = inside * torch.sigmoid(8 * torch.sin(60 * x) * torch.sin(47 * y + 30 * x))
    front = (p[2] > 0).float()
    kind = clothes.kind
    return (
        (kind == 1).float() * rows
        + (kind == 2).float() * 0.5 * (rows + columns)
        + (kind == 3).float() * drawing * front
    )


def _face(
    colour: Tensor, p: Point, build: Build, pose: Pose, clothes: Wardrobe, skin: Tensor
) -> Tensor:
    """Eyes, brows and mouth, painted where the head looks forward."""
    x, y, z = body.to_head(p, pose, build)
    front = skin * torch.sigmoid((z - 0.04) * 300)[:, :, None]

    def spot(dx: Tensor, dy: Tensor, wide: float, high: float) -> Tensor:
        inside = 1 - torch.sqrt((dx / wide) ** 2 + (dy / high) ** 2 + 1e-6)
        return torch.sigmoid(inside * 12)[:, :, None] * front

    def put(colour: Tensor, where: Tensor, paint: Tensor) -> Tensor:
        return colour + where * (paint - colour)

    dark = clothes.colours[:, None, body.HAIR, :, None, None]
    tone = clothes.colours[:, None, body.SKIN, :, None, None]
    aside = x.abs() - 0.031
    red = torch.tensor([1.0, 0.55, 0.55], device=colour.device)[:, None, None]
    colour = put(colour, spot(x, y + 0.062, 0.026, 0.008), tone * 0.7 * red)
    colour = put(colour, spot(aside, y - 0.012, 0.014, 0.007), torch.full_like(tone, 0.75))
    colour = put(colour, spot(aside, y - 0.012, 0.0075, 0.0075), dark * 0.5)
    return put(colour, spot(aside, y - 0.033, 0.02, 0.005), dark)
