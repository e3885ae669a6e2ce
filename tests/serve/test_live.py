"""A real server, a real WebSocket: the chain of equalities reaches over the network."""

import asyncio
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import everframe
from everframe.core.errors import UserError
from everframe.serve.client import LiveConnection
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.wire import Flags, Pixels
from tests.serve.conftest import Start, camera, offline

PROMPT, OTHER = "pencil sketch", "oil painting"
SLOW_MS = 50
FLOOD_S = 6.0
GROWTH_MB = 25


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def restyle(live: LiveConnection, number: int) -> Pixels:
    assert live.send(camera(number)) > 0
    return (await live.next()).pixels


def test_a_stream_over_the_network_is_the_session_bit_for_bit(start: Start, model: Path) -> None:
    server, session = start(), offline(model, PROMPT)

    async def play() -> list[Pixels]:
        async with everframe.connect(server.url, prompt=PROMPT, codec="raw") as live:
            return [await restyle(live, n) for n in range(6)]

    for number, made in enumerate(asyncio.run(play())):
        np.testing.assert_array_equal(made, session.step(camera(number)))


def test_a_change_holds_from_the_frame_that_the_answer_names(start: Start, model: Path) -> None:
    server, session = start(), offline(model, PROMPT)

    async def play() -> tuple[int, dict[int, Pixels]]:
        async with everframe.connect(server.url, prompt=PROMPT, codec="raw") as live:
            made = {n: await restyle(live, n) for n in (1, 2)}
            answer = asyncio.create_task(live.update(prompt=OTHER, strength=0.5))
            await asyncio.sleep(0.05)
            made |= {n: await restyle(live, n) for n in (3, 4)}
            return await answer, made

    first, made = asyncio.run(play())
    assert first == 3
    for number, picture in made.items():
        if number == first:
            session.update(prompt=OTHER, strength=0.5)
        np.testing.assert_array_equal(picture, session.step(camera(number)))


def test_sessions_side_by_side_do_not_mix(start: Start, model: Path) -> None:
    server = start()

    async def play(prompt: str, base: int) -> list[Pixels]:
        async with everframe.connect(server.url, prompt=prompt, codec="raw") as live:
            made: list[Pixels] = []
            for n in range(8):
                made.append(await restyle(live, base + n))
                await asyncio.sleep(0.002 * (base % 7))
            return made

    async def both() -> list[list[Pixels]]:
        return list(await asyncio.gather(play(PROMPT, 100), play(OTHER, 205), play(PROMPT, 303)))

    for (prompt, base), made in zip(
        ((PROMPT, 100), (OTHER, 205), (PROMPT, 303)), asyncio.run(both()), strict=True
    ):
        session = offline(model, prompt)
        for n, picture in enumerate(made):
            np.testing.assert_array_equal(picture, session.step(camera(base + n)))


def test_a_slow_model_drops_frames_and_builds_no_queue(start: Start, model: Path) -> None:
    """`benchmarks/live_slow.py` does the same for a minute."""
    server = start(Models(str(model), f"identity:{SLOW_MS}"), limits=Limits(deadline_ms=1000))
    big = np.resize(camera(1), (512, 512, 3))

    async def play() -> tuple[list[float], list[float], dict[str, Any]]:
        ages: list[float] = []
        memory: list[float] = []
        async with everframe.connect(server.url, prompt=PROMPT, codec="raw") as live:

            async def look() -> None:
                while True:
                    ages.append((await live.next()).age_ms)

            looker = asyncio.create_task(look())
            until = time.monotonic() + FLOOD_S
            while time.monotonic() < until:
                live._in_flight = 0  # a client that does not hold back
                live.send(big)
                memory.append(resident_mb())
                await asyncio.sleep(0.025)
            looker.cancel()
            return ages, memory, live.stats

    ages, memory, stats = asyncio.run(play())
    assert len(ages) > 30
    assert np.median(ages[-20:]) < 5 * SLOW_MS
    assert np.median(ages[-20:]) < 2 * np.median(ages[10:30])
    assert stats["dropped"] > 30
    assert stats["model_ms"]["p50"] >= 0.95 * SLOW_MS
    third = len(memory) // 3
    assert np.median(memory[-10:]) - np.median(memory[third : third + 10]) < GROWTH_MB


