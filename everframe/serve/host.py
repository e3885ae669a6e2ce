"""`SessionHost`: one process, one model thread, several sessions that take turns."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from everframe.serve import protocol
from everframe.serve.models import Models
from everframe.serve.seat import Seat, Settings
from everframe.serve.wire import Codec, WireFrame
from everframe.stream.control import Control, weighted_prompts

T = TypeVar("T")
log = logging.getLogger("everframe.serve")
DEFAULT_PROMPT = "pencil sketch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of a server: sessions at once and waiting; seconds until a broken, an idle and any session
    ends (0: never); age that a picture should not pass, ms; messages and frames per second.
    """

    sessions: int = 4
    waiting: int = 16
    resume_s: float = 30.0
    idle_s: float = 300.0
    session_s: float = 0.0
    deadline_ms: float = 150.0
    messages_per_s: float = 50.0
    frames_per_s: float = 120.0


class SessionHost:
    """Runs the sessions. Everything that touches a model happens in its one thread."""

    def __init__(self, models: Models, limits: Limits) -> None:
        """Not yet running; see `start`."""
        self.models, self.limits = models, limits
        self._seats: dict[str, Seat] = {}
        self._order: deque[str] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._running = False
        self._thread = threading.Thread(target=self._run, name="everframe-model", daemon=True)

    def start(self) -> None:
        """Start the model thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """End every session and the thread."""
        for seat in list(self._seats.values()):
            self.close(seat, "the server is shutting down")
        with self._wake:
            self._running = False
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def seats(self) -> list[Seat]:
        """The sessions of this moment."""
        return list(self._seats.values())

    def find(self, session_id: str) -> Seat | None:
        """The session with this id."""
        return self._seats.get(session_id)

    def find_view(self, name: str) -> Seat | None:
        """The session with this id, or the one that is watched by this name."""
        named = (s for s in self.seats if s.view_name and s.view_name == name)
        return self.find(name) or next(named, None)

    def resume(self, token: str) -> Seat | None:
        """The session that has this resume token."""
        return next((s for s in self.seats if s.resume_token == token), None)

    def open(self, start: protocol.SessionStart, size: tuple[int, int]) -> Seat:
        """A new session of (width, height) `size`; blocks for the second or two of a new size.

        Raises:
            UserError: no such model, or settings that are not possible.
        """
        model = self.models.check(start.model or self.models.model)
        engine = self.models.open(model, *size)
        settings = Settings(
            prompt=start.prompt or DEFAULT_PROMPT,
            prompt_b=start.prompt_b or "",
            blend=start.blend or 0.0,
            freeze=bool(start.freeze),
            bypass=bool(start.bypass),
            limit_flicker=bool(start.limit_flicker),
        )
        control = Control(
            prompts=weighted_prompts(settings.prompts()),
            strength=1.0 if start.strength is None else start.strength,
            seed=start.seed or 0,
            steps=start.steps or 1,
        )
        restyler = self.call(lambda: self.models.begin(model, engine, control)).result()
        seat = Seat(
            restyler,
            settings,
            size=size,
            codec=Codec.JPEG if start.codec == "jpeg" else Codec.RAW,
            quality=start.quality,
            deadline_ms=self.limits.deadline_ms,
        )
        with self._wake:
            self._seats[seat.id] = seat
            self._order.append(seat.id)
        return seat

    def close(self, seat: Seat, reason: str) -> None:
        """End a session; everyone attached is told."""
        with self._wake:
            if self._seats.pop(seat.id, None) is None:
                return
            self._order.remove(seat.id)
        seat.tell(protocol.SessionEnded(reason=reason))

    def submit(self, seat: Seat, frame: WireFrame) -> None:
        """Hand a frame to its session."""
        seat.put(frame)
        with self._wake:
            self._wake.notify()

    def call(self, job: Callable[[], T]) -> Future[T]:
        """Run something in the model thread, between two frames."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:  # the caller's, at `result`
                future.set_exception(error)

        with self._wake:
            self._jobs.append(run)
            self._wake.notify()
        return future

    def expire(self) -> None:
        """End what was idle for too long or has lasted too long."""
        now = time.monotonic()
        for seat in self.seats:
            if self.limits.idle_s and now - seat.used_at > self.limits.idle_s:
                self.close(seat, f"no frame came for {self.limits.idle_s:.0f} s")
            elif self.limits.session_s and now - seat.opened_at > self.limits.session_s:
                self.close(seat, f"a session lasts {self.limits.session_s:.0f} s here")

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: not self._running or self._jobs or self._next())
                if not self._running and not self._jobs:
                    return
                job = self._jobs.popleft() if self._jobs else None
                seat = None if job else self._next()
                if seat is not None:
                    self._order.remove(seat.id)
                    self._order.append(seat.id)
            if job is not None:
                job()
            elif seat is not None:
                self._turn(seat)

    def _turn(self, seat: Seat) -> None:
        try:
            seat.turn()
        except Exception:
            log.exception("a session failed and is closed")
            self.close(seat, "an unexpected error; start again")

    def _next(self) -> Seat | None:
        """Whose turn it is: of those with a frame, the one that waited longest."""
        return next((self._seats[i] for i in self._order if self._seats[i].mailbox), None)
