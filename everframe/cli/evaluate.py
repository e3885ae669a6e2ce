"""`everframe evaluate`: measure a model. One sub-verb per suite."""

import argparse
import shlex
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from everframe.cli.verb import Subparsers

if TYPE_CHECKING:
    from everframe.evaluate.drift_run import DriftModel, Kind
    from everframe.evaluate.quality_run import OpenedModel, QualityRequest
    from everframe.evaluate.suite import Progress
    from everframe.stream.session import Session

MINUTE_S = 60
TICK_S = 10
FINGERPRINT_LETTERS = 16

OVERVIEW = """\
Measure a model on clips that no recipe trains on. A suite plays it through the same session that
serves live video and compares every frame with the known true result. docs/evaluation.md says what
each number means, and what it cannot say.
"""

OVERVIEW_EXAMPLES = """\
examples:
  everframe evaluate quality --footage clips/ --fast         (minutes: a look at a model)
  everframe evaluate quality --footage clips/ --model runs/mine/bundle
  everframe evaluate drift --footage clips/ --clips 1 --frames 2000 --still-frames 1000
`everframe evaluate SUITE --help` explains a suite.
"""

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

DRIFT_TEXT = """\
Does a stream stay what it is? Play a model for a long time and disturb it. Writes to --out:

  drift.json     every number, per test and stream
  drift.png      likeness and picture statistics over frames
  drift.jsonl    the cache: run the same command again and it goes on where it stopped

tests:
  loop         a clip to and fro for --frames frames: does the picture get worse?
  fresh        the same with new noise for each frame
  excess       error on own outputs minus error after a true frame, per decade of frames
  contraction  a wrong previous frame (noise, exposure, another frame, checker, black): how fast
               is it forgotten?
  stress       black, cut, frozen and noisy camera, another frame size and back: frames until the
               stream is itself again
  switch       20 other prompts, then back: what of them is left?
  still        a camera that does not move: flicker and creep

The history-use ratio of looks with hidden state stands beside them: a model that ignores its
history cannot drift. docs/evaluation.md defines the numbers.
"""

