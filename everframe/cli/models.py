"""`everframe models`: which models are here, how large they are, and what their cards say."""

import argparse
from collections.abc import Callable
from pathlib import Path

from everframe.arch.bundle import bundled_models, find_bundle
from everframe.cli.bundles import BundleFacts, read_facts
from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError

EXAMPLES = """\
examples:
  everframe models
  everframe models show pocket
"""
_FIGURES_SHOWN = 3


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the models on this machine",
        description="List the models that come with the package, or show the card of one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("name", nargs="?", help="with show: a model's name or folder")


def run(
    args: argparse.Namespace, *, bundled: Callable[[], dict[str, Path]] = bundled_models
) -> int:
    """List the models or print a card; `bundled` finds them.

    Raises:
        UserError: `show` without a name, or an unknown model.
    """
    if args.action == "show":
        _show(args.name, bundled())
        return 0
    if args.name is not None:
        raise UserError(f"did you mean: everframe models show {args.name}")
    facts = [read_facts(name, folder) for name, folder in bundled().items()]
    if not facts:
        print("no model is bundled with this installation; give --model a model's folder")
        return 0
    width = max(len(fact.name) for fact in facts)
    for fact in facts:
        print(f"{fact.name:<{width}}  {_line(fact)}")
    return 0


def _show(name: str | None, models: dict[str, Path]) -> None:
    if name is None:
        known = ", ".join(models) or "none is bundled"
        raise UserError(f"which model? everframe models show NAME; there are: {known}")
    folder = models.get(name) or find_bundle(name)
    fact = read_facts(folder.name, folder)
    print(f"{fact.name}  {_size(fact)}")
    for key, value in fact.figures.items():
        print(f"  {key}: {value}")
    print(f"\n{fact.card.strip()}" if fact.card.strip() else "\nThis model has no card.")


def _line(fact: BundleFacts) -> str:
    shown = list(fact.figures.items())[:_FIGURES_SHOWN]
    return "  ".join([_size(fact), *(f"{key} {value}" for key, value in shown)])


def _size(fact: BundleFacts) -> str:
    megabytes = f"{fact.size_bytes / 1e6:6.1f} MB"
    if fact.parameters is None:
        return megabytes
    return f"{megabytes}  {fact.parameters / 1e6:6.1f} M parameters"
