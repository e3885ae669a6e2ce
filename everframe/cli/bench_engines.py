"""`everframe bench engines`: eager, graphs, torch.compile and the mega kernel on one GPU."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from everframe.core.errors import UserError
from everframe.runtime.engine_rows import GpuRow, merged, ratio_lines, read_rows, write_rows
from everframe.runtime.megakernel.tiles import KERNELS

if TYPE_CHECKING:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine

QUICK, QUICK_S = 8, 150
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
        "--kernel",
        choices=KERNELS,
        help="for 'engines': a mega kernel by name, in a row of its own; gluon is for large shapes "
        "(default: what the engine opens)",
    )
    parser.add_argument(
        "--sweep",
        type=int,
        default=1,
        metavar="N",
        help="for 'engines': tile sizes of the mega kernel to try (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"for 'engines': {QUICK} tile sizes in at most {QUICK_S} seconds a shape, built side "
        "by side",
    )
    parser.add_argument(
        "--commit",
        metavar="ID",
        help="for 'engines': commit of the code, where it is no git checkout",
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
    """Measure and print; rows go to the JSON file as they come, in the place of those of the same
    shape and engine.

    Raises:
        UserError: no GPU, unknown shape or engine, or a file that cannot be written.
    """
    if find_spec("torch") is None or find_spec("triton") is None:
        raise UserError(
            'bench engines needs torch and triton; get them: pip install "everframe[gpu]"'
        )
    for name in ("json", "timeline"):
        path = vars(args)[name]
        if path is not None and not Path(path).parent.is_dir():
            raise UserError(f"--{name} {path}: its folder does not exist; create it first")
    # read when CUDA starts: by default, more than 8 streams share queues and wait for one another
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    from everframe.runtime import torch_bench
    from everframe.runtime.torch_shapes import GROWTH

    shapes = [name.strip() for name in args.shapes.split(",") if name.strip()]
    if "growth" in shapes:
        shapes = [name for name in shapes if name != "growth"] + list(GROWTH)
    wanted = torch_bench.Wanted(
        engines=_engines(args.engines, torch_bench.ENGINES),
        kernel=args.kernel,
        sweep=QUICK if args.quick else args.sweep,
        sweep_s=QUICK_S if args.quick else 600,
        autotune_s=args.autotune,
        commit=args.commit,
    )
    ceiling = torch_bench.ceilings()
    print(f"{ceiling.flops_per_s / 1e12:.0f} TFLOP/s, {ceiling.bytes_per_s / 1e12:.2f} TB/s")
    kept = _Kept(None if args.json is None else Path(args.json))
    for number, shape in enumerate(shapes):
        result = torch_bench.measure_shape(shape, ceiling, wanted, keep=kept.add, tell=_tell)
        if number == 0 and args.streams is not None and result.rows:
            _streams(shape, args.streams, result.rows[0], kept)
        if number == 0 and args.timeline is not None and result.best is not None:
            _timeline(shape, result.best, Path(args.timeline))
    print("\n".join(ratio_lines(kept.rows)))
    print(json.dumps([asdict(row) for row in kept.rows]))
    return 0


def _engines(text: str | None, known: Sequence[str]) -> frozenset[str]:
    names = [name.strip() for name in (text or ",".join(known)).split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"unknown engine '{unknown[0]}'; choose from {', '.join(known)}")
    return frozenset(names)


class _Kept:
    """Rows so far, written as they come; a run that is stopped keeps what it has."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[GpuRow] = [] if path is None else read_rows(path)

    def add(self, row: GpuRow) -> None:
        self.rows = merged(self.rows, [row])
        if self.path is not None:
            write_rows(self.path, self.rows)


def _timeline(shape: str, engine: MegakernelEngine, path: Path) -> None:
    from everframe.runtime.torch_bench import timeline
    from everframe.runtime.torch_shapes import bundle_of

    trace, lines = timeline(engine, bundle_of(shape)[0], path.with_suffix(".png"))
    path.write_text(json.dumps(trace), encoding="utf-8")
    print("\n".join(lines))


def _streams(shape: str, ctas: str, like: GpuRow, kept: _Kept) -> None:
    """A row for each number of CTAs: latencies of the most streams that keep 40 ms."""
    from everframe.runtime.torch_load import streams_on_gpu
    from everframe.runtime.torch_shapes import bundle_of

    for count in (int(word) for word in ctas.split(",")):
        try:
            load = streams_on_gpu(*bundle_of(shape), count, _tell)
        except (UserError, RuntimeError) as error:
            _tell(f"{shape:10} streams on {count} CTAs: {str(error).splitlines()[0]}")
            continue
        if load is None:
            _tell(f"{shape:10} streams on {count} CTAs: not even one keeps 40 ms")
            continue
        _tell(f"{shape:10} {load.streams} streams on {count} CTAs: p99 {load.ms_p99:.2f} ms")
        engine = f"megakernel, {load.streams} live streams on {count} CTAs"
        times = {"ms_p50": round(load.ms_p50, 4), "ms_p95": round(load.ms_p95, 4)}
        kept.add(replace(like, engine=engine, **times))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
