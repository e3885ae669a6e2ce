"""The only loop: source -> restyler -> sink, in order, nothing dropped, the three overlapping in
time.

A thread reads ahead and a thread writes behind, each through a queue of a few frames; the model
runs in the calling thread. Memory stays constant however long the stream is. On one or two cores
the model needs all of them: the stages then take turns, since overlap would only make them wait for
each other in the middle of a frame.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Protocol

from everframe.stream.frame import Frame, Pixels, Sink
from everframe.stream.timeline import Cue, Timeline
from everframe.stream.timing import Percentiles, Timings

QUEUE_FRAMES = 4
"""Frames held between two stages at most."""
OVERLAP_CORES = 3
"""Cores from which on the stages run at the same time."""
_POLL_S = 0.1


class Restyler(Protocol):
    """What the pump drives: a `Session`, or anything that turns frames into frames."""

    def step(self, frame: Pixels, /) -> Pixels:
        """Return the restyled frame, uint8 [H, W, 3]."""
        ...

    def update(self, *, prompt: str, transition: int) -> object:
        """Take a new prompt from the next frame on, blended in over `transition` frames."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands: frames written, and frames per second since the first one."""

    frames: int
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpReport:
    """What a run did.

    Attributes:
        frames: frames written.
        fps: frames per second from the first finished frame to the last.
        interrupted: whether Ctrl-C ended it.
        limited: whether the limit ended it, before the source did.
        decode_ms: read, decode and resize of one frame.
        model_ms: one step of the restyler.
        encode_ms: convert and encode of one frame.
        total_ms: interval between finished frames, the wall time a frame costs.
        unreached: cues whose start never came.
    """

    frames: int
    fps: float
    interrupted: bool
    limited: bool
    decode_ms: Percentiles
    model_ms: Percentiles
    encode_ms: Percentiles
    total_ms: Percentiles
    unreached: tuple[Cue, ...]


class _Turns:
    """A fair lock: whoever asks first is served first (`threading.Lock` lets a stage go twice).

    With `shared` nobody waits at all.
    """

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._changed = threading.Condition()
        self._waiting: deque[int] = deque()

    def __enter__(self) -> None:
        if self._shared:
            return
        me = threading.get_ident()
        with self._changed:
            self._waiting.append(me)
            self._changed.wait_for(lambda: self._waiting[0] == me)

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give up this thread's place, if it has one: Ctrl-C may strike anywhere in between."""
        with self._changed:
            if threading.get_ident() in self._waiting:
                self._waiting.remove(threading.get_ident())
            self._changed.notify_all()


Compose = Callable[[Pixels, Pixels], Pixels]
"""(camera picture, restyled picture) -> picture to write."""


def restyled_only(_camera: Pixels, restyled: Pixels) -> Pixels:
    """Write the result alone."""
    return restyled


@dataclass(slots=True)
class _Marks:
    decode: Timings = field(default_factory=Timings)
    model: Timings = field(default_factory=Timings)
    encode: Timings = field(default_factory=Timings)
    total: Timings = field(default_factory=Timings)


