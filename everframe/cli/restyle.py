"""`everframe restyle`: video, camera or pictures in, restyled video or pictures out."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from everframe.cli.progress import ProgressLine
from everframe.cli.verb import Subparsers
from everframe.core.errors import UserError
from everframe.stream import files, pump
from everframe.stream.files_write import partial_name
from everframe.stream.frame import Pixels, Sink, Source, SourceInfo
from everframe.stream.resize import Size, choose_size, parse_size
from everframe.stream.session import Session
from everframe.stream.timeline import Timeline, parse_prompts, read_timeline

EXIT_INTERRUPTED = 130

EXAMPLES = """\
examples:
  everframe restyle clip.mp4 -p "pencil sketch"
  everframe restyle clip.mp4 -p "pencil sketch" -p "4s:neon night" --transition 12
  everframe restyle clip.mp4 -p "oil painting" --size 320x176 --compare -o both.mp4
  everframe restyle camera:0 -p "comic book" -o me.mp4       (Ctrl-C ends it)
  everframe restyle photos/ -p "watercolour" --fps 12 -o film.webm
  everframe restyle clip.mp4 --timeline show.txt -o frames/

times of prompts: 4s, 0.5s, 1:30, 1:02:30 or 250f (frames), each with a colon before the prompt.
A timeline file has one prompt per line: `4s neon night | transition 12 frames`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An opened model: what restyles, and the name of the engine that runs it."""

    restyler: pump.Restyler
    engine: str


OpenModel = Callable[[argparse.Namespace, str, Size], Model]
"""(arguments, opening prompt, model size) -> the model."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "restyle",
        help="restyle a video, a camera or pictures by a prompt",
        description="Restyle a video, a camera or a folder of pictures by a text prompt.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="IN", help="video, folder of pictures, or camera:0")
    parser.add_argument(
        "-p",
        "--prompt",
        action="append",
        default=[],
        help="the look; more of them with a time, such as '4s:neon night'",
    )
    parser.add_argument("--timeline", metavar="FILE", help="prompts with times, from a file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=".mp4 .mov .mkv .webm .gif, or a folder with / at the end (default: IN-PROMPT.mp4 "
        "in the current folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--compare", action="store_true", help="camera left, result right")
    parser.add_argument("--upscale", action="store_true", help="write at the size of the source")
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="stop after N frames")
    parser.add_argument("--stats", metavar="FILE", help="write timings and settings as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="pocket", help="name or folder (default: pocket)")
    model.add_argument("--engine", default="auto", help="what runs it (default: auto)")
    model.add_argument("--size", metavar="WxH", help="multiples of 16 (default: about 256x256)")
    model.add_argument("--strength", type=_share, default=1.0, help="0..1 (default: 1)")
    model.add_argument("--steps", type=int, choices=(1, 2, 4), default=1, help="default: 1")
    model.add_argument("--seed", type=_whole(0), default=0, help="default: 0")
    model.add_argument(
        "--transition",
        type=_whole(0),
        default=0,
        metavar="FRAMES",
        help="spread each change of prompt over so many frames (default: 0)",
    )
    parser.add_argument(
        "--fps", type=_rate, default=Fraction(25), help="of a folder of pictures (default: 25)"
    )


def open_model(args: argparse.Namespace, prompt: str, size: Size) -> Model:
    """Open the model that the arguments name, with its first prompt.

    Raises:
        UserError: no such model or engine.
    """
    session = Session.from_pretrained(
        args.model,
        prompt=prompt,
        height=size.height,
        width=size.width,
        engine=args.engine,
        steps=args.steps,
        seed=args.seed,
        strength=args.strength,
    )
    return Model(restyler=session, engine=session.stats.engine)


def run(args: argparse.Namespace, *, open_model: OpenModel = open_model) -> int:
    """Restyle as the arguments say; 130 if Ctrl-C ended it, else 0.

    Raises:
        UserError: anything wrong with the input, found before work starts where possible.
    """
    timeline = _timeline(args)
    stats = _stats_path(args)
    size = parse_size(args.size) if args.size else None
    source = files.open_source(args.input, fps=args.fps)
    try:
        size = size or choose_size(source.info.size)
        output = files.check_output(
            args.output or files.default_output(source.info, timeline.opening),
            args.input,
            overwrite=args.overwrite,
        )
        model = open_model(args, timeline.opening, size)
        info = replace(source.info, frames=1) if args.limit == 1 else source.info
        sink = files.open_sink(output, info, _output_size(args, source.info, size))
        report = _pump(args, source, sink, model, timeline, size)
    finally:
        source.close()
    if report.frames == 0:
        if report.interrupted:
            raise KeyboardInterrupt
        raise UserError(f"{source.info.name} gave no frames; is the file complete?")
    if stats is not None:
        stats.write_text(json.dumps(_stats(args, report, model, timeline, size), indent=2) + "\n")
    if not args.quiet:
        _tell(report, source, output, model)
    return EXIT_INTERRUPTED if report.interrupted else 0


def side_by_side(camera: Pixels, restyled: Pixels) -> Pixels:
    """Return camera left and result right: [H, W, 3] twice -> [H, 2W, 3]."""
    return np.concatenate([camera, restyled], axis=1)


def _pump(
    args: argparse.Namespace,
    source: Source,
    sink: Sink,
    model: Model,
    timeline: Timeline,
    size: Size,
) -> pump.PumpReport:
    total = source.info.frames
    if args.limit is not None:
        total = args.limit if total is None else min(args.limit, total)
    try:
        with ProgressLine(total, quiet=args.quiet) as progress:
            report = pump.run(
                source.frames(size),
                model.restyler,
                sink,
                timeline=timeline,
                limit=args.limit,
                compose=side_by_side if args.compare else pump.restyled_only,
                on_progress=progress.update,
            )
        if report.frames > 0:
            sink.finish(cut=report.interrupted or report.limited)
    finally:
        sink.discard()
    return report


def _timeline(args: argparse.Namespace) -> Timeline:
    if args.timeline and args.prompt:
        raise UserError("give prompts with -p or with --timeline, not both")
    if args.timeline:
        return read_timeline(Path(args.timeline), transition=args.transition)
    if not args.prompt:
        raise UserError("no prompt; say what it should look like, e.g. -p 'pencil sketch'")
    return parse_prompts(args.prompt, transition=args.transition)


def _stats_path(args: argparse.Namespace) -> Path | None:
    if args.stats is None:
        return None
    path = Path(args.stats).expanduser()
    try:  # before the work, not after it
        if path.is_dir():
            raise IsADirectoryError
        probe = partial_name(path)
        probe.touch()
        probe.unlink()
    except OSError:
        fix = "give a file in a folder that exists and that you may write to"
        raise UserError(f"cannot write --stats {args.stats}; {fix}") from None
    return path


def _output_size(args: argparse.Namespace, source: SourceInfo, size: Size) -> Size:
    shown = source.size if args.upscale else size
    return Size(shown.width * 2, shown.height) if args.compare else shown


def _stats(
    args: argparse.Namespace,
    report: pump.PumpReport,
    model: Model,
    timeline: Timeline,
    size: Size,
) -> dict[str, object]:
    return {
        "engine": model.engine,
        "model": args.model,
        "size": [size.width, size.height],
        "frames": report.frames,
        "fps": round(report.fps, 2),
        "model_ms": report.model_ms.as_dict(),
        "total_ms": report.total_ms.as_dict(),
        "decode_ms": report.decode_ms.as_dict(),
        "encode_ms": report.encode_ms.as_dict(),
        "dropped": 0,
        "interrupted": report.interrupted,
        "prompts": timeline.prompts(),
        "seed": args.seed,
        "steps": args.steps,
        "strength": args.strength,
    }


def _tell(report: pump.PumpReport, source: Source, output: Path, model: Model) -> None:
    if report.interrupted:
        print(f"interrupted: the {report.frames} frames so far are kept")
    if source.skipped:
        print(f"warning: skipped {source.skipped} damaged pieces of {source.info.name}")
    for cue in report.unreached:
        print(f"note: '{cue.prompt}' at {cue.start} was never reached")
    times = report.model_ms
    one = report.frames == 1  # no interval, so no rate
    count = "1 frame" if one else f"{report.frames} frames  {report.fps:.1f} fps"
    print(
        f"{output}  {count}  engine {model.engine}  "
        f"model {times.p50:.1f} ms p50, {times.p95:.1f} ms p95"
    )


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return parse


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 100) < rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate, such as 25 or 30000/1001")
    return rate
