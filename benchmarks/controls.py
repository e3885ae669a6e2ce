"""The controls: one budget, one change each, rolled out for thousands of frames on held-out clips.

    python benchmarks/controls.py run full --out runs/controls
    python benchmarks/controls.py collect runs/controls --out benchmarks/results/controls.json \
        --plot docs/images/controls.png

`run` trains one control (resumable; `key=value` changes fields) and writes its curves; `collect`
puts all that were run into one table, one figure and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.torch_net import Net
from everframe.core.config import override
from everframe.data.catalogue import Catalogue
from everframe.data.held_out import HeldOut
from everframe.evaluate.drift_plot import smoothed
from everframe.recipes.configs import HELD_OUT
from everframe.recipes.controls import CONTROLS
from everframe.recipes.training import run_training
from everframe.text.encoder import TextEncoder
from everframe.train.config import TrainConfig
from everframe.train.preview import first_history, roll_out, sheet
from everframe.train.rollouts import make_roller
from everframe.train.second_pass import SecondPassRoller

CLIPS = 2
LOOKS = (
    "pencil", "cartoon", "oil_painting", "thermal", "anime", "newspaper", "chrome", "neon_lines",
    "stained_glass", "quilt", "aurora", "duotone", "halftone_ink", "knitted", "patina", "marble",
)  # fmt: skip
TIMES = (10, 100, 300, 1000, 2000)
KEPT = (10, 300, 1999)


def measure(folder: Path, config: TrainConfig, frames: int, steps: int = 1) -> dict[str, Any]:
    """PSNR of `frames` frames from one true frame on, made in `steps` steps each: mean of the plain
    and of the hidden looks.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    catalogue = Catalogue()
    bundle = Bundle.from_pretrained(folder / "bundle")
    net = Net(bundle.spec)
    net.load_arrays(bundle.weights)
    net = net.to(device)
    held = HeldOut(Path(config.footage), HELD_OUT[:CLIPS], catalogue, device)
    labels = [catalogue.names.index(name) for name in LOOKS]
    streams = held.streams(config.size, TextEncoder.load(), labels)
    kind = SecondPassRoller if config.second_pass else None
    make = partial(make_roller, kind=kind) if kind else make_roller
    begin = time.monotonic()
    made = roll_out(net, streams, frames=frames, steps=steps, seeded=True, keep=KEPT, make=make)
    table = torch.stack(made.psnr).cpu().numpy()
    frame_ms = 1e3 * (time.monotonic() - begin) / frames
    sheet(made, streams, catalogue.names).save(folder / "sheet.jpg", quality=85)
    codes = net.prompt_codes(streams.states, streams.mask)
    roller = make(net, codes, *config.size)
    shape = (len(streams.labels), 3, *config.size)
    noise = torch.randn(shape, device=device, generator=torch.Generator(device).manual_seed(11))
    empty, rows = first_history(net, streams, False), list[np.ndarray]()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        for t in range(1, streams.camera.shape[1], 10):
            frame, _ = roller.step(empty, streams.camera[:, t], noise, 1)
            error = (frame.float() - streams.target[:, t].float()).square().mean((1, 2, 3))
            rows.append((10 * torch.log10(255**2 / error.clamp(min=0.01))).cpu().numpy())
    alone = np.stack(rows).mean(0)
    groups = {"plain": ~streams.hidden, "hidden": streams.hidden}
    return {
        "frames": frames,
        "batched_frame_ms": round(frame_ms, 2),
        "curves": {k: np.round(table[:, v].mean(1), 3).tolist() for k, v in groups.items()},
        "without_memory": {k: round(float(alone[v].mean()), 2) for k, v in groups.items()},
    }