class _Stage(threading.Thread):
    """A worker whose failure stops the run and is raised in the calling thread."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.error: BaseException | None = None
        self.queue: Queue[Frame | None] = Queue(QUEUE_FRAMES)
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # handed to the caller by `check`
            self.error = error
            self.stop.set()

    def work(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def finished(self) -> None:
        """Wait for the end of the work, and raise its failure."""
        while self.is_alive():
            self.join(_POLL_S)
        self.check()

    def put(self, frame: Frame | None) -> bool:
        """Queue a frame; False if the run stopped instead."""
        while not self.stop.is_set():
            try:
                self.queue.put(frame, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False

    def get(self) -> Frame | None:
        """Take the next frame; None at the end or if the run stopped."""
        while not self.stop.is_set():
            try:
                return self.queue.get(timeout=_POLL_S)
            except Empty:
                continue
        return None


class _Reader(_Stage):
    def __init__(
        self, frames: Iterator[Frame], limit: int | None, marks: Timings, turn: _Turns
    ) -> None:
        super().__init__("everframe-read")
        self._turn = turn
        self.more = False
        """Whether the limit, not the source, ended the run."""
        self._frames = frames
        self._limit = limit
        self._marks = marks

    def work(self) -> None:
        count = 0
        while True:
            with self._turn:
                start = time.perf_counter()
                frame = next(self._frames, None)
                spent_s = time.perf_counter() - start
            if frame is None or count == self._limit:
                self.more = frame is not None
                break
            self._marks.add(spent_s * 1000)
            count += 1
            if not self.put(frame):
                return
        self.put(None)


class _Writer(_Stage):
    def __init__(self, sink: Sink, marks: _Marks, turn: _Turns) -> None:
        super().__init__("everframe-write")
        self._turn = turn
        self.frames = 0
        self.first_s = self.last_s = 0.0
        self._sink = sink
        self._marks = marks

    def work(self) -> None:
        while (frame := self.get()) is not None:
            with self._turn:
                start = time.perf_counter()
                self._sink.write(frame)
                end = time.perf_counter()
            self._marks.encode.add((end - start) * 1000)
            if self.frames == 0:
                self.first_s = end
            else:
                self._marks.total.add((end - self.last_s) * 1000)
            self.last_s = end
            self.frames += 1

    @property
    def fps(self) -> float:
        elapsed_s = self.last_s - self.first_s
        return (self.frames - 1) / elapsed_s if self.frames > 1 and elapsed_s > 0 else 0.0


def run(
    frames: Iterator[Frame],
    restyler: Restyler,
    sink: Sink,
    *,
    timeline: Timeline,
    limit: int | None = None,
    compose: Compose = restyled_only,
    on_progress: Callable[[Progress], None] | None = None,
) -> PumpReport:
    """Restyle every frame and write it.

    The opening prompt is the caller's business (the restyler starts with it); each later cue is
    applied before the first frame at or past its start. Ctrl-C ends the run early: frames already
    restyled are still written, and the report says so; a second Ctrl-C is raised.

    Args:
        frames: in order; read in another thread.
        restyler: called in this thread.
        sink: written in another thread; neither finished nor discarded here.
        timeline: the prompts that follow the opening one.
        limit: stop after so many frames.
        compose: what to write for a camera picture and its result.
        on_progress: called in this thread after each frame.

    Raises:
        Exception: whatever reading, restyling or writing raised first.
    """
    marks = _Marks()
    turn = _Turns(shared=(os.cpu_count() or 1) >= OVERLAP_CORES)
    reader, writer = _Reader(frames, limit, marks.decode, turn), _Writer(sink, marks, turn)
    pending = list(timeline.cues)
    interrupted = False
    reader.start()
    writer.start()
    try:
        try:
            for index, frame in enumerate(iter(reader.get, None)):
                _apply_due(pending, restyler, index, frame)
                with turn:
                    start = time.perf_counter()
                    restyled = restyler.step(frame.pixels)
                    marks.model.add((time.perf_counter() - start) * 1000)
                if not writer.put(Frame(pixels=compose(frame.pixels, restyled), time=frame.time)):
                    break
                if on_progress is not None:
                    on_progress(Progress(frames=writer.frames, fps=writer.fps))
            reader.check()
        except KeyboardInterrupt:
            interrupted = True
            turn.leave()
            reader.stop.set()
        writer.put(None)
        writer.finished()
    finally:
        reader.stop.set()
        writer.stop.set()
        reader.join()
        writer.join()
    return _report(writer, marks, pending, ended_early=(interrupted, reader.more))


def _apply_due(pending: list[Cue], restyler: Restyler, index: int, frame: Frame) -> None:
    due = [cue for cue in pending if cue.start.reached(index, frame.time)]
    if due:
        restyler.update(prompt=due[-1].prompt, transition=due[-1].transition)
        pending[:] = [cue for cue in pending if cue not in due]


def _report(
    writer: _Writer, marks: _Marks, pending: list[Cue], *, ended_early: tuple[bool, bool]
) -> PumpReport:
    interrupted, limited = ended_early
    return PumpReport(
        frames=writer.frames,
        fps=writer.fps,
        interrupted=interrupted,
        limited=limited,
        decode_ms=marks.decode.percentiles(),
        model_ms=marks.model.percentiles(),
        encode_ms=marks.encode.percentiles(),
        total_ms=marks.total.percentiles(),
        unreached=tuple(pending),
    )
