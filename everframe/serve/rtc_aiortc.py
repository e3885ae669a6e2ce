"""A WebRTC connection by aiortc, with its parts that are tuned for live pictures (`rtc_fast`)."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import time

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from everframe.serve import protocol, rtc_fast
from everframe.serve.mailbox import Mailbox
from everframe.serve.rtc import ChannelSink, Peer
from everframe.serve.rtc_sdp import with_start_bitrate

CLOCK = 90_000
ALONE = RTCConfiguration(iceServers=[])
"""Without this aiortc asks a STUN server of Google's; nothing shall leave the machine."""


class PictureTrack(MediaStreamTrack):
    """The newest restyled picture as a video track."""

    kind = "video"

    def __init__(self, peer: Peer) -> None:
        """Nothing to show yet."""
        super().__init__()
        self._peer = peer
        self._slot: Mailbox[bytes] = Mailbox()
        self._running, self._ready = asyncio.get_running_loop(), asyncio.Event()
        self._begin = time.monotonic()

    def put(self, data: bytes) -> None:
        """Take a packed picture, raw."""
        self._slot.put(data)
        with contextlib.suppress(RuntimeError):  # the loop may be closed
            self._running.call_soon_threadsafe(self._ready.set)

    async def recv(self) -> VideoFrame:
        """The next picture, when there is one."""
        while (data := self._slot.take()) is None:
            self._ready.clear()
            if not self._slot:
                await self._ready.wait()
        frame = VideoFrame.from_ndarray(self._peer.picture_for(data), format="rgb24")
        frame.pts = round((time.monotonic() - self._begin) * CLOCK)
        frame.time_base = fractions.Fraction(1, CLOCK)
        return frame


class AiortcLine:
    """See `rtc.Line`."""

    def __init__(self, peer: Peer) -> None:
        """Not connected yet."""
        self._peer = peer
        self._connection = RTCPeerConnection(ALONE)
        self._track = PictureTrack(peer)
        self._taking: asyncio.Task[None] | None = None

    def picture(self, data: bytes) -> None:
        """Take a packed picture, raw."""
        self._track.put(data)

    def message(self, message: protocol.Message) -> None:
        """Messages go another way."""

    async def answer(self, sdp: str) -> str:
        """Take an offer, give the whole answer."""
        rtc_fast.install()
        connection = self._connection
        connection.on("track", self._receive)
        connection.on("datachannel", self._listen)
        connection.on("connectionstatechange", self._watch)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        if self._peer.sends:
            connection.addTrack(self._track)
        await connection.setLocalDescription(await connection.createAnswer())
        return with_start_bitrate(connection.localDescription.sdp)

    async def close(self) -> None:
        """Hang up."""
        if self._taking is not None:
            self._taking.cancel()
        await self._connection.close()

    async def _watch(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            await self._peer.close()

    def _receive(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._peer.receives:
            self._taking = asyncio.get_running_loop().create_task(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self._peer.take(frame)

    def _listen(self, channel: RTCDataChannel) -> None:
        def say(text: str) -> None:
            if channel.readyState == "open":
                channel.send(text)

        def hear(text: object) -> None:
            self._peer.hear(text, sink)

        sink = ChannelSink(say, asyncio.get_running_loop())
        self._peer.listen(sink)
        channel.on("message", hear)
