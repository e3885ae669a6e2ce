"""Warp error: does the output move as the camera does? Optical flow is taken on the camera.

The flow of the camera, from a frame back to the one before it, carries the previous output to the
present; what differs there, where the flow can be trusted, is the error (Lai et al. 2018,
arXiv 1808.00449, section 4.2). It means something only next to the same number of the target.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.dims import ArrayF32, FrameU8
from everframe.core.errors import UserError

Flow = Callable[[FrameU8, FrameU8], ArrayF32]
"""(from, to) frames [H, W, 3] -> displacement [H, W, 2] in px (x, y): from(p) = to(p + flow(p))."""

CONSISTENCY_SHARE = 0.01
CONSISTENCY_PX2 = 0.5
"""A pixel counts if |f + b|^2 < share (|f|^2 + |b|^2) + px2 (Sundaram et al. 2010, equation 5)."""

ERROR_FLOOR = 0.5 / 255
"""Half a grey level, added to both errors of a ratio: frames of 8 bits resolve no less."""


def dis_flow() -> Flow:
    """Return dense inverse search flow (Kroeger et al. 2016, arXiv 1603.03590), by OpenCV.

    Raises `UserError` where OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "the warp error needs OpenCV: pip install 'everframe[evaluate]', or leave it out with "
            "--without warp"
        ) from error
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(start: FrameU8, end: FrameU8) -> ArrayF32:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (start, end)]
        empty = np.zeros((*start.shape[:2], 2), np.float32)
        return np.asarray(method.calc(grey[0], grey[1], empty), np.float32)

    return flow


def warp(pictures: Tensor, flow: Tensor) -> Tensor:
    """Sample pictures [N, 3, H, W] at p + flow(p), flow [N, 2, H, W] in px (x, y), bilinear."""
    height, width = pictures.shape[-2:]
    rows = torch.arange(height, device=pictures.device, dtype=pictures.dtype).view(1, -1, 1)
    columns = torch.arange(width, device=pictures.device, dtype=pictures.dtype).view(1, 1, -1)
    x = (columns + flow[:, 0]) * 2 / (width - 1) - 1
    y = (rows + flow[:, 1]) * 2 / (height - 1) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=True)


def trusted(back: Tensor, forth: Tensor) -> Tensor:
    """Where two opposite flows [N, 2, H, W] agree and stay in the picture: mask [N, 1, H, W] bool.

    `back` leads from the present to the previous frame, `forth` the other way.
    """
    height, width = back.shape[-2:]
    returned = warp(forth, back)
    gap = (back + returned).square().sum(1)
    size = back.square().sum(1) + returned.square().sum(1)
    x = torch.arange(width, device=back.device).view(1, 1, -1) + back[:, 0]
    y = torch.arange(height, device=back.device).view(1, -1, 1) + back[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return ((gap < CONSISTENCY_SHARE * size + CONSISTENCY_PX2) & inside).unsqueeze(1)


def warp_error(now: Tensor, before: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Mean of |now - warp(before)| over the mask, [N], 0..1; 0 where the mask is empty."""
    error = (now - warp(before, flow)).abs().mean(1, keepdim=True) * mask
    return error.sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)


def camera_motion(
    flow: Flow, now: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]
) -> tuple[Tensor, Tensor]:
    """Flow of N camera pairs [N, H, W, 3]: (now to before [N, 2, H, W], mask [N, 1, H, W])."""
    back = torch.stack([_planes(flow(n, b)) for n, b in zip(now, before, strict=True)])
    forth = torch.stack([_planes(flow(b, n)) for n, b in zip(now, before, strict=True)])
    return back, trusted(back, forth)


def _planes(flow: ArrayF32) -> Tensor:
    return torch.from_numpy(flow).permute(2, 0, 1)
