"""Does a prompt give its look? Cold starts under training prompts and held-out paraphrases, judged.

    python benchmarks/paraphrases.py pocket --out benchmarks/results/paraphrases_pocket.json

Every look of the whole picture, three frames of a held-out clip from a cold start; the look
classifier of the evaluation names the last one. Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe import Session
from everframe.data.catalogue import Catalogue
from everframe.data.held_out import clip_path
from everframe.data.source import read_clip
from everframe.evaluate.classifier import LookClassifier, load_classifier
from everframe.evaluate.quality_run import CLASSIFIER_FILE
from everframe.stream import session as session_module

CLIP, FIRST, FRAMES = "asl_book", 30, 3
SEEN, HELD_OUT = 4, 4
"""Prompts of each kind per look, at most."""


def picture(frame: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W], 0..1."""
    return torch.from_numpy(frame.copy()).movedim(-1, 0)[None].float() / 255


def misses(
    session: Session,
    judge: LookClassifier,
    frames: Sequence[NDArray[np.uint8]],
    prompts: Sequence[tuple[str, str]],
) -> list[tuple[str, str, str]]:
    """(prompt, look, what the judge said) of those that did not give their look."""
    wrong: list[tuple[str, str, str]] = []
    for prompt, look in prompts:
        session.update(prompt=prompt)
        session.reset()
        out = [session.step(frame) for frame in frames][-1]
        said = judge.name(picture(out), picture(frames[-1]))[0]
        if said != look:
            wrong.append((prompt, look, said))
    return wrong


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="pocket")
    parser.add_argument("--footage", type=Path, default=Path("examples/footage"))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    catalogue, judge = Catalogue(), load_classifier(CLASSIFIER_FILE)
    clip = read_clip(clip_path(args.footage, CLIP), height=args.side, width=args.side)
    frames = list(clip[FIRST : FIRST + FRAMES])
    whole = [(i, look.name) for i, look in enumerate(catalogue.flat)]
    seen = [(p, name) for i, name in whole for p in catalogue.prompts(i)[:SEEN]]
    unseen = [
        (p, name) for i, name in whole for p in catalogue.prompts(i, held_out=True)[:HELD_OUT]
    ]
    pull, result = session_module.PULL, {"model": args.model, "side": args.side, "clip": CLIP}
    for label, prompts, strength in (
        ("seen", seen, pull),
        ("held_out", unseen, pull),
        ("held_out_without_pull", unseen, 0.0),
    ):
        session_module.PULL = strength
        session = Session.from_pretrained(
            args.model, prompt="pencil sketch", height=args.side, width=args.side
        )
        wrong = misses(session, judge, frames, prompts)
        top1 = 1 - len(wrong) / len(prompts)
        print(f"{label:24} {len(prompts):4} prompts  top-1 {top1:.3f}", flush=True)
        result[label] = {"prompts": len(prompts), "top1": round(top1, 4), "misses": wrong}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    result |= {
        "command": f"python benchmarks/paraphrases.py {args.model}",
        "commit": commit.stdout.strip(),
        "hardware": platform.processor() or platform.machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, dict)}))


if __name__ == "__main__":
    main()
