"""Pictures of one session out of the server, at an even pace, whatever the session does."""

from __future__ import annotations

import threading
import time

import numpy as np

from everframe.serve import protocol, wire
from everframe.serve.mailbox import Mailbox
from everframe.serve.seat import Seat
from everframe.serve.wire import Pixels
from everframe.stream.resize import Size

FPS = 25


class Outgoing(threading.Thread):
    """Follows the first session, and the next one when that ends; a `seat.Sink`. `run` is what
    differs: where the pictures go.
    """

    def __init__(self, name: str, size: Size) -> None:
        """Pictures of (width, height) `size`, cut to even sides; black before the first one."""
        super().__init__(name=f"everframe-{name}", daemon=True)
        self.size = Size(size.width & ~1, size.height & ~1)
        self.over = threading.Event()
        self.frames = 0
        self._slot: Mailbox[bytes] = Mailbox()
        self._seat: Seat | None = None
        self._last: Pixels = np.zeros((self.size.height, self.size.width, 3), np.uint8)

    def follow(self, seat: Seat) -> None:
        """Show this session, if none is shown."""
        if self._seat is None:
            self._seat = seat
            seat.attach(self)

    def picture(self, data: bytes) -> None:
        """Take a packed picture."""
        self._slot.put(data)

    def message(self, message: protocol.Message) -> None:
        """When the session ends another may be followed."""
        if isinstance(message, protocol.SessionEnded):
            self._seat = None

    def stop(self) -> None:
        """Finish."""
        self.over.set()
        if self.is_alive():
            self.join()

    def newest(self) -> Pixels:
        """The newest picture, or the one before again; uint8 [H, W, 3]."""
        data = self._slot.take()
        if data is not None:
            self._last = wire.fit(wire.decode(wire.unpack(data)), self.size.width, self.size.height)
        return self._last

    def wait(self, begin: float, sent: int) -> None:
        """Until the next picture is due, `sent` pictures after `begin`, s of `time.monotonic`."""
        self.over.wait(max(0.0, begin + sent / FPS - time.monotonic()))
