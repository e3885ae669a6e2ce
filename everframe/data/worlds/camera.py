"""Smooth camera paths: every stream's pose is a closed function of time, valid at any time.

A pose is a sum of terms that a stream's numbers switch on or off: travel along the road, a circle,
a slow pan, the sway of a hand. Nothing accumulates, so a frame many seconds back is as exact as the
current one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from everframe.data.worlds.geometry import Geometry
from everframe.data.worlds.march import Rays


class Camera(NamedTuple):
    """Numbers of B camera paths, each float32 [B, 1]."""

    z0: Tensor  # start on the road, metres
    speed: Tensor  # along the road, metres per second
    offset: Tensor  # sideways from the road's middle, metres
    height: Tensor  # eye height, metres
    radius: Tensor  # of the circle, metres
    spin: Tensor  # radians per second on the circle
    phase: Tensor  # start on the circle, and phase of the sway, radians
    inward: Tensor  # 1: look at the circle's middle; 0: along the road
    aim: Tensor  # height of the point looked at, metres
    yaw: Tensor  # constant turn, radians
    pan: Tensor  # swing of the slow pan, radians
    pan_rate: Tensor  # radians per second
    turn: Tensor  # steady turn, radians per second
    pitch: Tensor  # radians, up positive
    sway: Tensor  # size of the hand's sway (1: ordinary)
    focal: Tensor  # focal length in half image heights


class Pose(NamedTuple):
    """Camera positions and axes, each [B, T, 3], float32, metres."""

    origin: Tensor
    right: Tensor
    up: Tensor
    forward: Tensor


def _path_heading(z: Tensor, g: Geometry) -> tuple[Tensor, Tensor]:
    bend, freq = g.bend.reshape(-1, 1), g.bend_freq.reshape(-1, 1)
    return bend * torch.sin(z * freq), torch.atan(bend * freq * torch.cos((z + 1.5) * freq))


def pose(camera: Camera, g: Geometry, times: Tensor) -> Pose:
    """Poses at `times` ([B, T], seconds, any sign)."""
    c = camera
    travel = c.z0 + c.speed * times
    road_x, heading = _path_heading(travel, g)
    outdoors = 1.0 - g.disc.reshape(-1, 1)
    angle = c.phase + c.spin * times
    wobble_x = 0.035 * torch.sin(2.3 * times + c.phase) + 0.02 * torch.sin(
        4.9 * times + 2 * c.phase
    )
    wobble_y = 0.025 * torch.sin(3.1 * times + 1.7 * c.phase) + 0.012 * torch.sin(6.3 * times)
    x = outdoors * road_x + c.offset + c.radius * torch.sin(angle) + c.sway * wobble_x
    y = c.height + c.sway * wobble_y
    z = travel + c.radius * torch.cos(angle)
    middle = angle + torch.pi
    drop = torch.atan2(c.aim - c.height, c.radius.clamp_min(0.1))
    free = 1.0 - c.inward
    yaw = free * outdoors * heading + c.inward * middle + c.yaw + c.turn * times
    yaw = yaw + c.pan * torch.sin(c.pan_rate * times + c.phase)
    yaw = yaw + c.sway * 0.018 * torch.sin(1.7 * times + 0.6 * c.phase)
    pitch = c.pitch + c.inward * drop + c.sway * 0.012 * torch.sin(2.1 * times + c.phase)
    sy, cy, sp, cp = torch.sin(yaw), torch.cos(yaw), torch.sin(pitch), torch.cos(pitch)
    zero = torch.zeros_like(sy)
    return Pose(
        origin=torch.stack((x, y, z), -1),
        right=torch.stack((cy, zero, -sy), -1),
        up=torch.stack((-sy * sp, cp, -cy * sp), -1),
        forward=torch.stack((sy * cp, sp, cy * cp), -1),
    )


def rays(camera: Camera, g: Geometry, times: Tensor, height: int, width: int) -> Rays:
    """One ray per pixel of height x width frames at `times` ([B, T], seconds)."""
    p = pose(camera, g, times)
    rows = torch.arange(height, device=times.device, dtype=torch.float32)
    columns = torch.arange(width, device=times.device, dtype=torch.float32)
    v = (1.0 - (rows + 0.5) * (2.0 / height)).reshape(1, 1, height, 1)
    u = ((columns + 0.5) * (2.0 / width) - 1.0).reshape(1, 1, 1, width) * (width / height)
    focal = camera.focal.reshape(-1, 1, 1, 1)

    def axis(i: int) -> Tensor:
        r, up, f = (a[..., i, None, None] for a in (p.right, p.up, p.forward))
        return u * r + v * up + focal * f

    dx, dy, dz = axis(0), axis(1), axis(2)
    scale = torch.rsqrt(dx * dx + dy * dy + dz * dz)
    ox, oy, oz = (p.origin[..., i, None, None] for i in range(3))
    pixel = (2.0 / height) / focal
    return Rays(ox=ox, oy=oy, oz=oz, dx=dx * scale, dy=dy * scale, dz=dz * scale, pixel=pixel)
