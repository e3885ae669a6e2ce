"""A person as a signed distance field: bones with radii, posed anew in every frame.

Lengths are metres. The body stands on y = 0 at the origin and looks along +z; the head has axes of
its own. Tensors of one number per stream are [B, 1, 1, 1], of one per frame [B, T, 1, 1], of one
per pixel [B, T, H, W], so that all of them meet by broadcasting.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from everframe.data.looks.texture import TAU

Point = tuple[Tensor, Tensor, Tensor]

SKIN, HAIR, TOP, SLEEVE, ARM, BOTTOM, SHOES = range(7)
"""Groups of surfaces; the forearm is SLEEVE or ARM by the length of the sleeves."""
GROUPS = 7
_AWAY = 1e3


class Build(NamedTuple):
    """What a person is like; [B, 1, 1, 1] each."""

    shoulder: Tensor  # half width of the shoulders
    girth: Tensor  # radius of the belly
    hips: Tensor  # half width of the hips
    cloth: Tensor  # how far clothes stand off the limbs
    legs: Tensor  # width of the trousers at the ankle
    head: Tensor  # size of the head, about 1
    hair: Tensor  # thickness of the hair
    hair_long: Tensor  # length of the hair down the back, 0 for none
    fringe: Tensor  # height in the face from which on there is hair


class Pose(NamedTuple):
    """Where the joints are; [B, T, 1, 1] each number."""

    waist: Point
    chest: Point
    neck: Point
    head: Point
    turn: tuple[Tensor, Tensor, Tensor]  # yaw, pitch, roll of the head against the body
    elbows: tuple[Point, Point]
    hands: tuple[Point, Point]
    tips: tuple[Point, Point]
    knees: tuple[Point, Point]
    feet: tuple[Point, Point]


class Wobble:
    """Smooth random motion: [B, T, 1, 1] in about -1..1, from two slow sines per stream."""

    def __init__(self, times: Tensor, streams: int, generator: torch.Generator) -> None:
        self._times, self._streams, self._generator = times, streams, generator

    def number(self, low: float, high: float) -> Tensor:
        """A number per stream, [B, 1, 1, 1]."""
        on = self._generator.device
        draw = torch.rand(self._streams, 1, 1, 1, device=on, generator=self._generator)
        return low + (high - low) * draw

    def __call__(self) -> Tensor:
        """The next independent motion."""
        t = self._times[None, :, None, None]
        slow = torch.sin(self.number(0.02, 0.12) * t + self.number(0.0, TAU))
        return 0.65 * slow + 0.35 * torch.sin(self.number(0.1, 0.35) * t + self.number(0.0, TAU))


def draw_build(wobble: Wobble) -> Build:
    """People of many kinds."""
    number = wobble.number
    bald = (number(0.0, 1.0) < 0.12).float()
    long = (number(0.0, 1.0) < 0.45).float() * (1 - bald)
    return Build(
        shoulder=number(0.15, 0.215),
        girth=number(0.125, 0.2),
        hips=number(0.08, 0.12),
        cloth=number(0.0, 0.03),
        legs=number(0.045, 0.1),
        head=number(0.92, 1.12),
        hair=number(0.004, 0.03) * (1 - bald) - 0.03 * bald,
        hair_long=long * number(0.08, 0.34),
        fringe=number(0.03, 0.07),
    )


def _limb(start: Point, rise: Tensor, out: Tensor, side: float, length: float) -> Point:
    """End of a limb: `rise` 0 hangs and pi points up, `out` 0 is forward and pi / 2 sideways."""
    x, y, z = start
    flat = length * rise.sin()
    return x + side * flat * out.sin(), y - length * rise.cos(), z + flat * out.cos()


def draw_pose(build: Build, wobble: Wobble) -> Pose:
    """Standing people who sway, look around, move their hands and step on the spot."""
    number = wobble.number
    lean, bow = 0.05 * wobble(), 0.04 * wobble()
    waist = (0.3 * lean, 1.05 + 0 * lean, 0.2 * bow)
    chest = (0.8 * lean, 1.33 + 0 * lean, 0.7 * bow)
    neck = (lean, 1.46 + 0 * lean, 0.9 * bow)
    turn = (0.55 * wobble() * number(0.2, 1.3), 0.2 * wobble(), 0.12 * wobble())
    head = (lean + 0.03 * turn[2], 1.62 + 0.01 * wobble(), bow + 0.025 + 0.03 * turn[1])
    elbows: list[Point] = []
    hands: list[Point] = []
    tips: list[Point] = []
    knees: list[Point] = []
    feet: list[Point] = []
    busy = number(0.0, 1.0)  # some people stand still, some talk with their hands
    stride = (number(0.0, 1.0) < 0.3).float() * number(0.1, 0.4) * wobble()
    for side in (-1.0, 1.0):
        joint = (chest[0] + side * build.shoulder, chest[1] + 0.04, chest[2])
        rise = (number(0.05, 0.5) + busy * (number(-0.1, 1.0) + 0.5 * wobble())).clamp(0.03, 2.4)
        out = number(0.2, 1.5) + 0.3 * wobble()
        elbow = _limb(joint, rise, out, side, 0.29)
        bend = (number(0.05, 0.6) + busy * (number(0.0, 1.6) + 0.5 * wobble())).clamp(0.0, 2.3)
        inward = out - number(0.0, 1.6) * busy
        hand = _limb(elbow, rise + bend, inward, side, 0.26)
        elbows.append(elbow)
        hands.append(hand)
        tips.append(_limb(hand, rise + bend + 0.4 * wobble(), inward, side, 0.11))
        hip = (side * build.hips + 0 * stride, 0.92 + 0 * stride, 0 * stride)
        knee = _limb(hip, side * stride, 0 * stride, side, 0.43)
        knees.append(knee)
        feet.append(_limb(knee, side * stride - stride.abs(), 0 * stride, side, 0.42))
    return Pose(
        waist=waist, chest=chest, neck=neck, head=head, turn=turn,
        elbows=(elbows[0], elbows[1]), hands=(hands[0], hands[1]), tips=(tips[0], tips[1]),
        knees=(knees[0], knees[1]), feet=(feet[0], feet[1]),
    )  # fmt: skip


def capsule(
    p: Point, a: Point, b: Point, start: Tensor | float, end: Tensor | float, *, depth: float = 1.0
) -> Tensor:
    """Distance to a bone from a to b with radii `start` and `end`; `depth` < 1 flattens it in z."""
    px, py, pz = p[0] - a[0], p[1] - a[1], (p[2] - a[2]) / depth
    bx, by, bz = b[0] - a[0], b[1] - a[1], (b[2] - a[2]) / depth
    along = ((px * bx + py * by + pz * bz) / (bx * bx + by * by + bz * bz + 1e-9)).clamp(0, 1)
    dx, dy, dz = px - along * bx, py - along * by, pz - along * bz
    return (torch.sqrt(dx * dx + dy * dy + dz * dz + 1e-9) - start - along * (end - start)) * depth


def ellipsoid(p: Point, centre: tuple[float, float, float], radii: tuple[float, ...]) -> Tensor:
    """About the distance to an ellipsoid."""
    scaled = [(x - c) / r for x, c, r in zip(p, centre, radii, strict=True)]
    return (torch.sqrt(sum((s * s for s in scaled), scaled[0] * 0) + 1e-9) - 1) * min(radii)


def smooth_min(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Union of two bodies with a fillet."""
    blend = (width - (a - b).abs()).clamp_min(0) / width
    return torch.minimum(a, b) - blend * blend * width * 0.25


