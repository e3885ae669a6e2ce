"""One call from a request to a published drift report: streams, tests, figures, plots."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import everframe
from everframe.core.errors import UserError
from everframe.data.looks import LOOKS
from everframe.data.looks.look import Look
from everframe.evaluate import drift, stress
from everframe.evaluate.cache import LineCache
from everframe.evaluate.drift import DriftSession
from everframe.evaluate.drift_plot import plot_curves
from everframe.evaluate.loop_place import LoopPlace
from everframe.evaluate.quality import QualityOptions, history_losses
from everframe.evaluate.quality_run import QualityRequest, choose_looks, load_clips, provenance
from everframe.evaluate.report import LOSS_FLOOR
from everframe.evaluate.streams import CameraClip, Stream, make_stream

RESULT_FILE = "drift.json"
PLOT_FILE = "drift.png"
CACHE_FILE = "drift.jsonl"
TESTS = ("loop", "fresh", "excess", "contraction", "stress", "switch", "still")
DEFAULT_LOOKS = ("pencil", "cartoon", "thermal", "stained_glass", "quilt", "aurora")
CLIP_FRAMES = 100
"""Frames of a clip that are played to and fro."""
MEASURED = 20_000
"""Frames of a loop that are measured at most."""
DECADE_SAMPLES = 30
SWITCHES = 20
RESIZED = 60
"""Frames that a stream spends at another size."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPlan:
    """Which tests, and how long: frames of the loops and of the still camera."""

    tests: tuple[str, ...] = TESTS
    frames: int = 20_000
    still_frames: int = 10_000


