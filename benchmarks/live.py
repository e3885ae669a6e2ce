"""How old is a live picture? The transport alone, over a made path, the page, an hour.

    python -m benchmarks.live transport --seconds 30
    python -m benchmarks.live wan --seconds 60     (as root: a network namespace)
    python -m benchmarks.live page --seconds 300 --model pocket --size 256x256
    python -m benchmarks.live hour --minutes 60 --plot docs/images/live_hour.png

`transport`: a client in Python and the identity engine, 512x512 frames with noise over loopback,
capture to decoded picture, by WebRTC (both packages, if they are installed; `browser`: the page)
and WebSocket. `wan`: the same over 40 ms round trip, jitter
and loss. `page`: headless Chromium with a 640x480 webcam file at 25 frames a second, capture to
display as the page's meter says, read once a second (p50 and p95 of 200 frames). `hour`: two
sessions side by side. Client, browser and server share the machine. Prints a table and, last, one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.live_browser import AGE, AGE95, CAME, LEFT_OUT, MODEL, SHOWN, readings
from benchmarks.live_hour import hour, plot
from benchmarks.live_transport import MADE_BY, PATH, loopback, made_path
from everframe.runtime.bench import commit, hardware
from everframe.serve.host import Limits
from everframe.serve.models import Models
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size, parse_size


def resident_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def page(args: argparse.Namespace) -> dict[str, Any]:
    """Capture to display in headless Chromium, ms, and pictures shown per second."""
    server = Server(Models(args.model, args.engine), Address(port=0), Limits(), args.size)
    server.start()
    memory: list[float] = []
    table = readings(server.url, args.seconds, ready=lambda: memory.append(resident_mb()))
    memory.append(resident_mb())
    server.stop()
    tenth = max(1, len(table) // 10)
    return {
        f"page, {args.model}, {args.size}": {
            "p50": round(float(np.median(table[:, AGE])), 1),
            "p95": round(float(np.median(table[:, AGE95])), 1),
            "p50_first_tenth": round(float(np.median(table[:tenth, AGE])), 1),
            "p50_last_tenth": round(float(np.median(table[-tenth:, AGE])), 1),
            "fps_shown_median": round(float(np.median(table[:, SHOWN])), 1),
            "fps_shown_mean": round(float(table[:, SHOWN].mean()), 2),
            "fps_received_mean": round(float(table[:, CAME].mean()), 2),
            "left_out": round(float(table[-1, LEFT_OUT] - table[0, LEFT_OUT])),
            "model_ms": round(float(np.median(table[:, MODEL])), 1),
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
    parser.add_argument("--only", default="", help="rows of transport and wan that hold this")
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
            rows = loopback(args.seconds, args.only)
        case "wan":
            rows = made_path(args.seconds, args.only)
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
