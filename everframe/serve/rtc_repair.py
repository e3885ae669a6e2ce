"""What a receiver does about lost packets, for live pictures: ask again, and never wait for long.

aiortc 1.16 asks for a lost packet once, when the gap shows; where the answer is lost too, the
picture stands still until the next loss. It then hands out the frames that waited one for each
packet that comes. Here a packet is asked for again after a round trip, all frames that a repair
completes are decoded at once, and a gap that stays is left behind with the next key frame, which is
asked for. `rtc_fast.install` puts these parts in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from aiortc import codecs
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt
from av.frame import Frame

PATIENCE_S = 0.15
"""A gap that is older is not waited for: a key frame is asked for."""
KEY_PAUSE_S = 0.3
"""Between two such wishes."""
FORGET_S = 1.0
"""A lost packet is asked for until then."""
FIRST_TRIP_S, TRIP_RANGE_S = 0.06, (0.01, 0.3)
"""Round trip until one was measured, and the least and most that is believed."""
TRIP_MARGIN, TRIP_SMOOTHING = 1.3, 0.2
STALE = 4096
"""Packets that are older by less than this come too late; by more, the stream has started anew."""


class LostPackets:
    """Which packets to ask for now; in place of aiortc's `NackGenerator`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """None lost yet."""
        self.missing: set[int] = set()
        self._clock = clock
        self._newest: int | None = None
        self._lost: dict[int, tuple[float, float, int]] = {}  # first and last asked, times asked
        self._trip_s = FIRST_TRIP_S

    def add(self, packet: RtpPacket) -> bool:
        """A packet came; whether `missing` is to be asked for."""
        now, number = self._clock(), packet.sequence_number
        if self._newest is None:
            self._newest = number
        elif uint16_gt(number, self._newest):
            lost = uint16_add(self._newest, 1)
            while lost != number and len(self._lost) < STALE:
                self._lost[lost] = now, -1.0, 0
                lost = uint16_add(lost, 1)
            self._newest = number
        elif (found := self._lost.pop(number, None)) is not None and found[2] == 1:
            trip = min(max(now - found[1], TRIP_RANGE_S[0]), TRIP_RANGE_S[1])
            self._trip_s += TRIP_SMOOTHING * (trip - self._trip_s)
        self._choose(now)
        return bool(self.missing)

    def _choose(self, now: float) -> None:
        self.missing.clear()
        for number, (first, last, times) in list(self._lost.items()):
            if now - first > FORGET_S:
                del self._lost[number]
            elif not times or now - last > TRIP_MARGIN * self._trip_s:
                self._lost[number] = first, now, times + 1
                self.missing.add(number)


class FrameRun(JitterFrame):
    """Frames that are complete together, in order."""

    def __init__(self, frames: list[JitterFrame]) -> None:
        """One or more."""
        super().__init__(data=frames[-1].data, timestamp=frames[-1].timestamp)
        self.frames = frames


class LiveJitterBuffer(JitterBuffer):
    """Hands a video frame out with its last packet (RFC 6184, section 5.1: the marker bit), and
    jumps over a gap as soon as a whole key frame is behind it.
    """

    def __init__(
        self,
        capacity: int,
        prefetch: int = 0,
        is_video: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """As aiortc makes it; audio is left as it was."""
        super().__init__(capacity, prefetch, is_video)
        self._clock = clock
        self._newest = 0
        self._blocked_at: float | None = None
        self._asked_at = -KEY_PAUSE_S

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """A packet came; whether to ask for a key frame, and what is complete."""
        if not self._is_video or self._origin is None:
            self._newest = packet.sequence_number
            return super().add(packet)
        if 0 < uint16_add(self._origin, -packet.sequence_number) < STALE:
            return False, None  # too late
        if uint16_gt(self._origin, packet.sequence_number):
            self._newest = packet.sequence_number  # the stream starts anew
        if uint16_gt(packet.sequence_number, self._newest):
            self._newest = packet.sequence_number
        key_wanted, run = super().add(packet)
        if run is None and self._has_gap():
            return key_wanted or self._is_stuck(), None
        self._blocked_at = None
        return key_wanted, run

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        if not self._is_video:
            return super()._remove_frame(sequence_number)
        frames: list[JitterFrame] = []
        while (frame := self._first()) is not None:
            if frame.data:  # packets of padding make no frame
                frames.append(frame)
        if not frames and self._jump():
            return self._remove_frame(sequence_number)
        return FrameRun(frames) if frames else None

    def _at(self, count: int) -> RtpPacket | None:
        assert self._origin is not None
        return self._packets[(self._origin + count) % self.capacity]

    def _first(self) -> JitterFrame | None:
        """The frame at the origin, taken out, if it is complete."""
        count = self._length(0)
        if not count:
            return None
        packets = [p for k in range(count) if (p := self._at(k)) is not None]
        self.remove(count)
        data = b"".join(p._data for p in packets)  # type: ignore[attr-defined]
        return JitterFrame(data=data, timestamp=packets[0].timestamp)

    def _length(self, begin: int) -> int:
        """Packets of the frame that begins there; 0 if it is not complete."""
        timestamp: int | None = None
        for count in range(begin, self.capacity):
            packet = self._at(count)
            if packet is None:
                return 0
            if timestamp is not None and packet.timestamp != timestamp:
                return count - begin  # its marker was never set
            timestamp = packet.timestamp
            if packet.marker:
                return count - begin + 1
        return 0

    def _span(self) -> int:
        """Places from the origin to the newest packet."""
        assert self._origin is not None
        return min(self.capacity, uint16_add(self._newest, 1 - self._origin))

    def _has_gap(self) -> bool:
        return any(self._at(k) is None for k in range(self._span()))

    def _is_stuck(self) -> bool:
        now = self._clock()
        if self._blocked_at is None:
            self._blocked_at = now
        if now - self._blocked_at < PATIENCE_S or now - self._asked_at < KEY_PAUSE_S:
            return False
        self._asked_at = now
        return True

    def _jump(self) -> bool:
        """Whether the origin could be moved on to a whole key frame behind a gap."""
        gap = False
        for count in range(self._span()):
            packet = self._at(count)
            gap = gap or packet is None
            if gap and packet is not None and starts_key_frame(packet) and self._length(count):
                self.remove(count)
                return True
        return False


def starts_key_frame(packet: RtpPacket) -> bool:
    """Whether a packet, unpacked, begins a key frame of VP8 (RFC 6386, 9.1) or of H.264."""
    data: bytes = packet._data  # type: ignore[attr-defined]
    if len(data) > 4 and data[:4] == b"\0\0\0\1":
        return data[4] & 31 in (5, 7)  # a coded picture that needs no other, or its parameters
    return data[3:6] == b"\x9d\x01\x2a" and not data[0] & 1


class RunDecoder(Decoder):
    """Decodes all frames of a `FrameRun`; the last picture is the one to show."""

    def __init__(self, decoder: Decoder) -> None:
        """Around the decoder of a codec."""
        self._decoder = decoder

    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        """The newest picture."""
        frames = encoded_frame.frames if isinstance(encoded_frame, FrameRun) else [encoded_frame]
        pictures: list[Frame] = []
        for frame in frames:
            frame.timestamp = encoded_frame.timestamp
            pictures = self._decoder.decode(frame) or pictures
        return pictures


def live_decoder(codec: RTCRtpCodecParameters) -> Decoder:
    """aiortc's decoder of a codec; of video, for runs of frames."""
    decoder = codecs.get_decoder(codec)
    return RunDecoder(decoder) if codec.mimeType.lower().startswith("video/") else decoder
