"""WebRTC: a call, WHIP from OBS, WHEP to a player, and the pictures of a WebSocket's session.

One class, four roles. `join` is what the page uses: its session and its messages stay on the
WebSocket, only the pictures take the other road, with their ids in them (`serve.marker`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import logging
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from everframe.core.errors import UserError
from everframe.serve import marker, protocol, rtc_fast, wire
from everframe.serve.house import House
from everframe.serve.mailbox import Mailbox
from everframe.serve.seat import Seat
from everframe.serve.wire import Codec, WireFrame

log = logging.getLogger("everframe.serve")
Role = Literal["call", "whip", "whep", "join"]
CLOCK = 90_000
SDP_BYTES = 64_000
STATS_S = 1.0
ALONE = RTCConfiguration(iceServers=[])
"""Without this aiortc asks a STUN server of Google's; nothing shall leave the machine."""


class PictureTrack(MediaStreamTrack):
    """The newest restyled picture as a video track, `marked` with its id; a `seat.Sink`."""

    kind = "video"

    def __init__(self, *, marked: bool = False) -> None:
        """Nothing to show yet."""
        super().__init__()
        self._marked = marked
        self._slot: Mailbox[bytes] = Mailbox()
        self._running, self._ready = asyncio.get_running_loop(), asyncio.Event()
        self._begin = time.monotonic()

    def picture(self, data: bytes) -> None:
        """Take a packed picture, raw."""
        self._slot.put(data)
        with contextlib.suppress(RuntimeError):  # the loop may be closed
            self._running.call_soon_threadsafe(self._ready.set)

    def message(self, message: protocol.Message) -> None:
        """Messages go another way."""

    async def recv(self) -> VideoFrame:
        """The next picture, when there is one."""
        while (data := self._slot.take()) is None:
            self._ready.clear()
            if not self._slot:
                await self._ready.wait()
        made = wire.unpack(data)
        pixels = wire.decode(made)
        if self._marked:
            pixels = marker.stamp(pixels, made.frame_id)
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = round((time.monotonic() - self._begin) * CLOCK)
        frame.time_base = fractions.Fraction(1, CLOCK)
        return frame


