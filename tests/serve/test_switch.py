"""A prompt switch on the shipped model is seen at once, over a real connection."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

import everframe
from everframe import Session
from everframe.data.source import read_clip
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.server import Address, Server
from everframe.serve.wire import Pixels
from everframe.stream.resize import Size
from tests.serve.conftest import PATIENT_MS

WIDTH, HEIGHT = 160, 128
CLIP = Path(__file__).resolve().parents[2] / "examples/webcam.mp4"
BEFORE, AFTER = 5, 3
SWITCHES = (("pencil sketch", "thermal camera"), ("oil painting", "night vision"))


def psnr(a: Pixels, b: Pixels) -> float:
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def always(prompt: str, frames: list[Pixels]) -> list[Pixels]:
    """A stream that never had another prompt."""
    session = Session.from_pretrained("pocket", prompt=prompt, height=HEIGHT, width=WIDTH)
    return [session.step(frame) for frame in frames]


@pytest.mark.parametrize(("old", "new"), SWITCHES)
def test_the_new_look_is_there_within_two_frames(old: str, new: str) -> None:
    clip = read_clip(CLIP, height=HEIGHT, width=WIDTH, limit=2 * (BEFORE + AFTER))
    frames = list(clip[::2])
    server = Server(
        Models("pocket"), Address(port=0), Limits(deadline_ms=PATIENT_MS), Size(WIDTH, HEIGHT)
    )
    server.start()

    async def play() -> tuple[int, list[Pixels]]:
        made: list[Pixels] = []
        async with everframe.connect(server.url, prompt=old, codec="raw") as live:

            async def restyle(frame: Pixels) -> None:
                live.send(frame)
                made.append((await live.next()).pixels)

            for frame in frames[:BEFORE]:
                await restyle(frame)
            answer = asyncio.create_task(live.update(prompt=new))
            await asyncio.sleep(0.1)
            for frame in frames[BEFORE:]:
                await restyle(frame)
            return await answer, made

    try:
        first, made = asyncio.run(play())
    finally:
        server.stop()
    assert first == BEFORE + 1  # frames are counted from 1
    olds, news = always(old, frames), always(new, frames)
    last = BEFORE - 1
    assert psnr(made[last], olds[last]) > 10 + psnr(made[last], news[last])
    for number in range(BEFORE, BEFORE + AFTER):
        nearer = psnr(made[number], news[number]) - psnr(made[number], olds[number])
        assert nearer > 10, (number, nearer)