DRIFT_EXAMPLES = """\
examples:
  everframe evaluate drift --footage clips/ --clips 1 --frames 2000 --still-frames 1000
      a first look: some ten minutes on two cores
  everframe evaluate drift --footage clips/ --tests contraction,stress --looks pencil,quilt
      two tests on two looks
  everframe evaluate drift --footage clips/ --frames 100000 --engine compiled
      what may be published, on a GPU
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add `evaluate` and its sub-verbs."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure quality, drift and prompt fidelity",
        description=OVERVIEW,
        epilog=OVERVIEW_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    suites = parser.add_subparsers(dest="suite", required=True, metavar="SUITE")
    quality = suites.add_parser(
        "quality",
        help="likeness to the true result, drift, memory, prompts",
        description=QUALITY_TEXT,
        epilog=QUALITY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model_options(quality, out="quality")
    _add_quality_options(quality)
    drift = suites.add_parser(
        "drift",
        help="very long runs, disturbances, prompt switches",
        description=DRIFT_TEXT,
        epilog=DRIFT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model_options(drift, out="drift")
    _add_drift_options(drift)


def run(args: argparse.Namespace) -> int:
    """Run the chosen suite and print its table; returns 0.

    Raises `UserError` for bad requests. Without torch the import fails, and `main` names the extra.
    """
    request = _request(args)
    table = _run_drift(args, request) if args.suite == "drift" else _run_quality(request)
    print(f"{table}\n\nwritten to {args.out}")
    return 0


def _request(args: argparse.Namespace) -> "QualityRequest":
    from everframe.evaluate.quality_run import QualityRequest

    held_out = _default_clips() if args.held_out is None else _names(args.held_out)
    quality = args.suite == "quality"
    return QualityRequest(
        model=args.model,
        footage=args.footage,
        held_out=held_out if args.clips is None else held_out[: args.clips],
        looks=() if args.looks in ("all", "") else _names(args.looks),
        out=args.out,
        height=args.height,
        width=args.width,
        engine=args.engine,
        precision=args.precision,
        steps=args.steps,
        frames=args.frames if quality else None,
        seed=args.seed,
        fast=quality and args.fast,
        without=_names(args.without) if quality else (),
        **({"classifier": args.classifier} if quality and args.classifier else {}),
        device=args.device if quality else "cpu",
        command=shlex.join(["everframe", *sys.argv[1:]]),
    )


def _run_quality(request: "QualityRequest") -> str:
    from everframe.evaluate.quality_run import evaluate_quality

    return evaluate_quality(request, _open_model, progress=_show)


def _run_drift(args: argparse.Namespace, request: "QualityRequest") -> str:
    from everframe.evaluate.drift_run import TESTS, DriftPlan, evaluate_drift

    plan = DriftPlan(
        tests=_names(args.tests) or TESTS, frames=args.frames, still_frames=args.still_frames
    )
    return evaluate_drift(request, plan, _open_drift, tick=_Ticker())


def _add_model_options(parser: argparse.ArgumentParser, *, out: str) -> None:
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
    what.add_argument("--clips", type=int, metavar="N", help="only the first N held-out clips")
    what.add_argument(
        "--out",
        type=Path,
        default=Path(out),
        metavar="DIR",
        help="results and cache (%(default)s)",
    )
    how = parser.add_argument_group("with what")
    how.add_argument("--engine", default="auto", help="runs the model (%(default)s)")
    how.add_argument(
        "--precision",
        default="auto",
        help="auto (the fastest here), float32, bfloat16 or int8 (%(default)s)",
    )
    how.add_argument("--steps", type=int, default=1, help="denoising steps (%(default)s)")
    how.add_argument("--height", type=int, default=224, help="px, a multiple of 16 (%(default)s)")
    how.add_argument("--width", type=int, default=288, help="px, a multiple of 16 (%(default)s)")
    how.add_argument("--seed", type=int, default=0, help="hidden states and noise (%(default)s)")


def _add_quality_options(parser: argparse.ArgumentParser) -> None:
    size = parser.add_argument_group("how much")
    size.add_argument(
        "--looks", default="all", metavar="NAMES", help="look names, or all (%(default)s)"
    )
    size.add_argument("--frames", type=int, metavar="N", help="length of each rollout (300)")
    size.add_argument("--fast", action="store_true", help="100 frames and few samples")
    judges = parser.add_argument_group("judges")
    judges.add_argument("--device", default="cpu", help="torch device of the judges (%(default)s)")
    judges.add_argument(
        "--classifier", type=Path, metavar="FILE", help="look classifier (the packaged one)"
    )
    judges.add_argument(
        "--without", default="", metavar="NAMES", help="leave out: perceptual, classifier, warp"
    )


def _add_drift_options(parser: argparse.ArgumentParser) -> None:
    size = parser.add_argument_group("how much")
    size.add_argument("--tests", default="", metavar="NAMES", help="some of the tests (all)")
    size.add_argument("--looks", default="", metavar="NAMES", help="look names (six of all kinds)")
    size.add_argument(
        "--frames", type=int, default=20_000, metavar="N", help="of loops (%(default)s)"
    )
    size.add_argument(
        "--still-frames",
        type=int,
        default=10_000,
        metavar="N",
        help="of the still camera (%(default)s)",
    )


def _open_model(request: "QualityRequest", prompt: str) -> "OpenedModel":
    from everframe.evaluate.quality_run import OpenedModel

    return OpenedModel(session=_session(request, prompt), weights=_fingerprint(request.model))


def _open_drift(request: "QualityRequest", prompt: str) -> "DriftModel":
    from everframe.evaluate.drift_run import DriftModel

    height, width = (max(64, side * 3 // 4 // 16 * 16) for side in (request.height, request.width))

    def make(kind: "Kind") -> "Session":
        wanted = replace(request, height=height, width=width) if kind == "other" else request
        return _session(wanted, prompt, fresh_noise=kind == "fresh")

    return DriftModel(make=make, other_size=(height, width), weights=_fingerprint(request.model))


def _session(request: "QualityRequest", prompt: str, *, fresh_noise: bool = False) -> "Session":
    from everframe.stream.session import Session

    return Session.from_pretrained(
        request.model,
        prompt=prompt,
        height=request.height,
        width=request.width,
        engine=request.engine,
        precision=request.precision,
        steps=request.steps,
        seed=request.seed,
        fresh_noise=fresh_noise,
    )


def _fingerprint(model: str) -> str:
    from everframe.arch.bundle import WEIGHTS_FILE, find_bundle

    weights = (find_bundle(model) / WEIGHTS_FILE).read_bytes()
    return sha256(weights).hexdigest()[:FINGERPRINT_LETTERS]


def _default_clips() -> tuple[str, ...]:
    from everframe.recipes.configs import HELD_OUT

    return HELD_OUT


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _show(progress: "Progress") -> None:
    minutes = progress.seconds_left / MINUTE_S
    print(f"{progress.done}/{progress.total}  {progress.name}  {minutes:.1f} min left", flush=True)


class _Ticker:
    """Says which test runs, and every ten seconds how far a long one is."""

    def __init__(self) -> None:
        self._begun = self._said = time.monotonic()

    def __call__(self, name: str, done: int, frames: int) -> None:
        now = time.monotonic()
        if not done:
            self._begun = self._said = now
            print(name, flush=True)
        elif now - self._said > TICK_S:
            self._said = now
            left = (now - self._begun) / done * (frames - done) / MINUTE_S
            print(f"  {done:,} of {frames:,} frames, {left:.1f} min left", flush=True)
