"""The loop: order, exact prompts, bounded memory, faults, Ctrl-C."""

import threading
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from everframe.stream import pump
from everframe.stream.frame import Frame, Pixels
from everframe.stream.timeline import Timeline, parse_prompts

ONE_PROMPT = Timeline(opening="a")


class Inverter:
    """Inverts colours; notes at which frame it was given a prompt, and fails on demand."""

    def __init__(self, *, fails_at: int = -1, error: BaseException | None = None) -> None:
        self.steps = 0
        self.updates: list[tuple[int, str, int]] = []
        self._fails_at = fails_at
        self._error = error

    def step(self, frame: Pixels) -> Pixels:
        if self._error is not None and self.steps == self._fails_at:
            raise self._error
        self.steps += 1
        return 255 - frame

    def update(self, *, prompt: str, transition: int) -> None:
        self.updates.append((self.steps, prompt, transition))


class ListSink:
    """Keeps the level of each frame."""

    def __init__(self, *, fails_at: int = -1) -> None:
        self.frames: list[tuple[int, Fraction]] = []
        self._fails_at = fails_at

    def write(self, frame: Frame) -> None:
        if len(self.frames) == self._fails_at:
            raise OSError("disk full")
        self.frames.append((int(frame.pixels[0, 0, 0]), frame.time))

    def finish(self, *, cut: bool) -> None: ...

    def discard(self) -> None: ...


def count_up(count: int, *, side: int = 4, fails_at: int = -1) -> Iterator[Frame]:
    for index in range(count):
        if index == fails_at:
            raise OSError("cable pulled")
        level = np.full((side, side, 3), index % 256, np.uint8)
        yield Frame(pixels=level, time=Fraction(index, 25))


def test_every_frame_in_order() -> None:
    sink, seen = ListSink(), list[int]()
    report = pump.run(
        count_up(50),
        Inverter(),
        sink,
        timeline=ONE_PROMPT,
        on_progress=lambda progress: seen.append(progress.frames),
    )
    assert sink.frames == [(255 - index, Fraction(index, 25)) for index in range(50)]
    assert report.frames == 50
    assert not report.interrupted
    assert not report.limited
    assert report.fps > 0
    assert report.model_ms.p50 > 0
    assert len(seen) == 50
    assert seen == sorted(seen)


def test_prompts_change_at_exact_frames() -> None:
    restyler = Inverter()
    timeline = parse_prompts(["a", "0.4s:b", "30f:c", "1.2s:d", "9s:e"], transition=6)
    report = pump.run(count_up(40), restyler, ListSink(), timeline=timeline)
    assert restyler.updates == [(10, "b", 6), (30, "d", 6)]  # c and d fall on one frame: the last
    assert [cue.prompt for cue in report.unreached] == ["e"]


def test_limit_and_composition() -> None:
    sink = ListSink()
    report = pump.run(
        count_up(10), Inverter(), sink, timeline=ONE_PROMPT, limit=3, compose=lambda x, _: x
    )
    assert [level for level, _ in sink.frames] == [0, 1, 2]
    assert report.limited
    exact = pump.run(count_up(3), Inverter(), ListSink(), timeline=ONE_PROMPT, limit=3)
    assert not exact.limited


def test_no_frames() -> None:
    report = pump.run(count_up(0), Inverter(), ListSink(), timeline=ONE_PROMPT)
    assert (report.frames, report.fps, report.total_ms.p99) == (0, 0.0, 0.0)


@pytest.mark.parametrize("part", ["read", "restyle", "write"])
def test_faults_reach_the_caller_and_end_the_threads(part: str) -> None:
    restyler = Inverter(fails_at=7 if part == "restyle" else -1, error=OSError("model broke"))
    frames = count_up(10_000, fails_at=7 if part == "read" else -1)
    sink = ListSink(fails_at=7 if part == "write" else -1)
    with pytest.raises(OSError, match={"read": "cable", "restyle": "model", "write": "disk"}[part]):
        pump.run(frames, restyler, sink, timeline=ONE_PROMPT)
    assert [t.name for t in threading.enumerate() if t.name.startswith("everframe")] == []
    assert len(sink.frames) <= 7


def test_ctrl_c_keeps_what_was_restyled() -> None:
    sink = ListSink()
    restyler = Inverter(fails_at=20, error=KeyboardInterrupt())
    report = pump.run(count_up(10_000), restyler, sink, timeline=ONE_PROMPT)
    assert report.interrupted
    assert report.frames == len(sink.frames) == 20
    assert [t.name for t in threading.enumerate() if t.name.startswith("everframe")] == []


def test_reading_does_not_run_ahead() -> None:
    taken = 0
    lead = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in count_up(300):
            taken += 1
            yield frame

    class Slow(Inverter):
        def step(self, frame: Pixels) -> Pixels:
            nonlocal lead
            lead = max(lead, taken - self.steps)
            threading.Event().wait(0.0005)
            return super().step(frame)

    pump.run(counted(), Slow(), ListSink(), timeline=ONE_PROMPT)
    assert lead <= pump.QUEUE_FRAMES + 2  # the queue, the one waiting to enter, the one in hand


def test_memory_is_constant() -> None:
    class CountingSink(ListSink):
        def write(self, frame: Frame) -> None:
            del frame

    side = 64
    tracemalloc.start()
    try:
        pump.run(count_up(3_000, side=side), Inverter(), CountingSink(), timeline=ONE_PROMPT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * side * side * 3 + 300_000
