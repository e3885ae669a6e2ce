"""The WebSocket: one connection, from its first message to its last picture."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from everframe.core.errors import UserError
from everframe.serve import protocol, wire
from everframe.serve.h264 import Decoder, Encoder
from everframe.serve.house import House
from everframe.serve.outbox import Outbox
from everframe.serve.seat import Seat
from everframe.serve.wire import Codec

log = logging.getLogger("everframe.serve")
START_S = 20.0
"""A connection that says nothing for so long is closed."""
STATS_S = 1.0
POLICY_VIOLATION, GOING_AWAY, NORMAL = 1008, 1001, 1000


class TokenBucket:
    """Allows `rate` events a second, and two seconds' worth at once."""

    def __init__(self, rate: float) -> None:
        """Full."""
        self._rate, self._left, self._at = rate, 2 * rate, time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed."""
        now = time.monotonic()
        self._left = min(2 * self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Connection:
    """A peer: it owns a seat, or watches another's."""

    def __init__(self, socket: WebSocket, house: House) -> None:
        """Not yet accepted."""
        self._socket, self._house = socket, house
        self._outbox = Outbox(asyncio.get_running_loop())
        self._seat: Seat | None = None
        self._owner = False
        self._decoder, self._encoder = Decoder(), None
        limits = house.host.limits
        self._messages = TokenBucket(limits.messages_per_s)
        self._pictures = TokenBucket(limits.frames_per_s)

    async def serve(self) -> None:
        """Until either side ends it."""
        offered = self._socket.scope.get("subprotocols", [])
        known = protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None
        await self._socket.accept(known)
        tasks = {asyncio.create_task(work()) for work in (self._send, self._receive, self._report)}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not isinstance(task.exception(), WebSocketDisconnect | None):
                    log.error("a connection failed", exc_info=task.exception())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._depart()

    async def _send(self) -> None:
        while True:
            item = await self._outbox.next()
            if isinstance(item, str):
                await self._socket.send_text(item)
            else:
                await self._socket.send_bytes(await self._coded(item))
            if self._outbox.ended and not isinstance(item, bytes) and "session.ended" in item:
                await self._socket.close(NORMAL)
                return

    async def _receive(self) -> None:
        while True:
            waiting = self._seat is None
            try:
                async with asyncio.timeout(START_S if waiting else None):
                    got = await self._socket.receive()
            except TimeoutError:
                await self._refuse("no session.start came", POLICY_VIOLATION)
                return
            if got["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(got.get("code", NORMAL))
            data = got.get("bytes")
            allowed = (self._messages if data is None else self._pictures).take()
            if not allowed:
                await self._refuse("too many messages a second", POLICY_VIOLATION)
                return
            event_id: str | None = None
            try:
                if data is not None:
                    await self._take_picture(data)
                else:
                    text = got.get("text") or ""
                    event_id = protocol.event_id_of(text)
                    await self._take_message(protocol.parse(text))
            except UserError as error:
                self._house.figures.errors.labels("bad_message").inc()
                self._outbox.message(
                    protocol.Error(code="bad_message", message=str(error), event_id=event_id)
                )

    async def _refuse(self, why: str, code: int) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            message = protocol.Error(code="closed", message=why, retryable=False)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.send_text(protocol.dump(message))
                await self._socket.close(code, why)

    async def _take_picture(self, data: bytes) -> None:
        seat = self._seat
        if seat is None or not self._owner:
            raise UserError("a picture came before session.start; send that first")
        frame = wire.unpack(data)
        if frame.codec is Codec.H264:  # each one, in order: the next builds on it
            frame = await asyncio.to_thread(self._decoder.decode, frame)
        self._outbox.held = False  # pictures go the way that the last frame came
        self._house.host.submit(seat, frame)

    async def _coded(self, picture: bytes) -> bytes:
        """A packed picture as this peer wants it."""
        if self._encoder is None and self._owner:
            return picture
        frame = wire.unpack(picture)
        if self._encoder is not None:
            frame = await asyncio.to_thread(self._encoder.encode, frame)
        elif frame.codec is Codec.RAW:  # who only watches is not sent megabytes
            frame = await asyncio.to_thread(wire.as_jpeg, frame)
        return frame.pack()

    async def _take_message(self, message: Any) -> None:  # noqa: ANN401 - see `protocol.parse`
        seat, event_id = self._seat, message.event_id
        match message:
            case protocol.SessionPing():
                self._outbox.message(protocol.SessionPong(event_id=event_id))
            case protocol.ClientStats():
                p50 = message.capture_to_display_ms.get("p50")
                if p50 is not None:
                    self._house.figures.glass.observe(p50 / 1e3)
            case protocol.SessionStart() if seat is None:
                await self._start(message)
            case protocol.ViewAttach() if seat is None:
                self._attach(message)
            case _ if seat is None or not self._owner:
                raise UserError(f"{message.type} needs a session of one's own: session.start first")
            case protocol.SessionUpdate():
                seat.change(message)
            case protocol.SessionReset():
                seat.reset(event_id)
            case protocol.SessionEnd():
                self._house.host.close(seat, "ended by its owner")
            case _:
                raise UserError("this connection has a session already; open another one")

    async def _start(self, start: protocol.SessionStart) -> None:
        house = self._house
        seat = house.host.resume(start.resume) if start.resume else None
        if seat is None:
            seat = await house.open(
                start,
                lambda place: self._outbox.message(protocol.SessionQueue(position=place)),
            )
        elif (before := house.owners.pop(seat.id, None)) is not None:
            before.lose()
        house.lost.pop(seat.id, None)
        house.owners[seat.id] = self
        self._seat, self._owner = seat, True
        self._encoder = Encoder() if start.codec == "h264" else None
        self._outbox.message(self._created(seat, start))
        seat.attach(self._outbox)
        seat.advise(start)

    def _created(self, seat: Seat, start: protocol.SessionStart) -> protocol.SessionCreated:
        house, limits = self._house, self._house.host.limits
        return protocol.SessionCreated(
            event_id=start.event_id,
            session_id=seat.id,
            model=start.model or house.host.models.model,
            engine=house.engine,
            size=seat.size,
            limits={"frames_per_s": limits.frames_per_s, "idle_s": limits.idle_s},
            view_url=f"{house.public_url}/view#session={seat.view_name or seat.id}",
            resume_token=seat.resume_token,
            resumed=start.resume == seat.resume_token,
            frame=seat.meter.frames,
        )

    def _attach(self, message: protocol.ViewAttach) -> None:
        seat = self._house.host.find_view(message.session)
        if seat is None:
            raise UserError("there is no such session; copy the address from the page again")
        self._seat = seat
        seat.attach(self._outbox)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            if self._seat is None:
                continue
            if self._house.host.find(self._seat.id) is None and not self._outbox.ended:
                self._outbox.message(protocol.SessionEnded(reason="the session is over"))
            count = len(self._house.host.seats)
            stats = self._seat.stats(self._house.engine, count)
            self._outbox.message(stats.model_copy(update={"session_id": self._seat.id}))
            if self._owner:
                self._house.figures.watch(stats)

    def lose(self) -> None:
        """Another connection has resumed the session."""
        if self._seat is not None:
            self._seat.detach(self._outbox)
        self._seat, self._owner = None, False
        self._outbox.message(protocol.SessionEnded(reason="taken over by another connection"))

    def hold_pictures(self, held: bool) -> None:
        """Send no pictures while they take another road."""
        self._outbox.held = held

    def _depart(self) -> None:
        seat, house = self._seat, self._house
        if seat is None:
            return
        seat.detach(self._outbox)
        if not self._owner:
            return
        house.owners.pop(seat.id, None)
        if house.host.find(seat.id) is None:
            house.vacate("ended")
        else:
            house.lost[seat.id] = time.monotonic()
