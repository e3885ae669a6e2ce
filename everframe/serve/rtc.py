"""WebRTC: a call, WHIP from OBS, WHEP to a player, and the pictures of a WebSocket's session.

One class, four roles. `join` is what the page uses: its session and its messages stay on the
WebSocket, only the pictures take the other road, with their ids in them (`serve.marker`). The
connection itself is a `Line`, made by one of two packages (`rtc_aiortc`, `rtc_reactor`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from av import VideoFrame

from everframe.core.errors import UserError
from everframe.serve import marker, protocol, wire
from everframe.serve.house import House
from everframe.serve.rtc_choice import REACTOR, package_for
from everframe.serve.seat import Seat, Sink
from everframe.serve.wire import Codec, Pixels, WireFrame

log = logging.getLogger("everframe.serve")
Role = Literal["call", "whip", "whep", "join"]
STATS_S = 1.0


class Line(Sink, Protocol):
    """A WebRTC connection: pictures given to it go out, what comes in goes to its `Peer`."""

    async def answer(self, sdp: str) -> str:
        """Take an offer, give the whole answer, candidates included; any exception if it cannot."""
        ...

    async def close(self) -> None:
        """Hang up; tells the peer nothing."""
        ...


class ChannelSink:
    """Messages of a seat to a data channel; pictures go as a track."""

    def __init__(self, say: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> None:
        """`say` is called in the event loop, and may find the channel closed."""
        self._say, self._loop = say, loop

    def picture(self, data: bytes) -> None:
        """Not here."""

    def message(self, message: protocol.Message) -> None:
        """Send it."""
        try:
            self._loop.call_soon_threadsafe(self._say, protocol.dump(message))
        except RuntimeError:  # the loop is closed: the connection is gone
            return


@dataclass(slots=True, kw_only=True)
class Peer:
    """A WebRTC connection. It owns its seat when called or sent to; a WebSocket does otherwise."""

    house: House
    role: Role
    seat: Seat
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    _line: Line | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _closed: bool = False
    _frames: int = 0

    @property
    def joined(self) -> bool:
        """Whether it carries the pictures of a WebSocket's session."""
        return self.role == "join"

    @property
    def sends(self) -> bool:
        """Whether pictures go out."""
        return self.role != "whip"

    @property
    def receives(self) -> bool:
        """Whether frames are taken from it."""
        return self.role != "whep"

    async def answer(self, sdp: str) -> str:
        """Take an offer, give the whole answer, candidates included.

        Raises:
            UserError: it is no offer that can be answered.
        """
        try:
            if "m=video" not in sdp:
                raise UserError("it has no video")
            line = self._line = _open_line(self, sdp)
            if self.sends:
                self.seat.attach(line)
            return await line.answer(sdp)
        except Exception as error:  # both packages raise of all kinds on a bad description
            await self.close()
            raise UserError(f"the SDP offer cannot be answered: {error}") from None

    async def close(self) -> None:
        """Hang up; the session of its own ends."""
        if self._closed:
            return
        self._closed = True
        self.house.peers.pop(self.id, None)
        for task in self._tasks:
            task.cancel()
        if self._line is not None:
            self.seat.detach(self._line)
        if self.joined:
            self._hold_pictures(False)
        elif self.receives:
            self.house.host.close(self.seat, "its WebRTC connection ended")
            self.house.vacate("ended")
        try:
            if self._line is not None:
                await self._line.close()
        except Exception as error:  # aiortc fails to close what a bad offer left half made
            log.warning("a WebRTC connection was not closed in order: %s", error)

    def picture_for(self, data: bytes) -> Pixels:
        """A packed picture as it goes out: with its id below it where the page wants that."""
        made = wire.unpack(data)
        pixels = wire.decode(made)
        return marker.stamp(pixels, made.frame_id) if self.joined else pixels

    def take(self, frame: VideoFrame) -> None:
        """A frame came. Every one is taken at once; the seat keeps the newest."""
        if self._closed:
            return
        width, height = self.seat.size
        extra = marker.STRIP if self.joined else 0
        small = frame.reformat(width=width, height=height + extra, format="rgb24")
        pixels = np.asarray(small.to_ndarray(), np.uint8)
        self._frames += 1
        number = self._frames
        if extra:
            pixels, read = marker.read(pixels)
            if read is None:
                return
            number = read
            self._hold_pictures(True)
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

    def listen(self, sink: ChannelSink) -> None:
        """A data channel was opened: messages and, once a second, the figures go there."""
        if self._closed:
            return
        self.seat.attach(sink)
        task = asyncio.get_running_loop().create_task(self._tell(sink))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hear(self, text: object, sink: ChannelSink) -> None:
        """A message came by a data channel; `sink` answers there."""
        try:
            self._do(protocol.parse(text if isinstance(text, str) else ""), sink)
        except UserError as error:
            event_id = protocol.event_id_of(text) if isinstance(text, str) else None
            sink.message(protocol.Error(code="bad_message", message=str(error), event_id=event_id))

    async def _tell(self, sink: ChannelSink) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            seats = len(self.house.host.seats)
            stats = self.seat.stats(self.house.engine, seats)
            sink.message(stats.model_copy(update={"session_id": self.seat.id}))
            if self.receives:
                self.house.figures.watch(stats)

    def _hold_pictures(self, held: bool) -> None:
        """The WebSocket sends none while frames come this way; one that comes there frees it."""
        owner = self.house.owners.get(self.seat.id)
        if owner is not None:
            owner.hold_pictures(held)

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


def _open_line(peer: Peer, sdp: str) -> Line:
    """A line of the package that is chosen for an offer."""
    if package_for(peer.house.rtc, peer.role, sdp) == REACTOR:
        from everframe.serve.rtc_reactor import ReactorLine

        return ReactorLine(peer)
    from everframe.serve.rtc_aiortc import AiortcLine

    return AiortcLine(peer)


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
