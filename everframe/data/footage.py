"""Real clips as one uint8 tensor on the device, and random moving crops of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.source import clip_size, read_clip

STORE_HEIGHT, STORE_WIDTH = 288, 512
FPS_CHOICES = (0.5, 1.0, 1.0, 1.0, 1.5, 2.0)
REVERSE_SHARE = 0.2
PAN_SHARE = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Where a clip lies in the store: frames [start, start + length), `width` columns are real."""

    name: str
    start: int
    length: int
    width: int
    masked: bool


def _load(path: Path, masks: Path | None) -> tuple[str, np.ndarray, np.ndarray | None, int]:
    height, width = clip_size(path)
    scaled = min(STORE_WIDTH, round(width * STORE_HEIGHT / height / 2) * 2)
    frames = read_clip(path, height=STORE_HEIGHT, width=scaled)
    mask = None
    mask_path = masks / f"{path.stem}.mask.mp4" if masks else None
    if mask_path and mask_path.exists():
        mask = read_clip(mask_path, height=STORE_HEIGHT, width=scaled)[..., 0]
        frames = frames[: len(mask)]
        mask = mask[: len(frames)]
    return path.stem, frames, mask, scaled


class Footage:
    """All clips of a folder, split by clip. Held-out clips are never drawn by `draw`."""

    def __init__(
        self, folder: Path, held_out: tuple[str, ...], device: torch.device, workers: int = 8
    ) -> None:
        """Decode `folder/clips/*.mp4` (or `folder/*.mp4`) and `folder/masks/NAME.mask.mp4`.

        Raises:
            UserError: there is no clip.
        """
        clips = folder / "clips" if (folder / "clips").is_dir() else folder
        masks = folder / "masks" if (folder / "masks").is_dir() else None
        paths = [p for p in sorted(clips.glob("*.mp4")) if p.stem not in held_out]
        if not paths:
            raise UserError(f"no .mp4 clip in {clips}; put footage there or name another folder")
        with ThreadPoolExecutor(workers) as pool:
            loaded = list(pool.map(_load, paths, [masks] * len(paths)))
        total = sum(len(frames) for _, frames, _, _ in loaded)
        store = torch.zeros(total, 4, STORE_HEIGHT, STORE_WIDTH, dtype=torch.uint8)
        self.clips: list[Clip] = []
        start = 0
        for name, frames, mask, width in loaded:
            n = len(frames)
            store[start : start + n, :3, :, :width] = torch.from_numpy(frames).movedim(-1, 1)
            if mask is not None:
                store[start : start + n, 3, :, :width] = torch.from_numpy(mask)
            self.clips.append(
                Clip(name=name, start=start, length=n, width=width, masked=mask is not None)
            )
            start += n
        self.store = store.to(device)
        self.device = device
        self._masked = [c for c in self.clips if c.masked]

    @property
    def has_masks(self) -> bool:
        """Whether any clip comes with person masks."""
        return bool(self._masked)

    def describe(self) -> str:
        """One line for the log."""
        frames = sum(c.length for c in self.clips)
        return json.dumps({"clips": len(self.clips), "frames": frames, "masked": len(self._masked)})

    def draw(
        self,
        streams: int,
        frames: int,
        size: tuple[int, int],
        rng: np.random.Generator,
        *,
        masked: bool = False,
    ) -> Tensor:
        """[streams, frames + 2, 4, H, W] in 0..1: RGB and person mask.

        Frame 0 is the one before the clip, frames 1..`frames` the clip, the last one the anchor:
        the same crop path at another moment of the same footage.
        """
        clips = self._masked if masked and self._masked else self.clips
        weight = np.sqrt([min(c.length, 1500) for c in clips])
        picks = rng.choice(len(clips), streams, p=weight / weight.sum())
        index = np.empty((streams, frames + 2), np.int64)
        boxes = np.empty((4, streams, frames + 2), np.float32)
        for row, pick in enumerate(picks):
            clip = clips[pick]
            index[row] = clip.start + draw_times(clip.length, frames, rng)
            boxes[:, row] = draw_crop(clip.width, frames, size, rng)
        flip = np.where(rng.random(streams) < 0.5, -1.0, 1.0).astype(np.float32)
        on = self.device
        grid = crop_grid(
            torch.from_numpy(boxes.reshape(4, -1)).to(on, non_blocking=True),
            torch.from_numpy(flip.repeat(frames + 2)).to(on, non_blocking=True),
            size,
        )
        picked = self.store[torch.from_numpy(index.reshape(-1)).to(on, non_blocking=True)]
        pixels = F.grid_sample(
            picked.to(grid.dtype), grid, align_corners=False, padding_mode="border"
        )
        return (pixels.float() / 255).view(streams, frames + 2, 4, *size)


