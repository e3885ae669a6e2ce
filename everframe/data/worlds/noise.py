"""Hashes and value noise in elementwise torch: the same numbers on a CPU and on a GPU.

Everything works on separate coordinate tensors of one broadcastable shape, so that a compiler can
fuse a whole chain into a single kernel. Hashes are 32-bit integer mixes (wrapping products), which
stay exact far from the origin, where sine-based hashes break down.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hash32(x: Tensor, y: Tensor, z: Tensor, seed: Tensor) -> Tensor:
    """Mix three int32 lattice coordinates and an int32 seed into int32 bits (broadcasting)."""
    h = x * 374761393 + y * 668265263 + z * 1103515245 + seed
    h = (h ^ ((h >> 13) & 0x7FFFF)) * 1274126177
    return h ^ ((h >> 16) & 0xFFFF)


def unit(bits: Tensor) -> Tensor:
    """Turn hash bits (int32) into float32 in 0..1."""
    return (bits & 0xFFFF).to(torch.float32) * (1.0 / 65535.0)


def bytes_of(bits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split hash bits (int32) into four float32 values in 0..1, 256 levels each."""
    a = (bits & 255).to(torch.float32) * (1.0 / 255.0)
    b = ((bits >> 8) & 255).to(torch.float32) * (1.0 / 255.0)
    c = ((bits >> 16) & 255).to(torch.float32) * (1.0 / 255.0)
    d = ((bits >> 24) & 255).to(torch.float32) * (1.0 / 255.0)
    return a, b, c, d


def smooth(low: float, high: float, x: Tensor) -> Tensor:
    """Cubic step from 0 at `low` to 1 at `high`."""
    s = ((x - low) * (1.0 / (high - low))).clamp(0.0, 1.0)
    return s * s * (3.0 - 2.0 * s)


def mix(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Linear blend: `a` at weight 0, `b` at weight 1."""
    return a + (b - a) * weight


def value_noise(x: Tensor, y: Tensor, z: Tensor, seed: Tensor) -> Tensor:
    """Smooth 3-D value noise, float32 in 0..1, one lattice cell per unit."""
    fx, fy, fz = torch.floor(x), torch.floor(y), torch.floor(z)
    ix, iy, iz = fx.to(torch.int32), fy.to(torch.int32), fz.to(torch.int32)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v), w * w * (3.0 - 2.0 * w)

    def edge(dy: int, dz: int) -> Tensor:
        low = unit(hash32(ix, iy + dy, iz + dz, seed))
        return mix(low, unit(hash32(ix + 1, iy + dy, iz + dz, seed)), u)

    return mix(mix(edge(0, 0), edge(1, 0), v), mix(edge(0, 1), edge(1, 1), v), w)


def fbm(x: Tensor, y: Tensor, z: Tensor, seed: Tensor, footprint: Tensor) -> Tensor:
    """Three octaves of value noise, 0..1, mean 0.5.

    `footprint` is the size of a pixel in the units of x, y, z: octaves finer than a pixel fade to
    their mean, so that far surfaces do not shimmer.
    """
    total = torch.zeros_like(footprint)
    for octave, weight in enumerate((0.55, 0.3, 0.15)):
        scale = 2.03**octave
        shift = 7.7 * octave
        keep = (1.4 - 1.6 * scale * footprint).clamp(0.0, 1.0)
        n = value_noise(x * scale + shift, y * scale - shift, z * scale + shift, seed)
        total = total + weight * (n - 0.5) * keep
    return (total * 1.35 + 0.5).clamp(0.0, 1.0)
