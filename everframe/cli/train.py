"""`everframe train RECIPE [key=value ...]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from everframe.cli.verb import Subparsers
from everframe.core.config import override, to_json
from everframe.core.errors import UserError

EPILOG = """examples:
  everframe train debug                              two minutes on a laptop, the whole path
  everframe train pocket footage=DIR --out runs/pocket
  everframe train studio footage=DIR seconds=7200 streams=64 --out runs/studio
  torchrun --nproc-per-node 2 -m everframe train studio footage=DIR --out runs/studio
Run the same command again to go on where it stopped."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train a model with a recipe",
        description="Train a model. A recipe is a complete set of values; key=value changes some.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recipe", help="debug, pocket, studio, teacher, or a control (docs/training.md)"
    )
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="values to change")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE)")
    parser.add_argument("--stop-after", type=float, metavar="S", help="stop (resumable) after S s")
    parser.add_argument("--dry-run", action="store_true", help="print the complete config and stop")


def run(args: argparse.Namespace) -> int:
    """Train."""
    from everframe.recipes.configs import RECIPES
    from everframe.recipes.controls import CONTROLS
    from everframe.recipes.training import run_training

    known = RECIPES | CONTROLS
    if args.recipe not in known:
        raise UserError(f"unknown recipe '{args.recipe}'; choose one of {', '.join(known)}")
    config = override(known[args.recipe](), args.assignments)
    if args.dry_run:
        print(to_json(config), end="")
        return 0
    folder = args.out or Path("runs") / args.recipe
    stop = args.stop_after if args.stop_after is not None else float("inf")
    done = run_training(config, folder, stop_after_s=stop)
    print(f"{'complete' if done else 'stopped; run the same command to go on'}: {folder}")
    return 0
