"""The quality of one stream: rollout, scores, baselines, memory, prompts.

`measure_stream` plays one held-out stream in all the ways of `streams.py` and turns the frames into
one `StreamRecord`. `docs/evaluation.md` defines every number; `suite.py` runs many streams.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everframe.evaluate import metrics, streams
from everframe.evaluate.baselines import ColourMap
from everframe.evaluate.classifier import LookClassifier
from everframe.evaluate.metrics import to_pictures
from everframe.evaluate.perceptual import Features, PerceptualDistance
from everframe.evaluate.streams import Frames, QualitySession, Stream
from everframe.evaluate.warp import Flow, camera_motion, warp_error

MIN_WINDOW = 5
WINDOW_SHARE = 10
"""The window at frame f is its last f / 10 frames, five at least."""

STATIC_WARM_UP_SHARE = 2
"""Flicker is taken over the last half of the still frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOptions:
    """How much is played and sampled.

    Attributes:
        frames: length of the rollout.
        marks: frames at which PSNR and state kept are read; later marks than `frames` drop out.
        sampled: frames per stream for SSIM, HED-VGG-LPIPS, top-1 and every baseline.
        warp_pairs: neighbouring frames for the warp error.
        memory_samples: frames per mark that are replayed without memory (hidden looks).
        history_starts: places where true and foreign history are compared (hidden looks).
        static_frames: length of the still-camera run; 0 leaves it out.
        paraphrases: prompts of each kind, seen and held out.
        paraphrase_frames: frames played from a cold start before a prompt is judged.
        patch: lattice of the blockiness, px.
        seed: of hidden states and of session noise.
    """

    frames: int = 300
    marks: tuple[int, ...] = (10, 100, 300)
    sampled: int = 8
    warp_pairs: int = 12
    memory_samples: int = 5
    history_starts: int = 4
    static_frames: int = 40
    paraphrases: int = 3
    paraphrase_frames: int = 6
    patch: int = 16
    seed: int = 0

    def reached(self) -> tuple[int, ...]:
        """The marks within the rollout; its last frame if there is none."""
        return tuple(mark for mark in self.marks if mark <= self.frames) or (self.frames,)


FAST = QualityOptions(
    frames=100, sampled=3, warp_pairs=5, memory_samples=3, history_starts=2, static_frames=20,
    paraphrases=1,
)  # fmt: skip
"""A look at a checkpoint during training; nothing to publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """The measuring instruments that need more than arithmetic; None leaves their numbers out."""

    perceptual: PerceptualDistance | None = None
    classifier: LookClassifier | None = None
    flow: Flow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """The numbers of one stream; plain data, one line of the cache.

    Attributes:
        look, kind, clip: which stream.
        scores: method (output, camera, colour_map, first_frame_map, target) -> measure -> mean
            over the sampled frames.
        windows: mark -> PSNR in dB over the window that ends there.
        curve: PSNR of every frame in dB.
        memory: mark -> gain in dB over the run without memory, same frames; {} unless hidden.
        history: squared error after "true" and "other" history; {} unless hidden.
        warp: warp error of "output" and "target", 0..1; {} without a flow.
        flicker: mean change on a still camera in grey levels, or None.
        prompts: top-1 after a cold start, "seen" and "held_out"; {} without a classifier.
        frame_ms: mean time of a step in this process.
    """

    look: str
    kind: str
    clip: str
    scores: dict[str, dict[str, float]]
    windows: dict[str, float]
    curve: tuple[float, ...]
    memory: dict[str, float]
    history: dict[str, float]
    warp: dict[str, float]
    flicker: float | None
    prompts: dict[str, float]
    frame_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One labelled picture [H, W, 3] of the contact sheet."""

    label: str
    picture: Frames


