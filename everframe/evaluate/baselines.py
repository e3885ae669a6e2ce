"""What a restyler must beat: the camera unchanged (no code needed), and the best colour map.

A look that a fixed map from colour to colour can reach needs no diffusion model. The map is a 3-D
table, read by trilinear interpolation and fitted by regularised least squares.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

TABLE_SIZE = 9
FIT_PIXELS = 100_000
"""Pixels used in a fit; more are thinned out evenly."""

SMOOTHNESS = 1e-4
"""Weight of the table's squared second differences, per pixel: fills colours that never occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourMap:
    """A table [S, S, S, 3] of colours, indexed by red, green and blue.

    The table is linear between its knots, and linear beyond the colours seen in the fit.
    """

    table: Tensor

    @classmethod
    def fit(cls, source: Tensor, target: Tensor, *, size: int = TABLE_SIZE) -> Self:
        """Fit to pairs of pictures [N, 3, H, W], 0..1: least squares over at most 100,000 pixels.

        Raises ValueError for pairs of different shapes.
        """
        if source.shape != target.shape:
            raise ValueError(f"pairs differ in shape: {source.shape} and {target.shape}")
        colours, wanted = _pixels(source), _pixels(target)
        corner, weight = _corners(colours, size)
        knots = size**3
        pair = corner.unsqueeze(2) * knots + corner.unsqueeze(1)
        products = weight.unsqueeze(2) * weight.unsqueeze(1)
        normal = torch.zeros(knots * knots, dtype=torch.float64)
        normal.index_add_(0, pair.flatten(), products.flatten())
        right = torch.zeros(knots, 3, dtype=torch.float64)
        moments = weight.unsqueeze(2) * wanted.unsqueeze(1)
        right.index_add_(0, corner.flatten(), moments.flatten(0, 1))
        bend = _second_differences(size)
        stiffness = SMOOTHNESS * len(colours)
        solution = torch.linalg.solve(normal.view(knots, knots) + stiffness * bend.T @ bend, right)
        return cls(table=solution.view(size, size, size, 3).float())

    def apply(self, pictures: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W], 0..1, to the same shape, clamped to 0..1."""
        size = len(self.table)
        colours = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
        corner, weight = _corners(colours, size)
        table = self.table.view(-1, 3).to(pictures.device)
        mapped = torch.zeros_like(colours)
        for index in range(8):
            mapped += weight[:, index : index + 1].to(colours.dtype) * table[corner[:, index]]
        shape = (len(pictures), *pictures.shape[-2:], 3)
        return mapped.view(shape).permute(0, 3, 1, 2).clamp(0, 1)


def _pixels(pictures: Tensor) -> Tensor:
    """At most about `FIT_PIXELS` colours [M, 3] in float64, evenly taken."""
    colours = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
    return colours[:: -(-len(colours) // FIT_PIXELS)].cpu().double()


def _corners(colours: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The eight knots around each colour [M, 3]: table index and trilinear weight, [M, 8] each."""
    position = colours.clamp(0, 1) * (size - 1)
    low = position.floor().clamp(max=size - 2)
    part = position - low
    cell = low.long()
    bits = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], device=colours.device)
    stride = torch.tensor([size * size, size, 1], device=colours.device)
    corner = ((cell.unsqueeze(1) + bits) * stride).sum(-1)
    side = part.unsqueeze(1)
    return corner, torch.where(bits.bool(), side, 1 - side).prod(-1)


def _second_differences(size: int) -> Tensor:
    """Rows [R, S^3] of (1, -2, 1) along each axis of the table, float64."""
    index = torch.arange(size**3).view(size, size, size)
    triples = [
        torch.stack([index.narrow(axis, start, size - 2) for start in range(3)], -1).view(-1, 3)
        for axis in range(3)
    ]
    rows = torch.cat(triples)
    stencil = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64).expand(len(rows), 3)
    return torch.zeros(len(rows), size**3, dtype=torch.float64).scatter_(1, rows, stencil)
