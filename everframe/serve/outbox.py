"""What waits to be sent on a connection: all messages, and the newest picture only."""

from __future__ import annotations

import asyncio
from collections import deque

from everframe.serve import protocol
from everframe.serve.mailbox import Mailbox

MESSAGES_KEPT = 256
"""A peer that reads nothing loses the oldest messages beyond this."""


class Outbox:
    """A `seat.Sink` that a coroutine empties. `picture` and `message` may come from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """For the connection's event loop."""
        self._loop, self._ready = loop, asyncio.Event()
        self._messages: deque[str] = deque(maxlen=MESSAGES_KEPT)
        self._picture: Mailbox[bytes] = Mailbox()
        self.ended = self.held = False

    def picture(self, data: bytes) -> None:
        """Replace the picture that was not sent yet; none is taken while `held`."""
        if self.held:
            return
        self._picture.put(data)
        self._wake()

    def message(self, message: protocol.Message) -> None:
        """Add a message."""
        self._messages.append(protocol.dump(message))
        self.ended = self.ended or isinstance(message, protocol.SessionEnded)
        self._wake()

    async def next(self) -> str | bytes:
        """The next thing to send: messages first."""
        while True:
            if self._messages:
                return self._messages.popleft()
            picture = self._picture.take()
            if picture is not None:
                return picture
            self._ready.clear()
            if not self._messages and not self._picture:
                await self._ready.wait()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop is closed: the connection is gone
            self.ended = True
