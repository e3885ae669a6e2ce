"""Autoregressive rollouts of held-out streams, batched: PSNR over time, per look, with controls.

    python benchmarks/rollout.py pocket --footage DIR --out benchmarks/results/rollout_pocket.json

Prints a table and, last, one JSON line. Minutes on a GPU, hours on a CPU (use --looks and --size).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.torch_net import Net
from everframe.data.catalogue import Catalogue
from everframe.data.held_out import HeldOut, Streams
from everframe.recipes.configs import HELD_OUT
from everframe.text.encoder import TextEncoder
from everframe.train.preview import Rollout, first_history, psnr_u8, roll_out, sheet
from everframe.train.rollouts import make_roller

CLIPS = 3
TIMES = (1, 10, 30, 100, 300)
WINDOW = 5
STEP_COUNTS = (1, 2, 4)


def group_means(table: np.ndarray, streams: Streams, catalogue: Catalogue) -> dict[str, object]:
    """Mean PSNR of each group and of each look around the frames `TIMES`; table [frames, S]."""
    world = streams.labels >= catalogue.first_dress
    groups = {
        "plain": ~streams.hidden & ~world,
        "hidden": streams.hidden & ~world,
        "worlds": world,
    }
    result: dict[str, object] = {}
    times = [t for t in TIMES if t < len(table) + WINDOW]
    rows = {t: table[max(0, t - WINDOW) : t + WINDOW].mean(0) for t in times}
    for name, choice in groups.items():
        if choice.any():
            result[name] = {str(t): round(float(rows[t][choice].mean()), 2) for t in times}
    last = rows[times[-1]]
    result["looks"] = {
        catalogue.names[label]: round(float(last[streams.labels == label].mean()), 1)
        for label in np.unique(streams.labels)
    }
    return result


def without_memory(net: Net, streams: Streams) -> np.ndarray:
    """PSNR [frames, S] when every frame is a first frame, made in one step."""
    device = streams.camera.device
    generator = torch.Generator(device).manual_seed(11)
    _, frames, height, width, _ = streams.camera.shape
    codes = net.prompt_codes(streams.states, streams.mask)
    roller, empty = make_roller(net, codes, height, width), first_history(net, streams, False)
    noise = torch.randn((len(streams.labels), 3, height, width), device=device, generator=generator)
    rows = [
        psnr_u8(roller.step(empty, streams.camera[:, t], noise, 1)[0], streams.target[:, t])
        for t in range(1, frames)
    ]
    return torch.stack(rows).cpu().numpy()


def measure(net: Net, streams: Streams, catalogue: Catalogue, frames: int) -> dict[str, object]:
    """All rollouts of a network."""

    def table(result: Rollout) -> dict[str, object]:
        return group_means(torch.stack(result.psnr).cpu().numpy(), streams, catalogue)

    results: dict[str, object] = {}
    with torch.no_grad():
        for steps in STEP_COUNTS:
            count = frames if steps == 1 else frames // 3
            made = roll_out(net, streams, frames=count, steps=steps, seeded=True, keep=())
            results[f"seeded, {steps} steps"] = table(made)
        results["no memory"] = group_means(without_memory(net, streams), streams, catalogue)
    return results


def write_sheet(net: Net, streams: Streams, catalogue: Catalogue, path: Path) -> None:
    """Rows of camera, own and true frames at 0, 5 and 60 from a cold start."""
    with torch.no_grad():
        made = roll_out(net, streams, frames=61, steps=1, seeded=False, keep=(0, 5, 60))
    sheet(made, streams, catalogue.names, rows=len(streams.labels)).save(path, quality=85)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a bundle."""
    parser = argparse.ArgumentParser(description="Autoregressive PSNR on held-out streams.")
    parser.add_argument("model", help="bundled name or bundle folder")
    parser.add_argument("--footage", type=Path, required=True, help="folder with held-out clips")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=int, default=256, help="side of the frames, pixels")
    parser.add_argument("--looks", help="comma-separated names (default: all)")
    parser.add_argument("--sheet", type=Path, help="contact sheet of a cold start")
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    catalogue = Catalogue()
    bundle = Bundle.from_pretrained(args.model)
    net = Net(bundle.spec)
    net.load_arrays(bundle.weights)
    net = net.to(device)
    labels = [catalogue.names.index(x) for x in args.looks.split(",")] if args.looks else None
    held = HeldOut(args.footage, HELD_OUT[:CLIPS], catalogue, device)
    streams = held.streams((args.size, args.size), TextEncoder.load(), labels)
    results = measure(net, streams, catalogue, args.frames)
    for name, row in results.items():
        groups = {k: v for k, v in row.items() if k != "looks"}  # type: ignore[attr-defined]
        print(f"{name:>18}  {json.dumps(groups)}")
    if args.sheet:
        write_sheet(net, streams, catalogue, args.sheet)
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    report = {
        "command": f"python benchmarks/rollout.py {args.model} --frames {args.frames}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": gpu or platform.machine(),
        "torch": torch.__version__,
        "model": dict(bundle.meta),
        "results": results,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