def measure_stream(
    session: QualitySession,
    stream: Stream,
    colour_map: ColourMap,
    *,
    judges: Judges,
    options: QualityOptions,
) -> tuple[StreamRecord, list[Panel]]:
    """Play one stream and return its numbers and its row of the contact sheet."""
    start_s = time.perf_counter()
    outputs = streams.rollout(session, stream, options.frames)
    frame_ms = (time.perf_counter() - start_s) * 1000 / options.frames
    order = streams.playlist(stream, options.frames)
    curve = psnr_curve(outputs, stream.target, order)
    flicker = None
    if options.static_frames:
        still = streams.held_still(session, stream, options.static_frames)
        settled = still[len(still) // STATIC_WARM_UP_SHARE :]
        flicker = metrics.flicker(to_pictures(settled))
    hidden = stream.hidden
    record = StreamRecord(
        look=stream.look.name,
        kind=stream.look.kind,
        clip=stream.clip,
        scores=compare_methods(outputs, stream, colour_map, judges=judges, options=options),
        windows={str(mark): _mean(curve, window(mark)) for mark in options.reached()},
        curve=tuple(round(value, 2) for value in curve),
        memory=memory_gain(session, stream, curve, options) if hidden else {},
        history=history_losses(session, stream, options) if hidden else {},
        warp=warp_errors(outputs, stream, judges.flow, options) if judges.flow else {},
        flicker=flicker,
        prompts=prompt_top1(session, stream, judges.classifier, options)
        if judges.classifier
        else {},
        frame_ms=frame_ms,
    )
    return record, _panels(outputs, stream, colour_map, options)


def window(mark: int) -> range:
    """Indices (from 0) of the frames that are averaged at `mark`, which counts from 1."""
    return range(max(0, mark - max(MIN_WINDOW, mark // WINDOW_SHARE)), mark)


def spread(start: int, stop: int, count: int) -> list[int]:
    """At most `count` different indices, evenly from `start` to `stop` - 1."""
    places = np.linspace(start, stop - 1, min(count, stop - start))
    return sorted({round(float(place)) for place in places})


def psnr_curve(outputs: Frames, target: Frames, order: Sequence[int]) -> list[float]:
    """PSNR of each frame against the target that `order` points to."""
    return [
        float(metrics.psnr(to_pictures(output[None]), to_pictures(target[i : i + 1])))
        for output, i in zip(outputs, order, strict=True)
    ]


@torch.inference_mode()
def compare_methods(
    outputs: Frames,
    stream: Stream,
    colour_map: ColourMap,
    *,
    judges: Judges,
    options: QualityOptions,
) -> dict[str, dict[str, float]]:
    """Scores of the output and of every baseline on the same sampled frames."""
    places = spread(min(options.reached()[0], len(outputs)) - 1, len(outputs), options.sampled)
    order = streams.playlist(stream, len(outputs))
    indices = [order[place] for place in places]
    target, camera = to_pictures(stream.target[indices]), to_pictures(stream.camera[indices])
    methods = {
        "output": to_pictures(outputs[places]),
        "camera": camera,
        "colour_map": colour_map.apply(camera),
    }
    if stream.hidden:  # what the true first frame alone gives away, without any model
        first = ColourMap.fit(to_pictures(stream.camera[:1]), to_pictures(stream.target[:1]))
        methods["first_frame_map"] = first.apply(camera)
    features = judges.perceptual.features(target) if judges.perceptual else None
    scores = {
        name: _scores(pictures, target, features, judges=judges, patch=options.patch)
        for name, pictures in methods.items()
    }
    if judges.classifier:
        for name, pictures in {**methods, "target": target}.items():
            named = judges.classifier.name(pictures, camera)
            right = named.count(stream.look.name) / len(named)
            scores.setdefault(name, {})["top1"] = right
    return scores


def warp_errors(
    outputs: Frames, stream: Stream, flow: Flow, options: QualityOptions
) -> dict[str, float]:
    """Mean warp error of output and target over sampled neighbours, with the camera's flow."""
    order = streams.playlist(stream, len(outputs))
    nows = spread(1, len(outputs), options.warp_pairs)
    totals = {"output": 0.0, "target": 0.0}
    for now in nows:
        pair = [order[now], order[now - 1]]
        camera, target = stream.camera[pair], to_pictures(stream.target[pair])
        made = to_pictures(outputs[[now, now - 1]])
        back, mask = camera_motion(flow, camera[:1], camera[1:])
        totals["output"] += float(warp_error(made[:1], made[1:], back, mask)) / len(nows)
        totals["target"] += float(warp_error(target[:1], target[1:], back, mask)) / len(nows)
    return totals


def memory_gain(
    session: QualitySession, stream: Stream, curve: Sequence[float], options: QualityOptions
) -> dict[str, float]:
    """Mark -> PSNR of the rollout minus PSNR without memory, on the same sampled frames."""
    order = streams.playlist(stream, options.frames)
    gains: dict[str, float] = {}
    for mark in options.reached():
        frames = window(mark)
        places = spread(frames.start, frames.stop, options.memory_samples)
        indices = [order[place] for place in places]
        forgetful = streams.without_memory(session, stream, indices)
        base = psnr_curve(forgetful, stream.target, indices)
        gains[str(mark)] = _mean(curve, places) - sum(base) / len(base)
    return gains


def history_losses(
    session: QualitySession, stream: Stream, options: QualityOptions
) -> dict[str, float]:
    """Mean squared error of one step after the true history, and after another stream's."""
    starts = spread(0, len(stream.camera) - 1, options.history_starts)
    target = to_pictures(stream.target[[start + 1 for start in starts]])
    losses: dict[str, float] = {}
    for name, state in (("true", stream.state), ("other", stream.other)):
        output = to_pictures(streams.after_history(session, stream, starts, state))
        losses[name] = float((output - target).square().mean())
    return losses


def prompt_top1(
    session: QualitySession, stream: Stream, classifier: LookClassifier, options: QualityOptions
) -> dict[str, float]:
    """Share of prompts, seen and held out, whose output the classifier names rightly."""
    last = streams.playlist(stream, options.paraphrase_frames)[-1]
    camera = to_pictures(stream.camera[last : last + 1])
    seen, held_out = streams.paraphrases(stream, options.paraphrases)
    shares: dict[str, float] = {}
    for name, prompts in (("seen", seen), ("held_out", held_out)):
        right = 0
        for prompt in prompts:
            output = streams.from_prompt(session, stream, prompt, options.paraphrase_frames)
            right += classifier.name(to_pictures(output[None]), camera) == [stream.look.name]
        if prompts:
            shares[name] = right / len(prompts)
    return shares


def _scores(
    pictures: Tensor, target: Tensor, features: Features | None, *, judges: Judges, patch: int
) -> dict[str, float]:
    """Means over frames; grid and sharpness are ratios to the target's own."""
    grid = metrics.blockiness(pictures, patch) / metrics.blockiness(target, patch)
    floor = metrics.GRADIENT_FLOOR
    crisp = metrics.sharpness(pictures).clamp(min=floor) / metrics.sharpness(target).clamp(
        min=floor
    )
    scores = {
        "psnr": float(metrics.psnr(pictures, target).mean()),
        "ssim": float(metrics.ssim(pictures, target).mean()),
        "blockiness": float(grid.mean()),
        "sharpness": float(crisp.mean()),
    }
    if judges.perceptual and features is not None:
        own = judges.perceptual.features(pictures)
        scores["perceptual"] = float(judges.perceptual.between(own, features).mean())
    return scores


def _panels(
    outputs: Frames, stream: Stream, colour_map: ColourMap, options: QualityOptions
) -> list[Panel]:
    """Camera, target and colour map at the last mark, then the output at every mark."""
    marks = options.reached()
    last = streams.playlist(stream, len(outputs))[marks[-1] - 1]
    mapped = metrics.to_frames(colour_map.apply(to_pictures(stream.camera[last : last + 1])))
    panels = [
        Panel(label=f"camera {marks[-1]}", picture=stream.camera[last]),
        Panel(label=f"target {marks[-1]}", picture=stream.target[last]),
        Panel(label=f"colour map {marks[-1]}", picture=mapped[0]),
    ]
    return panels + [Panel(label=f"output {mark}", picture=outputs[mark - 1]) for mark in marks]


def _mean(values: Sequence[float], places: Sequence[int]) -> float:
    return sum(values[place] for place in places) / len(places)
