"""A live session in its host: frames in, pictures out, settings, figures. Driven by one thread."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from everframe.core.errors import UserError
from everframe.serve import protocol, wire
from everframe.serve.deadline import Deadline
from everframe.serve.mailbox import Mailbox
from everframe.serve.meter import Meter, percentiles
from everframe.serve.models import Restyler
from everframe.serve.wire import Codec, Flags, Pixels, WireFrame

log = logging.getLogger("everframe.serve")
BRIGHTNESS_STEP = 8.0
"""Largest change of the mean from one picture to the next with the limiter on, in levels: at 25
frames a second a full flash (20 levels, ITU-R BT.1702) takes three frames instead of one."""
USUAL_FPS = 25.0


class Sink(Protocol):
    """Where a seat's pictures and messages go. Called by the host's thread; must not block."""

    def picture(self, data: bytes) -> None:
        """Take a packed picture; a newer one may replace it before it is sent."""
        ...

    def message(self, message: protocol.Message) -> None:
        """Take a message; all are sent, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A frame and when it came, monotonic seconds."""

    frame: WireFrame
    at: float


@dataclass(slots=True, kw_only=True)
class Settings:
    """Of a seat, beside those of its restyler."""

    prompt: str
    prompt_b: str = ""
    blend: float = 0.0
    freeze: bool = False
    bypass: bool = False
    limit_flicker: bool = False

    def prompts(self) -> list[tuple[str, float]]:
        """Prompts with their weights."""
        if not self.prompt_b.strip() or self.blend <= 0:
            return [(self.prompt, 1.0)]
        return [(self.prompt, 1 - self.blend), (self.prompt_b, self.blend)]


class Seat:
    """One stream. `put` and `change` may be called by any thread, `turn` by one only."""

    def __init__(
        self,
        restyler: Restyler,
        settings: Settings,
        *,
        size: tuple[int, int],
        codec: Codec,
        quality: int,
        deadline_ms: float,
    ) -> None:
        """A stream of (width, height) `size`."""
        self.id, self.resume_token = secrets.token_urlsafe(9), secrets.token_urlsafe(18)
        self.size, self.meter = size, Meter()
        self.mailbox: Mailbox[Arrival] = Mailbox()
        self.opened_at = self.used_at = time.monotonic()
        self.view_name = ""
        self._restyler, self._settings = restyler, settings
        self._codec, self._quality = codec, quality
        self._deadline = Deadline(limit_ms=deadline_ms)
        self._changes: deque[tuple[Callable[[], None], protocol.Message | None]] = deque()
        self._sinks: list[Sink] = []
        self._lock = threading.Lock()
        self._last: Pixels | None = None

    def attach(self, sink: Sink) -> None:
        """Send pictures and messages there too."""
        with self._lock:
            self._sinks = [*self._sinks, sink]

    def detach(self, sink: Sink) -> None:
        """Send nothing there any more."""
        with self._lock:
            self._sinks = [s for s in self._sinks if s is not sink]

    def tell(self, message: protocol.Message) -> None:
        """Send a message to everyone attached."""
        for sink in self._sinks:
            sink.message(message.model_copy(update={"session_id": self.id}))

    def put(self, frame: WireFrame) -> None:
        """A new camera frame; it replaces one that was not begun."""
        now = time.monotonic()
        self.used_at = now
        self.meter.came.mark(now)
        self.meter.received = frame.width, frame.height
        self.mailbox.put(Arrival(frame=frame, at=now))

    def change(self, wish: protocol.Settings) -> None:
        """Settings to hold from the next frame on; acknowledged with its id."""
        answer = protocol.SessionUpdated(event_id=wish.event_id, frame=0)
        self._changes.append((lambda: self._apply(wish), answer))

    def reset(self, event_id: str | None) -> None:
        """Forget the past before the next frame."""
        answer = protocol.SessionWasReset(event_id=event_id, frame=0)
        self._changes.append((self._restyler.reset, answer))

    def turn(self) -> bool:
        """Restyle the newest frame, if there is one."""
        arrival = self.mailbox.take()
        if arrival is None:
            return False
        frame, begin = arrival.frame, time.monotonic()
        while self._changes:
            change, answer = self._changes.popleft()
            self._make(change, answer, frame.frame_id)
        try:
            camera = wire.fit(wire.decode(frame), *self.size)
        except UserError as error:
            self.tell(protocol.Error(code="bad_picture", message=str(error)))
            return True
        picture, flags = self._picture(camera, 1e3 * (begin - arrival.at))
        payload = wire.encode(picture, self._codec, self._quality)
        end = time.monotonic()
        self._count(end, 1e3 * (end - arrival.at))
        made = WireFrame(
            codec=self._codec,
            flags=flags | Flags.KEY,
            frame_id=frame.frame_id,
            capture_ms=frame.capture_ms,
            width=self.size[0],
            height=self.size[1],
            payload=payload,
            server_ms=1e3 * (end - arrival.at),
        ).pack()
        for sink in self._sinks:
            sink.picture(made)
        return True

    def stats(self, engine: str, sessions: int) -> protocol.SessionStats:
        """The figures of this moment."""
        meter, now = self.meter, time.monotonic()
        return protocol.SessionStats(
            frame=meter.frames,
            fps_in=round(meter.came.per_second(now), 1),
            fps_out=round(meter.left.per_second(now), 1),
            model_ms=percentiles(meter.model_ms),
            total_ms=percentiles(meter.total_ms),
            dropped=self.mailbox.dropped,
            late=meter.late,
            fallback=dict(meter.fallback),
            miss_rate=round(meter.miss_rate, 4),
            received_size=meter.received,
            size=self.size,
            engine=engine,
            sessions=sessions,
        )

    def _make(
        self, change: Callable[[], None], answer: protocol.Message | None, frame_id: int
    ) -> None:
        event_id = answer.event_id if answer else None
        try:
            change()
        except UserError as error:
            self.tell(protocol.Error(code="bad_setting", message=str(error), event_id=event_id))
            return
        if answer is not None:
            self.tell(answer.model_copy(update={"frame": frame_id}))

    def _apply(self, wish: protocol.Settings) -> None:
        now = self._settings
        named = {
            name: value
            for name, value in wish.model_dump(exclude_none=True).items()
            if name in ("prompt", "prompt_b", "blend", "freeze", "bypass", "limit_flicker")
        }
        wanted = replace(now, **named)
        fps = self.meter.came.per_second(time.monotonic()) or USUAL_FPS
        self._restyler.update(
            prompt=wanted.prompts() if wanted.prompts() != now.prompts() else None,
            strength=wish.strength,
            transition=round(wish.transition_s * fps),
            seed=wish.seed,
            steps=wish.steps,
        )
        self._settings = wanted
        self.advise(wish)

    def advise(self, wish: protocol.Settings) -> None:
        """Tell of a prompt that the text encoder cannot read."""
        if any(prompt and not is_english(prompt) for prompt in (wish.prompt, wish.prompt_b)):
            text = "the model reads English: without English words the look is arbitrary"
            self.tell(protocol.SessionWarning(code="language", message=text))

    def _picture(self, camera: Pixels, age_ms: float) -> tuple[Pixels, Flags]:
        settings, last = self._settings, self._last
        if settings.bypass:
            return camera, Flags.BYPASS
        if settings.freeze and last is not None:
            return last, Flags.NONE
        steps = self._restyler.control.steps
        choice = self._deadline.choose(age_ms, steps, can_reuse=last is not None)
        if choice.kind == "reuse" and last is not None:
            self.meter.fallback["reuse"] += 1
            return last, Flags.FALLBACK
        flags = Flags.NONE
        if choice.steps < steps:
            self.meter.fallback["steps"] += 1
            flags = Flags.FALLBACK
        try:
            made = self._model(camera, choice.steps, steps)
        except Exception:
            log.exception("the model failed on a frame; the camera is shown")
            self.meter.fallback["camera"] += 1
            self._restyler.reset()
            return camera, Flags.FALLBACK
        if settings.limit_flicker and last is not None:
            made = limit_flicker(last, made)
        self._last = made
        return made, flags

    def _model(self, camera: Pixels, steps: int, wanted: int) -> Pixels:
        begin = time.monotonic()
        if steps != wanted:
            self._restyler.update(steps=steps)
        try:
            made = self._restyler.step(camera)
        finally:
            if steps != wanted:
                self._restyler.update(steps=wanted)
        spent_ms = 1e3 * (time.monotonic() - begin)
        self._deadline.took(steps, spent_ms)
        self.meter.model_ms.append(spent_ms)
        return made

    def _count(self, now: float, total_ms: float) -> None:
        self.meter.left.mark(now)
        self.meter.total_ms.append(total_ms)
        self.meter.frames += 1
        self.meter.late += total_ms > self._deadline.limit_ms


def is_english(prompt: str) -> bool:
    """Whether half of the letters are those of English, so that it might be."""
    letters = [letter.isascii() for letter in prompt if letter.isalpha()]
    return bool(letters) and 2 * sum(letters) >= len(letters)


def limit_flicker(last: Pixels, made: Pixels) -> Pixels:
    """`made`, drawn towards `last` as far as needed for the mean to change by at most
    `BRIGHTNESS_STEP` levels. A help against flashes, no guarantee for photosensitive viewers.
    """
    change = abs(float(made.mean()) - float(last.mean()))
    if change <= BRIGHTNESS_STEP:
        return made
    share = BRIGHTNESS_STEP / change
    mixed = last.astype(np.float32) * (1 - share) + made.astype(np.float32) * share
    return mixed.round().astype(np.uint8)
