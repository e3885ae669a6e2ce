"""Held-out streams: clips that no recipe trains on, under every look, with fixed hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from everframe.core.rng import numpy_rng, stream_seed
from everframe.data.catalogue import Catalogue
from everframe.data.source import read_clip
from everframe.data.worlds.world import Worlds
from everframe.text.encoder import TextEncoder

CLIP_FRAMES = 40
FRAME_S = 1 / 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """S streams: uint8 camera and target [S, F, H, W, 3], prompt tokens, labels and hidden flags
    [S].
    """

    camera: Tensor
    target: Tensor
    states: Tensor
    mask: Tensor
    labels: np.ndarray
    hidden: np.ndarray


def to_frames(x: Tensor) -> Tensor:
    """[T, 3, H, W] in 0..1 -> uint8 [T, H, W, 3]."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1)


def clip_path(footage: Path, name: str) -> Path:
    """Where the clip `name` of a footage folder lies; it need not be there."""
    inner = footage / "clips"
    return (inner if inner.is_dir() else footage) / f"{name}.mp4"


class HeldOut:
    """Makes `Streams` of chosen looks; the hidden state of (look, clip) is always the same."""

    def __init__(
        self, footage: Path, clips: Sequence[str], catalogue: Catalogue, device: torch.device
    ) -> None:
        """Clips are `footage/clips/NAME.mp4` or `footage/NAME.mp4`, masks
        `footage/masks/NAME.mask.mp4`.
        """
        self.folder, self.clips, self.catalogue, self.device = footage, clips, catalogue, device

    def clip(self, name: str, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Camera [F, 3, H, W] and mask [F, 1, H, W] (None: no mask), 0..1."""
        path = clip_path(self.folder, name)
        frames = read_clip(path, height=size[0], width=size[1], limit=CLIP_FRAMES)
        camera = torch.from_numpy(frames).to(self.device).movedim(-1, 1).float() / 255
        mask_path = self.folder / "masks" / f"{name}.mask.mp4"
        if not mask_path.exists():
            return self._padded(camera), None
        grey = read_clip(mask_path, height=size[0], width=size[1], limit=CLIP_FRAMES)[..., :1]
        mask = torch.from_numpy(grey).to(self.device).movedim(-1, 1).float() / 255
        return self._padded(camera), self._padded(mask)

    @staticmethod
    def _padded(x: Tensor) -> Tensor:
        missing = CLIP_FRAMES - len(x)
        return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing > 0 else x

    def target(self, label: int, name: str, camera: Tensor, mask: Tensor | None) -> Tensor | None:
        """Target [F, 3, H, W]; None where the look needs a mask that the clip lacks."""
        cat = self.catalogue
        height, width = camera.shape[-2:]
        seed = stream_seed(0, f"held-out/{name}/{cat.names[label]}")
        generator = torch.Generator(self.device).manual_seed(seed)
        if label == cat.identity:
            return camera
        if label < cat.identity:
            look = cat.flat[label]
            return look.apply(camera[None], look.draw(1, height, width, generator))[0]
        if mask is None:
            return None
        person = cat.person[label - cat.first_person]
        state = person.draw(1, height, width, generator)
        return person.apply(camera[None], mask[None], state)[0]

    def world(
        self, label: int, size: tuple[int, int], frames: int = CLIP_FRAMES
    ) -> tuple[Tensor, Tensor]:
        """Source and target [frames, 3, H, W] of one unseen world in a dress."""
        worlds = Worlds(*size, self.device)
        dress = self.catalogue.dresses[label - self.catalogue.first_dress].name
        generator = torch.Generator(self.device).manual_seed(stream_seed(0, f"world/{label}"))
        batch = worlds.draw(1, generator, dresses=[dress])
        times = 100 + torch.arange(frames, device=self.device)[None] * FRAME_S
        source, target = worlds.render(batch, times)
        return source[0], target[0]

    def streams(
        self, size: tuple[int, int], encoder: TextEncoder, labels: Sequence[int] | None = None
    ) -> Streams:
        """All looks (or `labels`) on all clips; dresses on one world each. Prompts: the first of
        each look.
        """
        cat = self.catalogue
        chosen = range(cat.own_pairs) if labels is None else labels
        rows: list[tuple[int, Tensor, Tensor]] = []
        for name in self.clips:
            camera, mask = self.clip(name, size)
            for label in chosen:
                if label >= cat.first_dress:
                    continue
                target = self.target(label, name, camera, mask)
                if target is not None:
                    rows.append((label, to_frames(camera), to_frames(target)))
        for label in chosen:
            if label >= cat.first_dress:
                source, target = self.world(label, size)
                rows.append((label, to_frames(source), to_frames(target)))
        rows.sort(key=lambda row: row[0])
        rng = numpy_rng(0, "held-out prompts")
        texts = [cat.prompts(label) for label, _, _ in rows]
        tokens = [encoder.encode(t[rng.integers(len(t))]) for t in texts]
        numbers = np.array([label for label, _, _ in rows])
        return Streams(
            camera=torch.stack([camera for _, camera, _ in rows]),
            target=torch.stack([target for _, _, target in rows]),
            states=torch.from_numpy(np.stack([t.states for t in tokens])).to(self.device),
            mask=torch.from_numpy(np.stack([t.mask for t in tokens])).to(self.device),
            labels=numbers,
            hidden=cat.hidden[numbers] > 0,
        )
