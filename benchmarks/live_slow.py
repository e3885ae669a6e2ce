"""Does anything grow where the model is slower than the camera?

    python -m benchmarks.live_slow --seconds 60

512x512 raw frames, 40 a second, from a client that does not hold back, to a model that takes 50 ms
a frame. Prints the age of the pictures (ms) in the first and the last quarter, and the memory of
the process (MB, client and server in one) in all four, as one JSON line. CI runs six seconds of
the same (tests/serve/test_live.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import everframe
from everframe.runtime.bench import moving_frame
from everframe.serve.host import Limits
from everframe.serve.models import IDENTITY, Models
from everframe.serve.server import Address, Server
from everframe.stream.resize import Size

DELAY_MS, PAUSE_S, SIDE = 50, 0.025, 512


def resident_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def flood(url: str, seconds: float) -> tuple[list[float], list[float]]:
    """Ages of the pictures, ms, and memory at every frame sent, MB."""
    frame = moving_frame(0, SIDE, SIDE)
    ages: list[float] = []
    memory: list[float] = []
    async with everframe.connect(url, prompt="pencil sketch", codec="raw") as live:

        async def look() -> None:
            while True:
                ages.append((await live.next()).age_ms)

        looker = asyncio.create_task(look())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            live._in_flight = 0
            live.send(frame)
            memory.append(resident_mb())
            await asyncio.sleep(PAUSE_S)
        looker.cancel()
    return ages, memory


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Age and memory with a slow model.")
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    models = Models("pocket", f"{IDENTITY}:{DELAY_MS}")
    server = Server(models, Address(port=0), Limits(), Size(SIDE, SIDE))
    server.start()
    ages, memory = asyncio.run(flood(server.url, args.seconds))
    server.stop()
    quarter = len(ages) // 4
    rows = {
        name: {f"p{p}": round(float(np.percentile(part, p)), 1) for p in (50, 95, 99)}
        for name, part in (("first_quarter", ages[:quarter]), ("last_quarter", ages[-quarter:]))
    }
    report = {
        "command": f"python -m benchmarks.live_slow --seconds {args.seconds:.0f}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "age_ms": rows,
        "frames_sent": len(memory),
        "pictures": len(ages),
        "memory_mb": [round(float(np.median(part))) for part in np.array_split(memory, 4)],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
