"""`everframe bench blocks`: the cost table that `everframe prune` chooses by."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from everframe import __version__
from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.core.errors import UserError
from everframe.runtime.bench_blocks import BlockBench, measure_blocks
from everframe.runtime.engine import OPENERS, PRECISIONS
from everframe.stream.resize import parse_size

AGREEMENT = 0.15
"""Relative difference of a check above which the table is not to be trusted."""
STEPS = (8, 256)
"""Smallest and largest distance between two widths."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that only `bench blocks` has."""
    parser.add_argument(
        "--engine",
        default="auto",
        choices=("auto", *OPENERS),
        help="for 'blocks': the engine to measure (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="for 'blocks': of that engine (default: %(default)s)",
    )
    parser.add_argument(
        "--ffn-step",
        type=_step,
        default=32,
        metavar="N",
        help="for 'blocks': channels between two widths of the feed-forward part; take a multiple "
        "that the hardware likes (default: %(default)s)",
    )


def run_blocks(args: argparse.Namespace) -> int:
    """Measure, print, and write the table.

    Raises:
        UserError: unknown model or size, missing engine, or a file that cannot be written.
    """
    size = parse_size(args.size)
    if args.json is not None and not Path(args.json).parent.is_dir():
        raise UserError(f"--json {args.json}: its folder does not exist; create it first")
    bench = BlockBench(
        engine=args.engine,
        precision=args.precision,
        height=size.height,
        width=size.width,
        ffn_step=args.ffn_step,
        frames=args.frames,
    )
    table = measure_blocks(Bundle.from_pretrained(args.model), bench, tell=_tell)
    about = {"command": _command(args), "everframe": __version__, **table.about}
    table = replace(table, about=about)
    print(describe(table))
    if args.json is not None:
        table.save(args.json)
        print(f"{args.json}: give it to everframe prune --cost")
    else:
        print("nothing was written; give --json FILE to keep the table")
    print(json.dumps({**table.about, "engine": table.engine, "fixed_ms": table.fixed_ms}))
    return 0


def describe(table: CostTable) -> str:
    """The table as text for a terminal."""
    lines = [f"{table.engine}, {table.tokens} tokens, ms per step"]
    lines.append(f"  without blocks     {table.fixed_ms:.3f}")
    for frames, row in table.attention_ms.items():
        cells = "  ".join(f"{h}: {x:.3f}" for h, x in zip(table.heads, row, strict=True))
        lines.append(f"  heads, {frames} past frames   {cells}")
    cells = "  ".join(f"{f}: {x:.3f}" for f, x in zip(table.ffn, table.ffn_ms, strict=True))
    lines.append(f"  feed-forward   {cells}")
    checks: list[Mapping[str, Any]] = list(table.about.get("checks", ()))
    for check in checks:
        shape = " ".join(f"{b['heads']}x{b['ffn']}" for b in check["blocks"])
        lines.append(
            f"  whole network {shape}: the table says {check['table_ms']:.3f}, "
            f"measured {check['measured_ms']:.3f}"
        )
    worst = max((abs(x["table_ms"] / x["measured_ms"] - 1) for x in checks), default=0.0)
    if worst > AGREEMENT:
        lines.append(
            f"  warning: the table is {worst:.0%} off where it was checked; close other programs "
            "and measure again with more --frames"
        )
    return "\n".join(lines)


def _command(args: argparse.Namespace) -> str:
    words = ["everframe", "bench", "blocks", "--model", args.model, "--size", args.size]
    words += ["--engine", args.engine, "--precision", args.precision]
    words += ["--ffn-step", str(args.ffn_step), "--frames", str(args.frames)]
    return shlex.join(words)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _step(text: str) -> int:
    if not text.isdecimal() or not STEPS[0] <= int(text) <= STEPS[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 8 to 256")
    return int(text)