Kind = Literal["fixed", "fresh", "other"]
"""A session with noise that is fixed along a stream, with fresh noise, of another frame size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftModel:
    """Sessions of one model, each opened when a test first needs it (an engine may take a minute);
    `other_size`: (height, width) of the other frame size.
    """

    make: Callable[[Kind], DriftSession]
    other_size: tuple[int, int]
    weights: str
    _opened: dict[Kind, DriftSession] = field(default_factory=dict[Kind, DriftSession])

    def session(self, kind: Kind) -> DriftSession:
        """The session of that kind, the same one every time."""
        if kind not in self._opened:
            self._opened[kind] = self.make(kind)
        return self._opened[kind]


OpenDrift = Callable[[QualityRequest, str], DriftModel]
Tick = Callable[[str, int, int], None]
"""(test on stream, frames done, frames in all)"""


def evaluate_drift(
    request: QualityRequest,
    plan: DriftPlan,
    open_model: OpenDrift,
    *,
    catalogue: Sequence[Look] = LOOKS,
    tick: Tick | None = None,
) -> str:
    """Run (or resume) the tests on every look and clip, write report and plot; return the table.

    Raises `UserError` for an unknown test or look, a missing clip, or too few frames.
    """
    unknown = [name for name in plan.tests if name not in TESTS]
    if unknown:
        raise UserError(f"no test named {', '.join(unknown)}; there are {', '.join(TESTS)}")
    if plan.frames < 100 or plan.still_frames < 100:
        raise UserError("drift shows over many frames: give at least 100 to --frames")
    looks = choose_looks(catalogue, request.looks or DEFAULT_LOOKS)
    clips, others = load_clips(request, CLIP_FRAMES + 1)
    model = open_model(request, looks[0].prompts[0])
    tick = tick or _silent
    about: Row = {
        "model": Path(request.model).name,
        "weights": model.weights,
        "engine": request.engine,
        "precision": request.precision,
        "steps": request.steps,
        "size": [request.height, request.width],
        "frames": plan.frames,
        "still_frames": plan.still_frames,
        "seed": request.seed,
        "everframe": everframe.__version__,
    }
    cache = LineCache(request.out / CACHE_FILE, about)
    rows: list[Row] = []
    for look in looks:
        for clip in clips:
            wanted = [test for test in ("history", *plan.tests) if _applies(test, look)]
            stored = {(r["test"], r["look"], r["clip"]): r for r in cache.rows}
            keys = [(test, look.name, clip.name) for test in wanted]
            missing = [key for key in keys if key not in stored]
            if missing:
                stream = make_stream(look, clip, frames=CLIP_FRAMES, seed=request.seed)
                for key in missing:
                    row = dict(zip(("test", "look", "clip"), key, strict=True), kind=look.kind)
                    place = request.out / f"{'_'.join(key)}.npz"
                    row |= _measure(key[0], model, stream, plan, (others, looks), tick, place)
                    cache.add(row)
                    place.unlink(missing_ok=True)
                    stored[key] = row
            rows += [stored[key] for key in keys]
    about |= provenance(request)
    text = json.dumps({"about": about, "rows": rows}, indent=1)
    (request.out / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
    plot_curves(rows, request.out / PLOT_FILE, title=f"{about['model']}, {plan.frames} frames")
    return format_rows(rows)


def _silent(_name: str, _done: int, _frames: int) -> None:
    pass


def _applies(test: str, look: Look) -> bool:
    if test == "history":
        return look.kind == "hidden"
    return test != "switch" or look.kind != "hidden"


def _measure(
    test: str,
    model: DriftModel,
    stream: Stream,
    plan: DriftPlan,
    others: tuple[Sequence[CameraClip], Sequence[Look]],
    tick: Tick,
    place: Path,
) -> Row:
    """The figures of one test on one stream; `place`: where a loop keeps how far it is."""
    name = f"{test}: {stream.look.name} on {stream.clip}"
    session = model.session("fresh" if test == "fresh" else "fixed")
    tick(name, 0, 0)
    if test in ("loop", "fresh"):
        every = max(1, plan.frames // MEASURED)
        kept = LoopPlace(path=place, session=session)
        curve = drift.loop(
            session, stream, plan.frames, every, lambda done: tick(name, done, plan.frames), kept
        )
        figures = drift.loop_figures(curve, plan.frames)
        if stream.hidden:
            figures |= drift.state_kept(session, stream, curve)
        return {"figures": figures, "curve": asdict(curve)}
    if test == "history":
        losses = history_losses(session, stream, QualityOptions())
        ratio = (losses["other"] + LOSS_FLOOR) / (losses["true"] + LOSS_FLOOR)
        return {"figures": {"history_use": ratio}}
    if test == "excess":
        decades = drift.excess(session, stream, plan.frames, DECADE_SAMPLES)
        return {"figures": {f"excess@{d}": v["excess"] for d, v in decades.items()}, "all": decades}
    if test == "contraction":
        found = drift.contraction(session, stream)
        worst = {
            "half_life": max(v["half_life"] for v in found.values()),
            "rate": max(v["rate"] for v in found.values()),
            "left_percent": max(v["left_percent"] for v in found.values()),
            "beyond_percent": max(v["beyond_percent"] for v in found.values()),
        }
        return {"figures": worst, "all": found}
    if test == "stress":
        scenes = stress.stresses(stream, others[0][0].frames)
        scenes["resize"] = stress.resized(
            model.session("other"), model.other_size, stream.camera[:RESIZED]
        )
        found = {name: stress.recovery(session, stream, scene) for name, scene in scenes.items()}
        return {"figures": {f"{n}: frames": v["frames"] for n, v in found.items()}, "all": found}
    if test == "switch":
        known = [x.prompts[0] for x in others[1] if x.name != stream.look.name]
        prompts = [known[i % len(known)] for i in range(SWITCHES)] if known else []
        if not prompts:
            raise UserError("the switch test needs a second look: give more --looks")
        return {"figures": stress.switching(session, stream, prompts)}
    return {"figures": drift.still(session, stream, plan.still_frames)}


def format_rows(rows: Sequence[Row]) -> str:
    """A table per test: one row per stream."""
    lines: list[str] = []
    for test in dict.fromkeys(row["test"] for row in rows):
        mine = [row for row in rows if row["test"] == test]
        names = list(dict.fromkeys(name for row in mine for name in row["figures"]))
        table = [[test, *names]]
        for row in mine:
            cells = [f"{row['figures'].get(name, float('nan')):.2f}" for name in names]
            table.append([f"{row['look']} on {row['clip']}", *cells])
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        for line in table:
            cells = [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
            lines.append("  ".join([line[0].ljust(widths[0]), *cells]))
        lines.append("")
    return "\n".join(lines)
