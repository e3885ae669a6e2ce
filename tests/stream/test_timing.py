"""Percentiles in constant memory."""

import sys

import pytest

from everframe.stream.timing import SAMPLES, WARM_UP, Percentiles, Timings


def test_nearest_rank_after_the_warm_up() -> None:
    timings = Timings()
    for time_ms in [1000.0] * WARM_UP + [float(i) for i in range(100, 0, -1)]:
        timings.add(time_ms)
    assert timings.percentiles() == Percentiles(p50=50.0, p95=95.0, p99=99.0)


def test_a_short_run_counts_its_warm_up_and_none_gives_zeros() -> None:
    timings = Timings()
    assert timings.percentiles() == Percentiles(p50=0.0, p95=0.0, p99=0.0)
    timings.add(7.0)
    assert timings.percentiles() == Percentiles(p50=7.0, p95=7.0, p99=7.0)
    assert timings.percentiles().as_dict() == {"p50": 7.0, "p95": 7.0, "p99": 7.0}


def test_long_runs_are_sampled_evenly() -> None:
    timings = Timings()
    before = sys.getsizeof(timings)
    count = 4 * SAMPLES
    for index in range(count):
        timings.add(float(index))
    assert sys.getsizeof(timings) == before
    found = timings.percentiles()
    assert found.p50 == pytest.approx(0.50 * count, rel=0.05)
    assert found.p99 == pytest.approx(0.99 * count, rel=0.05)
