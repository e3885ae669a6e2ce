"""`everframe distill TEACHER STUDENT [key=value ...]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from everframe.cli.verb import Subparsers
from everframe.core.config import override, to_json

DESCRIPTION = """Teach a student to do in one, two or four steps a frame what a teacher does
in more.

TEACHER and STUDENT are models (names, or folders of bundles); the student is mostly a smaller or a
pruned one (everframe prune). Teacher and student see the same camera, noise and history, and the
history comes from the student's own rollouts. The result is a bundle in OUT/bundle that every verb
takes, and --steps 1, 2 or 4 chooses the steps live."""
EPILOG = """examples:
  everframe distill studio pocket train.footage=DIR --out runs/distilled
  everframe distill studio runs/pruned/bundle train.footage=DIR train.seconds=3600
  everframe distill studio pocket train.footage=DIR shortcut.substeps=4
  torchrun --nproc-per-node 2 -m everframe distill studio pocket train.footage=DIR
  everframe distill studio pocket --dry-run          (every value that can be changed)
controls, at the same budget:
  everframe distill studio pocket fresh=true         (the student's shape from random weights)
  everframe train pocket init=pocket noise.pure_share=1 noise.alone_pure_share=1 \\
      noise.hidden_pure_share=1 noise.uniform_share=0           (plain one-step regression)
Run the same command again to go on where it stopped."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "distill",
        help="teach a small model to need fewer steps",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("teacher", help="model name or bundle folder")
    parser.add_argument("student", help="model name or bundle folder")
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="values to change")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/distill)")
    parser.add_argument("--stop-after", type=float, metavar="S", help="stop (resumable) after S s")
    parser.add_argument("--dry-run", action="store_true", help="print the complete config and stop")


def run(args: argparse.Namespace) -> int:
    """Distil."""
    from everframe.recipes.distillation import DistillConfig, run_distillation

    config = override(DistillConfig(teacher=args.teacher, student=args.student), args.assignments)
    if args.dry_run:
        print(to_json(config), end="")
        return 0
    folder = args.out or Path("runs") / "distill"
    stop = args.stop_after if args.stop_after is not None else float("inf")
    done = run_distillation(config, folder, stop_after_s=stop)
    print(f"{'complete' if done else 'stopped; run the same command to go on'}: {folder}")
    return 0
