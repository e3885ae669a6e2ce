"""Dead-leaves clips: moving, overlapping, textured shapes.

Footage is scarce; local looks only need edges, gradients, textures and occlusions of all kinds,
which these pictures (Lee, Mumford, Huang 2001) supply without end. No file is read.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHAPES = 28


def draw_leaves(
    streams: int, frames: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """[streams, frames + 2, 3, H, W] in 0..1, the last frame (the anchor) many frames away from the
    others.
    """
    device = generator.device
    height, width = size

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=generator)

    far = 20 + 200 * float(torch.rand((), generator=torch.Generator().manual_seed(streams)))
    time = torch.arange(frames + 2, device=device, dtype=torch.float32)
    time[-1] = far
    y = torch.linspace(0, height / 256, height, device=device)[:, None]
    x = torch.linspace(0, width / 256, width, device=device)[None, :]
    noise = _texture(streams, size, generator)
    canvas = (0.15 + 0.7 * rand(streams, 1, 3, 1, 1)) * (0.7 + 0.6 * noise[:, None, :1])
    canvas = canvas.expand(streams, frames + 2, 3, height, width).clamp(0, 1)
    for i in range(SHAPES):
        radius = (0.02 + 0.28 * rand(streams, 1) ** 2) * (1.6 - i / SHAPES)
        turn = rand(streams, 1) * 2 * math.pi
        sway = 0.02 + 0.1 * rand(streams, 1)
        speed = 0.02 + 0.2 * rand(streams, 1)
        phase = speed * time + turn * 3
        cx = rand(streams, 1) * width / 256 + sway * torch.sin(phase)
        cy = rand(streams, 1) * height / 256 + sway * torch.cos(phase * 0.8 + turn)
        angle = turn + 0.5 * torch.sin(phase * 0.5)
        dx = x - cx[..., None, None]
        dy = y - cy[..., None, None]
        cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
        stretch = (0.35 + 0.65 * rand(streams, 1))[..., None, None]
        u, v = (dx * cos + dy * sin).abs(), (dy * cos - dx * sin).abs() / stretch
        power = torch.where(rand(streams, 1) < 0.5, 2.0, 6.0)[..., None, None]
        d = (u**power + v**power) ** (1 / power) - radius[..., None, None]
        inside = torch.sigmoid(-d * 256 * 1.2)[:, :, None]
        colour = rand(streams, 1, 3, 1, 1)
        grain = noise[:, None, i % noise.shape[1], None]
        shade = 0.75 + 0.5 * (u / (radius[..., None, None] + 0.05)).clamp(0, 1)[:, :, None] * 0.5
        fill = (colour * (0.6 + 0.8 * grain * rand(streams, 1, 1, 1, 1) + 0.2) * shade).clamp(0, 1)
        canvas = canvas + inside * (fill - canvas)
    return canvas.clamp(0, 1)


def _texture(streams: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """[streams, 4, H, W]: value noise of four scales, 0..1."""
    maps: list[Tensor] = []
    for cells in (4, 10, 24, 64):
        shape = (streams, 1, cells, max(2, round(cells * size[1] / size[0])))
        coarse = torch.rand(shape, device=generator.device, generator=generator)
        maps.append(F.interpolate(coarse, size=size, mode="bicubic", align_corners=False))
    return torch.cat(maps, 1).clamp(0, 1)
