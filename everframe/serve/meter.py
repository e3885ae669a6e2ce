"""Figures of one live session, over its last frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

KEPT = 128
"""Frames that times are taken over."""
WINDOW_S = 2.0
"""Span of the rates."""


@dataclass(slots=True, kw_only=True)
class Rate:
    """Events per second over the last `WINDOW_S`."""

    _times: deque[float] = field(default_factory=deque[float])

    def mark(self, now: float) -> None:
        """Count one, at `now` seconds."""
        self._times.append(now)
        self._forget(now)

    def per_second(self, now: float) -> float:
        """The rate at `now`."""
        self._forget(now)
        return len(self._times) / WINDOW_S

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] < now - WINDOW_S:
            self._times.popleft()


@dataclass(slots=True, kw_only=True)
class Meter:
    """Rates, times in ms and counts. `late`: pictures that left after their deadline."""

    came: Rate = field(default_factory=Rate)
    left: Rate = field(default_factory=Rate)
    model_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=KEPT))
    total_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=KEPT))
    frames: int = 0
    late: int = 0
    fallback: dict[str, int] = field(default_factory=lambda: {"steps": 0, "reuse": 0, "camera": 0})
    received: tuple[int, int] = (0, 0)

    @property
    def miss_rate(self) -> float:
        """Share of the frames that were late."""
        return self.late / self.frames if self.frames else 0.0


def percentiles(times: deque[float]) -> dict[str, float]:
    """p50 and p95, ms, rounded to 0.01; zeros where nothing was measured."""
    if not times:
        return {"p50": 0.0, "p95": 0.0}
    p50, p95 = np.percentile(np.array(times), [50, 95])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}
