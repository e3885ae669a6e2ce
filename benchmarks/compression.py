"""Pruning and distillation against their controls: one budget of training, one of milliseconds.

    python -m benchmarks.compression prune taylor --cost cost.json --budget-ms 15
    python -m benchmarks.compression run taylor --cost cost.json --budget-ms 15
    python -m benchmarks.compression run distilled --teacher runs/teacher/bundle ...
    python -m benchmarks.compression time runs/compression --engine openvino
    python -m benchmarks.compression collect runs/compression \
        --out benchmarks/results/compression.json --plot docs/images/compression.png

`run` prunes (once), trains for `--steps` and plays held-out clips; the same command goes on where
it stopped. `time` measures the frames of all runs in turns in one engine. `collect` prints a table,
draws quality against milliseconds and, last, prints one JSON line.

    taylor       the method: scores of the loss, costs in milliseconds, then plain regression
    distilled    the same network, shortcut distillation from the teacher instead of regression
    distilled-studio    the same from the shipped studio
    random-init  the same shape from random weights, trained for the recovery's steps, too
    magnitude, flops, depth, width    other scores, other costs, other cuts
    source-on    what is cut, trained on uncut by plain regression
    source-distilled    the same, distilled from the teacher
    teacher, studio, source    as they are, untrained: what all are compared with
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.compression_report import collect
from benchmarks.controls import at, measure
from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.arch.flops import step_flops
from everframe.arch.spec import Spec
from everframe.arch.weights import parameter_count
from everframe.compress.prune import CostKind, Only, PrunePlan, Scores
from everframe.compress.shortcut import ShortcutConfig
from everframe.core.config import override
from everframe.core.errors import UserError
from everframe.data.mixture import MixtureConfig
from everframe.recipes.configs import pocket
from everframe.recipes.distillation import DistillConfig, run_distillation
from everframe.recipes.pruning import run_pruning
from everframe.recipes.training import run_training
from everframe.runtime.bench import ROUND, Lane, commit, hardware, open_lane, opener
from everframe.stream.resize import parse_size
from everframe.train.config import TrainConfig
from everframe.train.rollouts import RolloutConfig

RECOVER, CANDIDATES = 150, 2
RATE = 0.2
"""Of the recipe's learning rates, except from random weights: at the full rates 800 steps of
16 streams cost a trained network 1.7 dB that they did not win back.
"""
TIMES = (10, 100, 300)
FEW = (1, 2, 4)
WARM_UP = 10
FIRST = ("teacher", "studio", "source", "taylor")
"""Timed even if there is no time for all."""
SHORTCUT = ShortcutConfig(
    teacher_share=0.8,
    self_share=0.2,
    size_shares=(0.6, 0.25, 0.15),
    substeps=1,
    teacher_weight=1.0,
    end_weight=1.0,
)
"""All streams are told the step sizes that the student will be used with, and a teacher that is
best at one step gives its one-step pictures.
"""
Model = Literal["teacher", "studio", "source"]
"""What `--teacher` and `--source` name, and the shipped studio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a network comes about, and how it is trained.

    scores, cost_kind, only: how the source is cut; of: the run whose network it shares instead;
    net: the model that it starts from instead. fresh: random weights in that shape. guide: whom it
    is distilled from; none: plain regression. played: steps a frame in which it is played.
    """

    scores: Scores = "taylor"
    cost_kind: CostKind = "latency"
    only: Only = "both"
    of: str = ""
    net: Model | None = None
    fresh: bool = False
    guide: Model | None = None
    trained: bool = True
    played: tuple[int, ...] = (1,)


RUNS = {
    "taylor": Run(played=FEW),
    "distilled": Run(of="taylor", guide="teacher", played=FEW),
    "distilled-studio": Run(of="taylor", guide="studio", played=FEW),
    "random-init": Run(of="taylor", fresh=True),
    "magnitude": Run(scores="magnitude"),
    "flops": Run(cost_kind="flops"),
    "depth": Run(only="depth"),
    "width": Run(only="width"),
    "source-on": Run(net="source", played=FEW),
    "source-distilled": Run(net="source", guide="teacher", played=FEW),
    "teacher": Run(net="teacher", trained=False, played=FEW),
    "studio": Run(net="studio", trained=False, played=FEW),
    "source": Run(net="source", trained=False, played=FEW),
}


def training(args: argparse.Namespace) -> TrainConfig:
    """What every run trains with: the recipe of `pocket` at one frame size and, as all controls
    (docs/training.md), without worlds, whose rendering would cost more than the short runs gain.
    """
    config = replace(
        pocket(),
        streams=32,
        steps=args.steps,
        seconds=0.0,
        own_start=0.0,
        other_sizes=(),
        rare_sizes=(),
        sheet_every=0,
        footage=str(args.footage),
        mixture=MixtureConfig(world_share=0.0, world_camera_share=0.0),
        rollouts=RolloutConfig(share=0.5, streams=32, lengths=(16, 32)),
    )
    return override(config, [x for x in args.assignments if not x.startswith("shortcut.")])


def shortcut(args: argparse.Namespace) -> ShortcutConfig:
    """The objective of distilled runs."""
    mine = [x for x in args.assignments if x.startswith("shortcut.")]
    return override(SHORTCUT, [x.removeprefix("shortcut.") for x in mine])


def model(name: Model, args: argparse.Namespace) -> str:
    """The bundle, by name or folder."""
    return str({"teacher": args.teacher, "studio": "studio", "source": args.source}[name])


def prune(args: argparse.Namespace) -> None:
    """Make the network of a run, and no more."""
    network(args.name, args)


def network(name: str, args: argparse.Namespace) -> str:
    """The bundle that a run starts from, by name or folder; prunes if it is not there yet.

    Raises:
        UserError: the run whose network it shares has none yet.
    """
    kind = RUNS[name]
    if kind.net:
        return model(kind.net, args)
    folder = args.out / (kind.of or name) / "net"
    if (folder / "spec.json").is_file():
        return str(folder)
    if kind.of:
        raise UserError(f"{folder} is not there yet; run {kind.of} first")
    plan = PrunePlan(
        budget_ms=args.budget_ms,
        scores=kind.scores,
        cost_kind=kind.cost_kind,
        only=kind.only,
        candidates=args.candidates,
        recover=args.recover,
        clips=args.clips,
    )
    run_pruning(str(args.source), CostTable.load(args.cost), plan, training(args), folder)
    return str(folder)


def train(name: str, args: argparse.Namespace) -> bool:
    """Train the network of a run into its folder; whether it is complete."""
    kind, folder, config = RUNS[name], args.out / name, training(args)
    net = network(name, args)
    if not kind.fresh:
        rates = config.lr_muon * RATE, config.lr_adamw * RATE
        config = replace(config, lr_muon=rates[0], lr_adamw=rates[1])
    if not kind.trained:
        Bundle.from_pretrained(net).save_pretrained(folder / "bundle", quantise=False)
        return True
    if kind.guide:
        guide = model(kind.guide, args)
        how = DistillConfig(teacher=guide, student=net, train=config, shortcut=shortcut(args))
        return run_distillation(how, folder)
    steps = config.steps + (args.recover if kind.fresh else 0)
    init = "" if kind.fresh else net
    return run_training(replace(config, preset=net, init=init, steps=steps), folder)


def run(args: argparse.Namespace) -> None:
    """Train and play one."""
    begin, folder, kind = time.monotonic(), args.out / args.name, RUNS[args.name]
    if not train(args.name, args):
        return
    seconds, config = time.monotonic() - begin, training(args)
    bundle = Bundle.from_pretrained(folder / "bundle")
    spec, table = bundle.spec, CostTable.load(args.cost)
    report: dict[str, Any] = {
        "name": args.name,
        "parameters": parameter_count(spec),
        "gflop": round(step_flops(spec, *table.size) / 1e9, 3),
        "table_ms": table_ms(table, spec),
        "engine": table.engine,
        "blocks": [[b.heads, b.ffn, b.history_frames] for b in spec.blocks],
        "train_steps": bundle.meta["step"] if kind.trained else 0,
        "train_frames": bundle.meta["frames"] if kind.trained else 0,
        "seconds": round(seconds),
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "played": {},
    }
    for steps in kind.played:
        played = measure(folder, config, args.frames, steps=steps)
        figures = {
            group: {str(t): round(at(curve, t), 2) for t in TIMES if t <= len(curve)}
            for group, curve in played["curves"].items()
        }
        report["played"][str(steps)] = figures
        print(args.name, steps, "steps", json.dumps(figures), flush=True)
        (folder / "result.json").write_text(json.dumps(report), encoding="utf-8")


def table_ms(table: CostTable, spec: Spec) -> float | None:
    """What the table says of a network; None where it does not hold for it."""
    try:
        return round(table.total(spec), 3)
    except UserError:
        return None


def time_all(args: argparse.Namespace) -> None:
    """Frame times of the bundles of all runs in one engine, in turns; equal shapes once."""
    size = parse_size(args.size)
    folders = [p for p in args.folder.glob("*/bundle") if p.parent.name in RUNS]
    bundles = {p.parent.name: Bundle.from_pretrained(p) for p in folders}
    bundles = {name: bundles[name] for name in sorted(bundles, key=[*FIRST, *RUNS].index)}
    lanes: dict[Spec, Lane] = {}
    begin = time.monotonic()
    for name, bundle in bundles.items():
        shape = replace(bundle.spec, step_sizes=False)
        if shape not in lanes and time.monotonic() - begin < args.open_s:
            print("opening", name, flush=True)
            open_named = opener(bundle, height=size.height, width=size.width)
            lanes[shape] = open_lane(args.engine, open_named)
    for _ in range(WARM_UP):
        for lane in lanes.values():
            lane.step()
    for _ in range(-(-args.frames // ROUND)):
        for lane in lanes.values():
            lane.times_ms += [lane.step() for _ in range(ROUND)]
    rows: dict[str, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        lane = lanes.get(replace(bundle.spec, step_sizes=False))
        if lane is None:
            continue
        p50, p95 = (round(float(x), 3) for x in np.percentile(lane.times_ms, [50, 95]))
        rows[name] = {"p50": p50, "p95": p95, "engine": lane.engine.name}
        print(f"{name:17} {p50:8.3f} {p95:8.3f}  {lane.engine.name}", flush=True)
    about = {"size": args.size, "frames": args.frames, "hardware": hardware()}
    about |= {"commit": commit(Path(__file__).parent), "ms": rows}
    (args.folder / f"latency_{args.engine}.json").write_text(json.dumps(about), encoding="utf-8")


def report(args: argparse.Namespace) -> None:
    """Table, figure, JSON."""
    collect(args.folder, list(RUNS), args.out, args.plot)


def options(parser: argparse.ArgumentParser) -> None:
    """What `prune` and `run` share."""
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="of the training")
    parser.add_argument("--teacher", default="studio", help="whom to distil (%(default)s)")
    shared_options(parser)


def shared_options(parser: argparse.ArgumentParser) -> None:
    """What all runs of a comparison have in common."""
    parser.add_argument("--source", default="pocket", help="what is cut (%(default)s)")
    parser.add_argument("--cost", type=Path, required=True, help="from everframe bench blocks")
    parser.add_argument("--budget-ms", type=float, default=12.0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--recover", type=int, default=RECOVER, help="steps for each candidate")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--clips", type=int, default=32, help="calibration clips")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--footage", type=Path, default=Path("examples/footage"))
    parser.add_argument("--out", type=Path, default=Path("runs/compression"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("prune")
    one.set_defaults(do=prune)
    options(one)
    one = verbs.add_parser("run")
    one.set_defaults(do=run)
    options(one)
    timed = verbs.add_parser("time")
    timed.set_defaults(do=time_all)
    timed.add_argument("folder", type=Path)
    timed.add_argument("--engine", default="auto")
    timed.add_argument("--size", default="288x224")
    timed.add_argument("--frames", type=int, default=100)
    timed.add_argument(
        "--open-s", type=float, default=1e9, help="open no more networks after so many seconds"
    )
    many = verbs.add_parser("collect")
    many.set_defaults(do=report)
    many.add_argument("folder", type=Path)
    many.add_argument("--out", type=Path)
    many.add_argument("--plot", type=Path)
    args, late = parser.parse_known_args(arguments)
    if late and ("assignments" not in args or any(x.startswith("-") for x in late)):
        parser.error(f"unrecognized arguments: {' '.join(late)}")
    if late:  # argparse fills a `*` positional once only
        args.assignments = [*args.assignments, *late]
    try:
        args.do(args)
    except UserError as error:
        raise SystemExit(f"{args.verb}: {error}") from None


if __name__ == "__main__":
    main()