def rotate(u: Tensor, v: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The plane (u, v) turned by an angle."""
    cos, sin = angle.cos(), angle.sin()
    return u * cos + v * sin, v * cos - u * sin


def to_head(p: Point, pose: Pose, build: Build) -> Point:
    """A point in the axes of the head: right, up, forward; the head is as large as of size 1."""
    x, y, z = (a - b for a, b in zip(p, pose.head, strict=True))
    yaw, pitch, roll = pose.turn
    x, z = rotate(x, z, -yaw)
    y, z = rotate(y, z, pitch)
    x, y = rotate(x, y, roll)
    return x / build.head, y / build.head, z / build.head


def _head(p: Point, pose: Pose, build: Build) -> tuple[Tensor, Tensor]:
    """Distances to skin and hair of the head."""
    q = to_head(p, pose, build)
    zero = torch.zeros_like(q[0])
    skull = ellipsoid(q, (0.0, 0.015, -0.01), (0.076, 0.105, 0.095))
    jaw = ellipsoid(q, (0.0, -0.06, 0.03), (0.054, 0.06, 0.058))
    nose = capsule(
        q, (zero, zero + 0.005, zero + 0.082), (zero, zero - 0.03, zero + 0.1), 0.008, 0.013
    )
    ears = ellipsoid((q[0].abs(), q[1], q[2]), (0.078, -0.005, 0.0), (0.012, 0.03, 0.02))
    face = smooth_min(smooth_min(smooth_min(skull, jaw, 0.04), nose, 0.015), ears, 0.01)
    cap = ellipsoid(q, (0.0, 0.02, -0.012), (0.078, 0.104, 0.098)) - build.hair
    hair = torch.maximum(cap, torch.minimum(q[2] - 0.025, build.fringe - q[1]))
    long = capsule(
        q,
        (zero, zero, zero - 0.05),
        (zero, zero - build.hair_long, zero - 0.06),
        0.08,
        0.095,
        depth=0.6,
    )
    long = torch.where(build.hair_long > 0, torch.maximum(long, q[2] - 0.02), zero + _AWAY)
    size = build.head * 0.9
    return face * size, torch.minimum(hair, long) * size


def surfaces(p: Point, build: Build, pose: Pose) -> list[Tensor]:
    """Distances to the groups SKIN .. SHOES, each [B, T, H, W]."""
    face, hair = _head(p, pose, build)
    under_chin = (pose.head[0], pose.head[1] - 0.06, pose.head[2])
    skin = smooth_min(face, capsule(p, pose.neck, under_chin, 0.058, 0.05), 0.03)
    hip = (0 * pose.waist[0], pose.waist[1] - 0.1, 0 * pose.waist[2])
    trunk = smooth_min(
        capsule(p, hip, pose.waist, build.hips + 0.07, build.girth, depth=0.68),
        capsule(p, pose.waist, pose.chest, build.girth, build.shoulder * 0.78, depth=0.68),
        0.06,
    )
    left, right = (
        (pose.chest[0] + side * (build.shoulder - 0.02), pose.chest[1] + 0.05, pose.chest[2])
        for side in (-1.0, 1.0)
    )
    top = smooth_min(trunk, capsule(p, left, right, 0.052, 0.052), 0.07)
    collar = (pose.neck[0], pose.neck[1] - 0.06, pose.neck[2])
    top = smooth_min(top, capsule(p, collar, pose.neck, 0.09, 0.062), 0.06)
    fore, bare, bottom, shoes = (torch.full_like(top, _AWAY) for _ in range(4))
    for i, joint in enumerate((left, right)):
        upper = capsule(p, joint, pose.elbows[i], 0.058 + build.cloth, 0.046 + build.cloth)
        top = smooth_min(top, upper, 0.05)
        lower = capsule(p, pose.elbows[i], pose.hands[i], 0.042, 0.032)
        fore = torch.minimum(fore, lower - build.cloth)
        hand = capsule(p, pose.hands[i], pose.tips[i], 0.034, 0.026)
        bare = torch.minimum(bare, smooth_min(lower, hand, 0.02))
        side = -1.0 if i == 0 else 1.0
        thigh = (side * build.hips + 0 * pose.knees[i][0], 0 * pose.knees[i][1] + 0.92, 0 * hip[0])
        leg = capsule(p, thigh, pose.knees[i], 0.085 + build.cloth, 0.03 + build.legs)
        shin = capsule(p, pose.knees[i], pose.feet[i], 0.03 + build.legs, build.legs)
        bottom = smooth_min(bottom, smooth_min(leg, shin, 0.04), 0.02)
        toe = (pose.feet[i][0], pose.feet[i][1] - 0.02, pose.feet[i][2] + 0.14)
        shoes = torch.minimum(shoes, capsule(p, pose.feet[i], toe, 0.055, 0.042))
    return [skin, hair, top, fore, bare, bottom, shoes]


def body(p: Point, build: Build, pose: Pose) -> Tensor:
    """Distance to the person."""
    parts = surfaces(p, build, pose)
    upper = smooth_min(smooth_min(parts[TOP], parts[SLEEVE], 0.03), parts[ARM], 0.01)
    head = smooth_min(torch.minimum(parts[SKIN], parts[HAIR]), upper, 0.015)
    return torch.minimum(head, torch.minimum(parts[BOTTOM], parts[SHOES]))
