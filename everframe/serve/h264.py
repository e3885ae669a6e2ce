"""H.264 over a WebSocket: a third of the bytes of JPEG, for networks where WebRTC finds no way.

A picture that was coded cannot be left out, since the next one builds on it. So each connection
codes for itself, after its outbox has chosen the newest picture, and decodes all that comes before
the mailbox does.
"""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from everframe.core.errors import UserError
from everframe.serve import wire
from everframe.serve.wire import SIDE_MAX, Codec, Flags, WireFrame

KEY_S = 2.0
"""Longest time between key frames, s."""
CLOCK = 90_000
X264 = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "profile": "baseline",
    "crf": "24",
    "x264-params": "keyint=infinite:scenecut=0:repeat-headers=1",
}
PIXELS_MAX = str(SIDE_MAX * SIDE_MAX // 4)
"""The decoder refuses larger pictures before it makes room for them."""


class Decoder:
    """Coded pictures of one connection, in order, to raw ones."""

    def __init__(self) -> None:
        """Waits for a key frame."""
        self._codec: VideoCodecContext | None = None

    def decode(self, frame: WireFrame) -> WireFrame:
        """The same picture, raw.

        Raises:
            UserError: damaged, not of the size that its header says, or no key frame came first.
        """
        if self._codec is None:
            if not frame.flags & Flags.KEY:
                raise UserError("the first H.264 picture must be a key frame; send one")
            self._codec = av.CodecContext.create("h264", "r")
            self._codec.options = {"max_pixels": PIXELS_MAX, "flags": "low_delay"}
            self._codec.thread_count = 1
        try:
            pictures = self._codec.decode(av.Packet(frame.payload))
        except av.error.FFmpegError as error:
            self._codec = None
            raise UserError(f"the H.264 picture cannot be decoded: {error}") from None
        if not pictures:
            self._codec = None
            raise UserError("the H.264 picture gave nothing; send one access unit a message")
        newest = pictures[-1]
        if (newest.width, newest.height) != (frame.width, frame.height):
            raise UserError(f"the H.264 picture is {newest.width}x{newest.height}, not as said")
        pixels = newest.to_ndarray(format="rgb24")
        return replace(frame, codec=Codec.RAW, payload=pixels.tobytes())


class Encoder:
    """Pictures of one connection to coded ones; a key frame first and every `KEY_S`."""

    def __init__(self) -> None:
        """Opened with the first picture."""
        self._codec: VideoCodecContext | None = None
        self._size = (0, 0)
        self._begin = time.monotonic()
        self._key_at = 0.0

    def encode(self, frame: WireFrame) -> WireFrame:
        """The same picture (JPEG or raw) in Annex B, parameter sets in each key frame."""
        now = time.monotonic()
        if self._codec is None or self._size != (frame.width, frame.height):
            self._codec, self._size = (
                _opened(frame.width, frame.height),
                (frame.width, frame.height),
            )
            self._key_at = 0.0
        pixels = wire.decode(frame)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = round((now - self._begin) * CLOCK), Fraction(1, CLOCK)
        key = now - self._key_at > KEY_S
        if key:
            picture.pict_type = PictureType.I
            self._key_at = now
        payload = b"".join(bytes(packet) for packet in self._codec.encode(picture))
        flags = (frame.flags & ~Flags.KEY) | (Flags.KEY if key else Flags.NONE)
        return replace(frame, codec=Codec.H264, payload=payload, flags=flags)


def _opened(width: int, height: int) -> VideoCodecContext:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base = Fraction(1, CLOCK)
    codec.framerate = Fraction(25, 1)
    codec.options = X264
    codec.thread_count = 1
    return codec
