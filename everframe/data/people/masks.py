"""Where the people are in a clip: masks by the MediaPipe selfie segmentation network.

Masks are made once, offline, and stored beside the clips as grey video; training only reads them.
The network is Apache-2.0 and lies in the npm package `@mediapipe/selfie_segmentation`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.source import clip_size, read_clip, write_clip

Frames = NDArray[np.uint8]

SHARES_FILE = "shares.json"
PERSON_LEVEL = 128
TEMPORAL_WEIGHT = 0.4
"""Weight of each neighbour in time against the frame's own mask, where nothing moves."""
MOTION_LEVEL = 0.04
"""Change of brightness (0..1) from which on a pixel counts as moving."""
PIECE_FRAMES = 64
MASK_CRF = 20


def _interpreter(model_path: Path, threads: int) -> Any:  # noqa: ANN401 - the package is untyped
    if not model_path.is_file():
        raise UserError(
            f"no segmentation model at {model_path}; `npm pack @mediapipe/selfie_segmentation`, "
            "unpack it and give the path of its selfie_segmentation.tflite"
        )
    try:
        lite = import_module("ai_edge_litert.interpreter")
    except ImportError:
        raise UserError(
            "person masks need LiteRT: pip install ai-edge-litert==2.3.0 (only to make masks)"
        ) from None
    try:
        model = lite.Interpreter(str(model_path), num_threads=threads)
        model.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{model_path} is not a LiteRT model: {error}; fetch it again") from None
    return model


def _box(x: Tensor, radius_px: int) -> Tensor:
    size = 2 * radius_px + 1
    padded = F.pad(x, (radius_px,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (size, 1), 1), (1, size), 1)


def calm(mask: Tensor, tone: Tensor) -> Tensor:
    """Mean of each mask with both its neighbours in time, only where the picture stands still.

    Args:
        mask: [T, 1, H, W] in 0..1.
        tone: [T, 1, H, W] brightness in 0..1.

    Returns:
        [T, 1, H, W] in 0..1.
    """
    if len(mask) < 2:
        return mask
    motion = _box((tone[1:] - tone[:-1]).abs(), 2) / MOTION_LEVEL
    weight = TEMPORAL_WEIGHT * torch.exp(-motion * motion)
    total, weights = mask.clone(), torch.ones_like(mask)
    total[1:] += weight * mask[:-1]
    total[:-1] += weight * mask[1:]
    weights[1:] += weight
    weights[:-1] += weight
    return total / weights


class PersonSegmenter:
    """A loaded segmentation network. Owns nothing but the interpreter; clips are independent."""

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        """Load `selfie_segmentation.tflite` (either variant of the package).

        Raises:
            UserError: the model or the LiteRT package is missing, or the file is not a model.
        """
        self._model = _interpreter(model_path, threads)
        entry, leave = self._model.get_input_details()[0], self._model.get_output_details()[0]
        self._entry, self._leave = int(entry["index"]), int(leave["index"])
        self.input_size = int(entry["shape"][1]), int(entry["shape"][2])

    def masks(self, frames: Frames) -> Frames:
        """Person masks of one clip.

        Args:
            frames: uint8 [T, H, W, 3] RGB, consecutive frames.

        Returns:
            uint8 [T, H, W]: 255 is person, 0 is background, edges are soft.
        """
        height, width = frames.shape[1:3]
        parts: list[Tensor] = []
        tones: list[Tensor] = []
        for start in range(0, len(frames), PIECE_FRAMES):
            piece = torch.from_numpy(frames[start : start + PIECE_FRAMES]).movedim(-1, 1) / 255
            tone = piece.mean(1, keepdim=True)
            coarse = self._network(piece)
            size = (height, width)
            parts.append(F.interpolate(coarse, size, mode="bilinear", align_corners=False))
            tones.append(tone)
        mask = calm(torch.cat(parts), torch.cat(tones))
        return (mask * 255).round().to(torch.uint8)[:, 0].numpy()

    def _network(self, frames: Tensor) -> Tensor:
        """[T, 3, H, W] in 0..1 -> [T, 1, h, w] in 0..1 at the network's own size."""
        small = F.interpolate(
            frames, self.input_size, mode="bilinear", align_corners=False, antialias=True
        )
        out: list[NDArray[np.float32]] = []
        for picture in small.movedim(1, -1).contiguous().numpy():
            self._model.set_tensor(self._entry, picture[None])
            self._model.invoke()
            out.append(self._model.get_tensor(self._leave)[0, ..., -1])
        return torch.from_numpy(np.stack(out))[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedClip:
    """What the mask folder knows of a clip: share 0..1 of person pixels, and the frame count."""

    share: float
    frames: int


def write_masks(
    footage_dir: Path, model_path: Path, out_dir: Path, *, least_share: float = 0.0
) -> dict[str, MaskedClip]:
    """Write `NAME.mask.mp4` (grey, size and frame count of the clip) for each `NAME.mp4`.

    `shares.json` in the same folder lists every clip with its share of person pixels. Clips whose
    share is under `least_share` are listed, but get no mask video: a clip without a mask is one
    that person looks never use.

    Raises:
        UserError: no clip in `footage_dir`, or the model cannot be loaded.
    """
    paths = sorted(footage_dir.glob("*.mp4"))
    if not paths:
        raise UserError(f"no .mp4 clip in {footage_dir}; name the folder that holds the clips")
    segmenter = PersonSegmenter(model_path)
    out_dir.mkdir(parents=True, exist_ok=True)
    done: dict[str, MaskedClip] = {}
    for path in paths:
        height, width = clip_size(path)
        mask = segmenter.masks(read_clip(path, height=height, width=width))
        share = float((mask >= PERSON_LEVEL).mean())
        done[path.stem] = MaskedClip(share=round(share, 5), frames=len(mask))
        if share >= least_share:
            grey = np.repeat(mask[..., None], 3, axis=-1)
            write_clip(out_dir / f"{path.stem}.mask.mp4", grey, crf=MASK_CRF)
    listing = {name: {"share": c.share, "frames": c.frames} for name, c in done.items()}
    (out_dir / SHARES_FILE).write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return done
