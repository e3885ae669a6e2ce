"""What the parts of a server share: host, admission, figures, and whether it is closing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from everframe.core.errors import UserError
from everframe.serve.admission import Admission
from everframe.serve.host import SessionHost
from everframe.serve.protocol import SessionStart, SessionStats
from everframe.serve.seat import Seat
from everframe.stream.resize import Size

log = logging.getLogger("everframe.serve")
STAGE_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.2, 0.5, 1.0)


class Owner(Protocol):
    """The connection that a session belongs to."""

    def lose(self) -> None:
        """Another connection takes over."""
        ...

    def hold_pictures(self, held: bool) -> None:
        """Send no pictures while they take another road."""
        ...


class Closing(Protocol):
    """A WebRTC connection of a seat."""

    seat: Seat

    @property
    def joined(self) -> bool:
        """Whether it carries the pictures of a WebSocket's session."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Outlet(Protocol):
    """Where one session's pictures leave the server."""

    def follow(self, seat: Seat) -> None:
        """Show this session, if none is shown."""
        ...


@dataclass(slots=True, kw_only=True)
class House:
    """A running server. `size`: of the pictures of who asks for none; `public_url`: its address;
    `rtc`: the WebRTC package wished for (`rtc_choice`); `lost`: sessions whose connection broke
    off, and when (monotonic seconds).
    """

    host: SessionHost
    admission: Admission
    size: Size
    public_url: str = ""
    draining: bool = False
    ready: bool = False
    engine: str = ""
    rtc: str = "auto"
    figures: Figures = field(default_factory=lambda: Figures())
    owners: dict[str, Owner] = field(default_factory=dict[str, Owner])
    outlets: tuple[Outlet, ...] = ()
    peers: dict[str, Closing] = field(default_factory=dict[str, "Closing"])
    lost: dict[str, float] = field(default_factory=dict[str, float])
    _hanging_up: asyncio.Future[None] | None = None

    async def open(self, start: SessionStart, tell: Callable[[int], None]) -> Seat:
        """Admit and open a session; `tell` hears the place in the queue.

        Raises:
            UserError: shutting down, the queue is full, or the settings are not possible.
        """
        if self.draining:
            raise UserError("the server is shutting down; try again in a minute")
        await self.admission.enter(tell)
        size = start.size or (self.size.width, self.size.height)
        try:
            seat = await asyncio.to_thread(self.host.open, start, size)
        except BaseException:
            self.admission.leave()
            raise
        self._name(seat, start.view)
        self.figures.sessions.inc()
        for outlet in self.outlets:
            outlet.follow(seat)
        log.info("session %s opened, %dx%d", seat.id, *size)
        return seat

    def _name(self, seat: Seat, name: str | None) -> None:
        """Let a session be watched by a name, unless another that is not lost has it."""
        holder = self.host.find_view(name) if name else None
        if holder is not None and holder.id in self.lost:
            holder.view_name, holder = "", None
        if name and holder is None:
            seat.view_name = name

    def vacate(self, reason: str) -> None:
        """A session is over: its place is free."""
        self.admission.leave()
        self.figures.sessions.dec()
        self.figures.ended.labels(reason).inc()

    def tidy(self) -> None:
        """End sessions that were left alone for too long."""
        now, limit_s = time.monotonic(), self.host.limits.resume_s
        for session_id, since in list(self.lost.items()):
            seat = self.host.find(session_id)
            if seat is None or now - since > limit_s:
                del self.lost[session_id]
                if seat is not None:
                    self.host.close(seat, "its connection did not come back")
                self.vacate("lost")
        for peer in list(self.peers.values()):
            if self.host.find(peer.seat.id) is None:
                self._hanging_up = asyncio.ensure_future(peer.close())
        self.host.expire()


class Figures:
    """The metrics of a server, in a registry of its own (seconds, base units)."""

    def __init__(self) -> None:
        """All at zero."""
        self.registry = CollectorRegistry()
        self.sessions = Gauge("everframe_sessions", "Open sessions", registry=self.registry)
        self.ended = Counter(
            "everframe_session_end", "Ended sessions", ["reason"], registry=self.registry
        )
        self.frames = Counter("everframe_frames", "Frames", ["result"], registry=self.registry)
        self.errors = Counter(
            "everframe_errors", "Requests refused", ["code"], registry=self.registry
        )
        self.stage = Histogram(
            "everframe_frame_stage_seconds",
            "Medians of a second",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self.glass = Histogram(
            "everframe_glass_to_glass_seconds",
            "Capture to display, medians of a second as viewers report them",
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )

    def watch(self, stats: SessionStats) -> None:
        """Take the figures of a session of one second."""
        self.stage.labels("model").observe(stats.model_ms["p50"] / 1e3)
        self.stage.labels("total").observe(stats.total_ms["p50"] / 1e3)
        self.frames.labels("ok").inc(round(stats.fps_out))
        self.frames.labels("dropped").inc(max(0, round(stats.fps_in - stats.fps_out)))
