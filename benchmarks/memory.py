"""Memory of a long stream: resident size of the process over many frames of one `Session`.

    python benchmarks/memory.py pocket --frames 20000 --out benchmarks/results/memory_pocket.json

Prints a table and, last, one JSON line. The camera is a moving gradient with noise. Every 1,000
frames the prompt changes, since that is where buffers could pile up.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everframe import Session

PROMPTS = ("pencil sketch", "stained glass window", "watercolour painting", "neon night")
PROMPT_EVERY = 1000
WARM = 500
"""Frames after which memory should stand still."""


def resident_mb() -> float:
    """Resident set of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def camera(size: tuple[int, int], count: int) -> NDArray[np.uint8]:
    """A loop of `count` frames [count, H, W, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    phase = 2 * np.pi * np.arange(count)[:, None, None, None] / count
    wave = np.sin(phase + (x / 17)[..., None] + (y / 11)[..., None] + np.arange(3))
    noise = rng.normal(0, 6, wave.shape)
    return np.clip(128 + 90 * wave + noise, 0, 255).astype(np.uint8)


def measure(model: str, engine: str, frames: int, size: tuple[int, int]) -> dict[str, object]:
    """Run the stream and read the resident size at a few frames."""
    height, width = size
    session = Session.from_pretrained(
        model, prompt=PROMPTS[0], engine=engine, height=height, width=width
    )
    loop = camera(size, 50)
    at = sorted({WARM, *np.linspace(WARM, frames, 11).astype(int).tolist()})
    table: dict[int, float] = {}
    begin = time.perf_counter()
    for index in range(1, frames + 1):
        if index % PROMPT_EVERY == 0:
            session.update(prompt=PROMPTS[index // PROMPT_EVERY % len(PROMPTS)])
        session.step(loop[index % len(loop)])
        if index in at:
            gc.collect()
            table[index] = round(resident_mb(), 1)
            print(f"frame {index:>7,}  {table[index]:8.1f} MB", flush=True)
    growth = max(table.values()) / table[WARM] - 1
    return {
        "model": model,
        "engine": engine,
        "size": list(size),
        "frames": frames,
        "resident_mb": table,
        "growth_after_500": round(growth, 4),
        "frames_s": round(frames / (time.perf_counter() - begin), 1),
    }


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="pocket")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = measure(args.model, args.engine, args.frames, (args.height, args.width))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    result |= {
        "command": f"python benchmarks/memory.py {args.model} --frames {args.frames}",
        "commit": commit.stdout.strip(),
        "hardware": platform.processor() or platform.machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
