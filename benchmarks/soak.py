"""An hour of live restyling at the pace of a camera: memory, latency, first and last minute.

    python benchmarks/soak.py --minutes 60 --out benchmarks/results/soak_pocket_cpu.json \
        --sheet docs/images/soak.jpg

A clip plays to and fro at `--fps`, in real time: a frame that comes while the session is busy
waits, and one that is overtaken by the next is dropped and counted. Prints a line a minute and,
last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everframe import Session
from everframe.data.held_out import clip_path
from everframe.data.source import read_clip
from everframe.evaluate.streams import ping_pong
from everframe.runtime.bench import commit, hardware

Frame = NDArray[np.uint8]
SHOWN = (0.0, 0.25, 0.5, 0.75)
"""Places of the clip, as shares of it, that the sheet compares."""


class Minute:
    """Latencies of one minute."""

    def __init__(self) -> None:
        self.latency_ms: list[float] = []
        self.dropped = 0

    def line(self) -> dict[str, float]:
        """Figures of the minute; resident size at its end."""
        p50, p95, p99 = np.percentile(self.latency_ms, [50, 95, 99])
        return {
            "frames": len(self.latency_ms),
            "dropped": self.dropped,
            "latency_ms_p50": round(float(p50), 2),
            "latency_ms_p95": round(float(p95), 2),
            "latency_ms_p99": round(float(p99), 2),
            "resident_mb": round(resident_mb(), 1),
        }


def resident_mb() -> float:
    """Resident set of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def soak(
    session: Session, clip: list[Frame], minutes: float, fps: float
) -> tuple[list[dict[str, float]], dict[int, Frame], dict[int, Frame]]:
    """Play; returns the minutes, and the first and the last output of each frame of the clip."""
    order = ping_pong(len(clip), 2 * len(clip) - 2)
    first: dict[int, Frame] = {}
    last: dict[int, Frame] = {}
    rows: list[dict[str, float]] = []
    minute, begin, number = Minute(), time.perf_counter(), 0
    while number < minutes * 60 * fps:
        due = begin + number / fps
        now = time.perf_counter()
        if now > due + 1 / fps:  # the next frame is there already
            minute.dropped += 1
        else:
            time.sleep(max(0.0, due - now))
            index = order[number % len(order)]
            out = session.step(clip[index])
            minute.latency_ms.append(1e3 * (time.perf_counter() - due))
            if number >= len(order):  # the first round opens the stream
                first.setdefault(index, out)
                last[index] = out
        number += 1
        if number % round(60 * fps) == 0:
            rows.append(minute.line())
            print(f"minute {len(rows):>3}  {json.dumps(rows[-1])}", flush=True)
            minute = Minute()
    if minute.latency_ms:
        rows.append(minute.line())
    return rows, first, last


def write_sheet(
    clip: list[Frame], first: dict[int, Frame], last: dict[int, Frame], path: Path
) -> None:
    """Rows: camera, early, late."""
    picks = [round(share * (len(clip) - 1)) for share in SHOWN]
    rows = [np.concatenate([source[i] for i in picks], 1) for source in (dict(enumerate(clip)),
                                                                        first, last)]  # fmt: skip
    Image.fromarray(np.concatenate(rows, 0)).save(path, quality=88)


def main() -> None:
    """Read the command line, play, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="pocket")
    parser.add_argument("--prompt", default="stained glass window")
    parser.add_argument("--clip", default="asl_book")
    parser.add_argument("--footage", type=Path, default=Path("examples/footage"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--height", type=int, default=224)
    parser.add_argument("--width", type=int, default=288)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    path = clip_path(args.footage, args.clip)
    clip = list(read_clip(path, height=args.height, width=args.width)[:100])
    session = Session.from_pretrained(
        args.model, prompt=args.prompt, height=args.height, width=args.width
    )
    rows, first, last = soak(session, clip, args.minutes, args.fps)
    if args.sheet:
        write_sheet(clip, first, last, args.sheet)
    apart = [float(np.square(first[i].astype(float) - last[i]).mean()) ** 0.5 for i in first]
    result: dict[str, Any] = {
        "command": f"python benchmarks/soak.py {args.model} --prompt '{args.prompt}' "
        f"--minutes {args.minutes:g} --fps {args.fps:g}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": hardware(),
        "commit": commit(Path(__file__).parent),
        "engine": session.stats.engine,
        "size": [args.height, args.width],
        "dropped": sum(row["dropped"] for row in rows),
        "first_to_last_rms_of_255": round(float(np.mean(apart)), 3) if apart else None,
        "minutes": rows,
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "minutes"}))


if __name__ == "__main__":
    main()
