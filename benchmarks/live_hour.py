"""An hour live: two sessions side by side on one server, another clip and another prompt each.

How a picture of the wrong session is told: each camera carries black and white blocks along its
lower edge, in the other's order reversed (black for white), and both looks keep bright bright; so
the blocks of a foreign camera correlate negatively. And one look is green, the other brown: a
foreign prompt or history has the wrong tint. Every picture of the hour is checked for both.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import everframe
from benchmarks.live_server import LiveServer
from everframe.serve.client import LiveConnection, LivePicture

Pixels = NDArray[np.uint8]
SIDE, FPS = 256, 12
WARM_UP_S = 5.0
CLIPS = Path(__file__).resolve().parents[1] / "examples/footage/clips"
CLIP_FRAMES = 120
CODE = np.array([1, -1, 1, 1, -1, -1, 1, -1])
STRIP = SIDE // 8
DARK, BRIGHT = 16, 235


@dataclass(slots=True, kw_only=True)
class Minute:
    """What one session did in a minute."""

    age_ms: list[float] = field(default_factory=list[float])
    not_sent: int = 0
    least_match: float = 1.0
    foreign: int = 0


@dataclass(slots=True, kw_only=True)
class Player:
    """One session. `sign`: of its code; `greener`: whether its look is green rather than brown."""

    clip: str
    prompt: str
    sign: int
    greener: bool
    minute: Minute = field(default_factory=Minute)
    stats: dict[str, Any] = field(default_factory=dict[str, Any])
    foreign: int = 0
    pictures: int = 0

    async def play(self, server: LiveServer, end: float) -> None:
        """Send and receive until a time, monotonic seconds."""
        frames = self.frames()
        size = (SIDE, SIDE)
        async with everframe.connect(server.url, prompt=self.prompt, size=size) as live:
            looker = asyncio.create_task(self._look(live))
            begin, number = time.monotonic(), 0
            while time.monotonic() < end and not looker.done():
                self.minute.not_sent += live.send(frames[number % len(frames)]) < 0
                number += 1
                await asyncio.sleep(max(0.0, begin + number / FPS - time.monotonic()))
                self.stats = live.stats
            if looker.done():
                looker.result()  # raises: the session ended too early
            looker.cancel()
            await asyncio.gather(looker, return_exceptions=True)

    async def _look(self, live: LiveConnection) -> None:
        while True:
            self.check(await live.next())

    def check(self, picture: LivePicture) -> None:
        """Count a picture; whose is it?"""
        minute = self.minute
        minute.age_ms.append(picture.age_ms)
        match = self.match(picture.pixels)
        minute.least_match = min(minute.least_match, match)
        red, green = picture.pixels[:-STRIP, :, :2].reshape(-1, 2).mean(0)
        wrong = bool(match <= 0 or (green > red) != self.greener)
        minute.foreign += wrong
        self.foreign += wrong
        self.pictures += 1

    def match(self, pixels: Pixels) -> float:
        """Correlation of the lower edge with this session's code, -1..1."""
        edge = pixels[-STRIP + 4 : -4].mean((0, 2)).reshape(len(CODE), -1).mean(1)
        edge = edge - edge.mean()
        code = self.sign * (CODE - CODE.mean())
        norm = float(np.linalg.norm(edge) * np.linalg.norm(code))
        return float(edge @ code) / norm if norm else 0.0

    def frames(self) -> list[Pixels]:
        """The clip to and fro, with the code."""
        levels = np.where(self.sign * CODE > 0, BRIGHT, DARK).astype(np.uint8)
        with av.open(str(CLIPS / f"{self.clip}.mp4")) as clip:
            shots = islice(clip.decode(video=0), CLIP_FRAMES)
            frames = [f.reformat(SIDE, SIDE, "rgb24").to_ndarray() for f in shots]
        for frame in frames:
            frame[-STRIP:] = np.repeat(levels, SIDE // len(CODE))[None, :, None]
        return [*frames, *frames[-2:0:-1]]


def players() -> list[Player]:
    """Both sessions."""
    return [
        Player(clip="asl_book", prompt="sepia photograph", sign=1, greener=False),
        Player(clip="store-aisle-detection", prompt="night vision goggles", sign=-1, greener=True),
    ]


def hour(minutes: int, model: str, engine: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was found over all, and a row a minute."""
    both = players()
    with LiveServer("--model", model, "--engine", engine, "--size", f"{SIDE}x{SIDE}") as server:
        rows = asyncio.run(_play(both, server, minutes))
        wrongs = server.wrongs()
    found = {
        "size": f"{SIDE}x{SIDE}",
        "fps_sent": FPS,
        "sessions": [{"clip": p.clip, "prompt": p.prompt, "pictures": p.pictures} for p in both],
        "foreign_pictures": sum(p.foreign for p in both),
        "least_match": min(min(row["least_match"]) for row in rows.values()),
        "server_errors": len(wrongs),
        "first_errors": wrongs[:5],
    }
    return found, rows


async def _play(both: list[Player], server: LiveServer, minutes: int) -> dict[str, Any]:
    begin = time.monotonic() + WARM_UP_S
    end = begin + 60 * minutes
    tasks = [asyncio.create_task(player.play(server, end + 1)) for player in both]
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    before = [_begin_minute(player) for player in both]
    rows: dict[str, Any] = {}
    for number in range(1, minutes + 1):
        await asyncio.wait(
            tasks,
            timeout=max(0.0, begin + 60 * number - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in tasks:
            if task.done():
                task.result()
        done = [(player.minute, dict(player.stats)) for player in both]
        row = [_figures(m, now, old) for (m, now), (_, old) in zip(done, before, strict=True)]
        before = [_begin_minute(player) for player in both]
        rows[f"minute {number}"] = {name: [one[name] for one in row] for name in row[0]} | {
            "server_mb": round(server.resident_mb(), 1)
        }
        print(f"minute {number:3}", rows[f"minute {number}"], flush=True)
    await asyncio.gather(*tasks)
    return rows


def _begin_minute(player: Player) -> tuple[Minute, dict[str, Any]]:
    player.minute = Minute()
    return player.minute, dict(player.stats)


def _figures(minute: Minute, now: dict[str, Any], before: dict[str, Any]) -> dict[str, float]:
    p50, p95 = np.percentile(minute.age_ms or [np.nan], [50, 95])
    return {
        "age_ms_p50": round(float(p50), 1),
        "age_ms_p95": round(float(p95), 1),
        "fps": round(len(minute.age_ms) / 60, 2),
        "late": now["late"] - before.get("late", 0),
        "dropped": now["dropped"] - before.get("dropped", 0),
        "not_sent": minute.not_sent,
        "foreign": minute.foreign,
        "least_match": round(minute.least_match, 3),
    }


def plot(rows: dict[str, Any], path: Path) -> None:
    """Age, pictures a second and memory over the minutes."""
    names = [player.prompt for player in players()]
    x = np.arange(1, len(rows) + 1)
    figure, (age, rate, memory) = plt.subplots(3, 1, figsize=(8, 6), sharex=True)
    for k, name in enumerate(names):
        p50, p95, fps = (
            [row[key][k] for row in rows.values()] for key in ("age_ms_p50", "age_ms_p95", "fps")
        )
        (line,) = age.plot(x, p50, label=f"{name}, p50")
        age.plot(x, p95, "--", color=line.get_color(), label=f"{name}, p95")
        rate.plot(x, fps, label=name)
    memory.plot(x, [row["server_mb"] for row in rows.values()], color="black")
    for axes, label in ((age, "age, ms"), (rate, "pictures/s"), (memory, "server, MB")):
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.2 * axes.dataLim.y1)
        axes.grid(alpha=0.3)
    age.legend(fontsize=8, ncols=2)
    memory.set_xlabel("minute")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
