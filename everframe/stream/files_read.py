"""Frames from video files, cameras and image folders, as upright RGB of the model's size.

Memory is constant: one decoded frame at a time. Damaged packets are skipped and counted, times are
made to rise, and whatever pixel format, rotation, pixel aspect or bit depth the source has, uint8
RGB comes out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from everframe.core.errors import UserError
from everframe.stream.frame import Frame, Pixels, SourceInfo
from everframe.stream.resize import Size

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
FALLBACK_FPS = Fraction(25)
"""Assumed where the source does not tell."""
CLOCK = Fraction(1, 90_000)
"""Time base for sources that have none of their own."""

_NOT_VIDEO = frozenset({"tty"})
"""Demuxers that turn plain text into pictures."""
_DEMUX_RETRIES = 50
_HD_HEIGHT = 720
_BT2020 = 9
"""The scaler's number for BT.2020; older versions of PyAV have no name for it."""
_MATRICES: dict[int, int] = {1: Colorspace.ITU709, 9: _BT2020, 10: _BT2020}
"""Code of a frame's colour matrix (ITU-T H.273) -> the scaler's; all others are close to BT.601."""
_UNTAGGED = 2
_CAMERA_INPUTS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class PictureScaler:
    """Turns decoded frames into upright RGB arrays of one size; keeps its tables between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, size: Size) -> Pixels:
        """Return the whole picture, rotated upright, as uint8 [H, W, 3] of `size`."""
        turns = _quarter_turns(frame)
        width, height = (size.height, size.width) if turns % 2 else (size.width, size.height)
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=_colour_matrix(frame),
            # RGB has no matrix, but PyAV before 17 looks at the source's only if this one differs.
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if frame.color_range == ColorRange.JPEG else None,
            interpolation=Interpolation.AREA,
        )
        pixels = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, turns) if turns else pixels)


class VideoSource:
    """Frames of an opened container: a file, a stream address or a camera.

    Args:
        container: opened for reading; the source owns it from here on.
        name: for messages and output names.
        audio: the file again if its sound may be copied, else None.
        live: whether it is a camera or stream.

    Raises:
        UserError: no video in it, or no frame that can be decoded.
    """

    def __init__(
        self, container: InputContainer, name: str, *, audio: Path | None = None, live: bool = False
    ) -> None:
        self.skipped = 0
        self._container = container
        self._stream = _video_stream(container, name)
        self._stream.thread_type = "AUTO"
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            raise UserError(f"{name} holds no frame that can be decoded; is the file complete?")
        self._first = first
        self.info = self._describe(first, name, audio if container.streams.audio else None, live)

    def frames(self, size: Size) -> Iterator[Frame]:
        """Yield the frames in order with their own times, resized to `size`; call it once."""
        info, scaler = self.info, PictureScaler()
        step = max(1, round(1 / (info.fps * info.time_base)))
        start = round(info.start / info.time_base)
        last: int | None = None
        for frame in self._all():
            tick = None if frame.pts is None else frame.pts - start
            if last is None:
                tick = max(tick or 0, 0)
            elif tick is None:
                tick = last + step
            elif tick <= last:  # a broken clock: keep the order, and the sum of times close
                tick = last + 1
            last = tick
            yield Frame(pixels=scaler.rgb(frame, size), time=tick * info.time_base)

    def close(self) -> None:
        """Release the file or device."""
        self._container.close()

    def _all(self) -> Iterator[VideoFrame]:
        yield self._first
        yield from self._decoded

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.skipped += 1
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        failures = 0
        packets = self._container.demux(self._stream)
        while failures < _DEMUX_RETRIES:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:  # the generator is spent now; the container goes on
                failures += 1
                self.skipped += 1
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            failures = 0
            yield packet

    def _describe(self, first: VideoFrame, name: str, audio: Path | None, live: bool) -> SourceInfo:
        stream = self._stream
        fps = stream.average_rate or stream.guessed_rate or FALLBACK_FPS
        if not Fraction(1, 100) < fps <= 1000:
            fps = FALLBACK_FPS
        time_base = stream.time_base or CLOCK
        first_s = (first.pts or 0) * time_base
        start_s = first_s
        # PyAV's stub says int, but containers without a clock give None.
        opening = cast("int | None", self._container.start_time)
        if not live and opening is not None:
            start_s = min(first_s, Fraction(opening, av.time_base))
        still = self._container.format.name.endswith("_pipe") or (
            self._container.format.name == "image2"
        )
        return SourceInfo(
            name=name,
            size=_display_size(first, stream),
            fps=Fraction(fps),
            time_base=Fraction(time_base),
            frames=None if live else self._count(Fraction(fps), still=still),
            start=round(start_s / time_base) * Fraction(time_base),
            audio=audio,
            live=live,
            still=still,
        )

    def _count(self, fps: Fraction, *, still: bool) -> int | None:
        if still:
            return 1
        if self._stream.frames > 0:
            return self._stream.frames
        if self._container.duration:
            return max(1, round(Fraction(self._container.duration, av.time_base) * fps))
        return None


class ImageSource:
    """The pictures of a folder in natural order (`2.png` before `10.png`), as frames at a fixed
    rate.

    Raises:
        UserError: the folder holds no pictures, or the first cannot be read.
    """

    def __init__(self, folder: Path, *, fps: Fraction = FALLBACK_FPS) -> None:
        self.skipped = 0
        self._paths = sorted(
            (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES),
            key=lambda path: natural_key(path.name),
        )
        if not self._paths:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise UserError(
                f"folder {folder} holds no pictures ({kinds}); give a video or pictures"
            )
        first = _read_image(self._paths[0])
        if first is None:
            raise UserError(f"cannot read the picture {self._paths[0]}; is the file complete?")
        turned = _quarter_turns(first) % 2
        self.info = SourceInfo(
            name=folder.resolve().name,
            size=Size(first.height, first.width) if turned else Size(first.width, first.height),
            fps=fps,
            time_base=1 / fps,
            frames=len(self._paths),
        )

    def frames(self, size: Size) -> Iterator[Frame]:
        """Yield the pictures in order, each resized whole to `size`; damaged ones are skipped."""
        scaler = PictureScaler()
        for index, path in enumerate(self._paths):
            picture = _read_image(path)
            if picture is None:
                self.skipped += 1
                continue
            time = index * self.info.time_base
            yield Frame(pixels=scaler.rgb(picture, size), time=time)

    def close(self) -> None:
        """Nothing is held open between pictures."""


def open_camera(device: str) -> VideoSource:
    """Open a camera by number (`0`) or, on Windows, by name.

    Raises:
        UserError: no such camera, or it is in use.
    """
    system = sys.platform
    kind = _CAMERA_INPUTS.get(system)
    if kind is None:
        raise UserError(f"cameras are not supported on {system}; give a video file instead")
    address = {"v4l2": f"/dev/video{device}", "avfoundation": device, "dshow": f"video={device}"}
    options = {"framerate": "30"} if kind == "avfoundation" else {}
    try:
        container = av.open(address[kind], format=kind, options=options)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise UserError(
            f"cannot open camera {device} ({reason(error)}); check that it is plugged in, that no "
            "other program uses it, and its number" + (" or name" if kind == "dshow" else "")
        ) from error
    return VideoSource(container, f"camera-{device}", live=True)


def open_video(address: str) -> VideoSource:
    """Open a video file or a stream address (`rtsp://...`).

    Raises:
        UserError: cannot be read, is no video, or holds no frames.
    """
    remote = "://" in address
    name = "stream" if remote else Path(address).name
    try:
        container = av.open(address)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise UserError(
            f"cannot read {name} as video ({reason(error)}); give a video, a folder of pictures, "
            "or camera:0"
        ) from error
    try:
        return VideoSource(container, name, audio=None if remote else Path(address), live=remote)
    except BaseException:
        container.close()
        raise


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers: `a2` before `a10`."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]


def reason(error: Exception) -> str:
    """The cause of a failed open in a few words, without number and path."""
    text = str(error)
    if isinstance(error, OSError | av.error.FFmpegError):
        text = error.strerror or text
    return text.strip().rstrip(".")


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams or container.format.name in _NOT_VIDEO:
        kind = "only sound" if container.streams.audio else "no video"
        raise UserError(f"{name} holds {kind}; give a file with pictures in it")
    return streams[0]


def _quarter_turns(frame: VideoFrame) -> int:
    # The rotation is counter-clockwise, as is the positive direction of np.rot90.
    return round(frame.rotation / 90) % 4


def _colour_matrix(frame: VideoFrame) -> int:
    # Untagged pictures are BT.709 from HD size on and BT.601 below, by custom. Older versions of
    # PyAV ignore the tag, so it is always given.
    if frame.colorspace == _UNTAGGED and frame.height >= _HD_HEIGHT:
        return Colorspace.ITU709
    return _MATRICES.get(frame.colorspace, Colorspace.ITU601)


def _display_size(first: VideoFrame, stream: VideoStream) -> Size:
    pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
    width = max(1, round(first.width * pixel_aspect)) if pixel_aspect > 0 else first.width
    return Size(first.height, width) if _quarter_turns(first) % 2 else Size(width, first.height)


def _read_image(path: Path) -> VideoFrame | None:
    try:
        with av.open(path) as container:
            return next(container.decode(video=0), None)
    except (OSError, ValueError, IndexError, av.error.FFmpegError):
        return None
