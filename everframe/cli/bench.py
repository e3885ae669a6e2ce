"""`everframe bench`: the speed of every installed engine on this machine."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from everframe.arch.bundle import Bundle
from everframe.cli import bench_blocks, bench_engines
from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError
from everframe.runtime import bench
from everframe.runtime.engine import OPENERS, installed_engines
from everframe.stream.resize import parse_size

EXAMPLES = """\
examples:
  everframe bench
  everframe bench --size 320x176 --engines openvino,torch
  everframe bench --json benchmarks/results/engines.json
  everframe bench engines --json benchmarks/results/engines_h100.json   (on a GPU)
  everframe bench blocks --engine openvino --json cost.json             (for everframe prune)
The last line is one JSON object with command, commit, hardware and date.
"""
_WAIT_COLUMNS = 40


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure speed on this machine",
        description="Time each engine on a synthetic moving picture, in turns of ten frames. Close "
        "other programs first.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("live", "engines", "blocks"),
        default="live",
        help="live: the engines as a stream uses them; engines: time on one GPU against graphs, "
        "torch.compile and the floor; blocks: what each shape of block costs in one engine, the "
        "table for everframe prune (default: %(default)s)",
    )
    parser.add_argument("--model", default="pocket", help="name or folder (default: pocket)")
    parser.add_argument("--size", default="256x256", metavar="WxH", help="default: %(default)s")
    parser.add_argument(
        "--frames", type=_count, default=bench.FRAMES, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--engines",
        metavar="A,B",
        help=f"of {', '.join(OPENERS)} (default: those installed); for 'engines' of megakernel, "
        "compiled+graph, eager+graph, eager, autotuned+graph (default: all)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the JSON object to a file")
    bench_engines.add_options(parser)
    bench_blocks.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        UserError: unknown model, engine or size, no engine, or a file that cannot be written.
    """
    if args.what == "engines":
        return bench_engines.run_engines(args)
    if args.what == "blocks":
        return bench_blocks.run_blocks(args)
    size = parse_size(args.size)
    names = installed_engines() if args.engines is None else _names(args.engines)
    if args.json is not None and not Path(args.json).parent.is_dir():
        raise UserError(f"--json {args.json}: its folder does not exist; create it first")
    bundle = Bundle.from_pretrained(args.model)
    bundle.spec.grid(size.height, size.width)
    open_named = bench.opener(bundle, height=size.height, width=size.width)
    result = bench.measure(open_named, names, frames=args.frames, tell=_tell)
    _tell("")
    print(f"{args.model} at {size}, {args.frames} frames each, one step per frame")
    print(bench.table(result))
    if args.engines is None:
        for name, fix in bench.missing_engines().items():
            print(f"not installed: {name}; get it with: {fix}")
    data = bench.record(result, command=_command(args), height=size.height, width=size.width)
    if args.json is not None:
        Path(args.json).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(data))
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in OPENERS]
    if unknown or not names:
        raise UserError(
            f"unknown engine '{unknown[0] if unknown else text}'; choose from {', '.join(OPENERS)}"
        )
    return names


def _command(args: argparse.Namespace) -> str:
    """The command that gives the same measurement."""
    words = ["everframe", "bench", "--model", args.model, "--size", args.size]
    words += ["--frames", str(args.frames)]
    words += ["--engines", args.engines] if args.engines is not None else []
    return shlex.join(words)


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line:<{_WAIT_COLUMNS}}", end="" if line else "\r", file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100000")
    return int(text)
