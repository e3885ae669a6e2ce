"""A bank of rendered world clips on the device, renewed part by part while training goes on.

Ray marching at every step would cost more than the training itself. Part k of the bank is rendered
from seed k, and the bank at epoch e holds the parts e - n + 1 .. e: what a step sees depends on its
number only, so that a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from everframe.core.rng import stream_seed
from everframe.data.worlds.world import Worlds

FRAME_S = 1 / 25
CLIP_FRAMES = 20
ANCHORS = 3
ANCHOR_SPAN_S = 12.0
PART = 16
"""Clips rendered together."""


class WorldBank:
    """Rendered clips of some frames and 3 far frames (for the anchor), source and target, uint8."""

    def __init__(
        self,
        worlds: Worlds,
        size: tuple[int, int],
        clips: int,
        *,
        seed: int,
        device: torch.device,
        every: int,
        dresses: Sequence[str] | None = None,
        length: int = CLIP_FRAMES,
    ) -> None:
        """Room for `clips` clips (rounded to parts) at `size`; one part is renewed every `every`
        steps. `dresses`: names to draw from; all by default. `length`: frames of a clip.
        """
        self._dresses, self._length = dresses, length
        self.size, self._every, self._seed = size, every, seed
        self._worlds, self._device = worlds, device
        self._part = min(PART, clips)
        self._parts = max(1, clips // self._part)
        shape = (self._parts * self._part, length + ANCHORS, 2, 3, *size)
        self._frames = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._dress = np.zeros(len(self._frames), np.int64)
        self._epoch = -self._parts

    def holds(self, size: tuple[int, int]) -> bool:
        """Whether frames of this size can be cut out."""
        return size[0] <= self.size[0] and size[1] <= self.size[1]

    def renew(self, step: int) -> None:
        """Bring the bank to the state that belongs to `step`."""
        epoch = step // self._every if self._every else 0
        for part in range(max(self._epoch + 1, epoch - self._parts + 1), epoch + 1):
            self._render(part)
        self._epoch = max(self._epoch, epoch)

    def _render(self, part: int) -> None:
        n, device = self._part, self._device
        generator = torch.Generator(device).manual_seed(
            stream_seed(self._seed, "world bank", part + 2**20)
        )
        batch = self._worlds.draw(n, generator, dresses=self._dresses)
        begin = torch.rand((n, 1), generator=generator, device=device) * 60
        speed = 0.5 + 1.2 * torch.rand((n, 1), generator=generator, device=device)
        steps = torch.arange(self._length, device=device) * FRAME_S
        far = torch.rand((n, ANCHORS), generator=generator, device=device) * ANCHOR_SPAN_S
        times = torch.cat([begin + steps * speed, (begin - far).clamp(min=0)], 1)
        source, target = self._worlds.render(batch, times)
        first = part % self._parts * n
        both = torch.stack([source, target], 2)
        self._frames[first : first + n] = (both.clamp(0, 1) * 255).round().to(torch.uint8)
        self._dress[first : first + n] = np.array(batch.target)

    def draw(
        self, streams: int, frames: int, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, np.ndarray]:
        """Source and target [streams, frames + 2, 3, H, W] in 0..1, one random window of `size`,
        and the dress of each stream. Clips of more frames than were rendered go to and fro.
        """
        clip = rng.integers(0, len(self._dress), streams)
        stride = 2 if 2 * frames < self._length and rng.random() < 0.3 else 1
        start = rng.integers(0, max(self._length - stride * frames, 1), streams)
        times = to_and_fro(start[:, None] + np.arange(frames + 1) * stride, self._length)
        anchor = self._length + rng.integers(0, ANCHORS, (streams, 1))
        rows = torch.from_numpy(clip[:, None]).to(self._device, non_blocking=True)
        cols = torch.from_numpy(np.concatenate([times, anchor], 1))
        height, width = size
        top, left = (int(rng.integers(0, a - b + 1)) for a, b in zip(self.size, size, strict=True))
        window = self._frames[..., top : top + height, left : left + width]
        pair = window[rows, cols.to(self._device, non_blocking=True)].float() / 255
        return pair[:, :, 0], pair[:, :, 1], self._dress[clip]


def to_and_fro(times: np.ndarray, length: int) -> np.ndarray:
    """Numbers from 0 on, folded into 0..length - 1: 0 1 2 1 0 1 2 for a length of 3."""
    turn = length - 1
    return turn - np.abs(times % max(2 * turn, 1) - turn)
