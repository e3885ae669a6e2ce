"""A call over a made network path: 40 ms round trip, jitter, and packets that get lost."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live_calls import Call, Seen, StampedCamera, camera_frames, read, stamp
from benchmarks.live_server import LiveServer
from benchmarks.made_path import MadePath, missing
from everframe.serve.models import IDENTITY

SIDE, FPS = 256, 25
BEFORE_S, LOSS_S, AFTER_S = 0.8, 1.7, 1.2
LOSS = 0.03
STANDSTILL_S = 1.2
Far = tuple[MadePath, LiveServer]


@pytest.fixture(scope="module")
def far(model: Path) -> Iterator[Far]:
    """A path, and a server at its far end."""
    if why := missing():
        pytest.skip(why)
    options = ("--model", str(model), "--engine", IDENTITY, "--size", f"{SIDE}x{SIDE}")
    with MadePath(loss=0.0) as path, LiveServer(*options, path=path) as server:
        yield path, server


async def played(far: Far, monkeypatch: pytest.MonkeyPatch | None = None) -> Seen:
    """A call with loss in the middle; without a history, where a monkey is given."""
    path, server = far
    async with Call(server, StampedCamera(camera_frames(SIDE), FPS), "H264") as call:
        if monkeypatch is not None:
            monkeypatch.setattr("aiortc.rtcrtpsender.RTP_HISTORY_SIZE", 1)
        await call.watch(Seen(), 0.5)
        seen = Seen()
        watching = asyncio.create_task(call.watch(seen, BEFORE_S + LOSS_S + AFTER_S))
        await asyncio.sleep(BEFORE_S)
        path.lose(LOSS)
        await asyncio.sleep(LOSS_S)
        path.lose(0.0)
        await watching
    return seen


def check(seen: Seen, *, least_share: float) -> None:
    before = float(np.median(seen.between(0, BEFORE_S)))
    during = seen.between(BEFORE_S, BEFORE_S + LOSS_S)
    after = seen.between(BEFORE_S + LOSS_S + 0.5, np.inf)
    assert 40 < before < 300  # the path's own 40 ms are in it
    assert len(during) > least_share * LOSS_S * FPS
    assert len(after) > 0.6 * (AFTER_S - 0.5) * FPS
    assert float(np.median(after)) < 1.5 * before + 50
    assert max(b - a for a, b in pairwise(seen.at_s)) < STANDSTILL_S
    assert seen.unread == 0  # no picture is shown with parts of it missing


def test_a_stream_goes_on_while_packets_are_lost(far: Far) -> None:
    check(asyncio.run(played(far)), least_share=0.3)
    assert far[1].wrongs() == []


def test_a_key_frame_helps_where_nothing_is_sent_again(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(asyncio.run(played(far, monkeypatch)), least_share=0.05)  # each loss: a quarter second


def test_a_number_in_the_picture_is_read_or_refused() -> None:
    (frame,) = camera_frames(SIDE, 1)
    assert [read(stamp(frame, n)) for n in (0, 1, 1234, 4095, 4096)] == [0, 1, 1234, 4095, 0]
    assert read(frame) is None
    assert read(np.full_like(frame, 128)) is None
    half = stamp(frame, 1234)
    half[:, : SIDE // 2] = stamp(frame, 1235 ^ 2048)[:, : SIDE // 2]
    assert read(half) is None
