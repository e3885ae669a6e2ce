"""How old is a live picture? The transport alone, over a made path, the page, an hour.

    python -m benchmarks.live transport --seconds 30
    python -m benchmarks.live wan --seconds 60     (as root: a network namespace)
    python -m benchmarks.live page --seconds 300 --model pocket --size 256x256
    python -m benchmarks.live hour --minutes 60 --plot docs/images/live_hour.png

`transport`: a client in Python and the identity engine, 512x512 frames with noise over loopback,
capture to decoded picture, by WebRTC and WebSocket. `wan`: the same over 40 ms round trip, jitter
and loss. `page`: headless Chromium with a 640x480 webcam file at 25 frames a second, capture to
display as the page's meter says, read once a second (p50 and p95 of 200 frames). `hour`: two
sessions side by side. Client, browser and server share the machine. Prints a table and, last, one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import sync_playwright

from benchmarks.live_hour import hour, plot
from benchmarks.live_transport import MADE_BY, PATH, loopback, made_path
from everframe.runtime.bench import commit, hardware
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size, parse_size

FPS = 25
METER = ("m-age", "m-age95", "m-fps", "m-model", "m-drop")
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


def resident_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


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
    readings: list[list[float]] = []
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
            age, late, rates, model, left_out = tab.evaluate(shown, list(METER))
            received, displayed = rates.split(" / ")
            texts = (age, late.split()[-1], displayed, model, received, left_out.split()[0])
            readings.append([float(text) for text in texts])
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
            "fps_received_mean": round(float(table[:, 4].mean()), 2),
            "left_out": round(float(table[-1, 5] - table[0, 5])),
            "model_ms": round(float(np.median(table[:, 3])), 1),
            "seconds": args.seconds,
            "memory_mb": [round(m) for m in memory],
        }
    }


def command(words: Sequence[str]) -> str:
    """What was run, with paths as seen from the checkout: a result names no machine."""
    root = f"{Path(__file__).resolve().parents[1]}/"
    return " ".join(["python -m benchmarks.live", *(word.removeprefix(root) for word in words)])


def tabled(report: dict[str, Any]) -> str:
    """A report as JSON, one line for each of its rows."""
    rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in report["rows"].items()]
    head = json.dumps({**report, "rows": {}}, indent=1)
    return head.removesuffix("{}\n}") + "{\n" + ",\n".join(rows) + "\n }\n}\n"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the age of live pictures.")
    parser.add_argument("what", choices=("transport", "wan", "page", "hour"))
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--size", type=parse_size, default=Size(288, 224))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path, help="of the hour, PNG")
    args = parser.parse_args()
    about: dict[str, Any] = {}
    match args.what:
        case "transport":
            rows = loopback(args.seconds)
        case "wan":
            rows = made_path(args.seconds)
            about = {"path_each_way": {**PATH, "made_by": MADE_BY}}
        case "page":
            rows = page(args)
        case _:
            about, rows = hour(args.minutes, args.model, args.engine)
            if args.plot:
                plot(rows, args.plot)
    for name, row in rows.items():
        print(f"{name:28}", "  ".join(f"{k} {v}" for k, v in row.items()))
    report = {
        "command": command(sys.argv[1:]),
        "commit": commit(Path(__file__).parent),
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": hardware(),
        **about,
        "rows": rows,
    }
    if args.out:
        args.out.write_text(tabled(report), encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
