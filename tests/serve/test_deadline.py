"""What is shown when a picture would be late, or when the model fails."""

import logging

import numpy as np
import pytest

from everframe.serve import protocol, wire
from everframe.serve.deadline import Deadline
from everframe.serve.models import Camera
from everframe.serve.seat import Seat, Settings
from everframe.serve.wire import Codec, Flags, Pixels, WireFrame
from everframe.stream.control import Control
from tests.serve.conftest import HEIGHT, WIDTH, camera


class Breaks(Camera):
    """Turns pictures upside down, and fails on the second one."""

    def __init__(self) -> None:
        super().__init__(Control(prompts=(("noir", 1.0),)))
        self.steps_taken = self.resets = 0

    def step(self, frame: Pixels, /) -> Pixels:
        self.steps_taken += 1
        if self.steps_taken == 2:
            raise RuntimeError("no memory")
        return frame[::-1]

    def reset(self) -> None:
        self.resets += 1


class Kept:
    """A sink that remembers the last picture."""

    def picture(self, data: bytes) -> None:
        self.last = wire.unpack(data)

    def message(self, message: protocol.Message) -> None:
        raise AssertionError(message)


def test_fewer_steps_then_the_last_picture_never_twice() -> None:
    deadline = Deadline(limit_ms=100)
    assert deadline.choose(5, 4, can_reuse=True).steps == 4  # nothing is known yet
    deadline.took(4, 80)
    assert deadline.expected_ms(2) == 40
    kinds = [deadline.choose(age, 4, can_reuse=True) for age in (10, 30, 70, 95, 95, 95, 10)]
    assert [(c.kind, c.steps) for c in kinds] == [
        ("model", 4), ("model", 2), ("model", 1), ("reuse", 1), ("model", 1), ("reuse", 1),
        ("model", 4),
    ]  # fmt: skip
    assert deadline.choose(95, 4, can_reuse=False).kind == "model"


def test_a_model_that_fails_shows_the_camera_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, sink = Breaks(), Kept()
    seat = Seat(
        model,
        Settings(prompt="noir"),
        size=(WIDTH, HEIGHT),
        codec=Codec.RAW,
        quality=85,
        deadline_ms=60_000,
    )
    seat.attach(sink)
    for number, (turned, flag) in enumerate([(1, 0), (0, Flags.FALLBACK), (1, 0)]):
        frame = camera(number)
        seat.put(
            WireFrame(
                codec=Codec.RAW,
                frame_id=number,
                capture_ms=0.0,
                width=WIDTH,
                height=HEIGHT,
                payload=frame.tobytes(),
            )
        )
        with caplog.at_level(logging.CRITICAL):
            assert seat.turn()
        wanted = frame[::-1] if turned else frame
        np.testing.assert_array_equal(wire.decode(sink.last), wanted)
        assert sink.last.flags & Flags.FALLBACK == flag
    assert model.resets == 1
    assert seat.stats("tiny", 1).fallback["camera"] == 1
