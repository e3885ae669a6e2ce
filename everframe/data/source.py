"""Video files to arrays and back, for training material. Live and file processing have their own
reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from everframe.core.errors import UserError

Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """Size in pixels, number of frames that decode, and frames per second of a video file."""

    height: int
    width: int
    frames: int
    fps: float


def clip_facts(path: Path) -> ClipFacts:
    """Decode a whole file and count; what containers say of their length is often wrong.

    Raises:
        UserError: no readable video in the file, or damage anywhere in it.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames = sum(1 for _ in container.decode(stream))
            return ClipFacts(
                height=stream.codec_context.height,
                width=stream.codec_context.width,
                frames=frames,
                fps=float(stream.average_rate or 25),
            )
    except (FFmpegError, IndexError, OSError) as error:
        raise UserError(
            f"cannot read a video from {path}: {error}; write it again, as H.264 in .mp4"
        ) from None


def clip_size(path: Path) -> tuple[int, int]:
    """(height, width) of the first video stream, pixels.

    Raises:
        UserError: no readable video in the file.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.codec_context.height, stream.codec_context.width
    except (FFmpegError, IndexError, OSError) as error:
        raise UserError(
            f"cannot read a video from {path}: {error}; is the file complete?"
        ) from None


def read_clip(path: Path, *, height: int, width: int, limit: int | None = None) -> Frames:
    """Decode to [T, height, width, 3] RGB: centre-cropped to the aspect, then area-resized.

    Args:
        path: any file PyAV reads.
        height, width: size of the result.
        limit: frames at most.

    Raises:
        UserError: no readable video, or no frame.
    """
    full_height, full_width = clip_size(path)
    scale = max(height / full_height, width / full_width)
    scaled = max(height, round(full_height * scale)), max(width, round(full_width * scale))
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    frames: list[Frames] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            scaled_frame = frame.reformat(
                width=scaled[1], height=scaled[0], format="rgb24", interpolation="AREA"
            )
            picture = np.asarray(scaled_frame.to_ndarray(), np.uint8)
            frames.append(picture[top : top + height, left : left + width])
            if limit is not None and len(frames) >= limit:
                break
    if not frames:
        raise UserError(f"{path} has no frame; is the file complete?")
    return np.stack(frames)


def write_clip(path: Path, frames: Frames, *, fps: int = 25, crf: int = 20) -> None:
    """Write [T, H, W, 3] RGB as H.264; H and W even."""
    with av.open(str(path), "w") as container:
        options = {"crf": str(crf), "preset": "slow"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
