"""aiortc, tuned for live pictures: frames end at the marker bit, encoders are fast, bits by size.

aiortc 1.16 calls a frame complete only when a packet of the next one arrives, which costs a whole
frame of delay, and runs x264 at its default preset, half of a frame's time at 512x512. Its bit rate
knows no size of picture. These are replaced here, and with them what it does about loss
(`rtc_repair`), once, when the first connection is made. Nothing else of aiortc is touched.
"""

from __future__ import annotations

import fractions
import os
from collections.abc import Iterator

import av
from aiortc import codecs, rtcrtpreceiver, rtcrtpsender, rtp
from aiortc.codecs import h264, vpx
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
)
from av import VideoFrame
from av.frame import Frame

from everframe.serve.rtc_repair import LiveJitterBuffer, LostPackets, live_decoder
from everframe.serve.rtc_sdp import FPS, MAX_BITRATE, START_BITRATE, needed_bitrate

RATE_CHANGE = 0.1
"""Share by which the wanted bit rate must move before the encoder is opened anew."""
X264 = {"preset": "ultrafast", "tune": "zerolatency", "level": "31"}
VP8 = {
    "deadline": "realtime",
    "cpu-used": "-12",
    "lag-in-frames": "0",
    "static-thresh": "1",
    "overshoot-pct": "15",
    "undershoot-pct": "100",
}
VP8_QUANTISERS = 2, 56
KEY_FRAMES_APART = 3000
"""Of VP8: key frames come when they are asked for."""
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
PLAYOUT_ID = 4
"""In offers of ours; an answer takes the number of the offer."""
NO_DELAY = bytes(3)
"""Least and most, 12 bits each."""
HISTORY = 1024
"""Packets that can be sent again: with aiortc's 128 a key frame pushes out what was lost before."""


def is_outdated(codec: av.VideoCodecContext | None, frame: VideoFrame, bitrate: int) -> bool:
    """Whether an encoder must be opened anew: none there, another size, or another bit rate."""
    if codec is None or not codec.bit_rate:
        return True
    moved = abs(bitrate - codec.bit_rate) / codec.bit_rate > RATE_CHANGE
    return moved or (frame.width, frame.height) != (codec.width, codec.height)


class FastVp8Encoder(Vp8Encoder):
    """libvpx at its fastest, and without its filter against noise, which costs sharpness too."""

    def __init__(self) -> None:
        """Not yet open."""
        super().__init__()
        self._ceiling = MAX_BITRATE

    @property
    def target_bitrate(self) -> int:
        """Bits per second: what the receiver allows, and no more than the picture needs."""
        return min(super().target_bitrate, self._ceiling)

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        Vp8Encoder.target_bitrate.__set__(self, bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Packets of a picture, and its time."""
        assert isinstance(frame, VideoFrame)
        self._ceiling = needed_bitrate(frame.width, frame.height)
        if is_outdated(self.codec, frame, self.target_bitrate):
            self.codec = self._opened(frame)
        return super().encode(frame, force_keyframe)

    def _opened(self, frame: VideoFrame) -> av.VideoCodecContext:
        codec = av.CodecContext.create("libvpx", "w")
        assert isinstance(codec, av.VideoCodecContext)
        codec.width, codec.height = frame.width, frame.height
        codec.bit_rate = self.target_bitrate
        codec.pix_fmt = "yuv420p"
        codec.gop_size = KEY_FRAMES_APART
        codec.qmin, codec.qmax = VP8_QUANTISERS
        rate = str(self.target_bitrate)  # the same three times: a constant rate
        codec.options = VP8 | {"minrate": rate, "maxrate": rate, "bufsize": rate}
        codec.thread_count = vpx.number_of_threads(frame.width * frame.height, os.cpu_count() or 1)
        return codec


class FastH264Encoder(H264Encoder):
    """x264 at its fastest preset, with no more bits than the picture needs."""

    def __init__(self) -> None:
        """Not yet open."""
        super().__init__()
        self._ceiling = MAX_BITRATE

    @property
    def target_bitrate(self) -> int:
        """Bits per second: what the receiver allows, and no more than the picture needs."""
        return min(super().target_bitrate, self._ceiling)

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        H264Encoder.target_bitrate.__set__(self, bitrate)

    def _encode_frame(self, frame: VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        self._ceiling = needed_bitrate(frame.width, frame.height)
        if is_outdated(self.codec, frame, self.target_bitrate):
            self.buffer_data, self.buffer_pts = b"", None
            self.codec = self._opened(frame)
        yield from super()._encode_frame(frame, force_keyframe)

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
    """aiortc's encoder of a codec, or ours for video."""
    ours: dict[str, type[Encoder]] = {"video/h264": FastH264Encoder, "video/vp8": FastVp8Encoder}
    make = ours.get(codec.mimeType.lower())
    return make() if make is not None else codecs.get_encoder(codec)


class PromptExtensions(rtp.HeaderExtensionsMap):
    """Each packet asks the receiver to show its picture at once (the playout-delay extension), if
    that is known there; else Chromium holds pictures back for as long as repairs took lately.
    """

    def __init__(self) -> None:
        """Not negotiated yet."""
        super().__init__()
        self._id = 0

    def configure(self, parameters: RTCRtpParameters) -> None:
        """Take what both ends know."""
        super().configure(parameters)
        for known in parameters.headerExtensions:
            if known.uri == PLAYOUT_DELAY:
                self._id = known.id

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        """The extensions of a packet."""
        profile, packed = super().set(values)
        if not self._id:
            return profile, packed
        others = rtp.unpack_header_extensions(profile, packed)
        return rtp.pack_header_extensions([*others, (self._id, NO_DELAY)])


def install() -> None:
    """Put the tuned parts in place; doing it again changes nothing."""
    rtcrtpreceiver.JitterBuffer = LiveJitterBuffer  # type: ignore[misc]
    rtcrtpreceiver.NackGenerator = LostPackets  # type: ignore[misc,assignment]
    rtcrtpreceiver.get_decoder = live_decoder  # pyright: ignore[reportPrivateImportUsage]
    rtp.HeaderExtensionsMap = PromptExtensions  # type: ignore[misc]
    if all(known.uri != PLAYOUT_DELAY for known in codecs.HEADER_EXTENSIONS["video"]):
        asked = RTCRtpHeaderExtensionParameters(id=PLAYOUT_ID, uri=PLAYOUT_DELAY)
        codecs.HEADER_EXTENSIONS["video"].append(asked)
    rtcrtpsender.RTP_HISTORY_SIZE = HISTORY  # pyright: ignore[reportPrivateImportUsage]
    rtcrtpsender.get_encoder = fast_encoder  # pyright: ignore[reportPrivateImportUsage]
    h264.DEFAULT_BITRATE = vpx.DEFAULT_BITRATE = START_BITRATE
    h264.MAX_BITRATE = vpx.MAX_BITRATE = MAX_BITRATE
