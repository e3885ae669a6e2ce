"""Long loops of several models, clips and looks side by side on the GPUs of a machine.

    python benchmarks/drift_loops.py --models pocket,studio --clips asl_book \
        --looks pencil,quilt --frames 100000 --folder runs/loops \
        --out benchmarks/results/drift_loops_h100.json --plot docs/images/drift_loops.png

Each loop is a process of its own, `everframe evaluate drift`, and may be resumed by the same
command. Prints a line per loop, the worst of each figure and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from everframe.evaluate.drift_plot import plot_curves
from everframe.runtime.bench import commit, hardware, visible_gpu

Row = dict[str, Any]
GREATEST = ("psnr_loss", "slope_low")
LEAST = ("slope_high", "kept@300", "kept@10000", "kept@100000")
CHANGES = tuple(f"{n}_change_percent" for n in ("luma", "saturation", "sharpness", "blockiness"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One process."""

    model: str
    clip: str
    look: str
    test: str

    def folder(self, under: Path) -> Path:
        """Where its results lie."""
        return under / "_".join((Path(self.model).name, self.clip, self.look, self.test))

    def command(self, args: argparse.Namespace) -> list[str]:
        """What is run."""
        return [
            *(sys.executable, "-m", "everframe", "evaluate", "drift", "--model", self.model),
            *("--footage", str(args.footage), "--held-out", self.clip, "--looks", self.look),
            *("--tests", self.test, "--frames", str(args.frames), "--engine", args.engine),
            *("--height", str(args.height), "--width", str(args.width)),
            *("--out", str(self.folder(args.folder))),
        ]


def play(loops: list[Loop], args: argparse.Namespace) -> Iterator[tuple[Loop, list[Row]]]:
    """Run all loops at once, dealt out to `--gpus` GPUs in turn; their rows as they end."""
    running: list[tuple[Loop, subprocess.Popen[bytes]]] = []
    for number, loop in enumerate(loops):
        loop.folder(args.folder).mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if args.gpus:
            env["CUDA_VISIBLE_DEVICES"] = visible_gpu(number % args.gpus)
        log = (loop.folder(args.folder) / "log.txt").open("wb")
        command = loop.command(args)
        running.append((loop, subprocess.Popen(command, stdout=log, stderr=log, env=env)))
    for loop, process in running:
        code = process.wait()
        folder = loop.folder(args.folder)
        if code:
            print(f"{folder.name}: ended with {code}; see {folder}/log.txt", flush=True)
            continue
        report = json.loads((folder / "drift.json").read_text(encoding="utf-8"))
        rows = [{"model": Path(loop.model).name, **row} for row in report["rows"]]
        yield loop, [{**row, "about": report["about"]} for row in rows]


def thinned(row: Row) -> Row:
    """A row without its curve, for the committed file."""
    return {key: value for key, value in row.items() if key not in ("curve", "about")}


def worst(rows: list[Row]) -> Row:
    """The worst of each figure over all loops of a model."""
    out: Row = {}
    for model in dict.fromkeys(row["model"] for row in rows):
        figures = [row["figures"] for row in rows if row["model"] == model]
        found = {
            name: [each[name] for each in figures if name in each]
            for name in (*GREATEST, *LEAST, *CHANGES)
        }
        out[model] = {name: round(_worst(name, v), 6) for name, v in found.items() if v}
    return out


def _worst(name: str, values: list[float]) -> float:
    if name in LEAST:
        return min(values)
    return max(values, key=abs) if name in CHANGES else max(values)


def main() -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="pocket", help="names or folders, with commas")
    parser.add_argument("--clips", default="asl_book")
    parser.add_argument("--looks", default="pencil,cartoon,stained_glass,quilt")
    parser.add_argument("--tests", default="loop,fresh")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--footage", type=Path, default=Path("examples/footage/clips"))
    parser.add_argument("--engine", default="megakernel")
    parser.add_argument("--height", type=int, default=224)
    parser.add_argument("--width", type=int, default=288)
    parser.add_argument("--gpus", type=int, default=0, help="deal the loops out to so many GPUs")
    parser.add_argument("--folder", type=Path, default=Path("runs/loops"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    lists = (text.split(",") for text in (args.models, args.clips, args.looks, args.tests))
    loops = [Loop(model=m, clip=c, look=k, test=t) for m, c, k, t in product(*lists)]
    rows: list[Row] = []
    for loop, found in play(loops, args):
        rows += found
        for row in found:
            shown = "  ".join(f"{k} {v:.4f}" for k, v in row["figures"].items())
            print(f"{loop.folder(Path()).name:40} {shown}", flush=True)
    if args.plot:
        plot_curves(rows, args.plot, title=f"{args.frames:,} frames")
    report = {
        "command": f"python benchmarks/drift_loops.py --models {args.models} --clips {args.clips}"
        f" --looks {args.looks} --tests {args.tests} --frames {args.frames} --engine {args.engine}",
        "commit": commit(Path(__file__).parent),
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": hardware(),
        "size": [args.height, args.width],
        "weights": {row["model"]: row["about"]["weights"] for row in rows},
        "worst": worst(rows),
        "loops": len(loops),
        "rows": [thinned(row) for row in rows],
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["worst"]))
    return 0 if len(rows) >= len(loops) else 1


if __name__ == "__main__":
    sys.exit(main())
