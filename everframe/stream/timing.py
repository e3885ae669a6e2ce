"""Percentiles of times in constant memory."""

import random
from array import array
from dataclasses import dataclass

SAMPLES = 20_000
"""Times kept; beyond that, a uniform random sample of all times seen."""
WARM_UP = 5
"""Times at the start that do not count, unless no others follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Percentiles of a set of times, ms; all zero for an empty set."""

    p50: float
    p95: float
    p99: float

    def as_dict(self) -> dict[str, float]:
        """Return the values for JSON, ms with 3 decimals."""
        return {"p50": round(self.p50, 3), "p95": round(self.p95, 3), "p99": round(self.p99, 3)}


class Timings:
    """Collects times in ms; exact up to `SAMPLES`, then a reservoir sample (Vitter's algorithm R).

    The first `WARM_UP` times are set aside, so that percentiles describe the steady state.
    """

    def __init__(self) -> None:
        self._warm_up = array("d")
        self._samples = array("d")
        self._random = random.Random(0)
        self._count = 0

    def add(self, time_ms: float) -> None:
        """Take one time, ms."""
        if len(self._warm_up) < WARM_UP:
            self._warm_up.append(time_ms)
            return
        self._count += 1
        if len(self._samples) < SAMPLES:
            self._samples.append(time_ms)
            return
        slot = self._random.randrange(self._count)
        if slot < SAMPLES:
            self._samples[slot] = time_ms

    def percentiles(self) -> Percentiles:
        """Return p50, p95 and p99 by the nearest rank; zeros if nothing was added."""
        ordered = sorted(self._samples or self._warm_up)
        return Percentiles(p50=_rank(ordered, 50), p95=_rank(ordered, 95), p99=_rank(ordered, 99))


def _rank(ordered: list[float], percent: int) -> float:
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
