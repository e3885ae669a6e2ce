"""One call from a request to published files: session, looks, footage, suite, report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from json import dumps
from pathlib import Path

import torch

import everframe
from everframe.core.errors import UserError
from everframe.data.looks import LOOKS
from everframe.data.looks.look import Look
from everframe.data.source import read_clip
from everframe.evaluate.classifier import load_classifier
from everframe.evaluate.perceptual import PerceptualDistance
from everframe.evaluate.quality import FAST, Judges, QualityOptions
from everframe.evaluate.report import build_report, format_table
from everframe.evaluate.sheet import join_strips
from everframe.evaluate.streams import CameraClip, QualitySession
from everframe.evaluate.suite import Plan, Progress, run_suite, strip_path
from everframe.evaluate.warp import dis_flow
from everframe.runtime.bench import commit, hardware

CLASSIFIER_FILE = Path(__file__).with_name("look_classifier.safetensors")
RESULT_FILE = "quality.json"
FIT_CLIPS = 4
"""Clips, of those not held out, that the colour map baseline is fitted to."""

FIT_CLIP_FRAMES = 60
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm")
INSTRUMENTS = ("perceptual", "classifier", "warp")


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRequest:
    """What the command line asks for.

    Attributes:
        model: name or bundle folder, as for `Session.from_pretrained`.
        footage: folder with the clips.
        held_out: names (without suffix) of the clips to measure on.
        looks: look names; empty means all.
        out: folder for results, also the cache.
        height, width: session size in px, multiples of the patch.
        engine, precision, steps: as for `Session.from_pretrained`.
        frames: rollout length, or None for the suite's own.
        seed: of hidden states and of session noise.
        fast: the short suite.
        without: instruments to leave out.
        classifier: file of the look classifier.
        device: torch device of the instruments.
        command: what was typed, for the record.
    """

    model: str
    footage: Path
    held_out: tuple[str, ...]
    looks: tuple[str, ...] = ()
    out: Path
    height: int = 224
    width: int = 288
    engine: str = "auto"
    precision: str = "auto"
    steps: int = 1
    frames: int | None = None
    seed: int = 0
    fast: bool = False
    without: tuple[str, ...] = ()
    classifier: Path = CLASSIFIER_FILE
    device: str = "cpu"
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A session, and a fingerprint of its weights: a cache of other weights is not continued."""

    session: QualitySession
    weights: str


OpenModel = Callable[[QualityRequest, str], OpenedModel]
"""(request, opening prompt) -> a session of the request's model, size, engine and steps."""


def evaluate_quality(
    request: QualityRequest,
    open_model: OpenModel,
    *,
    catalogue: Sequence[Look] = LOOKS,
    progress: Callable[[Progress], None] | None = None,
) -> str:
    """Run (or resume) the suite, write `quality.json` and the sheets; return the table as text.

    Raises `UserError` for anything that the request asks for and that is not there, before the
    first frame is played.
    """
    looks = choose_looks(catalogue, request.looks)
    judges = load_judges(request)
    options = choose_options(request)
    clips, fit_clips = load_clips(request, options.frames + 1)
    opened = open_model(request, looks[0].prompts[0])
    about: dict[str, object] = {
        "model": Path(request.model).name,
        "weights": opened.weights,
        "engine": request.engine,
        "precision": request.precision,
        "steps": request.steps,
        "size": [request.height, request.width],
        "held_out": list(request.held_out),
        "without": sorted(request.without),
        "everframe": everframe.__version__,
    }
    plan = Plan(looks=looks, clips=clips, fit_clips=fit_clips, options=options, about=about)
    records = run_suite(opened.session, plan, judges=judges, folder=request.out, progress=progress)
    about |= {**provenance(request), "fast": request.fast}
    text = dumps(build_report(records, about), indent=1, allow_nan=False)
    (request.out / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
    for clip in clips:
        strips = [strip_path(request.out, look.name, clip.name) for look in looks]
        join_strips(strips, request.out / f"sheet_{clip.name}.png")
    return format_table(records)


def provenance(request: QualityRequest) -> dict[str, object]:
    """What a published number has to say of itself: command, commit, hardware, versions, date."""
    return {
        "command": request.command,
        "commit": commit(Path(__file__).parent),
        "hardware": hardware(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def choose_options(request: QualityRequest) -> QualityOptions:
    """The suite's lengths, or the short ones, with the request's own rollout length and seed."""
    base = FAST if request.fast else QualityOptions()
    frames = base.frames if request.frames is None else request.frames
    if frames < 2:
        raise UserError(f"--frames {frames}: a rollout has at least 2 frames")
    return replace(base, frames=frames, seed=request.seed)


def choose_looks(catalogue: Sequence[Look], names: Sequence[str]) -> list[Look]:
    """The named looks in the order of the catalogue, or all; `UserError` for an unknown name."""
    known = [look.name for look in catalogue]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known) or known[:5]
            raise UserError(f"no look named {name!r}; there are for example {', '.join(close)}")
    return [look for look in catalogue if not names or look.name in names]


def load_judges(request: QualityRequest) -> Judges:
    """The instruments, all checked before the first frame is played."""
    for name in request.without:
        if name not in INSTRUMENTS:
            raise UserError(f"--without {name}: choose from {', '.join(INSTRUMENTS)}")
    without, device = request.without, request.device
    return Judges(
        perceptual=None if "perceptual" in without else PerceptualDistance.load(device),
        classifier=None if "classifier" in without else load_classifier(request.classifier, device),
        flow=None if "warp" in without else dis_flow(),
    )


def load_clips(request: QualityRequest, limit: int) -> tuple[list[CameraClip], list[CameraClip]]:
    """Decode the held-out clips, and a few others for the colour map."""
    files = {p.stem: p for p in sorted(request.footage.glob("*")) if p.suffix in VIDEO_SUFFIXES}
    missing = [name for name in request.held_out if name not in files]
    if missing:
        raise UserError(
            f"no clip named {', '.join(missing)} in {request.footage}; give --held-out with names "
            f"from: {', '.join(files) or 'nothing, as the folder has no video'}"
        )
    others = [name for name in files if name not in request.held_out]
    if not others:
        raise UserError("every clip is held out: the colour map baseline needs one more to fit to")
    chosen = others[:: max(1, len(others) // FIT_CLIPS)][:FIT_CLIPS]

    def load(name: str, frames: int) -> CameraClip:
        size = {"height": request.height, "width": request.width}
        return CameraClip(name=name, frames=read_clip(files[name], **size, limit=frames))

    held_out = [load(name, limit) for name in request.held_out]
    return held_out, [load(name, FIT_CLIP_FRAMES) for name in chosen]
