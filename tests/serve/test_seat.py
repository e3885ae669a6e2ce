"""What a session does beside restyling: views by name, a limit of time, flashes, advice."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

import everframe
from everframe.core.errors import UserError
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.seat import BRIGHTNESS_STEP, is_english, limit_flicker
from everframe.serve.server import Server
from tests.serve.conftest import HEIGHT, WIDTH, Start, camera

NAME, PROMPT = "a-name-of-16-letters-or-more", "pencil sketch"


def watched(server: Server) -> str:
    seat = server.house.host.find_view(NAME)
    return seat.id if seat else ""


def test_a_view_keeps_its_name_from_one_session_to_the_next(start: Start) -> None:
    server = start()

    async def play() -> None:
        async with everframe.connect(server.url, prompt=PROMPT, view=NAME) as first:
            assert first.session["view_url"].endswith(f"/view#session={NAME}")
            assert watched(server) == first.session["session_id"]
            async with everframe.connect(server.url, prompt=PROMPT, view=NAME) as second:
                assert NAME not in second.session["view_url"]  # it is in use
                assert watched(server) == first.session["session_id"]
        lost = await everframe.connect(server.url, prompt=PROMPT, view=NAME).__aenter__()
        assert watched(server) == lost.session["session_id"]
        assert lost._socket is not None
        lost._socket.transport.abort()
        while not server.house.lost:
            await asyncio.sleep(0.01)
        async with everframe.connect(server.url, prompt=PROMPT, view=NAME) as third:
            assert watched(server) == third.session["session_id"]
        with pytest.raises(UserError, match="view"):
            await everframe.connect(server.url, prompt=PROMPT, view="short").__aenter__()

    asyncio.run(play())


def test_a_session_ends_after_its_time(start: Start, model: Path) -> None:
    server = start(Models(str(model), IDENTITY), limits=Limits(session_s=0.5))

    async def play() -> None:
        async with everframe.connect(server.url, prompt=PROMPT) as live:
            live.send(camera(0))
            await live.next()
            with pytest.raises(UserError, match="a session lasts"):
                await live.next()

    begin = time.monotonic()
    asyncio.run(play())
    assert time.monotonic() - begin < 5


def test_flashes_are_held_back(start: Start, model: Path) -> None:
    server = start(Models(str(model), IDENTITY))
    dark, bright = (np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (10, 240))

    async def means(limit: bool) -> list[float]:
        async with everframe.connect(
            server.url, prompt=PROMPT, codec="raw", limit_flicker=limit
        ) as live:
            seen: list[float] = []
            for number in range(6):
                live.send(bright if number % 2 else dark)
                seen.append(float((await live.next()).pixels.mean()))
            return seen

    assert np.abs(np.diff(asyncio.run(means(limit=False)))).max() > 200
    assert np.abs(np.diff(asyncio.run(means(limit=True)))).max() <= BRIGHTNESS_STEP + 0.5
    np.testing.assert_array_equal(limit_flicker(dark, dark + 5), dark + 5)


def test_a_prompt_without_english_words_is_told(start: Start, model: Path) -> None:
    server = start(Models(str(model), IDENTITY))

    async def warned(prompt: str) -> str:
        async with everframe.connect(server.url, prompt=prompt) as live:
            live.send(camera(0))
            await live.next()
            return live.warning

    assert "English" in asyncio.run(warned("\u6d6e\u4e16\u7d75"))
    assert asyncio.run(warned(PROMPT)) == ""
    assert not is_english("\U0001f308")
    assert is_english("caf\u00e9 at night")
