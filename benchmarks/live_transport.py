"""Capture to decoded picture without a model: on this machine, and over a made path.

The server runs in a process of its own with the identity engine. WebRTC and WebSocket get the same
512x512 frames at 25 a second; every picture that comes back is counted with its age when it is
decoded to RGB. `browser` rows are the page in headless Chromium, capture to display as its meter
says, with a webcam file at the same size.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import everframe
from benchmarks.live_browser import AGE, AGE95, SHOWN, readings
from benchmarks.live_calls import Call, Seen, StampedCamera, camera_frames
from benchmarks.live_server import LiveServer
from benchmarks.made_path import MadePath, missing
from everframe.core.errors import UserError
from everframe.serve import rtc_choice

SIDE, FPS = 512, 25
WARM_UP_S = 3.0
PATH = {"delay_ms": 20.0, "jitter_ms": 5.0}
"""Each way, as is the loss; the order of the packets is kept."""
MADE_BY = "TUN relay between this machine and a network namespace"
LOSSES = (0.01, 0.03)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """How the pictures go: `kind` webrtc, browser (WebRTC to Chromium) or websocket; its codec; the
    server's package for WebRTC.
    """

    kind: str
    codec: str
    package: str = rtc_choice.AIORTC

    @property
    def name(self) -> str:
        """Of its rows."""
        by = "" if self.package == rtc_choice.AIORTC else f" by {self.package}"
        return f"{self.kind}{by}, {self.codec}"


WAYS = (
    Way("webrtc", "H264"),
    Way("webrtc", "VP8"),
    Way("webrtc", "VP8", rtc_choice.REACTOR),
    Way("browser", "VP8"),
    Way("browser", "VP8", rtc_choice.REACTOR),
    Way("websocket", "jpeg"),
)


def loopback(seconds: float, only: str = "") -> dict[str, Row]:
    """Rows of this machine alone."""
    ways = _chosen((*WAYS, Way("websocket", "raw")), only)
    return {way.name: _row(way, None, seconds) for way in ways}


def made_path(seconds: float, only: str = "") -> dict[str, Row]:
    """Rows of a made path, each way at each loss.

    Raises:
        UserError: this machine does not permit one; the message says what is missing.
    """
    if why := missing():
        raise UserError(why)
    rows: dict[str, Row] = {}
    for loss in LOSSES:
        for way in _chosen(WAYS, only):
            with MadePath(**PATH, loss=loss) as path:
                rows[f"{way.name}, {loss:.0%} lost"] = _row(way, path, seconds)
    return rows


def _chosen(ways: tuple[Way, ...], only: str) -> list[Way]:
    """Those whose name holds `only`, and whose package is installed."""
    had = rtc_choice.installed()
    return [way for way in ways if only in way.name and way.package in had]


def _row(way: Way, path: MadePath | None, seconds: float) -> Row:
    """Play it, and its figures; `server_cpu` is a share of a core."""
    size = f"{SIDE}x{SIDE}"
    options = ("--engine", "identity", "--size", size, "--rtc", way.package)
    with LiveServer(*options, path=path) as server:
        if way.kind == "browser":
            return _browser(server, seconds)
        play = _call if way.kind == "webrtc" else _socket
        begin, before = time.monotonic(), server.cpu_s()
        seen = asyncio.run(play(server, way.codec, seconds))
        used = (server.cpu_s() - before) / (time.monotonic() - begin)
    return {**_ages(seen, seconds), "server_cpu": round(used, 3)}


def _browser(server: LiveServer, seconds: float) -> Row:
    marks: list[float] = []

    def mark() -> None:
        marks.extend((time.monotonic(), server.cpu_s()))

    table = readings(server.url, seconds, transport="webrtc", token=server.token, ready=mark)
    mark()
    return {
        "p50": round(float(np.median(table[:, AGE])), 1),
        "p95": round(float(np.median(table[:, AGE95])), 1),
        "p95_max": round(float(table[:, AGE95].max()), 1),
        "fps_shown": round(float(table[:, SHOWN].mean()), 1),
        "server_cpu": round((marks[3] - marks[1]) / (marks[2] - marks[0]), 3),
    }


async def _call(server: LiveServer, codec: str, seconds: float) -> Seen:
    async with Call(server, StampedCamera(camera_frames(SIDE), FPS), codec) as call:
        await call.watch(Seen(), WARM_UP_S)
        seen = Seen()
        await call.watch(seen, seconds)
    return seen


async def _socket(server: LiveServer, codec: str, seconds: float) -> Seen:
    frames, seen = camera_frames(SIDE), Seen()
    opened = everframe.connect(server.url, prompt="pencil sketch", codec=codec, token=server.token)
    async with opened as live:

        async def look() -> None:
            while True:
                seen.add((await live.next()).age_ms)

        looker = asyncio.create_task(look())
        begin = time.monotonic()
        for number in range(round((WARM_UP_S + seconds) * FPS)):
            live.send(frames[number % len(frames)])
            await asyncio.sleep(max(0.0, begin + (number + 1) / FPS - time.monotonic()))
        looker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looker
    kept = [(at - WARM_UP_S, a) for at, a in zip(seen.at_s, seen.age_ms, strict=True)]
    kept = [pair for pair in kept if pair[0] >= 0]
    return Seen(at_s=[at for at, _ in kept], age_ms=[a for _, a in kept])


def _ages(seen: Seen, seconds: float) -> Row:
    p50, p95, p99 = np.percentile(np.array(seen.age_ms), [50, 95, 99])
    tenth = seconds / 10
    return {
        "p50": round(float(p50), 1),
        "p95": round(float(p95), 1),
        "p99": round(float(p99), 1),
        "max": round(float(max(seen.age_ms)), 1),
        "p50_first_tenth": round(float(np.median(seen.between(0, tenth))), 1),
        "p50_last_tenth": round(float(np.median(seen.between(seconds - tenth, np.inf))), 1),
        "fps_shown": round(len(seen.age_ms) / seconds, 1),
        "frames": len(seen.age_ms),
        "unreadable": seen.unread,
    }
