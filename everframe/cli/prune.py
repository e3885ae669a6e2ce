"""`everframe prune BUNDLE --budget-ms X --cost TABLE -o OUT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.cli.verb import Subparsers
from everframe.compress.select import ONLY
from everframe.core.config import override
from everframe.core.errors import UserError

DESCRIPTION = """Make a model smaller until one denoising step costs at most X milliseconds.

What each shape of block costs is not guessed but read from a table that `everframe bench blocks`
measures in the engine you will run. What each head, each feed-forward channel, each half of a
block and its sight of past frames is worth is measured on the training loss, with histories that
the model made itself. Then the network of the greatest worth within the budget is found exactly,
in several ways; each of them is trained for a while, and the one whose own rollouts are nearest to
the truth becomes OUT, a bundle like any other (float32, ready for more training).
docs/compression.md explains it."""

EPILOG = """examples:
  everframe bench blocks --model pocket --engine openvino --json cost.json     measure once
  everframe prune pocket --budget-ms 8 --cost cost.json -o runs/small footage=DIR
  everframe prune pocket --budget-ms 8 --cost cost.json -o runs/try --recover 0 --candidates 1
  everframe train pocket preset=runs/small init=runs/small --out runs/on     train it on

controls (docs/compression.md): --scores magnitude|random, --cost-kind flops,
  --only depth|width|history
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "prune",
        help="make a model smaller, to a budget of measured milliseconds",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", help="bundled name or bundle folder")
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="recipe values")
    parser.add_argument(
        "--budget-ms", type=float, required=True, metavar="X", help="for one denoising step"
    )
    parser.add_argument(
        "--cost", type=Path, required=True, metavar="TABLE", help="from everframe bench blocks"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the new bundle")
    parser.add_argument(
        "--recipe", help="whose data and loss are used (default: the model's own, else debug)"
    )
    parser.add_argument(
        "--candidates", type=int, default=4, metavar="K", help="networks to compare (%(default)s)"
    )
    parser.add_argument(
        "--recover",
        type=int,
        default=300,
        metavar="STEPS",
        help="training steps of each candidate (%(default)s)",
    )
    parser.add_argument(
        "--clips", type=int, default=32, metavar="N", help="calibration clips (%(default)s)"
    )
    parser.add_argument(
        "--scores",
        choices=("taylor", "magnitude", "random"),
        default="taylor",
        help="taylor: of the loss, with activations; others are controls (%(default)s)",
    )
    parser.add_argument(
        "--cost-kind",
        choices=("latency", "flops"),
        default="latency",
        help="flops: a control that counts operations, scaled so that the whole model costs what "
        "the table says (%(default)s)",
    )
    parser.add_argument(
        "--only",
        choices=ONLY,
        default="both",
        help="depth: whole blocks; width: heads and channels; history: the past frames that "
        "blocks see; both: all of these (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Prune.

    Raises:
        UserError: bad input; the message says how to mend it.
    """
    table = CostTable.load(args.cost)
    bundle = Bundle.from_pretrained(args.bundle)
    table.check(bundle.spec)
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"{args.out} is a file; give -o a folder")
    from everframe.compress.prune import PrunePlan
    from everframe.recipes.configs import RECIPES
    from everframe.recipes.pruning import run_pruning

    own = str(bundle.meta.get("recipe", ""))
    recipe = args.recipe or (own if own in RECIPES else "debug")
    if recipe not in RECIPES:
        raise UserError(f"unknown recipe '{recipe}'; choose one of {', '.join(RECIPES)}")
    config = override(RECIPES[recipe](), args.assignments)
    plan = PrunePlan(
        budget_ms=args.budget_ms,
        scores=args.scores,
        cost_kind=args.cost_kind,
        only=args.only,
        candidates=args.candidates,
        recover=args.recover,
        clips=args.clips,
    )
    run_pruning(args.bundle, table, plan, config, args.out)
    print(f"{args.out}: a bundle; try it with: everframe restyle IN --model {args.out} -p PROMPT")
    return 0