def draw_times(length: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frame numbers of [one before, clip..., anchor]: random speed, sometimes backwards."""
    speed = float(rng.choice(FPS_CHOICES))
    need = int(speed * frames) + 1
    if need > length:
        speed, need = min(1.0, (length - 1) / max(frames, 1)), min(length, frames + 1)
    start = int(rng.integers(0, length - need + 1))
    times = (start + np.arange(frames + 1) * speed).astype(np.int64)
    if rng.random() < REVERSE_SHARE:
        times = times[::-1]
    anchor = rng.integers(0, length) if rng.random() < 0.7 else times[0]
    return np.append(times, anchor)


def draw_crop(
    width: int, frames: int, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """[4, frames + 2]: centre x, centre y, half width, half height of a slow crop, pixels."""
    aspect = size[1] / size[0]
    tallest = min(STORE_HEIGHT, width / aspect)
    first = float(rng.uniform(0.55, 1.0)) * tallest / 2
    last = float(np.clip(first * (1 + rng.uniform(-0.06, 0.06)), 1, tallest / 2))
    half = np.linspace(first, last, frames + 1)
    reach = half.max()

    def path(extent: float, margin: float) -> np.ndarray:
        low, high = margin, max(extent - margin, margin)
        begin = rng.uniform(low, high)
        end = begin + (rng.uniform(-12, 12) if rng.random() < PAN_SHARE else 0.0)
        return np.linspace(begin, float(np.clip(end, low, high)), frames + 1)

    x, y = path(width, reach * aspect), path(STORE_HEIGHT, reach)
    crop = np.stack([x, y, half * aspect, half])
    anchor = crop[:, rng.integers(0, frames + 1)]  # any moment of the same path
    return np.concatenate([crop, anchor[:, None]], 1).astype(np.float32)


def crop_grid(boxes: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Sampling grid [n, H, W, 2] for `grid_sample` from boxes [4, n] in stored pixels."""
    x, y, half_x, half_y = boxes
    height, width = size
    u = (torch.arange(width, device=boxes.device) + 0.5) / width * 2 - 1
    v = (torch.arange(height, device=boxes.device) + 0.5) / height * 2 - 1
    gx = (x[:, None] + half_x[:, None] * u * flip[:, None]) / STORE_WIDTH * 2 - 1
    gy = (y[:, None] + half_y[:, None] * v) / STORE_HEIGHT * 2 - 1
    n = boxes.shape[1]
    return torch.stack(
        [gx[:, None, :].expand(n, height, width), gy[:, :, None].expand(n, height, width)], -1
    )


def photometric(x: Tensor, generator: torch.Generator) -> Tensor:
    """`recolour` and sensor noise, whose strength is constant along a stream; [B, T, 3, H, W]."""
    x = recolour(x, generator)
    noise = torch.randn(x.shape, device=x.device, generator=generator)
    strength = torch.rand((len(x), 1, 1, 1, 1), device=x.device, generator=generator)
    return (x + 0.025 * strength * noise).clamp(0, 1)


def recolour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Exposure, white balance, contrast and hue swaps, constant along a stream.

    x [B, T, 3, H, W] in 0..1.
    """
    streams = x.shape[0]

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        shape = (streams, 1, channels, 1, 1)
        draw = torch.rand(shape, device=x.device, generator=generator)
        return low + (high - low) * draw

    gray = x.mean(2, keepdim=True)
    x = gray + (x - gray) * uniform(0.5, 1.5)
    swap = (uniform(0, 1) < 0.15).float()
    x = x + swap * (x.roll(1, 2) - x)
    x = (x * uniform(0.6, 1.25) * uniform(0.88, 1.12, 3) + uniform(-0.06, 0.1)).clamp(1e-3, 1)
    return x ** uniform(0.7, 1.4)
