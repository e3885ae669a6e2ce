"""Where numbers of pictures are: patches, positions of the detail path, their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.lower_state import PIXELS
from everframe.runtime.megakernel.plan import FramePlan

Indices = NDArray[np.intp]


def cell_channels(plan: FramePlan) -> Indices:
    """[cells, cells, 12]: where the numbers (colour, sub-pixel) of a position of a patch are among
    the channels (colour, row, column) of the patch.
    """
    cells = np.arange(plan.cells)
    row, col, colour, sub = np.meshgrid(cells, cells, np.arange(3), np.arange(4), indexing="ij")
    y, x = 2 * row + sub // 2, 2 * col + sub % 2
    index = (colour * plan.patch + y) * plan.patch + x
    return index.reshape(plan.cells, plan.cells, PIXELS)


def token_and_cell(plan: FramePlan, positions: Indices) -> tuple[Indices, Indices]:
    """Token of each position, and number of its cell in the patch."""
    y, x = np.divmod(positions, plan.map_cols)
    token = (y // plan.cells) * plan.cols + x // plan.cells
    return token, (y % plan.cells) * plan.cells + x % plan.cells


def neighbours(
    plan: FramePlan, positions: Indices, factor: int
) -> list[tuple[Indices, Indices, NDArray[np.float32]]]:
    """(rows, columns, weights) of the four samples of a bilinear upsampling by `factor`."""
    y, x = np.divmod(positions, plan.map_cols)
    sides: list[list[tuple[Indices, NDArray[np.float32]]]] = []
    for place, size in ((y, plan.map_rows), (x, plan.map_cols)):
        at = np.clip((place + 0.5) / factor - 0.5, 0, size // factor - 1)
        low = np.floor(at).astype(np.intp)
        high = np.minimum(low + 1, size // factor - 1)
        share = (at - low).astype(np.float32)
        sides.append([(low, 1 - share), (high, share)])
    return [(r, c, wr * wc) for r, wr in sides[0] for c, wc in sides[1]]
