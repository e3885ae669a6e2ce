"""`everframe bench engines`: eager, graphs, torch.compile and the mega kernel on one GPU."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from everframe.core.errors import UserError

if TYPE_CHECKING:
    from everframe.runtime.torch_bench import GpuRow

DEFAULT_SHAPES = "pocket,studio,A,B,C,D,E"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that only `bench engines` has."""
    parser.add_argument(
        "--shapes",
        default=DEFAULT_SHAPES,
        metavar="A,B",
        help="for 'engines': pocket, studio, A to E, broadcast, cinema, growth "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sweep",
        type=int,
        default=1,
        metavar="N",
        help="for 'engines': tile sizes of the mega kernel to try (default: %(default)s)",
    )
    parser.add_argument(
        "--autotune",
        type=float,
        default=300.0,
        metavar="S",
        help="for 'engines': seconds that torch.compile's max-autotune mode may take on a shape; 0 "
        "leaves it out (default: %(default)s)",
    )
    parser.add_argument(
        "--streams",
        metavar="N,N",
        help="for 'engines': also count live streams of the first shape at 25 fps, with kernels on "
        "this many CTAs each, such as 8,16,33",
    )
    parser.add_argument(
        "--timeline",
        metavar="FILE",
        help="for 'engines': write when each instruction of the mega kernel ran (first shape) as a "
        "trace for Perfetto, and a picture beside it (.png)",
    )


def run_engines(args: argparse.Namespace) -> int:
    """Measure and print; the JSON file is a list of rows and grows shape by shape.

    Raises:
        UserError: no GPU, unknown shape, or a file that cannot be written.
    """
    if find_spec("torch") is None or find_spec("triton") is None:
        raise UserError(
            'bench engines needs torch and triton; get them: pip install "everframe[gpu]"'
        )
    for name in ("json", "timeline"):
        path = vars(args)[name]
        if path is not None and not Path(path).parent.is_dir():
            raise UserError(f"--{name} {path}: its folder does not exist; create it first")
    from everframe.runtime import torch_bench
    from everframe.runtime.torch_shapes import GROWTH, bundle_of

    shapes = [name.strip() for name in args.shapes.split(",") if name.strip()]
    if "growth" in shapes:
        shapes = [name for name in shapes if name != "growth"] + list(GROWTH)
    ceiling = torch_bench.ceilings()
    print(f"{ceiling.flops_per_s / 1e12:.0f} TFLOP/s, {ceiling.bytes_per_s / 1e12:.2f} TB/s")
    rows: list[dict[str, object]] = []
    for number, shape in enumerate(shapes):
        result = torch_bench.measure_shape(
            shape, ceiling, sweep=args.sweep, autotune_s=args.autotune, tell=_tell
        )
        rows += [asdict(row) for row in result.rows]
        if args.json is not None:
            Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        if number == 0 and args.streams is not None:
            rows += [asdict(row) for row in _streams(shape, args.streams, result.rows[0])]
        if number == 0 and args.timeline is not None and result.best is not None:
            bundle, _ = bundle_of(shape)
            trace, lines = torch_bench.timeline(
                result.best, bundle, Path(args.timeline).with_suffix(".png")
            )
            Path(args.timeline).write_text(json.dumps(trace), encoding="utf-8")
            print("\n".join(lines))
    print(json.dumps(rows))
    return 0


def _streams(shape: str, ctas: str, like: GpuRow) -> list[GpuRow]:
    """A row for each number of CTAs: latencies of the most streams that keep 40 ms."""
    from everframe.runtime.torch_load import streams_on_gpu
    from everframe.runtime.torch_shapes import bundle_of

    rows: list[GpuRow] = []
    for count in (int(word) for word in ctas.split(",")):
        try:
            load = streams_on_gpu(*bundle_of(shape), count)
        except (UserError, RuntimeError) as error:
            _tell(f"{shape:10} streams on {count} CTAs: {str(error).splitlines()[0]}")
            continue
        if load is None:
            _tell(f"{shape:10} streams on {count} CTAs: not even one keeps 40 ms")
            continue
        _tell(f"{shape:10} {load.streams} streams on {count} CTAs: p99 {load.ms_p99:.2f} ms")
        engine = f"megakernel, {load.streams} live streams on {count} CTAs"
        times = {"ms_p50": round(load.ms_p50, 4), "ms_p95": round(load.ms_p95, 4)}
        rows.append(replace(like, engine=engine, **times))
    return rows


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
