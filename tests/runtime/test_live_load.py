"""Counting live streams on a device that serves frames one after the other, in virtual time."""

from dataclasses import dataclass, field

import pytest

from everframe.runtime.live_load import BUDGET_MS, Load, latencies, most_streams

SLICE_S = 1e-4


@dataclass
class Device:
    """Takes `frame_s` for a frame; its clock moves a little each time that it is read."""

    frame_s: float
    now: float = 0.0
    free_at: float = 0.0

    def clock(self) -> float:
        self.now += SLICE_S / 20
        return self.now


@dataclass
class Queued:
    device: Device
    ready: float = field(default=0.0)

    def submit(self) -> None:
        self.device.free_at = max(self.device.free_at, self.device.now) + self.device.frame_s
        self.ready = self.device.free_at

    def done(self) -> bool:
        return self.device.clock() >= self.ready


def load_of(streams: int, frame_s: float) -> Load:
    device = Device(frame_s)
    return latencies([Queued(device) for _ in range(streams)], frames=15, clock=device.clock)


def test_an_idle_device_answers_after_one_frame() -> None:
    assert load_of(2, 0.004).ms_p99 == pytest.approx(4, abs=0.3)


def test_a_late_frame_counts_from_when_it_was_due() -> None:
    assert load_of(12, 0.005).ms_p99 > 2 * BUDGET_MS


def test_as_many_streams_as_fit_into_a_period() -> None:
    best = most_streams(lambda streams: load_of(streams, 0.004), limit=64)
    assert best is not None
    assert best.streams in (9, 10)  # 10 x 4 ms fill the period of 40 ms
    assert most_streams(lambda streams: load_of(streams, 0.05)) is None
    assert most_streams(lambda streams: load_of(streams, 1e-4), limit=8) == load_of(8, 1e-4)
