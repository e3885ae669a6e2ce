"""Capture to decoded picture without a model: on this machine, and over a made path.

The server runs in a process of its own with the identity engine. WebRTC and WebSocket get the same
512x512 frames at 25 a second; every picture that comes back is counted with its age when it is
decoded to RGB.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import numpy as np

import everframe
from benchmarks.live_calls import Call, Seen, StampedCamera, camera_frames
from benchmarks.live_server import LiveServer
from benchmarks.made_path import MadePath, missing
from everframe.core.errors import UserError

SIDE, FPS = 512, 25
WARM_UP_S = 3.0
PATH = {"delay_ms": 20.0, "jitter_ms": 5.0}
"""Each way, as is the loss; the order of the packets is kept."""
MADE_BY = "TUN relay between this machine and a network namespace"
LOSSES = (0.01, 0.03)
WAYS = ("webrtc, H264", "webrtc, VP8", "websocket, jpeg")
Row = dict[str, Any]


def loopback(seconds: float) -> dict[str, Row]:
    """Rows of this machine alone."""
    ways = (*WAYS, "websocket, raw")
    with _server(None) as server:
        return {way: _row(asyncio.run(_play(server, way, seconds)), seconds) for way in ways}


def made_path(seconds: float) -> dict[str, Row]:
    """Rows of a made path, each way at each loss.

    Raises:
        UserError: this machine does not permit one; the message says what is missing.
    """
    if why := missing():
        raise UserError(why)
    rows: dict[str, Row] = {}
    for loss in LOSSES:
        for way in WAYS:
            path = MadePath(**PATH, loss=loss)
            with path, _server(path) as server:
                seen = asyncio.run(_play(server, way, seconds))
                rows[f"{way}, {loss:.0%} lost"] = _row(seen, seconds)
    return rows


def _server(path: MadePath | None) -> LiveServer:
    return LiveServer("--engine", "identity", "--size", f"{SIDE}x{SIDE}", path=path)


async def _play(server: LiveServer, way: str, seconds: float) -> Seen:
    kind, codec = way.split(", ")
    play = _call if kind == "webrtc" else _socket
    return await play(server, codec, seconds)


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


def _row(seen: Seen, seconds: float) -> Row:
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
