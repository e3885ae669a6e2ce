"""Pruning and distillation against their controls: one budget of training, one of milliseconds.

    python -m benchmarks.compression run taylor --teacher runs/teacher/bundle --cost cost.json \
        --budget-ms 12 --out runs/compression
    python -m benchmarks.compression collect runs/compression \
        --out benchmarks/results/compression.json --plot docs/images/compression.png

`run` prunes (once), trains for `--steps` and plays held-out clips in 1, 2 and 4 steps a frame; the
same command goes on where it stopped. `collect` prints a table, draws quality against milliseconds
and, last, prints one JSON line.

    taylor       the method: scores of the loss, costs in milliseconds, then plain regression
    distilled    the same network, shortcut distillation from the teacher instead of regression
    random-init  the same shape from random weights, trained for the recovery's steps, too
    magnitude, flops, depth, width    other scores, other costs, other cuts
    teacher      as it is, untrained: what all are compared with
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from benchmarks.controls import at, measure
from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.arch.flops import step_flops
from everframe.arch.weights import parameter_count
from everframe.compress.prune import CostKind, Only, PrunePlan, Scores
from everframe.core.config import override
from everframe.core.errors import UserError
from everframe.recipes.configs import pocket
from everframe.recipes.distillation import DistillConfig, run_distillation
from everframe.recipes.pruning import run_pruning
from everframe.recipes.training import run_training
from everframe.runtime.bench import commit, hardware
from everframe.train.config import TrainConfig

STEPS = (1, 2, 4)
RECOVER, CANDIDATES = 150, 2
TIMES = (10, 100, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a network comes about: cut by these scores, costs and parts (or that of another run,
    `of`), then trained.
    """

    scores: Scores = "taylor"
    cost_kind: CostKind = "latency"
    only: Only = "both"
    of: str = ""
    fresh: bool = False
    distilled: bool = False
    trained: bool = True


RUNS = {
    "taylor": Run(),
    "distilled": Run(of="taylor", distilled=True),
    "random-init": Run(of="taylor", fresh=True),
    "magnitude": Run(scores="magnitude"),
    "flops": Run(cost_kind="flops"),
    "depth": Run(only="depth"),
    "width": Run(only="width"),
    "teacher": Run(trained=False),
}


def training(args: argparse.Namespace) -> TrainConfig:
    """What every run trains with: the recipe of `pocket` at one frame size."""
    config = replace(
        pocket(),
        streams=32,
        steps=args.steps,
        seconds=0.0,
        own_start=0.0,
        other_sizes=(),
        sheet_every=0,
        footage=str(args.footage),
    )
    return override(config, args.assignments)


def network(name: str, args: argparse.Namespace) -> Path:
    """The bundle that a run starts from; prunes if it is not there yet.

    Raises:
        UserError: the run whose network it shares has none yet.
    """
    kind, folder = RUNS[name], args.out / (RUNS[name].of or name) / "net"
    if (folder / "spec.json").is_file():
        return folder
    if kind.of:
        raise UserError(f"{folder} is not there yet; run {kind.of} first")
    plan = PrunePlan(
        budget_ms=args.budget_ms,
        scores=kind.scores,
        cost_kind=kind.cost_kind,
        only=kind.only,
        candidates=CANDIDATES,
        recover=args.recover,
    )
    config = replace(training(args), preset="pocket")
    run_pruning(str(args.teacher), CostTable.load(args.cost), plan, config, folder)
    return folder


def train(name: str, args: argparse.Namespace) -> bool:
    """Train the network of a run into its folder; whether it is complete."""
    kind, folder, config = RUNS[name], args.out / name, training(args)
    if not kind.trained:
        Bundle.from_pretrained(args.teacher).save_pretrained(folder / "bundle", quantise=False)
        return True
    net = str(network(name, args))
    if kind.distilled:
        how = DistillConfig(teacher=str(args.teacher), student=net, train=config)
        return run_distillation(how, folder)
    steps = config.steps + (args.recover if kind.fresh else 0)
    init = "" if kind.fresh else net
    return run_training(replace(config, preset=net, init=init, steps=steps), folder)