def run(args: argparse.Namespace) -> None:
    """Train one control and roll it out."""
    config = override(CONTROLS[f"control-{args.name}"](), args.assignments)
    folder = args.out / args.name
    begin = time.monotonic()
    if not run_training(config, folder):
        return
    seconds = time.monotonic() - begin
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    meta = Bundle.from_pretrained(folder / "bundle").meta
    report = {
        "name": args.name,
        "steps": meta["step"],
        "trained_frames": meta["frames"],
        "seconds": round(seconds),
        "hardware": gpu or platform.machine(),
        "date": datetime.now(tz=UTC).date().isoformat(),
        **measure(folder, config, args.frames),
    }
    (folder / "curve.json").write_text(json.dumps(report), encoding="utf-8")
    print(line_of(row_of(report)), flush=True)


def at(curve: Sequence[float], time_: int) -> float:
    """Mean around frame `time_`."""
    half = max(5, time_ // 20)
    return float(np.mean(curve[max(0, time_ - half) : time_ + half]))


def line_of(row: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [f"{row['name']:12}"]
    for group in ("plain", "hidden"):
        cells.append(group + " " + " ".join(f"{t}:{v:.2f}" for t, v in row[group].items()))
        cells.append(f"(alone {row['without_memory'][group]:.2f})")
    return "  ".join(cells)


def row_of(report: dict[str, Any]) -> dict[str, Any]:
    """What is published of a run: the table's figures and a thinned curve `[[frame, dB], ...]`."""
    row = {k: v for k, v in report.items() if k != "curves"}
    for group, curve in report["curves"].items():
        x, y = smoothed(np.arange(1, len(curve) + 1), np.array(curve))
        row[group] = {str(t): round(at(curve, t), 2) for t in TIMES if t <= len(curve)}
        row[f"{group}_curve"] = [[round(float(a)), round(float(b), 2)]
                                 for a, b in zip(x, y, strict=True)]  # fmt: skip
    return row


def collect(args: argparse.Namespace) -> None:
    """Table, figure, JSON. Rows already in --out stay unless their control was run again."""
    rows: dict[str, dict[str, Any]] = {}
    if args.out and args.out.is_file():
        rows = {row["name"]: row for row in json.loads(args.out.read_text("utf-8"))["runs"]}
    for path in sorted(args.folder.glob("*/curve.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        rows[report["name"]] = row_of(report)
    names = [name.removeprefix("control-") for name in CONTROLS]
    ordered = [rows[name] for name in names if name in rows]
    for row in ordered:
        print(line_of(row))
    if args.plot:
        plot(ordered, args.plot)
    result = {"command": "python benchmarks/controls.py run NAME", "looks": LOOKS, "runs": ordered}
    if args.out:
        args.out.write_text(json.dumps(result, indent=None) + "\n", encoding="utf-8")
    print(json.dumps({"runs": [row["name"] for row in ordered]}))


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """PSNR over frames, one panel per kind of look."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, group in zip(axes, ("plain", "hidden"), strict=True):
        for row in rows:
            frames, psnr = np.array(row[f"{group}_curve"]).T
            mark = "o" if len(frames) <= len(TIMES) else ""
            axis.plot(frames, psnr, label=row["name"], lw=1.2, marker=mark, ms=3)
        axis.set_xscale("log")
        axis.set_title(f"{group} looks")
        axis.set_xlabel("frame")
        axis.set_ylabel("PSNR to the target, dB")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train and compare the controls.")
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("run", help="train and roll out one control")
    one.add_argument("name", choices=[n.removeprefix("control-") for n in CONTROLS])
    one.add_argument("assignments", nargs="*", metavar="key=value")
    one.add_argument("--out", type=Path, default=Path("runs/controls"))
    one.add_argument("--frames", type=int, default=2000)
    one.set_defaults(do=run)
    every = verbs.add_parser("collect", help="table, figure and JSON of those that were run")
    every.add_argument("folder", type=Path)
    every.add_argument("--out", type=Path)
    every.add_argument("--plot", type=Path)
    every.set_defaults(do=collect)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