class ChannelSink:
    """Messages of a seat to a data channel; pictures go as a track."""

    def __init__(self, channel: RTCDataChannel) -> None:
        """On an open channel."""
        self._channel, self._loop = channel, asyncio.get_running_loop()

    def picture(self, data: bytes) -> None:
        """Not here."""

    def message(self, message: protocol.Message) -> None:
        """Send it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._say, protocol.dump(message))

    def _say(self, text: str) -> None:
        if self._channel.readyState == "open":
            self._channel.send(text)


@dataclass(slots=True, kw_only=True)
class Peer:
    """A WebRTC connection. It owns its seat when called or sent to; a WebSocket does otherwise."""

    house: House
    role: Role
    seat: Seat
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    connection: RTCPeerConnection = field(default_factory=lambda: RTCPeerConnection(ALONE))
    _track: PictureTrack | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _closed: bool = False
    _carries: bool = False

    @property
    def joined(self) -> bool:
        """Whether it carries the pictures of a WebSocket's session."""
        return self.role == "join"

    async def answer(self, sdp: str) -> str:
        """Take an offer, give the whole answer, candidates included.

        Raises:
            UserError: it is no offer that can be answered.
        """
        rtc_fast.install()
        connection = self.connection
        connection.on("track", self._receive)
        connection.on("datachannel", self._listen)
        connection.on("connectionstatechange", self._watch)
        try:
            if "m=video" not in sdp:
                raise UserError("it has no video")
            await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
            if self.role != "whip":
                self._track = PictureTrack(marked=self.joined)
                connection.addTrack(self._track)
                self.seat.attach(self._track)
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # aiortc raises of all kinds on a bad description
            await self.close()
            raise UserError(f"the SDP offer cannot be answered: {error}") from None
        return rtc_fast.with_start_bitrate(connection.localDescription.sdp)

    async def close(self) -> None:
        """Hang up; the session of its own ends."""
        if self._closed:
            return
        self._closed = True
        self.house.peers.pop(self.id, None)
        for task in self._tasks:
            task.cancel()
        if self._track is not None:
            self.seat.detach(self._track)
        if self.joined:
            self._take_over(carries=False)
        elif self.role != "whep":
            self.house.host.close(self.seat, "its WebRTC connection ended")
            self.house.vacate("ended")
        try:
            await self.connection.close()
        except Exception as error:  # aiortc fails to close what a bad offer left half made
            log.warning("a WebRTC connection was not closed in order: %s", error)

    async def _watch(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            await self.close()

    def _receive(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self.role != "whep":
            self._keep(self._take(track))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, sink: ChannelSink) -> None:
        """The figures, once a second."""
        while True:
            await asyncio.sleep(STATS_S)
            seats = len(self.house.host.seats)
            stats = self.seat.stats(self.house.engine, seats)
            sink.message(stats.model_copy(update={"session_id": self.seat.id}))
            if self.role != "whep":
                self.house.figures.watch(stats)

    async def _take(self, track: MediaStreamTrack) -> None:
        """Every frame is fetched at once; the seat keeps the newest."""
        number = 0
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                width, height = self.seat.size
                extra = marker.STRIP if self.joined else 0
                small = frame.reformat(width=width, height=height + extra, format="rgb24")
                pixels = np.asarray(small.to_ndarray(), np.uint8)
                number += 1
                if extra:
                    pixels, read = marker.read(pixels)
                    if read is None:
                        continue
                    number = read
                    self._take_over(carries=True)
                raw = WireFrame(
                    codec=Codec.RAW,
                    frame_id=number,
                    capture_ms=1e3 * time.monotonic(),
                    width=width,
                    height=height,
                    payload=pixels.tobytes(),
                )
                self.house.host.submit(self.seat, raw)
                self.seat.meter.received = frame.width, frame.height * height // (height + extra)

    def _take_over(self, *, carries: bool) -> None:
        """Whether the pictures go this way; else they go by the WebSocket, as they did before."""
        if carries == self._carries:
            return
        self._carries = carries
        owner = self.house.owners.get(self.seat.id)
        if owner is not None:
            owner.hold_pictures(carries)

    def _listen(self, channel: RTCDataChannel) -> None:
        sink = ChannelSink(channel)
        self.seat.attach(sink)
        self._keep(self._tell(sink))

        def hear(text: object) -> None:
            try:
                self._do(protocol.parse(text if isinstance(text, str) else ""), sink)
            except UserError as error:
                event_id = protocol.event_id_of(text) if isinstance(text, str) else None
                sink.message(
                    protocol.Error(code="bad_message", message=str(error), event_id=event_id)
                )

        channel.on("message", hear)

    def _do(self, message: object, sink: ChannelSink) -> None:
        match message:
            case protocol.SessionUpdate() if self.role == "call":
                self.seat.change(message)
            case protocol.SessionReset() if self.role == "call":
                self.seat.reset(message.event_id)
            case protocol.SessionPing():
                sink.message(protocol.SessionPong(event_id=message.event_id))
            case _:
                raise UserError("a data channel takes session.update, session.reset, session.ping")


async def open_peer(
    house: House, role: Role, sdp: str, start: protocol.SessionStart
) -> tuple[Peer, str]:
    """A peer with a session of its own, and the answer.

    Raises:
        UserError: no seat is free, or the session cannot be opened.
    """
    if house.admission.full:
        raise UserError("all seats are taken; try again later, or start with --sessions more")
    seat = await house.open(start.model_copy(update={"codec": "raw"}), lambda _: None)
    return await _connected(Peer(house=house, role=role, seat=seat), sdp)


async def join_peer(house: House, resume: str, sdp: str) -> tuple[Peer, str]:
    """A peer for the pictures of a WebSocket's session, named by its resume token; the answer.

    Raises:
        UserError: there is no such session.
    """
    seat = house.host.resume(resume)
    if seat is None:
        raise UserError("there is no such session; begin one on the WebSocket first")
    for before in [p for p in house.peers.values() if p.seat is seat and p.joined]:
        await before.close()
    return await _connected(Peer(house=house, role="join", seat=seat), sdp)


async def watch_peer(house: House, session: str, sdp: str) -> tuple[Peer, str]:
    """A peer that watches a session (WHEP; the first one if none is named), and the answer.

    Raises:
        UserError: there is no such session.
    """
    seat = house.host.find_view(session) if session else next(iter(house.host.seats), None)
    if seat is None:
        raise UserError("there is no such session; start one, then play it")
    return await _connected(Peer(house=house, role="whep", seat=seat), sdp)


async def _connected(peer: Peer, sdp: str) -> tuple[Peer, str]:
    peer.house.peers[peer.id] = peer
    return peer, await peer.answer(sdp)
