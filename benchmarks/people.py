"""Looks that treat people apart from their room, which `evaluate quality` does not play.

    python benchmarks/people.py pocket --out benchmarks/results/people_pocket.json

On held-out clips and, beside them, on training clips: forty frames on own outputs, looks with
hidden state after one true frame. `gain` is how much of the way from the camera to the truth is
made: 1 - error of the output / error of the camera; 0 does nothing, below 0 is worse than that.
Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from everframe import Session
from everframe.data.catalogue import Catalogue
from everframe.data.held_out import HeldOut, to_frames
from everframe.runtime.bench import commit, hardware

HELD_OUT = ("asl_book", "head-pose-face-detection-female", "face-demographics-walking-and-pause")
TRAINED = ("asl_yes", "head-pose-face-detection-male")
LAST = 10
"""Frames at the end that are measured."""

Frames = NDArray[np.uint8]


def error(a: Frames, b: Frames) -> float:
    """Mean squared error of the last frames, of 1."""
    return float(np.square((a[-LAST:].astype(np.float32) - b[-LAST:]) / 255).mean())


def play(session: Session, prompt: str, camera: Frames, target: Frames, *, seeded: bool) -> Frames:
    """The session's frames for a stream, the first one given if `seeded`."""
    session.update(prompt=prompt)
    session.reset()
    if seeded:
        session.seed_history(output=target[0], camera=camera[0])
    return np.stack([session.step(frame) for frame in camera])


def measure(
    session: Session, held_out: HeldOut, labels: Sequence[int], group: str, sheet: list[Frames]
) -> list[dict[str, Any]]:
    """A row per stream; the last pictures go to `sheet`."""
    cat, size = held_out.catalogue, session.size
    rows: list[dict[str, Any]] = []
    for clip in held_out.clips:
        camera, mask = held_out.clip(clip, size)
        for label in labels:
            target = held_out.target(label, clip, camera, mask)
            if target is None:
                continue
            seen, truth = to_frames(camera).numpy(), to_frames(target).numpy()
            hidden = bool(cat.hidden[label])
            out = play(session, cat.prompts(label)[0], seen, truth, seeded=hidden)
            before, after = error(seen, truth), error(out, truth)
            row = {"group": group, "look": cat.names[label], "clip": clip, "hidden": hidden}
            row |= {"psnr": -10 * np.log10(after + 1e-10), "camera": -10 * np.log10(before + 1e-10)}
            row["gain"] = 1 - after / (before + 1e-6)
            rows.append(
                {k: round(float(v), 3) if isinstance(v, float) else v for k, v in row.items()}
            )
            sheet.append(np.concatenate([seen[-1], truth[-1], out[-1]], 1))
            print(f"{group:10} {row['look']:20} {clip:36} gain {row['gain']:6.2f}", flush=True)
    return rows


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="pocket")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--footage", type=Path, default=Path("examples/footage"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path, help="camera, truth and output of every stream")
    args = parser.parse_args()
    cat, cpu = Catalogue(), torch.device("cpu")
    session = Session.from_pretrained(
        args.model, prompt="a", height=224, width=288, engine=args.engine
    )
    labels = range(cat.first_person, cat.first_dress)
    rows: list[dict[str, Any]] = []
    sheet: list[Frames] = []
    for group, clips in (("held out", HELD_OUT), ("trained on", TRAINED)):
        held_out = HeldOut(args.footage, clips, cat, cpu)
        rows += measure(session, held_out, labels, group, sheet)
    mean = {
        group: round(float(np.mean([r["gain"] for r in rows if r["group"] == group])), 3)
        for group in dict.fromkeys(row["group"] for row in rows)
    }
    result = {
        "command": shlex.join(["python", "benchmarks/people.py", *sys.argv[1:]]),
        "commit": commit(Path(__file__).parent),
        "hardware": hardware(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "model": args.model,
        "mean_gain": mean,
    }
    if args.sheet:
        Image.fromarray(np.concatenate(sheet, 0)).save(args.sheet)
    if args.out:
        args.out.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
