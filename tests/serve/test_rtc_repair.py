"""Lost packets, with a clock that the test turns."""

from fractions import Fraction

from aiortc import rtp
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import RtpPacket
from av import VideoFrame
from av.frame import Frame

from everframe.serve.rtc_fast import PLAYOUT_DELAY, FastH264Encoder, FastVp8Encoder, install
from everframe.serve.rtc_repair import (
    FORGET_S,
    KEY_PAUSE_S,
    PATIENCE_S,
    FrameRun,
    LiveJitterBuffer,
    LostPackets,
    RunDecoder,
)
from everframe.serve.rtc_sdp import needed_bitrate

KEY = {"vp8": b"\x10\0\0\x9d\x01\x2a", "h264": b"\0\0\0\1\x67"}


class Clock:
    """Monotonic seconds, by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def packet(number: int, time: int = 0, *, last: bool = False, data: bytes = b"") -> RtpPacket:
    made = RtpPacket(sequence_number=number & 0xFFFF, timestamp=time, marker=int(last))
    made._data = data or bytes([number & 0xFF])  # type: ignore[attr-defined]
    return made


def whole(number: int, data: bytes = b"") -> RtpPacket:
    """A frame of one packet."""
    return packet(number, number, last=True, data=data)


def datas(frame: JitterFrame | None) -> list[bytes]:
    return [f.data for f in frame.frames] if isinstance(frame, FrameRun) else []


def test_a_frame_ends_at_its_marker() -> None:
    buffer = LiveJitterBuffer(capacity=16, is_video=True)
    out = [
        buffer.add(packet(number, time, last=last))[1]
        for number, time, last in [(0, 9, False), (1, 9, True), (3, 18, True), (2, 18, False)]
    ]
    assert [datas(frame) for frame in out] == [[], [b"\0\1"], [], [b"\2\3"]]
    assert out[1] is not None
    assert out[1].timestamp == 9


def test_a_frame_without_a_marker_ends_with_the_next() -> None:
    buffer = LiveJitterBuffer(capacity=16, is_video=True)
    assert buffer.add(packet(0, 9))[1] is None
    assert datas(buffer.add(packet(1, 18))[1]) == [b"\0"]


def test_padding_is_no_frame() -> None:
    buffer = LiveJitterBuffer(capacity=16, is_video=True)
    assert datas(buffer.add(whole(0))[1]) == [b"\0"]
    padding = packet(1, 0)
    padding._data = b""  # type: ignore[attr-defined]
    assert buffer.add(padding) == (False, None)
    assert datas(buffer.add(whole(2))[1]) == [b"\2"]


def test_a_repaired_gap_lets_all_frames_behind_it_out_at_once() -> None:
    buffer = LiveJitterBuffer(capacity=16, is_video=True)
    buffer.add(whole(65534))
    assert [buffer.add(whole(n))[1] for n in (65536, 65537, 65538)] == [None, None, None]
    assert datas(buffer.add(whole(65535))[1]) == [b"\xff", b"\0", b"\1", b"\2"]


def test_of_a_run_the_last_picture_is_shown() -> None:
    class Counting(Decoder):
        seen: tuple[bytes, ...] = ()

        def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
            self.seen = (*self.seen, encoded_frame.data)
            return [VideoFrame(16 * len(self.seen), 16)]

    inner = Counting()
    run = FrameRun([JitterFrame(b"a", 1), JitterFrame(b"b", 2)])
    (picture,) = RunDecoder(inner).decode(run)
    assert isinstance(picture, VideoFrame)
    assert (inner.seen, picture.width) == ((b"a", b"b"), 32)


def test_a_gap_that_stays_asks_for_a_key_frame_and_is_left_behind_with_it() -> None:
    for key in KEY.values():
        clock = Clock()
        buffer = LiveJitterBuffer(capacity=64, is_video=True, clock=clock)
        buffer.add(whole(1))
        assert buffer.add(whole(3)) == (False, None)
        clock.now += PATIENCE_S + 0.01
        assert buffer.add(whole(4)) == (True, None)
        assert buffer.add(whole(5)) == (False, None)  # once, then a pause
        clock.now += KEY_PAUSE_S + 0.01
        assert buffer.add(whole(6)) == (True, None)
        assert buffer.add(packet(7, 7, data=key)) == (False, None)  # not yet whole
        assert datas(buffer.add(packet(8, 7, last=True))[1]) == [key + b"\x08"]
        assert buffer.add(whole(2)) == (False, None)  # too late, and no new start
        assert datas(buffer.add(whole(9))[1]) == [b"\x09"]


def test_a_stream_that_starts_anew_is_followed() -> None:
    buffer = LiveJitterBuffer(capacity=64, is_video=True)
    buffer.add(whole(30_000))
    wanted, frame = buffer.add(whole(5))
    assert (wanted, datas(frame)) == (True, [b"\5"])
    assert datas(buffer.add(whole(6))[1]) == [b"\6"]


def test_a_lost_packet_is_asked_for_again_after_a_round_trip() -> None:
    clock = Clock()
    lost = LostPackets(clock)
    asked: list[tuple[int, ...]] = []

    def come(number: int, after_s: float) -> None:
        clock.now += after_s
        asked.append(tuple(sorted(lost.missing)) if lost.add(packet(number)) else ())

    come(65534, 0)
    come(65537, 0.01)
    come(65538, 0.01)  # an answer may still be on its way
    come(65539, 0.09)
    assert asked == [(), (0, 65535), (), (0, 65535)]
    come(65535, 0.01)
    come(65536, 0)
    come(65540, FORGET_S)
    assert asked[4:] == [(), (), ()]


def test_the_round_trip_is_learnt() -> None:
    clock = Clock()
    lost = LostPackets(clock)
    for number in range(0, 60, 2):  # every second one is lost, and comes 10 ms after it was wanted
        lost.add(packet(number))
        clock.now += 0.01
        lost.add(packet(number - 1))
    lost.add(packet(62))
    clock.now += 0.02
    assert lost.add(packet(62))
    assert 61 in lost.missing


def test_a_packet_is_not_asked_for_for_ever() -> None:
    clock = Clock()
    lost = LostPackets(clock)
    lost.add(packet(0))
    assert lost.add(packet(2))
    clock.now += FORGET_S + 0.1
    assert not lost.add(packet(3))


def test_packets_ask_for_no_delay_where_that_is_known() -> None:
    install()
    asks, plain = rtp.HeaderExtensionsMap(), rtp.HeaderExtensionsMap()
    known = RTCRtpHeaderExtensionParameters(id=5, uri=PLAYOUT_DELAY)
    mid = RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
    asks.configure(RTCRtpParameters(headerExtensions=[mid, known]))
    plain.configure(RTCRtpParameters(headerExtensions=[mid]))
    values = rtp.HeaderExtensions(mid="0")
    assert rtp.unpack_header_extensions(*asks.set(values)) == [(1, b"0"), (5, bytes(3))]
    assert rtp.unpack_header_extensions(*plain.set(values)) == [(1, b"0")]
    assert asks.get(*asks.set(values)).mid == "0"


def test_bits_are_given_by_the_size_of_the_picture() -> None:
    install()
    small, large = VideoFrame(256, 256, "yuv420p"), VideoFrame(512, 512, "yuv420p")
    assert needed_bitrate(256, 256) < needed_bitrate(512, 512)
    for encoder in (FastH264Encoder(), FastVp8Encoder()):
        encoder.target_bitrate = 7_000_000
        for pts, frame in enumerate((small, large)):
            frame.pts, frame.time_base = pts, Fraction(1, 25)
        encoder.encode(small)
        assert encoder.target_bitrate == needed_bitrate(256, 256)
        encoder.encode(large)
        assert encoder.target_bitrate == needed_bitrate(512, 512)
        encoder.target_bitrate = 600_000
        assert encoder.target_bitrate == 600_000
