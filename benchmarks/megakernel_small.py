"""Changes for small shapes, each alone and together: `PYTHONPATH=. python
benchmarks/megakernel_small.py [--shapes A,B,pocket,studio] [--limit S] [--json FILE] [--ship]`.

Each variant is built in a process of its own, all at once, checked against eager torch and timed
while no other uses the GPU. The first is what was measured on 2026-11-28; `+` adds to the best of
the model. A line per variant: milliseconds, against the first, what the scheduler expected.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_tasks
from everframe.runtime.megakernel.tiles import HOPPER_SMS, Tiles, default_tiles
from everframe.runtime.megakernel.tuned import ship_tiles
from everframe.runtime.torch_shapes import bundle_of
from everframe.runtime.torch_sweep import best_tiles, short

Change = dict[str, int]
BEFORE: Change = {"order": 0, "merge_rows": 0}
ALONE: list[Change] = [
    {"order": 1},
    {"order": 2},
    {"order": 0, "merge_rows": 16},
    {"order": 0, "finish_rows": 16},
    {"order": 0, "embed_parts": 2},
    {"order": 0, "rehearsed": 1},
    {"order": 0, "stages": 5},
    {"order": 0, "conv_stages": 5},
]
TOGETHER: Change = {"order": 2, "merge_rows": 16}
BEST: dict[str, Change] = {
    "A": {"order": 2, "merge_rows": 16, "embed_parts": 4, "rehearsed": 1, "attend_parts": 5},
    "B": {"order": 1, "merge_rows": 16, "embed_parts": 2, "finish_rows": 16, "rehearsed": 1},
    "pocket": {"order": 2, "merge_rows": 16, "rehearsed": 1},
    "studio": {"order": 2, "merge_rows": 16, "rehearsed": 1},
}
"""By the model of `timing.py`."""
ADDED: dict[str, list[Change]] = {
    "A": [{"model_cols": 32}, {"head_cols": 128}, {"stages": 5}],
    "B": [{"model_cols": 32}, {"conv_rows": 256}, {"stages": 5}],
    "pocket": [{"embed_parts": 2}, {"model_cols": 32}, {"stages": 5}],
    "studio": [{"embed_parts": 2}, {"model_cols": 32}, {"stages": 5}],
}


def variants(shape: str, default: Tiles) -> dict[str, Tiles]:
    """By name, what was measured first."""
    best = BEST.get(shape, TOGETHER)
    changes = [("before", BEFORE), *((_name(c), c) for c in (*ALONE, TOGETHER, best))]
    changes += [(f"+ {_name(c)}", best | c) for c in ADDED.get(shape, [])]
    return {name: replace(default, **{**BEFORE, **change}) for name, change in changes}


def _name(change: Change) -> str:
    return " ".join(f"{key}={value}" for key, value in change.items())


def compare(shape: str, limit_s: float, *, ship: bool) -> list[dict[str, str | float]]:
    """Print a line per variant, and return them; `ship`: the fastest comes with the package if it
    is faster than the default.
    """
    bundle, size = bundle_of(shape)
    plan = plan_frame(step_program(bundle.spec, *size))
    tried = variants(shape, default_tiles(plan))
    best, remarks = best_tiles(shape, list(tried.values()), limit_s=limit_s, tell=_silent)
    rows: list[dict[str, str | float]] = []
    for name, tiles in tried.items():
        expected = schedule_tasks(lower(plan, tiles, 1), HOPPER_SMS).estimate_us
        said = remarks[f"megakernel {short(tiles)}"]
        rows.append({"shape": shape, "variant": name, "expected_us": expected, "measured": said})
        print(f"{shape:8} {name:70} {said}; expected {expected:.0f} us", flush=True)
    if ship and best is not None and best != default_tiles(plan):
        ms = float(remarks[f"megakernel {short(best)}"].split()[0])
        ship_tiles(shape, bundle.spec, size, best, ms)
    return rows


def _silent(_: str) -> None:
    pass


def main() -> None:
    """Compare the variants of some shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="A,B,pocket,studio")
    parser.add_argument("--limit", type=float, default=60, metavar="S", help="of a shape, seconds")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--ship", action="store_true", help="the fastest go into the package")
    args = parser.parse_args()
    rows: list[dict[str, str | float]] = []
    for shape in args.shapes.split(","):
        rows += compare(shape, args.limit, ship=args.ship)
        if args.json is not None:
            Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"variants": len(rows)}))


if __name__ == "__main__":
    main()