def run(args: argparse.Namespace) -> None:
    """Train and play one."""
    begin, folder = time.monotonic(), args.out / args.name
    if not train(args.name, args):
        return
    seconds, config = time.monotonic() - begin, training(args)
    spec = Bundle.from_pretrained(folder / "bundle").spec
    table = CostTable.load(args.cost)
    report: dict[str, Any] = {
        "name": args.name,
        "parameters": parameter_count(spec),
        "gflop": round(step_flops(spec, *table.size) / 1e9, 3),
        "table_ms": round(table.total(spec), 3),
        "engine": table.engine,
        "blocks": [[b.heads, b.ffn, b.history_frames] for b in spec.blocks],
        "train_steps": config.steps if RUNS[args.name].trained else 0,
        "seconds": round(seconds),
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "played": {},
    }
    for steps in STEPS:
        played = measure(folder, config, args.frames, steps=steps)
        figures = {
            group: {str(t): round(at(curve, t), 2) for t in TIMES if t <= len(curve)}
            for group, curve in played["curves"].items()
        }
        report["played"][str(steps)] = figures
        print(args.name, steps, "steps", json.dumps(figures), flush=True)
    (folder / "result.json").write_text(json.dumps(report), encoding="utf-8")


def collect(args: argparse.Namespace) -> None:
    """Table, figure, JSON."""
    found = {
        p.parent.name: json.loads(p.read_text("utf-8")) for p in args.folder.glob("*/result.json")
    }
    rows = [found[name] for name in RUNS if name in found]
    for row in rows:
        last = {
            s: {g: list(v.values())[-1] for g, v in played.items()}
            for s, played in row["played"].items()
        }
        cells = "  ".join(f"{s}: {v['plain']:.2f} / {v['hidden']:.2f}" for s, v in last.items())
        size = f"{row['parameters'] / 1e6:6.2f} M {row['table_ms']:7.2f} ms"
        print(f"{row['name']:12} {size}  plain / hidden in steps  {cells}")
    if args.plot:
        plot(rows, args.plot)
    report = {"commit": commit(Path(__file__).parent), "host": hardware(), "runs": rows}
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({row["name"]: row["table_ms"] for row in rows}))


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Quality at the last frame against milliseconds by the cost table, one step a frame."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True)
    for axis, group in zip(axes, ("plain", "hidden"), strict=True):
        for number, row in enumerate(rows):
            y = list(row["played"]["1"][group].values())[-1]
            axis.plot(row["table_ms"], y, "o", color=f"C{number % 10}")
            axis.annotate(
                row["name"],
                (row["table_ms"], y),
                fontsize=8,
                xytext=(4, 3),
                textcoords="offset points",
            )
        axis.set_title(f"{group} looks")
        axis.set_xlabel("ms per step by the cost table")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR to the target, dB")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("run")
    one.add_argument("name", choices=RUNS)
    one.add_argument("assignments", nargs="*", metavar="key=value", help="of the training")
    one.add_argument("--teacher", type=Path, required=True)
    one.add_argument("--cost", type=Path, required=True, help="from everframe bench blocks")
    one.add_argument("--budget-ms", type=float, default=12.0)
    one.add_argument("--steps", type=int, default=2000)
    one.add_argument("--recover", type=int, default=RECOVER, help="steps for each candidate")
    one.add_argument("--frames", type=int, default=300)
    one.add_argument("--footage", type=Path, default=Path("examples/footage"))
    one.add_argument("--out", type=Path, default=Path("runs/compression"))
    many = verbs.add_parser("collect")
    many.add_argument("folder", type=Path)
    many.add_argument("--out", type=Path)
    many.add_argument("--plot", type=Path)
    args = parser.parse_args()
    (run if args.verb == "run" else collect)(args)


if __name__ == "__main__":
    main()
