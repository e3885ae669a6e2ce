"""aiortc, tuned for live pictures: frames end at the marker bit, x264 is ultrafast, more bits.

aiortc 1.16 calls a frame complete only when a packet of the next one arrives, which costs a whole
frame of delay, and runs x264 at its default preset, half of a frame's time at 512x512. Both are
replaced here, once, when the first connection is made. Nothing else of aiortc is touched.
"""

from __future__ import annotations

import fractions
from collections.abc import Iterator

import av
from aiortc import codecs, rtcrtpreceiver, rtcrtpsender
from aiortc.codecs import h264, vpx
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import VideoFrame

START_BITRATE, MAX_BITRATE = 2_500_000, 8_000_000
RATE_CHANGE = 0.1
"""Share by which the wanted bit rate must move before the encoder is opened anew."""
X264 = {"preset": "ultrafast", "tune": "zerolatency", "level": "31"}
FPS = 30


class MarkerJitterBuffer(JitterBuffer):
    """Hands a video frame out with its last packet (RFC 6184, section 5.1: the marker bit)."""

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        if not self._is_video or self._prefetch or self._origin is None:
            return super()._remove_frame(sequence_number)
        parts: list[bytes] = []
        timestamp: int | None = None
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if timestamp is not None and packet.timestamp != timestamp:
                return super()._remove_frame(sequence_number)  # its marker was never set
            timestamp = packet.timestamp
            parts.append(packet._data)  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return JitterFrame(data=b"".join(parts), timestamp=timestamp)
        return None


class FastH264Encoder(H264Encoder):
    """x264 at its fastest preset."""

    def _encode_frame(self, frame: VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        codec = self.codec
        if codec is None or not codec.bit_rate or self._outdated(frame):
            self.buffer_data, self.buffer_pts = b"", None
            self.codec = self._opened(frame)
        yield from super()._encode_frame(frame, force_keyframe)

    def _outdated(self, frame: VideoFrame) -> bool:
        codec = self.codec
        assert codec is not None
        assert codec.bit_rate
        moved = abs(self.target_bitrate - codec.bit_rate) / codec.bit_rate > RATE_CHANGE
        return moved or (frame.width, frame.height) != (codec.width, codec.height)

    def _opened(self, frame: VideoFrame) -> av.VideoCodecContext:
        codec = av.CodecContext.create("libx264", "w")
        assert isinstance(codec, av.VideoCodecContext)
        codec.width, codec.height = frame.width, frame.height
        codec.bit_rate = self.target_bitrate
        codec.pix_fmt = "yuv420p"
        codec.framerate = fractions.Fraction(FPS, 1)
        codec.time_base = fractions.Fraction(1, FPS)
        codec.options = dict(X264)
        codec.profile = "Baseline"
        return codec


def fast_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """aiortc's encoder of a codec, or ours for H.264."""
    if codec.mimeType.lower() == "video/h264":
        return FastH264Encoder()
    return codecs.get_encoder(codec)


def install() -> None:
    """Put the tuned parts in place; doing it again changes nothing."""
    rtcrtpreceiver.JitterBuffer = MarkerJitterBuffer  # type: ignore[misc]
    rtcrtpsender.get_encoder = fast_encoder  # pyright: ignore[reportPrivateImportUsage]
    h264.DEFAULT_BITRATE = vpx.DEFAULT_BITRATE = START_BITRATE
    h264.MAX_BITRATE = vpx.MAX_BITRATE = MAX_BITRATE


def with_start_bitrate(sdp: str) -> str:
    """An answer that tells Chromium to begin with `START_BITRATE` instead of a small picture."""
    lines: list[str] = []
    kilobits = START_BITRATE // 1000
    wish = f"x-google-start-bitrate={kilobits};x-google-max-bitrate={MAX_BITRATE // 1000}"
    video: list[str] = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            video = line.split()[3:] if line.startswith("m=video") else []
        payload = line.partition(":")[2].split(" ")[0]
        if payload in video and line.startswith("a=fmtp:") and "apt=" not in line:
            line = f"{line};{wish}"
        lines.append(line)
        if payload in video and line.startswith("a=rtpmap:") and " VP8/" in line:
            lines.append(f"a=fmtp:{payload} {wish}")
    return "\r\n".join(lines) + "\r\n"
