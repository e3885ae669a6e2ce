"""Seats and the queue for them. On one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from everframe.core.errors import UserError


class Admission:
    """Lets in as many as there are seats; the others wait in order and are told their place."""

    def __init__(self, seats: int, waiting: int) -> None:
        """So many seats, and places in the queue."""
        self.seats, self.waiting = seats, waiting
        self.taken = 0
        self._queue: list[tuple[asyncio.Future[None], Callable[[int], None]]] = []

    @property
    def full(self) -> bool:
        """Whether a newcomer would have to wait."""
        return self.taken >= self.seats

    async def enter(self, tell: Callable[[int], None]) -> None:
        """Take a seat; `tell` hears the place in the queue, from 1.

        Raises:
            UserError: the queue is full, too.
        """
        if not self.full and not self._queue:
            self.taken += 1
            return
        if len(self._queue) >= self.waiting:
            raise UserError("all seats are taken and the queue is full; try again in some minutes")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((turn, tell))
        tell(len(self._queue))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            else:
                self._queue = [place for place in self._queue if place[0] is not turn]
                self._announce()
            raise

    def leave(self) -> None:
        """Give a seat back; the first in the queue gets it."""
        self.taken -= 1
        while self._queue and not self.full:
            turn, _ = self._queue.pop(0)
            if not turn.done():
                self.taken += 1
                turn.set_result(None)
        self._announce()

    def _announce(self) -> None:
        for place, (_, tell) in enumerate(self._queue, 1):
            tell(place)
