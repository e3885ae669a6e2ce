"""`everframe data`: look at what training draws, and check one's own pairs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError

if TYPE_CHECKING:
    from everframe.data.pairs import Survey

EXAMPLES = """\
examples:
  everframe data preview                                     (a sheet of what training draws)
  everframe data preview --footage clips/ --looks pencil,thermal --out looks.png
  everframe data check my-pairs/                             (a folder or a .jsonl manifest)
  everframe data preview --pairs my-pairs/ --looks "own pairs"
"""
CHECK_TEXT = """\
Check your own training pairs: a folder of NAME.source.mp4, NAME.target.mp4 and NAME.txt (one prompt
per line), or a JSONL manifest of {"source": ..., "prompt": ..., "target": ...} with paths relative
to it. Lists every fault with its file or line; exit status 2 if there is one. docs/own-data.md.
"""
_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_PROMPTS_SHOWN = 5
_EXIT_INPUT = 2


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb and its two sub-verbs to the command line."""
    parser = subparsers.add_parser(
        "data",
        help="make and inspect training data",
        description="Look at the training mixture, or check your own pairs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    preview = actions.add_parser("preview", help="draw a contact sheet of training pairs")
    preview.add_argument(
        "--footage", type=Path, default=Path("examples"), metavar="DIR", help="default: %(default)s"
    )
    preview.add_argument(
        "--pairs", default="", metavar="PATH", help="own pairs, drawn with the rest"
    )
    preview.add_argument("--out", type=Path, default=Path("sheet.png"), help="default: %(default)s")
    preview.add_argument("--looks", default="", metavar="A,B", help="only these (default: all)")
    preview.add_argument("--rows", type=_count, default=12, help="streams shown (default: 12)")
    preview.add_argument("--seed", type=int, default=0, help="default: 0")
    check = actions.add_parser(
        "check",
        help="check your own pairs",
        description=CHECK_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("path", type=Path, metavar="PATH", help="folder or manifest")


def run(args: argparse.Namespace) -> int:
    """Draw the sheet or print the report; 2 if a check finds an error.

    Raises:
        UserError: nothing at a path, unknown look, or a sheet that cannot be written.
    """
    if args.action == "check":
        from everframe.data.pairs import survey

        found = survey(args.path)
        print(_report(found))
        return _EXIT_INPUT if found.errors else 0
    from everframe.recipes.preview import PreviewRequest, compose, draw_rows

    if args.out.suffix.lower() not in _SHEET_SUFFIXES or not args.out.parent.is_dir():
        raise UserError(
            f"cannot write the sheet {args.out}; use one of {' '.join(_SHEET_SUFFIXES)} in a "
            "folder that exists"
        )
    if not args.footage.is_dir():
        raise UserError(f"no footage folder '{args.footage}'; give one with --footage DIR")
    request = PreviewRequest(
        footage=args.footage,
        pairs=args.pairs,
        looks=tuple(name.strip() for name in args.looks.split(",") if name.strip()),
        rows=args.rows,
        seed=args.seed,
    )
    rows = draw_rows(request)
    compose(rows).save(args.out)
    print(f"{args.out}  {len(rows)} streams, {len({row.look for row in rows})} looks")
    return 0


def _report(found: "Survey") -> str:
    lines = [f"{'frames':>7} {'seconds':>8} {'size':>10} {'prompts':>8}  pair"]
    wordings: dict[tuple[Path, Path], list[str]] = {}
    for pair in found.pairs:
        wordings.setdefault((pair.source, pair.target), []).append(pair.prompt)
    frames, seconds = 0, 0.0
    for (source, _), prompts in wordings.items():
        fact = found.facts.get(source)
        if fact is None:
            lines.append(f"{'?':>7} {'?':>8} {'?':>10} {len(prompts):>8}  {source.name}")
            continue
        frames, seconds = frames + fact.frames, seconds + fact.frames / fact.fps
        size = f"{fact.width}x{fact.height}"
        lines.append(
            f"{fact.frames:>7} {fact.frames / fact.fps:>8.1f} {size:>10} {len(prompts):>8}"
            f"  {source.name}"
        )
    texts = list(dict.fromkeys(pair.prompt for pair in found.pairs))
    lines.append(f"{frames:>7} {seconds:>8.1f} {'':>10} {len(texts):>8}  all {len(wordings)} pairs")
    shown = [f"  {text}" for text in texts[:_PROMPTS_SHOWN]]
    if len(texts) > _PROMPTS_SHOWN:
        shown.append(f"  ... and {len(texts) - _PROMPTS_SHOWN} more")
    lines += ["prompts:", *shown] if shown else []
    lines += [f"{problem.severity}: {problem}" for problem in found.problems]
    warnings = len(found.problems) - len(found.errors)
    verdict = "cannot be trained on yet" if found.errors else "ready for training"
    errors = len(found.errors)
    lines.append(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}: {verdict}")
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 200")
    return int(text)
