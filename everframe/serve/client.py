"""A client of `everframe live` in Python.

>>> async with everframe.connect("http://127.0.0.1:7860", prompt="pencil sketch") as live:
...     live.send(frame)                       # uint8 [H, W, 3] RGB; never waits
...     picture = await live.next()            # the newest that came back
...     first = await live.update(prompt="oil painting")   # id of the first frame in the new look
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from everframe.core.errors import UserError
from everframe.serve import wire
from everframe.serve.h264 import Decoder, Encoder
from everframe.serve.protocol import SUBPROTOCOL, TOKEN_SUBPROTOCOL
from everframe.serve.wire import Codec, Flags, Pixels, WireFrame

IN_FLIGHT = 3
"""Frames on the way at most; what comes meanwhile is left out."""
PICTURES_KEPT = 8
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePicture:
    """A restyled frame: pixels uint8 [H, W, 3], the id of its camera frame, and its age in ms."""

    pixels: Pixels
    frame_id: int
    age_ms: float
    flags: Flags


class LiveConnection:
    """One session on a server; made by `connect`."""

    def __init__(self, url: str, token: str, settings: dict[str, Any]) -> None:
        """Not yet open; use it with `async with`."""
        self._url, self._token, self._settings = url, token, settings
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._pictures: deque[LivePicture] = deque(maxlen=PICTURES_KEPT)
        self._came = asyncio.Condition()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._sent: set[asyncio.Future[None]] = set()
        self._asked = self._frames = self._in_flight = 0
        self._over = ""
        self._encoder, self._decoder = Encoder(), Decoder()
        self.stats: dict[str, Any] = {}
        self.session: dict[str, Any] = {}
        self.queue_position = 0
        self.warning = ""

    async def __aenter__(self) -> Self:
        """Connect and open the session.

        Raises:
            UserError: no server there, or it refuses.
        """
        offered = [Subprotocol(SUBPROTOCOL)]
        if self._token:
            offered.append(Subprotocol(TOKEN_SUBPROTOCOL + self._token))
        address = self._url.replace("http", "ws", 1).rstrip("/") + "/ws"
        try:
            self._socket = await open_socket(
                address, subprotocols=offered, max_size=wire.PAYLOAD_BYTES + wire.HEADER.size
            )
        except InvalidStatus as error:
            said = (error.response.body or b"").decode(errors="replace").strip()
            status = error.response.status_code
            why = said or f"status {status}: token missing or wrong, or the address not allowed"
            raise UserError(f"{self._url} refuses: {why}") from None
        except (OSError, WebSocketException, ValueError) as error:
            raise UserError(f"no server at {self._url} ({error}); start: everframe live") from None
        self._reader = asyncio.create_task(self._read())
        self.session = await self._ask({"type": "session.start", **self._settings}, None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session."""
        if self._socket is not None:
            with contextlib.suppress(WebSocketException):
                await self._socket.send(json.dumps({"type": "session.end"}))
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def send(self, frame: Pixels, *, quality: int = 85) -> int:
        """Send a camera frame, uint8 [H, W, 3]; its id, or -1 if it was left out because
        `IN_FLIGHT` are on the way.
        """
        if self._in_flight >= IN_FLIGHT or self._socket is None:
            return -1
        coded = self._settings.get("codec", "jpeg")
        codec = Codec.JPEG if coded == "jpeg" else Codec.RAW
        self._frames += 1
        self._in_flight += 1
        packed = WireFrame(
            codec=codec,
            frame_id=self._frames,
            capture_ms=1e3 * time.monotonic(),
            width=frame.shape[1],
            height=frame.shape[0],
            payload=wire.encode(np.ascontiguousarray(frame), codec, quality),
        )
        if coded == "h264":
            packed = self._encoder.encode(packed)
        task = asyncio.ensure_future(self._socket.send(packed.pack()))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)
        return self._frames

    async def next(self) -> LivePicture:
        """The next picture that came back.

        Raises:
            UserError: the session is over.
        """
        async with self._came:
            await self._came.wait_for(lambda: self._pictures or self._over)
            if self._pictures:
                return self._pictures.popleft()
        raise UserError(f"the live session is over: {self._over}")

    async def __aiter__(self) -> Any:  # noqa: ANN401 - an async generator of LivePicture
        """Pictures until the session ends."""
        with contextlib.suppress(UserError):
            while True:
                yield await self.next()

    async def update(self, **settings: Any) -> int:
        """Change settings (docs/live.md, `session.update`); the id of the first frame that has
        them. Frames have to flow meanwhile.

        Raises:
            UserError: a setting is not possible.
        """
        return int((await self._ask({"type": "session.update", **settings}))["frame"])

    async def reset(self) -> int:
        """Forget the past; the id of the first frame after it."""
        return int((await self._ask({"type": "session.reset"}))["frame"])

    async def _ask(
        self, message: dict[str, Any], timeout_s: float | None = ANSWER_S
    ) -> dict[str, Any]:
        assert self._socket is not None
        self._asked += 1
        event_id = f"c{self._asked}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[event_id] = answer
        await self._socket.send(json.dumps({**message, "event_id": event_id}))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise UserError(f"no answer to {message['type']} within {timeout_s:.0f} s") from None

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for data in self._socket:
                await (self._hear(json.loads(data)) if isinstance(data, str) else self._see(data))
        except WebSocketException as error:
            self._over = self._over or str(error)
        await self._end(self._over or "the server closed the connection")

    async def _see(self, data: bytes) -> None:
        frame = wire.unpack(data)
        self._in_flight = self._frames - frame.frame_id  # older ones were dropped on the way
        if frame.codec is Codec.H264:
            frame = self._decoder.decode(frame)
        picture = LivePicture(
            pixels=wire.decode(frame),
            frame_id=frame.frame_id,
            age_ms=1e3 * time.monotonic() - frame.capture_ms,
            flags=frame.flags,
        )
        async with self._came:
            self._pictures.append(picture)
            self._came.notify_all()

    async def _hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "session.stats":
            self.stats = message
        elif kind == "session.queue":
            self.queue_position = int(message["position"])
        elif kind == "session.warning":
            self.warning = str(message["message"])
        elif kind == "session.ended":
            await self._end(str(message["reason"]))
        answer = self._answers.pop(str(message.get("event_id")), None)
        if kind == "error" and answer is None:  # of a picture
            self._in_flight = 0
        if answer is not None and not answer.done():
            if kind == "error":
                answer.set_exception(UserError(str(message["message"])))
            else:
                answer.set_result(message)

    async def _end(self, why: str) -> None:
        self._over = self._over or why
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(UserError(f"the live session is over: {self._over}"))
        self._answers.clear()
        async with self._came:
            self._came.notify_all()


def connect(
    url: str = "http://127.0.0.1:7860",
    *,
    prompt: str,
    token: str = "",
    size: tuple[int, int] | None = None,
    **settings: Any,
) -> LiveConnection:
    """A session on a live server, for `async with`.

    Args:
        url: of the server.
        prompt: how the video shall look.
        token: the server's, if it demands one.
        size: (width, height) of the pictures, multiples of 16; the server's own if left out.
        settings: others of `session.start` (docs/live.md): strength, seed, steps, codec, quality.
    """
    chosen: dict[str, Any] = {"prompt": prompt, **settings}
    if size is not None:
        chosen["size"] = size
    return LiveConnection(url, token, chosen)
