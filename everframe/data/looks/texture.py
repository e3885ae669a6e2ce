"""Screen-fixed patterns of the looks: coordinates, screens, noise and cells.

Fixed patterns have periods that divide 16 or 32 px, so a model with 16 px patches sees the same
pattern in each patch. Random ones come from the caller's generator and belong to a stream's state.
"""

from functools import lru_cache
from math import ceil, pi

import torch
import torch.nn.functional as F
from torch import Tensor

TAU = 2 * pi


@lru_cache(maxsize=64)
def coordinates(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(y, x) of each pixel centre in px, each [H, W] float32."""
    y = torch.arange(height, dtype=torch.float32, device=device)
    x = torch.arange(width, dtype=torch.float32, device=device)
    return y[:, None].expand(height, width), x[None, :].expand(height, width)


def coordinates_of(frames: Tensor) -> tuple[Tensor, Tensor]:
    """`coordinates` for frames [..., H, W]."""
    return coordinates(frames.shape[-2], frames.shape[-1], frames.device)


@lru_cache(maxsize=64)
def vignette(height: int, width: int, device: torch.device) -> Tensor:
    """[H, W]: 0 in the middle of the frame, 1 in its corners (squared distance)."""
    y, x = coordinates(height, width, device)
    down = (y - (height - 1) / 2) / (height / 2)
    right = (x - (width - 1) / 2) / (width / 2)
    return (down.square() + right.square()) / 2


def vignette_of(frames: Tensor) -> Tensor:
    """`vignette` for frames [..., H, W]."""
    return vignette(frames.shape[-2], frames.shape[-1], frames.device)


@lru_cache(maxsize=64)
def grain(period_px: int, height: int, width: int, device: torch.device) -> Tensor:
    """[H, W] rough paper of zero mean and about unit deviation, repeated every `period_px`."""
    generator = torch.Generator().manual_seed(period_px)
    tile = torch.randn(1, 1, period_px, period_px, generator=generator)
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = kernel[:, None] * kernel[None, :]
    tile = F.conv2d(F.pad(tile, (1, 2, 1, 2), mode="circular"), kernel[None, None])[0, 0]
    tile = ((tile - tile.mean()) / tile.std()).clamp(-2, 2)
    repeats = (ceil(height / period_px), ceil(width / period_px))
    return tile.repeat(*repeats)[:height, :width].to(device)


def grain_of(frames: Tensor, period_px: int = 32) -> Tensor:
    """`grain` for frames [..., H, W]."""
    return grain(period_px, frames.shape[-2], frames.shape[-1], frames.device)


def stripes(frames: Tensor, period_down_px: float, period_right_px: float) -> Tensor:
    """[H, W] sine -1..1 whose phase turns once in the given steps; 0 px means no change."""
    y, x = coordinates_of(frames)
    phase = (y / period_down_px if period_down_px else 0 * y) + (
        x / period_right_px if period_right_px else 0 * x
    )
    return torch.sin(TAU * phase)


def uniform(
    batch: int, generator: torch.Generator, low: float = 0.0, high: float = 1.0, count: int = 1
) -> Tensor:
    """[B, count] uniform numbers on the generator's device."""
    numbers = torch.rand(batch, count, generator=generator, device=generator.device)
    return low + (high - low) * numbers


def spread(values: Tensor) -> Tensor:
    """[B, 1] -> [B, 1, 1, 1, 1] and [B, 3] -> [B, 1, 3, 1, 1], to meet frames."""
    return values.view(values.shape[0], 1, -1, 1, 1)


def value_noise(
    size: tuple[int, int, int, int], cell_px: int, generator: torch.Generator
) -> Tensor:
    """Smooth noise with features of about `cell_px`.

    Args:
        size: (B, channels, H, W).
        cell_px: distance of the random knots.
        generator: source of the knots; the result is on its device.

    Returns:
        [B, 1, channels, H, W], zero mean, about unit deviation, within -2.5..2.5.
    """
    batch, channels, height, width = size
    rows, columns = ceil(height / cell_px) + 3, ceil(width / cell_px) + 3
    knots = torch.randn(
        batch, channels, rows, columns, generator=generator, device=generator.device
    )
    smooth = F.interpolate(
        knots, size=(rows * cell_px, columns * cell_px), mode="bicubic", align_corners=False
    )
    crop = smooth[..., cell_px : cell_px + height, cell_px : cell_px + width]
    return (crop * 1.3).clamp(-2.5, 2.5)[:, None]


def fractal_noise(
    size: tuple[int, int, int, int],
    cell_px: int,
    octaves: int,
    generator: torch.Generator,
    roughness: float = 0.55,
) -> Tensor:
    """Sum of `value_noise` at cell_px, cell_px/2, ...; [B, 1, channels, H, W], about unit."""
    total = value_noise(size, cell_px, generator)
    weight, power = 1.0, 1.0
    for octave in range(1, octaves):
        weight *= roughness
        power += weight * weight
        total = total + weight * value_noise(size, max(2, cell_px >> octave), generator)
    return total / power**0.5


def _offsets(batch: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, rows, columns, 2, generator=generator, device=generator.device) - 0.5


def cells(
    batch: int,
    height: int,
    width: int,
    cell_px: int,
    generator: torch.Generator,
    jitter: float = 0.9,
) -> tuple[Tensor, Tensor, Tensor]:
    """Voronoi cells of a jittered grid, one layout per stream.

    Args:
        batch: B.
        height: H.
        width: W.
        cell_px: grid step, about the diameter of a cell.
        generator: source of the layout.
        jitter: 0 (squares) .. 1.

    Returns:
        site: [B, H, W] int64, flat index of the pixel at the middle of the cell.
        edge: [B, 1, 1, H, W] distance to the nearest border in px.
        ident: [B, H, W] int64, number of the cell in its stream, below (H/cell+4)*(W/cell+4).
    """
    device = generator.device
    rows, columns = ceil(height / cell_px) + 4, ceil(width / cell_px) + 4
    offset = _offsets(batch, rows, columns, generator) * jitter
    y, x = coordinates(height, width, device)
    # The two nearest middles lie among the 5 x 5 grid squares around a pixel.
    step = torch.arange(25, device=device)[:, None, None]
    row = torch.div(y, cell_px, rounding_mode="floor").long() + step // 5
    col = torch.div(x, cell_px, rounding_mode="floor").long() + step % 5
    points = torch.stack([row - 1.5, col - 1.5], -1) * cell_px + offset[:, row, col] * cell_px
    distance = (points[..., 0] - y).square() + (points[..., 1] - x).square()
    nearest, order = distance.min(1, keepdim=True)
    next_nearest, next_order = distance.scatter(1, order, 1e9).min(1, keepdim=True)
    first = points.gather(1, order[..., None].expand(-1, -1, -1, -1, 2))[:, 0]
    second = points.gather(1, next_order[..., None].expand(-1, -1, -1, -1, 2))[:, 0]
    numbers = (row * columns + col).expand(batch, -1, -1, -1)
    ident = numbers.gather(1, order)[:, 0]
    apart = (first - second).norm(dim=-1).clamp(min=1e-3)
    edge = (next_nearest - nearest)[:, 0] / (2 * apart)
    place_y = first[..., 0].round().clamp(0, height - 1).long()
    place_x = first[..., 1].round().clamp(0, width - 1).long()
    return place_y * width + place_x, edge[:, None, None], ident


def cell_values(
    ident: Tensor, height: int, width: int, cell_px: int, channels: int, generator: torch.Generator
) -> Tensor:
    """Random numbers 0..1 per cell, [B, 1, channels, H, W], for `ident` of `cells`."""
    batch = ident.shape[0]
    count = (ceil(height / cell_px) + 4) * (ceil(width / cell_px) + 4)
    table = torch.rand(batch, channels, count, generator=generator, device=generator.device)
    index = ident.reshape(batch, 1, -1).expand(-1, channels, -1)
    return table.gather(2, index).view(batch, 1, channels, height, width)


@lru_cache(maxsize=32)
def dot_lattice(
    height: int, width: int, step_px: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Fixed hexagon-like lattice of dots, odd rows half a step to the right.

    Returns:
        site: [1, H, W] int64, flat index of the pixel under the nearest dot's middle.
        distance: [H, W] to that middle in px.
        parity: [H, W] -1 or 1, changing from dot to dot.
    """
    y, x = coordinates(height, width, device)
    best = torch.full_like(y, 1e9)
    site = torch.zeros_like(y, dtype=torch.long)
    parity = torch.zeros_like(y)
    row0 = (y / step_px).floor()
    for step in (-1.0, 0.0, 1.0):
        row = row0 + step
        odd = row.remainder(2)
        col = ((x - odd * step_px / 2) / step_px).floor()
        middle_y = (row + 0.5) * step_px
        middle_x = (col + 0.5) * step_px + odd * step_px / 2
        distance = ((y - middle_y).square() + (x - middle_x).square()).sqrt()
        closer = distance < best
        best = torch.where(closer, distance, best)
        index = middle_y.clamp(0, height - 1).long() * width + middle_x.clamp(0, width - 1).long()
        site = torch.where(closer, index, site)
        parity = torch.where(closer, (col + row).remainder(2) * 2 - 1, parity)
    return site[None], best, parity


@lru_cache(maxsize=32)
def triangles(height: int, width: int, side_px: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Fixed right triangles: squares cut along alternating diagonals.

    Returns:
        site: [1, H, W] int64, flat index of the pixel at the triangle's centroid.
        facet: [H, W] light of the triangle, -1..1.
    """
    y, x = coordinates(height, width, device)
    row, col = (y / side_px).floor(), (x / side_px).floor()
    down, right = y / side_px - row, x / side_px - col
    rising = (row + col).remainder(2)
    below = torch.where(rising > 0, down + right > 1, down > right).float()
    middle_y = 1 / 3 + below / 3
    falling_x = 2 / 3 - below / 3
    rising_x = 1 / 3 + below / 3
    middle_x = torch.where(rising > 0, rising_x, falling_x)
    place_y = ((row + middle_y) * side_px).clamp(0, height - 1).long()
    place_x = ((col + middle_x) * side_px).clamp(0, width - 1).long()
    facet = (1 - 2 * below) * (0.55 + 0.45 * (2 * rising - 1))
    return (place_y * width + place_x)[None], facet
