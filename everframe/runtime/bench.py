"""How fast each engine is on this machine: frames in turns, so that noise of the machine hits all
alike. Shared by `everframe bench` and `benchmarks/engines.py`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng
from everframe.runtime.engine import OPENERS, Engine, PreparedSteps, installed_engines, open_engine
from everframe.text.encoder import TextEncoder

WARM_UP = 10
FRAMES = 100
ROUND = 10
"""Frames of one engine before the next has its turn."""
REFERENCE = "torch"
PROMPT = "pencil sketch"
PIXELS_PER_FRAME = 3
"""Motion of the synthetic camera."""

Open = Callable[[str], Engine[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """Figures of one engine: frame times in ms (in and out of NumPy included), frames per second
    over all of them, speed against the reference (2.0: twice as fast), and seconds until the first
    frame was out.
    """

    engine: str
    label: str
    frames: int
    ms_p50: float
    ms_p95: float
    ms_p99: float
    fps: float
    speed: float
    reference: str
    open_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """Rows of the engines that ran, and engine -> why not, of the others."""

    rows: tuple[BenchRow, ...]
    skipped: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Lane:
    """An open engine and its stream; `times_ms` belongs to whoever measures."""

    name: str
    engine: Engine[Any]
    prepared: PreparedSteps[Any]
    history: History[Any]
    noise: Any
    open_s: float = 0.0
    frame: int = 0
    times_ms: list[float] = field(default_factory=list[float])

    def step(self) -> float:
        """Restyle the next frame; returns its milliseconds."""
        camera = moving_frame(self.frame, self.engine.height, self.engine.width)
        begin = time.perf_counter()
        pixels = self.engine.to_engine(camera)
        made, history = self.engine.step(self.history, pixels, self.noise, self.prepared)
        if not history.has_anchor:
            history = history.anchored(output=made, camera=pixels)
        self.history = history
        self.engine.to_numpy(made)
        self.frame += 1
        return (time.perf_counter() - begin) * 1e3


def moving_frame(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frame `number` of a synthetic camera: coloured waves that wander, and a hard-edged disc;
    uint8 [height, width, 3], the same on every machine up to rounding.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = np.float32(number * PIXELS_PER_FRAME)
    waves = [np.sin((x + shift) / (9 + 4 * c) + y / (23 - 5 * c) + c) for c in range(3)]
    picture = np.stack(waves, -1) * 90 + 128
    centre = (shift * 2) % width, height * (0.5 + 0.25 * np.sin(number / 11))
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (min(height, width) / 6) ** 2
    picture[disc] = (235, 180, 60)
    return picture.round().astype(np.uint8)


def measure(
    open_named: Open,
    names: Sequence[str],
    *,
    frames: int = FRAMES,
    warm_up: int = WARM_UP,
    tell: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Time engines in turns.

    Args:
        open_named: engine name -> open engine (`opener`).
        names: engines to time, in this order.
        frames: timed frames of each engine, at least 1.
        warm_up: frames of each engine before that.
        tell: gets a line about what is going on.

    Raises:
        UserError: no engine could be opened.
    """
    lanes: list[Lane] = []
    skipped: dict[str, str] = {}
    for name in names:
        tell(f"opening {name}")
        try:
            lanes.append(open_lane(name, open_named))
        except (UserError, RuntimeError, OSError) as error:  # a compiler may be missing or fail
            skipped[name] = str(error).strip().splitlines()[0]
    if not lanes:
        reasons = "; ".join(skipped.values()) or "none was asked for"
        raise UserError(f"no engine to measure: {reasons}")
    for lane in lanes:
        for _ in range(warm_up):
            lane.step()
    for start in range(0, frames, ROUND):
        tell(f"{start} of {frames} frames")
        for lane in lanes:
            turn = range(min(ROUND, frames - start))
            lane.times_ms += [lane.step() for _ in turn]
    return BenchResult(rows=_rows(lanes), skipped=skipped)


