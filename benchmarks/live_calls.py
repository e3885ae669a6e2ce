"""A WebRTC client that knows how old each picture is: aiortc, and a frame number in the pixels.

The number is written as black and white blocks along the lower edge, large enough for any codec,
with four check bits. The client runs the same tuned parts of aiortc as the server
(`everframe.serve.rtc_fast`), since a browser does what they add.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from av import VideoFrame
from numpy.typing import NDArray

from benchmarks.live_server import LiveServer
from everframe.runtime.bench import moving_frame
from everframe.serve import rtc_fast
from everframe.serve.rtc_aiortc import ALONE

Pixels = NDArray[np.uint8]
NUMBER_BITS, CHECK_BITS = 12, 4
BLOCKS = NUMBER_BITS + CHECK_BITS
DARK, BRIGHT = 16, 235
NUMBERS = 1 << NUMBER_BITS
CLOCK = 90_000
MARGIN = 30
"""A block this near to the middle, in levels, is not read."""


def stamp(frame: Pixels, number: int) -> Pixels:
    """A copy of a frame [H, W, 3] with a number, modulo 4096, along its lower edge."""
    number %= NUMBERS
    code = number << CHECK_BITS | _check(number)
    bits = np.array([code >> (BLOCKS - 1 - k) & 1 for k in range(BLOCKS)], bool)
    levels = np.where(bits, BRIGHT, DARK).astype(np.uint8)
    marked = frame.copy()
    height, width = frame.shape[:2]
    marked[height - height // 8 :] = levels[np.arange(width) * BLOCKS // width][None, :, None]
    return marked


def read(picture: Pixels) -> int | None:
    """The number in a picture [H, W, 3]; None if its blocks are blurred or fail the check."""
    height, width = picture.shape[:2]
    side = width // BLOCKS
    row = slice(height - height // 8 + height // 32, height - height // 32)
    starts = range(side // 4, width, side)
    means = np.array([picture[row, start : start + side // 2].mean() for start in starts][:BLOCKS])
    middle = (DARK + BRIGHT) / 2
    if (np.abs(means - middle) < MARGIN).any():
        return None
    code = int("".join("1" if mean > middle else "0" for mean in means), 2)
    number = code >> CHECK_BITS
    return number if code & (2**CHECK_BITS - 1) == _check(number) else None


def _check(number: int) -> int:
    return (number ^ number >> 4 ^ number >> 8) & 15 ^ 5


def camera_frames(size: int, count: int = 25) -> list[Pixels]:
    """Waves, a disc and noise: harder to code than most webcams; [size, size, 3] each."""
    noise = np.random.default_rng(0).integers(-12, 13, (size, size, 3))
    frames = [moving_frame(n, size, size) + noise for n in range(count)]
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]


class StampedCamera(MediaStreamTrack):
    """Frames at their time, numbered; remembers when each was taken."""

    kind = "video"

    def __init__(self, frames: Sequence[Pixels], fps: float) -> None:
        """These frames, over and over."""
        super().__init__()
        self._frames, self._fps = frames, fps
        self._begin, self._number = time.monotonic(), 0
        self.taken = np.full(NUMBERS, np.nan)

    async def recv(self) -> VideoFrame:
        """The next one, when it is due; what could not be sent in time is left out."""
        wait = self._begin + self._number / self._fps - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        else:
            self._number += int(-wait * self._fps)
        number, self._number = self._number, self._number + 1
        pixels = stamp(self._frames[number % len(self._frames)], number)
        self.taken[number % NUMBERS] = time.monotonic()
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = round(number / self._fps * CLOCK)
        frame.time_base = fractions.Fraction(1, CLOCK)
        return frame


@dataclass(slots=True, kw_only=True)
class Seen:
    """Pictures that came back: when, seconds since the beginning, and how old, ms."""

    begin: float = field(default_factory=time.monotonic)
    at_s: list[float] = field(default_factory=list[float])
    age_ms: list[float] = field(default_factory=list[float])
    unread: int = 0

    def add(self, age_ms: float) -> None:
        """One now."""
        self.at_s.append(time.monotonic() - self.begin)
        self.age_ms.append(age_ms)

    def between(self, start_s: float, end_s: float) -> list[float]:
        """The ages of those that came between two times."""
        return [a for at, a in zip(self.at_s, self.age_ms, strict=True) if start_s <= at < end_s]


class Call:
    """A call to a server, for `async with`; `watch` it as long as it shall last."""

    def __init__(self, server: LiveServer, camera: StampedCamera, codec: str) -> None:
        """With `codec` VP8 or H264."""
        rtc_fast.install()
        self._server, self._camera, self._codec = server, camera, codec
        self._peer = RTCPeerConnection(ALONE)
        self._came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Call:
        """Connect."""
        peer = self._peer
        peer.on("track", self._came.set_result)
        peer.addTrack(self._camera)
        known = RTCRtpSender.getCapabilities("video").codecs
        for transceiver in peer.getTransceivers():
            transceiver.setCodecPreferences([c for c in known if c.name in (self._codec, "rtx")])
        await peer.setLocalDescription(await peer.createOffer())
        height, width = self._camera._frames[0].shape[:2]
        start = {"type": "session.start", "prompt": "pencil sketch", "size": [width, height]}
        body = {"sdp": peer.localDescription.sdp, "session_start": start}
        answer = await asyncio.to_thread(self._server.post, "/api/webrtc", body)
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        await self._peer.close()

    async def watch(self, seen: Seen, seconds: float) -> None:
        """Receive for so long."""
        track = await asyncio.wait_for(self._came, 10)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                frame = await asyncio.wait_for(track.recv(), left)
            except TimeoutError:
                return
            picture = frame.to_ndarray(format="rgb24")
            now = time.monotonic()
            number = read(picture)
            if number is None or np.isnan(self._camera.taken[number]):
                seen.unread += 1
            else:
                seen.add(1e3 * (now - self._camera.taken[number]))