def test_a_late_frame_gets_the_last_picture_but_never_twice_in_a_row(
    start: Start, model: Path
) -> None:
    server = start(Models(str(model), f"identity:{SLOW_MS}"), limits=Limits(deadline_ms=40))

    async def play() -> tuple[list[Flags], dict[str, Any]]:
        flags: list[Flags] = []
        async with everframe.connect(server.url, prompt=PROMPT) as live:
            for n in range(30):
                live.send(camera(n))
                flags.append((await live.next()).flags)
            await asyncio.sleep(1.1)
            return flags, live.stats

    flags, stats = asyncio.run(play())
    late = [bool(f & Flags.FALLBACK) for f in flags]
    assert any(late)
    assert not any(a and b for a, b in pairwise(late))
    assert stats["fallback"]["reuse"] == sum(late)
    assert stats["miss_rate"] > 0.3


def test_a_broken_connection_goes_on_where_it_was(start: Start, model: Path) -> None:
    server, session = start(), offline(model, PROMPT)

    async def play() -> tuple[list[Pixels], dict[str, Any]]:
        first = everframe.connect(server.url, prompt=PROMPT, codec="raw")
        live = await first.__aenter__()
        made = [await restyle(live, n) for n in range(3)]
        token = live.session["resume_token"]
        second = everframe.connect(server.url, prompt=PROMPT, codec="raw", resume=token)
        async with second as again:  # while the first still seems open, as after a dead network
            made += [await restyle(again, n) for n in range(3, 6)]
            with pytest.raises(UserError, match="taken over"):
                await live.next()
            return made, again.session

    made, told = asyncio.run(play())
    assert told["resumed"] is True
    assert told["frame"] == 3
    for number, picture in enumerate(made):
        np.testing.assert_array_equal(picture, session.step(camera(number)))
    assert server.house.admission.taken <= 1


def test_a_session_whose_connection_stays_away_ends(start: Start) -> None:
    server = start(limits=Limits(resume_s=0.2))

    async def play() -> None:
        live = await everframe.connect(server.url, prompt=PROMPT).__aenter__()
        assert live._socket is not None
        live._socket.transport.abort()

    asyncio.run(play())
    until = time.monotonic() + 5
    while server.house.admission.taken and time.monotonic() < until:
        time.sleep(0.05)
    assert server.house.admission.taken == 0
    assert server.house.host.seats == []


def test_who_finds_no_seat_waits_in_order(start: Start) -> None:
    server = start(limits=Limits(sessions=1, waiting=1))

    async def play() -> int:
        third = everframe.connect(server.url, prompt=PROMPT)
        async with everframe.connect(server.url, prompt=PROMPT) as first:
            second = everframe.connect(server.url, prompt=PROMPT)
            opening = asyncio.create_task(second.__aenter__())
            while not second.queue_position:
                await asyncio.sleep(0.01)
            with pytest.raises(UserError, match="queue is full"):
                await third.__aenter__()
            await third.__aexit__(None, None, None)
            assert not opening.done()
            assert (await restyle(first, 0)).shape[2] == 3
        live = await asyncio.wait_for(opening, 5)
        await restyle(live, 0)
        place = second.queue_position
        await second.__aexit__(None, None, None)
        return place

    assert asyncio.run(play()) == 1


def test_a_bad_setting_is_refused_and_the_stream_goes_on(start: Start) -> None:
    server = start()

    async def play() -> None:
        async with everframe.connect(server.url, prompt=PROMPT) as live:
            await restyle(live, 0)
            for wrong in ({"prompt": ""}, {"steps": 3}, {"strength": 2}, {"colour": "red"}):
                with pytest.raises(UserError, match=next(iter(wrong))):
                    await live.update(**wrong)
            await restyle(live, 1)

    asyncio.run(play())


def test_freeze_bypass_and_back(start: Start) -> None:
    server = start()

    async def wish(live: LiveConnection, **settings: bool) -> None:
        answer = asyncio.create_task(live.update(**settings))
        await asyncio.sleep(0.05)
        await restyle(live, 9)
        await answer

    async def play() -> None:
        async with everframe.connect(server.url, prompt=PROMPT, codec="raw") as live:
            made = await restyle(live, 0)
            await wish(live, freeze=True)
            np.testing.assert_array_equal(await restyle(live, 1), made)
            await wish(live, freeze=False, bypass=True)
            np.testing.assert_array_equal(await restyle(live, 2), camera(2))
            await wish(live, bypass=False)
            assert not np.array_equal(await restyle(live, 3), camera(3))

    asyncio.run(play())