def opener(bundle: Bundle, *, height: int, width: int) -> Open:
    """Opens engines on a bundle at a size."""
    return lambda name: open_engine(name, bundle, height=height, width=width)


def open_lane(name: str, open_named: Open) -> Lane:
    """Open an engine on a stream and make its first frame."""
    begin = time.perf_counter()
    engine = open_named(name)
    tokens = TextEncoder.load().encode(PROMPT)
    prepared = engine.prepare(engine.encode_prompt(tokens.states, tokens.mask), 1)
    shape = (3, engine.height, engine.width)
    noise = numpy_rng(0, "bench noise").standard_normal(shape, np.float32)
    lane = Lane(
        name=name,
        engine=engine,
        prepared=prepared,
        history=engine.empty_history(),
        noise=engine.to_engine(noise),
    )
    lane.step()
    lane.open_s = time.perf_counter() - begin
    return lane


def _rows(lanes: Sequence[Lane]) -> tuple[BenchRow, ...]:
    rows: list[BenchRow] = []
    for lane in lanes:
        p50, p95, p99 = (float(x) for x in np.percentile(lane.times_ms, [50, 95, 99]))
        rows.append(
            BenchRow(
                engine=lane.name,
                label=lane.engine.name,
                frames=len(lane.times_ms),
                ms_p50=round(p50, 3),
                ms_p95=round(p95, 3),
                ms_p99=round(p99, 3),
                fps=round(1e3 * len(lane.times_ms) / sum(lane.times_ms), 2),
                speed=1.0,
                reference="",
                open_s=round(lane.open_s, 2),
            )
        )
    slowest = max(rows, key=lambda row: row.ms_p50)
    base = next((row for row in rows if row.engine == REFERENCE), slowest)
    return tuple(
        replace(row, speed=round(base.ms_p50 / row.ms_p50, 2), reference=base.engine)
        for row in rows
    )


def missing_engines() -> dict[str, str]:
    """Engines that are not installed -> how to get them."""
    installed = installed_engines()
    return {name: fix for name, (_, fix, _) in OPENERS.items() if name not in installed}


def table(result: BenchResult) -> str:
    """The rows as text for a terminal."""
    width = max(len(row.label) for row in result.rows)
    reference = result.rows[0].reference
    head = f"{'engine':<{width}} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'fps':>7}"
    lines = [f"{head} {'x ' + reference:>13} {'open s':>7}"]
    lines += [
        f"{row.label:<{width}} {row.ms_p50:>8.1f} {row.ms_p95:>8.1f} {row.ms_p99:>8.1f} "
        f"{row.fps:>7.1f} {row.speed:>13.2f} {row.open_s:>7.1f}"
        for row in result.rows
    ]
    lines += [f"skipped {name}: {reason}" for name, reason in result.skipped.items()]
    return "\n".join(lines)


def record(result: BenchResult, *, command: str, height: int, width: int) -> dict[str, object]:
    """What a published figure needs, as plain data (benchmarks/README.md)."""
    return {
        "command": command,
        "commit": commit(Path(__file__).parent),
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
        "size": f"{width}x{height}",
        "rows": [asdict(row) for row in result.rows],
        "skipped": dict(result.skipped),
    }


def commit(folder: Path) -> str | None:
    """Abbreviated commit of the checkout around `folder`, `-dirty` if it was changed; None outside
    a checkout or without git.
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def visible_gpu(number: int) -> str:
    """Of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names it."""
    mine = os.environ.get("CUDA_VISIBLE_DEVICES")
    return mine.split(",")[number] if mine else str(number)


def hardware() -> dict[str, object]:
    """Processor model, cores that this process may use, and NVIDIA devices."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "gpus": [
            _field(path, "Model") or "unknown"
            for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        ],
        "python": platform.python_version(),
    }


def _field(path: Path, key: str) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
