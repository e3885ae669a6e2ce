"""How old is a live picture? The transport alone, and the page in a real browser.

    python benchmarks/live.py transport --seconds 30
    python benchmarks/live.py page --seconds 300 --model pocket --size 256x256

`transport`: a Python client and the identity engine, 512x512 noise-like frames over loopback,
capture to decoded picture. `page`: headless Chromium with a 640x480 webcam file at 25 frames a
second, capture to display as the page's meter says, read once a second (p50 and p95 of 200
frames). Client, browser and server share the machine. Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import sync_playwright

import everframe
from everframe.runtime.bench import moving_frame
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size, parse_size

FPS = 25
METER = ("m-age", "m-age95", "m-fps", "m-model")
CLIP = Path(__file__).resolve().parents[1] / "examples/webcam.mp4"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99, rounded to 0.1."""
    p50, p95, p99 = np.percentile(np.array(values), [50, 95, 99])
    return {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1)}


def resident_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def transport(args: argparse.Namespace) -> dict[str, Any]:
    """Capture to decoded picture through the server without a model, ms."""
    size = Size(512, 512)
    server = Server(Models("pocket", IDENTITY), Address(port=0), Limits(), size)
    server.start()
    rng = np.random.default_rng(0)
    noise = rng.integers(-12, 13, (512, 512, 3))
    frames = [
        np.clip(moving_frame(n, 512, 512) + noise, 0, 255).astype(np.uint8) for n in range(25)
    ]
    rows: dict[str, Any] = {}

    async def play(codec: str) -> list[float]:
        ages: list[float] = []
        async with everframe.connect(server.url, prompt="pencil sketch", codec=codec) as live:

            async def look() -> None:
                while True:
                    ages.append((await live.next()).age_ms)

            looker = asyncio.create_task(look())
            end = time.monotonic() + args.seconds
            due = time.monotonic()
            number = 0
            while due < end:
                live.send(frames[number % len(frames)])
                number += 1
                due += 1 / FPS
                await asyncio.sleep(max(0, due - time.monotonic()))
            looker.cancel()
        return ages[FPS:]

    for codec in ("jpeg", "raw"):
        ages = asyncio.run(play(codec))
        rows[f"websocket, {codec}"] = {**percentiles(ages), "frames": len(ages)}
    server.stop()
    return rows


def camera_file(path: Path) -> None:
    """The bundled clip, to and fro, as Chromium takes it for a camera."""
    with av.open(str(CLIP)) as clip:
        frames = [frame.reformat(format="yuv420p") for frame in clip.decode(video=0)]
    with av.open(str(path), "w", format="yuv4mpegpipe") as file:
        stream = file.add_stream("rawvideo", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for frame in [*frames, *frames[-2:0:-1]]:
            frame.pts = None
            for packet in stream.encode(frame):
                file.mux(packet)
        file.mux(stream.encode())


def page(args: argparse.Namespace) -> dict[str, Any]:
    """Capture to display in headless Chromium, ms, and pictures shown per second."""
    server = Server(Models(args.model, args.engine), Address(port=0), Limits(), args.size)
    server.start()
    chromium = shutil.which("chromium")
    readings: list[tuple[float, float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        film = Path(folder) / "camera.y4m"
        camera_file(film)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[*ARGUMENTS, f"--use-file-for-fake-video-capture={film}"],
        )
        tab = browser.new_context(permissions=["camera"]).new_page()
        tab.goto(server.url)
        tab.wait_for_selector("#looks button")
        tab.click("#try")
        tab.wait_for_timeout(8000)
        shown = "(ids) => ids.map((id) => document.getElementById(id).textContent)"
        memory = [resident_mb()]
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            tab.wait_for_timeout(1000)
            age, late, rates, model = tab.evaluate(shown, list(METER))
            readings.append(
                (float(age), float(late.split()[-1]), float(rates.split()[-1]), float(model))
            )
        memory.append(resident_mb())
        browser.close()
    server.stop()
    table = np.array(readings)
    tenth = max(1, len(table) // 10)
    return {
        f"page, {args.model}, {args.size}": {
            "p50": round(float(np.median(table[:, 0])), 1),
            "p95": round(float(np.median(table[:, 1])), 1),
            "p50_first_tenth": round(float(np.median(table[:tenth, 0])), 1),
            "p50_last_tenth": round(float(np.median(table[-tenth:, 0])), 1),
            "fps_shown_median": round(float(np.median(table[:, 2])), 1),
            "fps_shown_mean": round(float(table[:, 2].mean()), 2),
            "model_ms": round(float(np.median(table[:, 3])), 1),
            "seconds": args.seconds,
            "memory_mb": [round(m) for m in memory],
        }
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the age of live pictures.")
    parser.add_argument("what", choices=("transport", "page"))
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--size", type=parse_size, default=Size(288, 224))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = transport(args) if args.what == "transport" else page(args)
    for name, row in rows.items():
        print(f"{name:32}", "  ".join(f"{k} {v}" for k, v in row.items()))
    report = {
        "command": f"python benchmarks/live.py {args.what} --seconds {args.seconds}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "rows": rows,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
