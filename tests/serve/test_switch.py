"""A prompt switch is seen at once: pixels of the shipped model, on real footage."""

import asyncio
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

import everframe
from everframe.serve.client import LiveConnection
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.server import Address, Server
from everframe.serve.wire import Pixels
from everframe.stream.resize import Size

CLIP = Path(__file__).resolve().parents[2] / "examples/webcam.mp4"
OLD, NEW = "pencil sketch", "thermal camera"
FRAMES, SWITCH = 14, 7
WITHIN = 2
"""Frames after the acknowledged one by which the new look must show."""


def footage() -> list[Pixels]:
    with av.open(str(CLIP)) as clip:
        frames = islice(clip.decode(video=0), FRAMES)
        small = [f.reformat(width=128, height=128) for f in frames]
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in small]


async def restyle(live: LiveConnection, frame: Pixels) -> Pixels:
    number = live.send(frame)
    picture = await live.next()
    assert picture.frame_id == number
    return picture.pixels


def distance(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("back", [False, True])
def test_a_switch_is_seen_within_two_frames_of_its_answer(back: bool) -> None:
    old, new = (NEW, OLD) if back else (OLD, NEW)
    server = Server(Models("pocket"), Address(port=0), Limits(deadline_ms=60_000), Size(128, 128))
    server.start()

    async def play(prompt: str, then: str = "") -> tuple[list[Pixels], int]:
        made: list[Pixels] = []
        async with everframe.connect(server.url, prompt=prompt, codec="raw") as live:
            answer: asyncio.Task[int] | None = None
            for number, frame in enumerate(footage()):
                if number == SWITCH and then:
                    answer = asyncio.create_task(live.update(prompt=then))
                    await asyncio.sleep(0)  # it is on its way before the next frame
                made.append(await restyle(live, frame))
            return made, await answer if answer else 0

    async def all_three() -> list[tuple[list[Pixels], int]]:
        return list(await asyncio.gather(play(old), play(new), play(old, new)))

    try:
        (always_old, _), (always_new, _), (switched, first) = asyncio.run(all_three())
    finally:
        server.stop()
    shown = first - 1  # ids count from 1
    assert SWITCH <= shown <= SWITCH + WITHIN
    assert distance(always_old[shown], always_new[shown]) > 20  # the looks differ strongly
    for number in range(shown):
        np.testing.assert_array_equal(switched[number], always_old[number])
    for number in range(shown + WITHIN, FRAMES):
        to_new = distance(switched[number], always_new[number])
        assert to_new < 0.5 * distance(switched[number], always_old[number])
