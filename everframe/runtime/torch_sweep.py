"""Tiles of the mega kernel tried side by side. Building a kernel takes much longer than timing it,
so each candidate is built in a process of its own, all at once; each is timed while no other uses
the GPU: `python -m everframe.runtime.torch_sweep SHAPE TILES FOLDER` prints the result as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from everframe.core.errors import UserError
from everframe.runtime.megakernel.tiles import Tiles
from everframe.runtime.megakernel.torch_engine import (
    KernelOptions,
    MegakernelEngine,
    apart,
    first_frames,
    random_code,
    trusted,
)
from everframe.runtime.torch_bench import bench_stream, device_ms
from everframe.runtime.torch_engine import torch_engine
from everframe.runtime.torch_shapes import bundle_of

MODULE = "everframe.runtime.torch_sweep"
REFERENCE, LOCK = "reference.npz", "lock"
SAMPLES = 50
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What tiles gave: median milliseconds, error in levels from float32; `problem`: why not."""

    tiles: Tiles
    ms: float = float("inf")
    error: float = float("inf")
    problem: str = ""


def short(tiles: Tiles) -> str:
    """Tiles in one word, for tables."""
    t = tiles
    return (
        f"r{t.rows} m{t.model_cols} q{t.qkv_heads} u{t.up_cols} h{t.head_cols} k{t.keys} "
        f"c{t.conv_rows} split{t.attend_parts}/{t.out_parts}/{t.down_parts} "
        f"s{t.stages}/{t.key_stages}/{t.conv_stages} w{t.warps} x{t.per_sm}"
        f"{' bulk' if t.bulk else ''}{' ahead' if t.ahead else ''} o{t.order}"
        f"{f' merge{t.merge_rows}' if t.merge_rows else ''}"
        f"{f' finish{t.finish_rows}' if t.finish_rows else ''}"
        f"{f' embed{t.embed_parts}' if t.embed_parts else ''}{' rehearsed' if t.rehearsed else ''}"
        f"{' gluon' if t.gluon else ''}{' chained' if t.chained else ''}"
        f"{' light' if t.light_fences else ''}"
    )


def best_tiles(
    shape: str, tiles: Sequence[Tiles], *, limit_s: float, tell: Tell
) -> tuple[Tiles | None, dict[str, str]]:
    """The fastest that agrees with eager torch, and what each gave; those that take longer than
    `limit_s` together are stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        usual = _reference(shape, Path(folder))
        torch.cuda.empty_cache()  # the candidates need the memory
        commands = [_command(shape, each, folder) for each in tiles]
        results = _together(tiles, commands, limit_s)
    remarks: dict[str, str] = {}
    for tried in results:
        name = f"megakernel {short(tried.tiles)}"
        remarks[name] = tried.problem or (
            f"{tried.ms:.4f} ms, {tried.error:.3f} levels from float32 (bfloat16: {usual:.3f})"
        )
        tell(f"{name}: {remarks[name]}")
    good = [each for each in results if not each.problem and trusted(each.error, usual)]
    return min(good, key=lambda each: each.ms).tiles if good else None, remarks


def _command(shape: str, tiles: Tiles, folder: str) -> list[str]:
    return [sys.executable, "-m", MODULE, shape, json.dumps(asdict(tiles)), folder]


def _reference(shape: str, folder: Path) -> float:
    """Write the frames that all are compared with; returns the error of eager bfloat16."""
    bundle, size = bundle_of(shape)
    exact = torch_engine(bundle, *size, "float32", compiled=False)
    code = random_code(exact)
    right = first_frames(exact, code)
    half = first_frames(torch_engine(bundle, *size, "bfloat16", compiled=False), code)
    np.savez(folder / REFERENCE, code=code, frames=np.stack(right))
    return apart(half, right)


def _together(
    tiles: Sequence[Tiles], commands: Sequence[Sequence[str]], limit_s: float
) -> list[Tried]:
    """Run a command for each of the tiles and read what they print."""
    end = time.monotonic() + limit_s
    with ExitStack() as stack:
        # files, because a full pipe would hold up a child that others wait for
        pairs = [
            tuple(stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            for _ in commands
        ]
        children = [
            subprocess.Popen(command, stdout=out, stderr=said, start_new_session=True)
            for command, (out, said) in zip(commands, pairs, strict=True)
        ]
        each = zip(tiles, children, pairs, strict=True)
        return [_result(own, child, out, said, end) for own, child, (out, said) in each]


def _result(
    tiles: Tiles, child: subprocess.Popen[bytes], out: IO[str], said: IO[str], end: float
) -> Tried:
    try:
        child.wait(timeout=max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its compiler's workers too
        child.wait()
        return Tried(tiles=tiles, problem="out of time")
    lines, errors = ([x for x in _text(file).splitlines() if x.strip()] for file in (out, said))
    if child.returncode or not lines:
        last = (errors or [f"ended with code {child.returncode}"])[-1]
        return Tried(tiles=tiles, problem=last[:300])
    ms, error, problem = json.loads(lines[-1])
    return Tried(tiles=tiles, ms=ms, error=error, problem=problem)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _try(shape: str, tiles: Tiles, folder: Path) -> tuple[float, float, str]:
    """(ms, error, problem) of tiles, in this process."""
    bundle, size = bundle_of(shape)
    reference = np.load(folder / REFERENCE)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # whoever wants to time waits until all are built
        try:
            options = KernelOptions(tiles=tiles)
            engine = MegakernelEngine(bundle, *size, torch.device("cuda"), options)
            error = apart(first_frames(engine, reference["code"]), list(reference["frames"]))
            stream = bench_stream(engine)
            fcntl.flock(lock, fcntl.LOCK_EX)
            ms = float(np.median(device_ms(stream.frame, SAMPLES)))
            engine.kernel().check()
        except (UserError, RuntimeError) as problem:
            return 0.0, 0.0, str(problem).strip().splitlines()[0]
    return ms, error, ""


if __name__ == "__main__":
    result = _try(sys.argv[1], Tiles(**json.loads(sys.argv[2])), Path(sys.argv[3]))
    sys.stdout.write(json.dumps(result) + "\n")
