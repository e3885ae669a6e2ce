"""The primitives: the only operations a network may be written in.

`Ops` is the table. `arch.torch_ops` computes them with torch, `arch.program.Tracer` records them;
the ONNX engines and the kernels read the recording. A model is therefore written once, against this
protocol.

Shapes: leading axes (streams B, frames T) may be present or absent; `...` stands for them. N
tokens, D channels, H heads, K channels of a head, C channels of a map, (h, w) its sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

V = TypeVar("V")
Params = Mapping[str, V]
"""Weights by name, without the prefix of the part they belong to."""


class Ops(Protocol[V]):
    """Pure functions on values `V`. Each public method is one primitive."""

    def linear(self, x: V, weight: V) -> V:
        """[..., N, Din] and [Dout, Din] -> [..., N, Dout]; no bias."""
        ...

    def add(self, a: V, b: V) -> V:
        """Sum, with broadcasting."""
        ...

    def mul(self, a: V, b: V) -> V:
        """Product, with broadcasting."""
        ...

    def modulate(self, x: V, shift: V, scale: V) -> V:
        """`x * (1 + scale) + shift`, with broadcasting (adaLN, arXiv 2212.09748)."""
        ...

    def rms_norm(self, x: V) -> V:
        """`x / sqrt(mean(x^2) + 1e-6)` over the last axis (arXiv 1910.07467), no gain."""
        ...

    def silu(self, x: V) -> V:
        """`x * sigmoid(x)`."""
        ...

    def swiglu(self, x: V) -> V:
        """[..., 2F] -> [..., F]: `silu(first half) * second half` (arXiv 2002.05202)."""
        ...

    def rope(self, x: V, cos: V, sin: V) -> V:
        """[..., H, N, K] turned by the angles of [N, K/2] (arXiv 2104.09864, halves layout)."""
        ...

    def split_heads(self, x: V, heads: int) -> V:
        """[..., N, H*K] -> [..., H, N, K]."""
        ...

    def merge_heads(self, x: V) -> V:
        """[..., H, N, K] -> [..., N, H*K]."""
        ...

    def attend(self, q: V, k: V, v: V, bias: V | None) -> V:
        """softmax(q k^T / sqrt(K) + bias) v; q [..., H, N, K], k, v [..., H, M, K], bias [1, M]."""
        ...

    def concat(self, parts: Sequence[V], axis: int) -> V:
        """Join along a negative `axis`."""
        ...

    def take(self, x: V, axis: int, start: int, stop: int) -> V:
        """The slice [start, stop) along a negative `axis`."""
        ...

    def select(self, x: V, axis: int, index: int) -> V:
        """One entry along a negative `axis`, which disappears."""
        ...

    def stack(self, parts: Sequence[V], axis: int) -> V:
        """Stack equal shapes along a new axis; `axis` is negative and counts in the result."""
        ...

    def space_to_depth(self, x: V, block: int) -> V:
        """[..., C, h*s, w*s] -> [..., C*s*s, h, w]; channel order (c, row, column)."""
        ...

    def depth_to_space(self, x: V, block: int) -> V:
        """Inverse of `space_to_depth`."""
        ...

    def to_tokens(self, x: V) -> V:
        """[..., C, h, w] -> [..., h*w, C]."""
        ...

    def to_map(self, x: V, rows: int, cols: int) -> V:
        """[..., rows*cols, C] -> [..., C, rows, cols]."""
        ...

    def upsample(self, x: V, factor: int) -> V:
        """Bilinear, half-pixel centres, edges clamped: [..., C, h, w] -> [..., C, h*f, w*f]."""
        ...

    def conv3x3(self, x: V, weight: V) -> V:
        """[..., Cin, h, w] and [Cout, Cin, 3, 3] -> [..., Cout, h, w]; zero padding, no bias."""
        ...

    def local_affine(self, maps: V, image: V) -> V:
        """Apply a 3x4 colour map per position.

        maps [..., 12, h, w] (row-major 3x4, the fourth column added); image [..., 3*S, h, w] with S
        sub-pixels per position and channel order (c, sub) -> [..., 3*S, h, w].
        """
        ...

    def from_uint8(self, x: V) -> V:
        """uint8 [..., h, w, 3] in 0..255 -> float [..., 3, h, w] in -1..1."""
        ...

    def to_uint8(self, x: V) -> V:
        """float [..., 3, h, w] -> uint8 [..., h, w, 3]; clamped to -1..1, rounded half to even."""
        ...


PRIMITIVES: tuple[str, ...] = tuple(name for name in vars(Ops) if not name.startswith("_"))
"""Names of all primitives, in the order of the protocol. Every back end must have each (tested)."""


def scope(params: Params[V], prefix: str) -> dict[str, V]:
    """The weights whose names start with `prefix`, under their names without it."""
    cut = len(prefix)
    return {name[cut:]: value for name, value in params.items() if name.startswith(prefix)}
