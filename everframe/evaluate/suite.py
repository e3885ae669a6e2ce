"""The quality suite: every look on every held-out clip, resumable, stream by stream.

The output folder holds `streams.jsonl` (a header, then one `StreamRecord` a line), `strips/` (one
row of the contact sheet per stream), and at the end `quality.json` and `sheet_<clip>.png`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from everframe.core.config import from_dict, to_dict
from everframe.core.errors import UserError
from everframe.core.rng import stream_seed
from everframe.data.looks.look import Look
from everframe.evaluate.baselines import ColourMap
from everframe.evaluate.cache import LineCache
from everframe.evaluate.metrics import to_pictures
from everframe.evaluate.quality import (
    Judges,
    QualityOptions,
    StreamRecord,
    measure_stream,
    spread,
)
from everframe.evaluate.sheet import save_strip
from everframe.evaluate.streams import CameraClip, QualitySession, draw_state, make_stream, restyle

CACHE_FILE = "streams.jsonl"
STRIP_FOLDER = "strips"
FIT_FRAMES = 4
"""Frames per fitting clip that the colour map is fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands: streams done of all, the one just finished, and the time still needed."""

    done: int
    total: int
    name: str
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run measures.

    Attributes:
        looks: what to restyle to.
        clips: held-out clips, all of the session's size.
        fit_clips: other clips, for the colour map baseline; never held out.
        options: lengths and samples.
        about: what is run (model, engine, size), as JSON values; a cache of another is refused.
    """

    looks: Sequence[Look]
    clips: Sequence[CameraClip]
    fit_clips: Sequence[CameraClip]
    options: QualityOptions
    about: Mapping[str, object]


def run_suite(
    session: QualitySession,
    plan: Plan,
    *,
    judges: Judges,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
) -> list[StreamRecord]:
    """Measure every (look, clip) that `folder` does not hold yet, and return all records.

    Args:
        session: played for every stream in turn.
        plan: looks, clips and lengths.
        judges: instruments.
        folder: cache of the run; made if absent.
        progress: called after each stream.

    Raises `UserError` for a cache of other settings, for no looks or clips, for a clip that is
    both held out and fitted to, and for a look that the classifier does not know.
    """
    _check(plan, judges)
    looks, clips, options = plan.looks, plan.clips, plan.options
    cache = StreamCache(folder, {"about": dict(plan.about), "options": to_dict(options)})
    total, fresh, start_s = len(looks) * len(clips), 0, time.perf_counter()
    pending = total - sum(
        (look.name, clip.name) in cache.records for look in looks for clip in clips
    )
    for look in looks:
        todo = [clip for clip in clips if (look.name, clip.name) not in cache.records]
        colour_map = fit_colour_map(look, plan.fit_clips, options.seed) if todo else None
        for clip in todo:
            assert colour_map is not None
            stream = make_stream(look, clip, frames=options.frames, seed=options.seed)
            record, panels = measure_stream(
                session, stream, colour_map, judges=judges, options=options
            )
            save_strip(panels, strip_path(folder, look.name, clip.name), title=look.name)
            cache.add(record)
            fresh += 1
            if progress:
                pace_s = (time.perf_counter() - start_s) / fresh
                left_s = pace_s * (pending - fresh)
                done = total - pending + fresh
                name = f"{look.name} on {clip.name}"
                progress(Progress(done=done, total=total, name=name, seconds_left=left_s))
    return [cache.records[look.name, clip.name] for look in looks for clip in clips]


def fit_colour_map(look: Look, clips: Sequence[CameraClip], seed: int) -> ColourMap:
    """The best colour map of a look over training clips, each frame with a hidden state of its own.

    Many states: what is left of a hidden look is then its mean, not the accident of one draw.
    """
    sources: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    for clip in clips:
        for index in spread(0, len(clip.frames), FIT_FRAMES):
            frame = clip.frames[index : index + 1]
            state_seed = stream_seed(seed, f"fit {look.name} {clip.name}", index)
            state = draw_state(look, frame.shape[1:3], state_seed)
            sources.append(to_pictures(frame))
            targets.append(to_pictures(restyle(look, frame, state)))
    return ColourMap.fit(torch.cat(sources), torch.cat(targets))


def strip_path(folder: Path, look: str, clip: str) -> Path:
    """Where the contact-sheet row of a stream lies."""
    return folder / STRIP_FOLDER / f"{look}__{clip}.png"


class StreamCache:
    """The records of a run, on disk after every stream; errors as of `LineCache`."""

    def __init__(self, folder: Path, header: Mapping[str, object]) -> None:
        self._lines = LineCache(folder / CACHE_FILE, header)
        records = (from_dict(StreamRecord, row) for row in self._lines.rows)
        self.records = {(record.look, record.clip): record for record in records}

    def add(self, record: StreamRecord) -> None:
        """Append one record."""
        self.records[record.look, record.clip] = record
        self._lines.add(to_dict(record))


def _check(plan: Plan, judges: Judges) -> None:
    if not plan.looks or not plan.clips or not plan.fit_clips:
        raise UserError("the suite needs at least one look, one held-out clip, one fitting clip")
    both = {clip.name for clip in plan.clips} & {clip.name for clip in plan.fit_clips}
    if both:
        raise UserError(f"held out and fitted to at once: {', '.join(sorted(both))}")
    every = (*plan.clips, *plan.fit_clips)
    short = [clip.name for clip in every if len(clip.frames) < 2]
    if short:
        raise UserError(f"clips of fewer than two frames: {', '.join(short)}")
    sizes = {clip.frames.shape[1:] for clip in every}
    if len(sizes) > 1:
        raise UserError(f"clips differ in size: {sorted(sizes)}")
    if judges.classifier:
        unknown = {look.name for look in plan.looks} - set(judges.classifier.labels)
        if unknown:
            raise UserError(
                f"the look classifier does not know {', '.join(sorted(unknown))}: train it on "
                "these looks, leave them out with --looks, or give --without classifier"
            )
