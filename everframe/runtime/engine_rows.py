"""Published figures of GPU engines: rows, what they are next to each other, and their file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

KERNEL = "megakernel"
BASELINES = ("compiled+graph", "eager+graph", "eager")
AUTOTUNED = "autotuned+graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRow:
    """A published figure: milliseconds of one frame on the device, of one denoising step if the
    shape does not say otherwise.
    """

    shape: str
    engine: str
    ms_p50: float
    ms_p95: float
    floor_ms: float
    commit: str | None
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Of a shape: how many times longer the other engines take than the mega kernel (None: not
    measured), and the floor as a share of its time.
    """

    shape: str
    ms_p50: float
    compiled_graph: float | None
    eager_graph: float | None
    eager: float | None
    floor_share: float


def merged(rows: Sequence[GpuRow], new: Iterable[GpuRow]) -> list[GpuRow]:
    """`rows` with `new` ones in the place of those of the same shape and engine, or behind."""
    found = {_key(row): row for row in rows}
    for row in new:
        found[_key(row)] = row
    return list(found.values())


def _key(row: GpuRow) -> tuple[str, str]:
    return row.shape, re.sub(r"\d+ live", "live", row.engine)


def ratios(rows: Sequence[GpuRow]) -> list[Ratios]:
    """Of every shape on which the mega kernel was measured, in order of the rows."""
    made: list[Ratios] = []
    for own in rows:
        if own.engine != KERNEL:
            continue
        times = {row.engine: row.ms_p50 for row in rows if row.shape == own.shape}
        compiled, graph, eager = (
            round(times[name] / own.ms_p50, 2) if name in times else None for name in BASELINES
        )
        made.append(
            Ratios(
                shape=own.shape,
                ms_p50=own.ms_p50,
                compiled_graph=compiled,
                eager_graph=graph,
                eager=eager,
                floor_share=round(own.floor_ms / own.ms_p50, 3),
            )
        )
    return made


def ratio_lines(rows: Sequence[GpuRow]) -> list[str]:
    """`ratios` as a table."""
    lines = [f"{'':12}{'ms':>10}" + "".join(f"{name:>16}" for name in (*BASELINES, "floor share"))]
    for row in ratios(rows):
        times = (row.compiled_graph, row.eager_graph, row.eager)
        cells = "".join("-".rjust(16) if x is None else f"{x:15.2f}x" for x in times)
        lines.append(f"{row.shape:12}{row.ms_p50:10.4f}{cells}{row.floor_share:15.1%} ")
    return lines


def read_rows(path: Path) -> list[GpuRow]:
    """Rows of a file; none if there is no file or it holds something else."""
    try:
        return [GpuRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def write_rows(path: Path, rows: Sequence[GpuRow]) -> None:
    """The rows, and beside them `NAME_ratios.json`."""
    for target, values in (
        (path, [asdict(row) for row in rows]),
        (path.with_name(f"{path.stem}_ratios.json"), [asdict(row) for row in ratios(rows)]),
    ):
        target.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
