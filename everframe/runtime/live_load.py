"""How many live streams one device serves: every stream has a frame due at each tick of its own
clock; what counts is the time from then until the frame is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

FPS = 25.0
BUDGET_MS = 40.0
"""In which 99 of 100 frames must be done."""
SETTLE = 5
"""First frames of each stream that do not count."""


class Lane(Protocol):
    """A stream with at most one frame on the device."""

    def submit(self) -> None:
        """Queue the next frame; does not wait."""
        ...

    def done(self) -> bool:
        """Whether the frame that was submitted last is ready."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Latencies of all frames of a number of streams, ms."""

    streams: int
    ms_p50: float
    ms_p95: float
    ms_p99: float


def latencies(
    lanes: Sequence[Lane],
    *,
    frames: int,
    fps: float = FPS,
    clock: Callable[[], float] = time.perf_counter,
) -> Load:
    """Run all lanes side by side, their ticks spread evenly over a period.

    Args:
        lanes: the streams.
        frames: of each stream, more than `SETTLE`.
        fps: ticks per second.
        clock: seconds.
    """
    start, count = clock(), len(lanes)
    sent, done = [0] * count, [0] * count
    taken: list[float] = []
    while min(done) < frames:
        for i, lane in enumerate(lanes):
            if sent[i] > done[i] and lane.done():
                due = start + (done[i] + i / count) / fps
                if done[i] >= SETTLE:
                    taken.append((clock() - due) * 1e3)
                done[i] += 1
            if sent[i] == done[i] < frames and clock() >= start + (sent[i] + i / count) / fps:
                lane.submit()
                sent[i] += 1
    p50, p95, p99 = (float(x) for x in np.percentile(taken, [50, 95, 99]))
    return Load(streams=count, ms_p50=p50, ms_p95=p95, ms_p99=p99)


def most_streams(measure: Callable[[int], Load], *, limit: int = 512) -> Load | None:
    """The largest load within `BUDGET_MS`, by doubling and then halving the interval; None if even
    one stream is too slow.

    Args:
        measure: number of streams -> load.
        limit: streams that are never exceeded.
    """
    best, low, high = None, 0, limit + 1
    streams = 1
    while low + 1 < high:
        load = measure(streams)
        if load.ms_p99 <= BUDGET_MS:
            best, low = load, streams
        else:
            high = streams
        streams = min(2 * low, limit) if high > limit else (low + high) // 2
        if streams == low:
            break
    return best
