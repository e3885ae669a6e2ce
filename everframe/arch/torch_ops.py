"""The primitives in torch: eager reference, training and `torch.compile` all run these lines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.arch.spec import DETAIL_STRIDE

NORM_EPS = 1e-6


def bilinear_weights(size: int, factor: int, device: torch.device) -> Tensor:
    """[size * factor, size]: each row mixes the two nearest of `size` samples, edges repeated."""
    place = (torch.arange(size * factor, device=device) + 0.5) / factor - 0.5
    place = place.clamp(0, size - 1)[:, None]
    return (1 - (place - torch.arange(size, device=device)).abs()).clamp(min=0)


class TorchOps:
    """`arch.ops.Ops` on torch tensors. See the protocol for shapes."""

    def linear(self, x: Tensor, weight: Tensor) -> Tensor:
        """Matrix product with `weight` transposed."""
        return F.linear(x, weight)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum."""
        return a + b

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Product."""
        return a * b

    def modulate(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Shift and scale."""
        return x * (1 + scale) + shift

    def rms_norm(self, x: Tensor) -> Tensor:
        """Root-mean-square norm in float32."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + NORM_EPS)).to(x.dtype)

    def silu(self, x: Tensor) -> Tensor:
        """Sigmoid-weighted linear unit."""
        return F.silu(x)

    def swiglu(self, x: Tensor) -> Tensor:
        """Gated unit."""
        a, b = x.chunk(2, -1)
        return F.silu(a) * b

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate pairs (i, i + K/2)."""
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)

    def split_heads(self, x: Tensor, heads: int) -> Tensor:
        """Channels to heads."""
        return x.unflatten(-1, (heads, -1)).transpose(-2, -3)

    def merge_heads(self, x: Tensor) -> Tensor:
        """Heads to channels."""
        return x.transpose(-2, -3).flatten(-2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """Scaled dot-product attention."""
        q = q.expand(*k.shape[:-2], *q.shape[-2:])
        mask = None if bias is None else bias.to(q.dtype).expand(*q.shape[:-1], k.shape[-2])
        if q.ndim == 3:  # the fused kernels want a stream axis
            mask = None if mask is None else mask[None]
            return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask)[0]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join."""
        return torch.cat(list(parts), axis)

    def take(self, x: Tensor, axis: int, start: int, stop: int) -> Tensor:
        """Slice."""
        return x.narrow(axis, start, stop - start)

    def select(self, x: Tensor, axis: int, index: int) -> Tensor:
        """Pick one."""
        return x.select(axis, index)

    def stack(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Stack."""
        return torch.stack(list(parts), axis)

    def space_to_depth(self, x: Tensor, block: int) -> Tensor:
        """Blocks of pixels to channels."""
        return F.pixel_unshuffle(x, block)

    def depth_to_space(self, x: Tensor, block: int) -> Tensor:
        """Channels to blocks of pixels."""
        return F.pixel_shuffle(x, block)

    def to_tokens(self, x: Tensor) -> Tensor:
        """Map to tokens."""
        return x.flatten(-2).transpose(-1, -2)

    def to_map(self, x: Tensor, rows: int, cols: int) -> Tensor:
        """Tokens to map."""
        return x.transpose(-1, -2).unflatten(-1, (rows, cols))

    def upsample(self, x: Tensor, factor: int) -> Tensor:
        """Bilinear interpolation, as two matrix products: their gradient needs no atomics."""
        rows, cols = (bilinear_weights(n, factor, x.device).to(x.dtype) for n in x.shape[-2:])
        return rows @ x @ cols.mT

    def conv3x3(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolution."""
        flat = x.reshape(-1, *x.shape[-3:])
        if flat.is_cuda:  # the layout of the tensor cores; else every call converts there and back
            flat = flat.contiguous(memory_format=torch.channels_last)
        y = F.conv2d(flat, weight, padding=1)
        return y.view(*x.shape[:-3], *y.shape[-3:])

    def local_affine(self, maps: Tensor, image: Tensor) -> Tensor:
        """Colour map per position."""
        a = maps.unflatten(-3, (3, 4, 1))  # [..., 3, 4, 1, h, w]
        u = image.unflatten(-3, (3, DETAIL_STRIDE**2))  # [..., 3, S, h, w]
        r, g, b = (u.select(-4, i).unsqueeze(-4) for i in range(3))
        m = [a.select(-4, i) for i in range(4)]  # each [..., 3, 1, h, w]
        return (m[0] * r + m[1] * g + m[2] * b + m[3]).flatten(-4, -3)

    def from_uint8(self, x: Tensor) -> Tensor:
        """Bytes to -1..1."""
        return x.movedim(-1, -3).float() * (2 / 255) - 1

    def to_uint8(self, x: Tensor) -> Tensor:
        """-1..1 to bytes."""
        wide = (x.float().clamp(-1, 1) + 1) * 127.5
        return wide.round().to(torch.uint8).movedim(-3, -1)
