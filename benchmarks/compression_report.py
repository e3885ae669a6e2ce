"""Table, figure and JSON of the runs of `benchmarks.compression`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everframe.runtime.bench import commit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE = "by the cost table"


def collect(folder: Path, names: Sequence[str], out: Path | None, picture: Path | None) -> None:
    """Read what `run` and `time` have written, in the order of `names`; print it as a table and, at
    last, as one JSON line.
    """
    rows: list[dict[str, Any]] = []
    latency = {p.stem.removeprefix("latency_"): json.loads(p.read_text("utf-8"))
               for p in sorted(folder.glob("latency_*.json"))}  # fmt: skip
    for name in names:
        path = folder / name / "result.json"
        if path.is_file():
            row = json.loads(path.read_text("utf-8"))
            ms = {engine: found["ms"].get(name) for engine, found in latency.items()}
            rows.append(row | {"ms": {engine: x for engine, x in ms.items() if x}})
    for row in rows:
        print(line_of(row))
    if picture:
        plot(rows, picture)
    about = {engine: {k: v for k, v in found.items() if k != "ms"}
             for engine, found in latency.items()}  # fmt: skip
    result = {"command": "python -m benchmarks.compression run NAME", "latency": about}
    result |= {"commit": commit(Path(__file__).parent), "runs": rows}
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({row["name"]: last(row, "1") for row in rows}))


def last(row: Mapping[str, Any], steps: str) -> dict[str, float]:
    """PSNR at the last frame by kind of look, dB."""
    return {group: list(psnr.values())[-1] for group, psnr in row["played"][steps].items()}


def line_of(row: Mapping[str, Any]) -> str:
    """One line of the table."""
    cells = [f"{row['name']:17} {row['parameters'] / 1e6:6.2f} M"]
    said = milliseconds(row, TABLE)
    cells.append(f"{'-' if said is None else f'{said:.2f}':>7} ms {TABLE}")
    cells += [f"{engine} {ms['p50']:.2f} ms" for engine, ms in row["ms"].items()]
    for steps in row["played"]:
        psnr = last(row, steps)
        cells.append(f"{steps}: {psnr['plain']:.2f} / {psnr['hidden']:.2f}")
    return "  ".join(cells)


def milliseconds(row: Mapping[str, Any], engine: str) -> float | None:
    """Of one frame in one step: the median as measured, or what the cost table says."""
    if engine == TABLE:
        return row["table_ms"]
    found = row["ms"].get(engine)
    return None if found is None else found["p50"]


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Quality at the last frame, one step a frame, against milliseconds: a column for each engine
    that was measured, else for the cost table.
    """
    from matplotlib.figure import Figure

    engines = sorted({engine for row in rows for engine in row["ms"]}) or [TABLE]
    figure = Figure(figsize=(5.2 * len(engines), 8), layout="constrained")
    grid = figure.subplots(2, len(engines), squeeze=False, sharex="col", sharey="row")
    for column, engine in enumerate(engines):
        for line, group in enumerate(("plain", "hidden")):
            points = [
                (milliseconds(row, engine), last(row, "1")[group], row["name"]) for row in rows
            ]
            _panel(grid[line][column], [(x, y, name) for x, y, name in points if x])
            grid[line][column].set_title(f"{group} looks")
        grid[1][column].set_xlabel(f"ms per frame, {engine}")
    for line in grid:
        line[0].set_ylabel("PSNR to the target, dB")
    figure.savefig(path, dpi=110)


def _panel(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Points by name, and a line through those that no other beats."""
    for number, (x, y, name) in enumerate(points):
        axis.plot(x, y, "o", color=f"C{number % 10}")
        axis.annotate(name, (x, y), fontsize=8, xytext=(4, 3), textcoords="offset points")
    front: list[tuple[float, float]] = []
    for x, y, _ in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    axis.plot([p[0] for p in front], [p[1] for p in front], color="0.6", lw=1, zorder=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.grid(alpha=0.3)
