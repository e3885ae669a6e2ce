"""Drawn clips, kept for some steps: drawing them takes thousands of small operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from everframe.core.rng import stream_seed
from everframe.data.leaves import draw_leaves

DrawClips = Callable[[int, int, tuple[int, int], torch.Generator], Tensor]
"""(streams, frames, size, generator) -> [streams, frames + 2, C, H, W] in 0..1, the last frame far
from the others."""

BANK_CLIPS = 32
SPARE_FRAMES = 4
"""Frames that a clip of the bank is longer than what is drawn from it."""
RENEW_EVERY = 16
"""Steps for which a bank of clips is used."""


class ClipBank:
    """Some clips for some steps."""

    def __init__(
        self,
        *,
        seed: int,
        device: torch.device,
        canvas: tuple[int, int] = (0, 0),
        clips: int = BANK_CLIPS,
        draw: DrawClips = draw_leaves,
        name: str = "leaves",
        every: int = RENEW_EVERY,
    ) -> None:
        """Empty until `draw`. Sizes that fit into `canvas` (height, width) share one bank and are
        cut out of it; each other size has its own. `name` seeds it; `every`: steps it is used for.
        """
        self._seed, self._device, self._count, self._canvas = seed, device, clips, canvas
        self._draw, self._name, self._every = draw, name, every
        self._banks: dict[tuple[tuple[int, int], int], tuple[int, Tensor]] = {}

    def holds(self, size: tuple[int, int]) -> bool:
        """Whether clips of this size need no bank of their own."""
        (height, width), canvas = size, self._canvas
        return not any(canvas) or (height <= canvas[0] and width <= canvas[1])

    def draw(
        self, step: int, streams: int, frames: int, size: tuple[int, int], rng: np.random.Generator
    ) -> Tensor:
        """[streams, frames + 2, C, H, W] in 0..1; what a step sees depends on its number only."""
        height, width = size
        canvas = self._canvas if any(self._canvas) and self.holds(size) else size
        clips = self._bank(step // self._every, canvas, frames)
        top, left = (int(rng.integers(0, a - b + 1)) for a, b in zip(canvas, size, strict=True))
        clips = clips[..., top : top + height, left : left + width]
        clip = rng.integers(0, self._count, (streams, 1))
        start = rng.integers(0, SPARE_FRAMES, (streams, 1))
        times = np.concatenate([start + np.arange(frames + 1), np.full((streams, 1), -1)], 1)
        rows = torch.from_numpy(clip).to(self._device, non_blocking=True)
        picked = clips[rows, torch.from_numpy(times).to(self._device, non_blocking=True)]
        flip = torch.from_numpy(rng.random(streams) < 0.5).to(self._device, non_blocking=True)
        picked = torch.where(flip[:, None, None, None, None], picked.flip(-1), picked)
        return picked.float() / 255

    def _bank(self, epoch: int, size: tuple[int, int], frames: int) -> Tensor:
        drawn, clips = self._banks.get((size, frames), (-1, torch.zeros(0)))
        if drawn != epoch:
            seed = stream_seed(self._seed, self._name, epoch)
            generator = torch.Generator(self._device).manual_seed(seed)
            fresh = self._draw(self._count, frames + SPARE_FRAMES, size, generator)
            clips = (fresh * 255).round().to(torch.uint8)
            self._banks[size, frames] = (epoch, clips)
        return clips
