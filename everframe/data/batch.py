"""`ClipBatch`: what the data hands to training. Pixels are float32 in -1..1 here (model range)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipBatch:
    """B streams of T frames with their true history.

    Attributes:
        camera, target: [B, T, 3, H, W].
        before: true target of the frame before each frame, [B, T, 3, H, W].
        anchor_output, anchor_camera: target and camera of another moment of the same stream, or of
            another scene under the same look and state, [B, 3, H, W].
        states, mask: text tokens of the two prompts of each stream, [B, 2, 16, 384] and [B, 2, 16].
        blend: weight of the second prompt per frame, [B, T], 0..1.
        label: index of the look of the first prompt, [B].
        hidden: 1 where one of the two looks carries per-stream state, [B].
    """

    camera: Tensor
    target: Tensor
    before: Tensor
    anchor_output: Tensor
    anchor_camera: Tensor
    states: Tensor
    mask: Tensor
    blend: Tensor
    label: Tensor
    hidden: Tensor
