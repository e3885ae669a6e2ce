"""Does a stream stay what it is? Measures of one stream over many frames, through a session.

Played frame by frame as in live use. `docs/evaluation.md` defines every number. A model that
ignores its history cannot drift: the history-use ratio of the stream always stands beside these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from everframe.core.dims import FrameU8
from everframe.core.rng import numpy_rng
from everframe.evaluate import metrics
from everframe.evaluate.loop_place import LoopPlace, Measured, Remembering
from everframe.evaluate.metrics import to_pictures
from everframe.evaluate.streams import (
    QualitySession,
    Stream,
    begin,
    playlist,
    without_memory,
)

LUMA = (0.299, 0.587, 0.114)
STATISTICS = ("luma", "saturation", "sharpness", "blockiness")
PATCH = 16
WARM_UP = 60
"""Frames before a disturbance: the stream has settled, the ring is full."""
FOLLOWED = 50
"""Frames for which a disturbed stream is followed."""
BOOTSTRAPS = 1000
KEPT_EVERY = 5_000
"""Frames between two places from which a stopped loop can go on."""
MARKS = (10, 300, 10_000, 100_000)
MARK_FRAMES = 5
LEAST_GAIN_DB = 0.5


class DriftSession(QualitySession, Remembering, Protocol):
    """A session whose memory can be read and replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Values of the frames `at` (counted from 1): PSNR to the target in dB, and each of
    `STATISTICS` over the target's own.
    """

    at: tuple[int, ...]
    psnr: tuple[float, ...]
    statistics: dict[str, tuple[float, ...]]
    period: int


@torch.inference_mode()
def statistics_of(frame: FrameU8) -> np.ndarray:
    """Mean luma, mean saturation (range of the channels), sharpness, blockiness."""
    picture = to_pictures(frame[None])
    luma = (picture * picture.new_tensor(LUMA).view(3, 1, 1)).sum(1).mean()
    saturation = (picture.amax(1) - picture.amin(1)).mean()
    grid = metrics.blockiness(picture, PATCH)[0]
    return np.array([float(luma), float(saturation), float(metrics.sharpness(picture)[0]), grid])


def psnr_u8(output: FrameU8, target: FrameU8) -> float:
    """PSNR of two frames in dB."""
    error = np.square(output.astype(np.float32) - target.astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / max(error, 255**2 / 10**10)))


def play(session: QualitySession, stream: Stream, frames: int) -> Iterator[tuple[int, FrameU8]]:
    """(index of the clip's frame, output) for `frames` frames of a stream that begins now."""
    begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
    for index in playlist(stream, frames):
        yield index, session.step(stream.camera[index])


def loop(
    session: QualitySession,
    stream: Stream,
    frames: int,
    every: int,
    tick: Callable[[int], None] = lambda _: None,
    place: LoopPlace | None = None,
) -> Curve:
    """The loop test: the clip is played to and fro for `frames` frames; each `every`-th is
    measured. `tick` is called with the number of frames done. `place`: from where the loop goes on
    if it was stopped, kept every `KEPT_EVERY` frames.
    """
    begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
    done, measured = place.load() if place else (0, Measured())
    known: dict[int, np.ndarray] = {}
    for number, index in enumerate(playlist(stream, frames)[done:], done + 1):
        output = session.step(stream.camera[index])
        tick(number)
        if number % every == 0:
            if index not in known:
                known[index] = statistics_of(stream.target[index])
            right = np.maximum(known[index], metrics.GRADIENT_FLOOR)
            measured.at.append(number)
            measured.psnr.append(psnr_u8(output, stream.target[index]))
            measured.rows.append(statistics_of(output) / right)
        if place and number % KEPT_EVERY == 0:
            place.save(number, measured)
    table = np.stack(measured.rows, 1)
    named = {
        name: tuple(round(float(x), 4) for x in row)
        for name, row in zip(STATISTICS, table, strict=True)
    }
    return Curve(
        at=tuple(measured.at),
        psnr=tuple(round(x, 3) for x in measured.psnr),
        statistics=named,
        period=2 * len(stream.camera) - 2,
    )


def loop_figures(curve: Curve, frames: int, seed: int = 0) -> dict[str, float]:
    """Loss of PSNR from frames 100-1,100 to the last 1,000 (shorter runs: the same shares), change
    of each statistic in %, and the slope in dB per 10,000 frames with its 95 % interval.
    """
    at, psnr = np.array(curve.at), np.array(curve.psnr)
    first, span = min(100, frames // 10), min(1000, frames * 2 // 5)
    early = (at > first) & (at <= first + span)
    late = at > frames - span
    out = {
        "psnr_early": float(psnr[early].mean()),
        "psnr_late": float(psnr[late].mean()),
        "psnr_loss": float(psnr[early].mean() - psnr[late].mean()),
    }
    for name, values in curve.statistics.items():
        row = np.array(values)
        out[f"{name}_change_percent"] = float(100 * (row[late].mean() / row[early].mean() - 1))
    later = at > first
    low, middle, high = slope(at[later], psnr[later], curve.period, seed)
    return out | {"slope": middle, "slope_low": low, "slope_high": high}


def state_kept(session: QualitySession, stream: Stream, curve: Curve) -> dict[str, float]:
    """What of the gain over a run without memory at frame 10 is left at each of `MARKS` that the
    loop has reached, and that gain in dB; {} where it is too small to be kept.
    """
    order = playlist(stream, curve.at[-1])
    gains: dict[int, float] = {}
    for mark in MARKS:
        if mark > curve.at[-1]:
            break
        seen = [(n, p) for n, p in zip(curve.at, curve.psnr, strict=True) if mark / 2 < n <= mark]
        indices = [order[n - 1] for n, _ in seen[-MARK_FRAMES:]]
        alone = without_memory(session, stream, indices)
        lone = [psnr_u8(a, stream.target[i]) for a, i in zip(alone, indices, strict=True)]
        gains[mark] = float(np.mean([p for _, p in seen[-MARK_FRAMES:]]) - np.mean(lone))
    first = gains.get(MARKS[0], 0.0)
    if first < LEAST_GAIN_DB:
        return {}
    kept = {f"kept@{mark}": gain / first for mark, gain in gains.items() if mark > MARKS[0]}
    return {"memory_gain": first, **kept}


def slope(at: np.ndarray, values: np.ndarray, period: int, seed: int) -> tuple[float, float, float]:
    """Slope per 10,000 frames: 2.5 %, all data, 97.5 %. Whole periods of the clip are drawn, since
    the frames of one are not independent; a part of one, at either end, has another mean.
    """
    blocks = at // period
    names, sizes = np.unique(blocks, return_counts=True)
    names = names[sizes == sizes.max()]
    centre = np.array([at[blocks == b].mean() for b in names]) / 1e4
    means = np.array([values[blocks == b].mean() for b in names])
    if len(names) < 3:
        return float("-inf"), 0.0, float("inf")
    rng = numpy_rng(seed, "slope")
    drawn: list[float] = []
    while len(drawn) < BOOTSTRAPS:
        pick = rng.integers(0, len(names), len(names))
        if np.ptp(centre[pick]) > 0:
            drawn.append(float(np.polyfit(centre[pick], means[pick], 1)[0]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(np.polyfit(centre, means, 1)[0]), float(high)


def excess(
    session: QualitySession, stream: Stream, frames: int, samples: int
) -> dict[str, dict[str, float]]:
    """Per decade of frames: mean squared error (of 255) of the stream on its own outputs, of single
    steps after a true frame (teacher forced), and what the first has in excess.
    """
    order = playlist(stream, frames)
    edges = [1]
    while edges[-1] < frames:
        edges.append(min(edges[-1] * 10, frames))
    chosen = {
        n: (low, high)
        for low, high in pairwise(edges)
        for n in np.unique(np.linspace(low + 1, high, samples).astype(int)).tolist()
    }
    own: dict[int, float] = {}
    for number, (index, output) in enumerate(play(session, stream, frames), 1):
        if number in chosen:
            own[number] = square_error(output, stream.target[index])
    taught: dict[int, float] = {}
    for number in chosen:
        before, index = order[number - 2], order[number - 1]
        session.reset()
        session.seed_history(output=stream.target[before], camera=stream.camera[before])
        taught[number] = square_error(session.step(stream.camera[index]), stream.target[index])
    out: dict[str, dict[str, float]] = {}
    for low, high in dict.fromkeys(chosen.values()):
        inside = [n for n, decade in chosen.items() if decade == (low, high)]
        a, b = (float(np.mean([errors[n] for n in inside])) for errors in (own, taught))
        out[f"{low}-{high}"] = {"own": a, "taught": b, "excess": a - b}
    return out


def square_error(output: FrameU8, target: FrameU8) -> float:
    """Mean squared difference, of 255."""
    return float(np.square(output.astype(np.float32) - target.astype(np.float32)).mean())


def contraction(session: DriftSession, stream: Stream) -> dict[str, dict[str, float]]:
    """Per disturbance of the own previous frame, once: how fast the stream forgets it.

    start: size of the disturbance, RMS of 255; half_life: frames until at most half of it is left
    in the output; rate: slope of the logarithm of what is left, per frame, over the frames until it
    is below rounding; left_percent: of the last of `FOLLOWED` frames; beyond_percent: the same
    without what is left of a change of one level, which an engine that rounds may keep for ever as
    well (squares are subtracted).
    """
    frames = list(play(session, stream, WARM_UP))
    state = session.state_dict()
    order = playlist(stream, WARM_UP + FOLLOWED)[WARM_UP:]

    def follow(previous: FrameU8) -> list[FrameU8]:
        session.load_state_dict({**state, "previous": previous.copy()})
        return [session.step(stream.camera[index]) for index in order]

    calm = follow(state["previous"])
    least = one_level(state["previous"], numpy_rng(stream.seed, "contraction/least"))
    floor = _tail(_apart(follow(least), calm))
    rng = numpy_rng(stream.seed, "contraction")
    out: dict[str, dict[str, float]] = {}
    for name, wrong in disturbances(frames[-1][1], frames[WARM_UP // 2][1], rng).items():
        start = square_error(wrong, state["previous"]) ** 0.5
        out[name] = _decay(start, _apart(follow(wrong), calm), floor)
    return out


def one_level(frame: FrameU8, rng: np.random.Generator) -> FrameU8:
    """The frame with every value one level up or down."""
    step = rng.integers(0, 2, frame.shape) * 2 - 1
    return np.clip(frame.astype(np.int16) + step, 0, 255).astype(np.uint8)


def _apart(frames: Sequence[FrameU8], others: Sequence[FrameU8]) -> list[float]:
    """RMS differences, of 255."""
    return [square_error(a, b) ** 0.5 for a, b in zip(frames, others, strict=True)]


def _tail(left: Sequence[float]) -> float:
    """What is left at the end."""
    return float(np.mean(left[-5:]))


def disturbances(frame: FrameU8, earlier: FrameU8, rng: np.random.Generator) -> dict[str, FrameU8]:
    """The wrong previous frames: noise, exposure, another frame, a patch checker, black."""
    x = frame.astype(np.float32)
    rows, cols = (np.arange(n) // PATCH for n in frame.shape[:2])
    checker = ((rows[:, None] + cols[None, :]) % 2 * 2 - 1)[..., None] * 32.0
    wrong = {
        "noise": x + rng.normal(0, 32, x.shape),
        "exposure": x * 1.3 + 10,
        "frame": np.flip(earlier, 1).astype(np.float32),
        "checker": x + checker,
        "black": np.zeros_like(x),
    }
    return {name: np.clip(y, 0, 255).round().astype(np.uint8) for name, y in wrong.items()}


ROUNDING = 0.3
"""RMS difference, of 255, that rounding to whole levels alone can keep alive."""


def _decay(start: float, left: Sequence[float], floor: float) -> dict[str, float]:
    half = next((i + 1 for i, x in enumerate(left) if x <= start / 2), len(left) + 1)
    above = [start, *left]
    end = next((i for i, x in enumerate(above) if x < ROUNDING), len(above))
    logs = np.log(np.maximum(above[: max(end + 1, 2)], 1e-3))
    rate = float(np.polyfit(np.arange(len(logs)), logs, 1)[0])
    tail = _tail(left)
    beyond = max(0.0, tail**2 - floor**2) ** 0.5
    return {
        "start": start,
        "half_life": float(half),
        "rate": rate,
        "left_percent": 100 * tail / max(start, 1e-9),
        "beyond_percent": 100 * beyond / max(start, 1e-9),
    }


def still(session: QualitySession, stream: Stream, frames: int) -> dict[str, float]:
    """A camera that does not move: flicker (grey levels a frame) early and late, and how far the
    picture has crept (RMS of 255) from frame 100 (or a tenth) to the end.
    """
    begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
    settled = min(100, frames // 10)
    window = max(2, min(50, frames // 10))
    changes: list[float] = []
    first = previous = stream.camera[0]
    for number in range(1, frames + 1):
        output = session.step(stream.camera[0])
        if number > 1 and (number <= settled + window or number > frames - window):
            difference = output.astype(np.int16) - previous.astype(np.int16)
            changes.append(float(np.abs(difference).mean()))
        if number == settled:
            first = output
        previous = output
    return {
        "flicker_early": float(np.mean(changes[settled - 1 : settled - 1 + window])),
        "flicker_late": float(np.mean(changes[-window:])),
        "crept": square_error(previous, first) ** 0.5,
    }
