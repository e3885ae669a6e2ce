"""`everframe evaluate`: measure a model. One sub-verb per suite."""

import argparse
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from everframe.cli.verb import Subparsers

if TYPE_CHECKING:
    from everframe.evaluate.quality_run import OpenedModel, QualityRequest
    from everframe.evaluate.suite import Progress

MINUTE_S = 60
FINGERPRINT_LETTERS = 16

QUALITY_TEXT = """\
Play a model on held-out clips under every look, frame by frame on its own outputs, and compare
with the true result. Writes to --out:

  quality.json        every number, per look, per kind of look, and over all
  sheet_<clip>.png    camera, target, colour map and output, side by side
  streams.jsonl       the cache: run the same command again and it goes on where it stopped

What to read first: PSNR at frame 300 against frame 10 (drift), `state_kept` (long memory) and the
two baselines, the camera unchanged and the best colour map. docs/evaluation.md has the rest.
"""

QUALITY_EXAMPLES = """\
examples:
  everframe evaluate quality --footage clips/ --fast
      a look at a model in minutes: 100 frames, few samples; nothing to publish
  everframe evaluate quality --footage clips/ --looks pencil,thermal --clips 1
      two looks on one clip
  everframe evaluate quality --footage clips/ --without perceptual,classifier
      without the instruments that need downloads or a trained file
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add `evaluate` and its sub-verbs."""
    parser = subparsers.add_parser("evaluate", help="measure a model against known results")
    suites = parser.add_subparsers(dest="suite", required=True, metavar="SUITE")
    quality = suites.add_parser(
        "quality",
        help="likeness to the true result, drift, memory, prompts",
        description=QUALITY_TEXT,
        epilog=QUALITY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_quality_options(quality)


def run(args: argparse.Namespace) -> int:
    """Run the chosen suite and print its table; returns 0.

    Raises `UserError` for bad requests. Without torch the import fails, and `main` names the extra.
    """
    from everframe.evaluate.quality_run import QualityRequest, evaluate_quality

    held_out = _default_clips() if args.held_out is None else _names(args.held_out)
    request = QualityRequest(
        model=args.model,
        footage=args.footage,
        held_out=held_out if args.clips is None else held_out[: args.clips],
        looks=() if args.looks == "all" else _names(args.looks),
        out=args.out,
        height=args.height,
        width=args.width,
        engine=args.engine,
        steps=args.steps,
        frames=args.frames,
        seed=args.seed,
        fast=args.fast,
        without=_names(args.without),
        **({} if args.classifier is None else {"classifier": args.classifier}),
        device=args.device,
    )
    print(evaluate_quality(request, _open_model, progress=_show))
    print(f"\nwritten to {args.out}")
    return 0


def _add_quality_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument("--model", default="pocket", help="preset or bundle folder (%(default)s)")
    what.add_argument(
        "--footage", type=Path, required=True, metavar="DIR", help="folder with the video clips"
    )
    what.add_argument(
        "--held-out",
        metavar="NAMES",
        help="clips that the model was not trained on, without suffix; a model measured on its "
        "own training clips looks better than it is (those that no recipe trains on)",
    )
    what.add_argument(
        "--looks", default="all", metavar="NAMES", help="look names, or all (%(default)s)"
    )
    what.add_argument(
        "--out",
        type=Path,
        default=Path("quality"),
        metavar="DIR",
        help="results and cache (%(default)s)",
    )

    size = parser.add_argument_group("how much")
    size.add_argument("--clips", type=int, metavar="N", help="only the first N held-out clips")
    size.add_argument("--frames", type=int, metavar="N", help="length of each rollout (300)")
    size.add_argument("--fast", action="store_true", help="100 frames and few samples")
    size.add_argument("--height", type=int, default=224, help="px, a multiple of 16 (%(default)s)")
    size.add_argument("--width", type=int, default=288, help="px, a multiple of 16 (%(default)s)")
    size.add_argument("--seed", type=int, default=0, help="hidden states and noise (%(default)s)")

    how = parser.add_argument_group("with what")
    how.add_argument("--engine", default="auto", help="runs the model (%(default)s)")
    how.add_argument("--steps", type=int, default=1, help="denoising steps (%(default)s)")
    how.add_argument("--device", default="cpu", help="torch device of the judges (%(default)s)")
    how.add_argument(
        "--classifier", type=Path, metavar="FILE", help="look classifier (the packaged one)"
    )
    how.add_argument(
        "--without", default="", metavar="NAMES", help="leave out: perceptual, classifier, warp"
    )


def _open_model(request: "QualityRequest", prompt: str) -> "OpenedModel":
    from everframe.arch.bundle import WEIGHTS_FILE, find_bundle
    from everframe.evaluate.quality_run import OpenedModel
    from everframe.stream.session import Session

    session = Session.from_pretrained(
        request.model,
        prompt=prompt,
        height=request.height,
        width=request.width,
        engine=request.engine,
        steps=request.steps,
        seed=request.seed,
    )
    weights = (find_bundle(request.model) / WEIGHTS_FILE).read_bytes()
    return OpenedModel(session=session, weights=sha256(weights).hexdigest()[:FINGERPRINT_LETTERS])


def _default_clips() -> tuple[str, ...]:
    from everframe.recipes.configs import HELD_OUT

    return HELD_OUT


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _show(progress: "Progress") -> None:
    minutes = progress.seconds_left / MINUTE_S
    print(f"{progress.done}/{progress.total}  {progress.name}  {minutes:.1f} min left", flush=True)
