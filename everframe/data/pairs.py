"""One's own training pairs: what a folder or manifest holds, what is wrong with it, and clips drawn
from it in the frame layout of `Footage.draw`.

A folder holds NAME.source.mp4, NAME.target.mp4 and NAME.txt (one wording of the prompt per line). A
manifest is JSONL: {"source": ..., "prompt": ..., "target": ...} with paths relative to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.footage import (
    STORE_HEIGHT,
    STORE_WIDTH,
    Clip,
    crop_grid,
    draw_crop,
    draw_times,
)
from everframe.data.source import ClipFacts, clip_facts, clip_size, read_clip
from everframe.text.encoder import MAX_CHARACTERS

SOURCE_SUFFIX, TARGET_SUFFIX, PROMPT_SUFFIX = ".source.mp4", ".target.mp4", ".txt"
KEYS = ("source", "prompt", "target")
FEWEST_FRAMES = 10
"""A training clip of 8 frames, the one before it, and one to move by."""
FEW_PROMPTS = 4
FEW_SECONDS = 60.0
SHORT_CLIP_S = 1.0
SMALL_HEIGHT = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two aligned videos and a prompt; `where` names the file or line that says so."""

    where: str
    source: Path
    target: Path
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong at `where` and how to mend it; a `warning` does not stop training."""

    where: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that was found at a path: pairs, facts of each readable video, problems."""

    pairs: tuple[Pair, ...]
    facts: dict[Path, ClipFacts]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that stop training."""
        return tuple(p for p in self.problems if p.severity == "error")


def survey(path: Path) -> Survey:
    """Look at everything, also behind the first fault; decodes each video once.

    Raises:
        UserError: there is nothing at `path`.
    """
    pairs, problems = _listed(path)
    facts, more = _examined(pairs)
    return Survey(pairs=tuple(pairs), facts=facts, problems=(*problems, *more))


def read_manifest(path: Path) -> tuple[Pair, ...]:
    """The pairs that a folder or a JSONL manifest lists; videos are not opened.

    Raises:
        UserError: the first of its faults, with the file or line.
    """
    pairs, problems = _listed(path)
    _refuse(path, problems)
    return tuple(pairs)


def check_pairs(pairs: Sequence[Pair]) -> list[Problem]:
    """Faults of the prompts and videos of `pairs`; decodes each video once."""
    return _examined(pairs)[1]


def open_pairs(path: Path) -> tuple[Pair, ...]:
    """Pairs that are fit for training.

    Raises:
        UserError: the first of the errors that `everframe data check` would list.
    """
    found = survey(path)
    _refuse(path, found.errors)
    return found.pairs


def _refuse(path: Path, errors: Sequence[Problem]) -> None:
    if errors:
        more = f" ({len(errors) - 1} more: everframe data check {path})" if errors[1:] else ""
        raise UserError(f"{errors[0]}{more}")


def _listed(path: Path) -> tuple[list[Pair], list[Problem]]:
    if not path.exists():
        raise UserError(f"no folder or manifest '{path}'; give one that is there")
    found = list(_in_folder(path) if path.is_dir() else _in_manifest(path))
    if not found:
        wanted = f"NAME{SOURCE_SUFFIX}, NAME{TARGET_SUFFIX} and NAME{PROMPT_SUFFIX}"
        text = f"no pair in the folder; put {wanted} there" if path.is_dir() else "no line in it"
        found = [Problem(where=str(path), message=text)]
    pairs = [item for item in found if isinstance(item, Pair)]
    return pairs, [item for item in found if isinstance(item, Problem)]


def _in_folder(folder: Path) -> Iterator[Pair | Problem]:
    names = {
        path.name.removesuffix(suffix)
        for suffix in (SOURCE_SUFFIX, TARGET_SUFFIX)
        for path in folder.glob(f"*{suffix}")
    }
    for name in sorted(names):
        files = [folder / (name + s) for s in (SOURCE_SUFFIX, TARGET_SUFFIX, PROMPT_SUFFIX)]
        missing = [path for path in files if not path.is_file()]
        for path in missing:
            message = f"{path.name} is missing; add it, or remove the other files of {name}"
            yield Problem(where=str(folder / name), message=message)
        if missing:
            continue
        text = _read_text(files[2])
        if isinstance(text, Problem):
            yield text
            continue
        lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if not lines:
            yield Problem(where=str(files[2]), message="no prompt in it; write one per line")
        for number, line in lines:
            where = f"{files[2]}:{number}"
            yield Pair(where=where, source=files[0], target=files[1], prompt=line)


def _in_manifest(path: Path) -> Iterator[Pair | Problem]:
    text = _read_text(path)
    if isinstance(text, Problem):
        yield text
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _of_line(line, f"{path}:{number}", path.parent)


def _of_line(line: str, where: str, folder: Path) -> Pair | Problem:
    form = '{"source": "a.mp4", "prompt": "...", "target": "b.mp4"}'
    try:
        data: object = json.loads(line)
    except json.JSONDecodeError as error:
        return Problem(where=where, message=f"bad JSON ({error.msg}); each line is {form}")
    if not isinstance(data, dict):
        return Problem(where=where, message=f"not a JSON object; each line is {form}")
    values = cast(dict[str, object], data)
    for key in KEYS:
        if not isinstance(values.get(key), str):
            fault = "is not text" if key in values else "is missing"
            return Problem(where=where, message=f'"{key}" {fault}; each line is {form}')
    source, target = (folder / str(values[key]) for key in ("source", "target"))
    for key, path in (("source", source), ("target", target)):
        if not path.is_file():
            text = f"no {key} file {path}; paths are relative to the manifest's folder"
            return Problem(where=where, message=text)
    return Pair(where=where, source=source, target=target, prompt=str(values["prompt"]).strip())


def _read_text(path: Path) -> str | Problem:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Problem(where=str(path), message="not UTF-8 text; save it as UTF-8")


def _examined(pairs: Sequence[Pair]) -> tuple[dict[Path, ClipFacts], list[Problem]]:
    problems = [problem for pair in pairs if (problem := _prompt_problem(pair))]
    facts: dict[Path, ClipFacts] = {}
    unreadable: set[Path] = set()
    videos = {(p.source, p.target): p.where for p in reversed(pairs)}  # the first to name them
    for (source, target), where in reversed(videos.items()):
        for path in (source, target):
            if path in facts or path in unreadable:
                continue
            try:
                facts[path] = clip_facts(path)
            except UserError as error:
                unreadable.add(path)
                problems.append(Problem(where=where, message=str(error)))
        if source in facts and target in facts:
            problems += _video_problems(where, facts[source], facts[target])
    if pairs:
        problems += _thin_set(pairs, [facts[s] for s, _ in videos if s in facts])
    return facts, problems


def _prompt_problem(pair: Pair) -> Problem | None:
    length = len(pair.prompt)
    if 0 < length <= MAX_CHARACTERS:
        return None
    text = f"the prompt has {length} characters, the limit is {MAX_CHARACTERS}; shorten it"
    if not length:
        text = "the prompt is empty; describe the target in a few words"
    return Problem(where=pair.where, message=text)


def _video_problems(where: str, source: ClipFacts, target: ClipFacts) -> Iterator[Problem]:
    if (source.height, source.width) != (target.height, target.width):
        message = (
            f"source is {source.width}x{source.height}, target {target.width}x{target.height}; "
            "resize one, they must show the same view"
        )
        yield Problem(where=where, message=message)
    if source.frames != target.frames:
        message = (
            f"source has {source.frames} frames, target {target.frames}; cut both to the same "
            "moments, frame by frame"
        )
        yield Problem(where=where, message=message)
    frames = min(source.frames, target.frames)
    if frames < FEWEST_FRAMES:
        message = f"{frames} frames, at least {FEWEST_FRAMES} are needed; give a longer clip"
        yield Problem(where=where, message=message)
    elif frames < SHORT_CLIP_S * source.fps:
        message = f"only {frames} frames; the model learns little of time from less than a second"
        yield Problem(where=where, message=message, severity="warning")
    if min(source.height, source.width) < SMALL_HEIGHT:
        message = (
            f"{source.width}x{source.height} is small; it is enlarged to {STORE_HEIGHT} rows and "
            "the result will be soft"
        )
        yield Problem(where=where, message=message, severity="warning")


def _thin_set(pairs: Sequence[Pair], sources: Sequence[ClipFacts]) -> Iterator[Problem]:
    prompts = len({pair.prompt for pair in pairs})
    if prompts < FEW_PROMPTS:
        message = (
            f"{prompts} different prompt{'s' if prompts > 1 else ''}; other wordings of the same "
            f"look (from {FEW_PROMPTS} on) make the model follow more than these exact words"
        )
        yield Problem(where="all", message=message, severity="warning")
    seconds = sum(fact.frames / fact.fps for fact in sources)
    if seconds < FEW_SECONDS:
        message = (
            f"{seconds:.1f} s of video in all; expect the model to learn these scenes by heart"
        )
        yield Problem(where="all", message=message, severity="warning")


class PairBank:
    """All pairs as one uint8 tensor [frames, 6, 288, 512] on the device: source and target RGB."""

    def __init__(self, pairs: Sequence[Pair], device: torch.device) -> None:
        """Decode pairs that `check_pairs` found fit; videos named twice are stored once.

        Raises:
            UserError: there is no pair, or a video cannot be read.
        """
        if not pairs:
            raise UserError("no pairs; everframe data check tells what a pair is")
        self.prompts = tuple(dict.fromkeys(pair.prompt for pair in pairs))
        self.device = device
        numbers = {prompt: number for number, prompt in enumerate(self.prompts)}
        wordings: dict[tuple[Path, Path], list[int]] = {}
        for pair in pairs:
            wordings.setdefault((pair.source, pair.target), []).append(numbers[pair.prompt])
        self._wordings = list(wordings.values())
        self._clips: list[Clip] = []
        parts: list[Tensor] = []
        for source, target in wordings:
            both = _load(source, target)
            start = sum(len(part) for part in parts)
            part = torch.zeros(len(both), 6, STORE_HEIGHT, STORE_WIDTH, dtype=torch.uint8)
            width = both.shape[2]
            part[..., :width] = torch.from_numpy(both).movedim(-1, 1)
            clip = Clip(name=source.name, start=start, length=len(both), width=width, masked=False)
            self._clips.append(clip)
            parts.append(part)
        self._store = torch.cat(parts).to(device)

    def describe(self) -> str:
        """One line for the log."""
        counts = {
            "pairs": len(self._clips),
            "frames": len(self._store),
            "prompts": len(self.prompts),
        }
        return json.dumps(counts)

    def draw(
        self, streams: int, frames: int, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, np.ndarray]:
        """Random moving crops, the same of source and target.

        Returns:
            Source and target [streams, frames + 2, 3, H, W] in 0..1 (frame 0 is the one before the
            clip, the last one the anchor), and numbers in `prompts` [streams].
        """
        weight = np.sqrt([clip.length for clip in self._clips])
        picks = rng.choice(len(self._clips), streams, p=weight / weight.sum())
        index = np.empty((streams, frames + 2), np.int64)
        boxes = np.empty((4, streams, frames + 2), np.float32)
        prompts = np.empty(streams, np.int64)
        for row, pick in enumerate(picks):
            clip = self._clips[pick]
            index[row] = clip.start + draw_times(clip.length, frames, rng)
            boxes[:, row] = draw_crop(clip.width, frames, size, rng)
            prompts[row] = rng.choice(self._wordings[pick])
        flip = np.where(rng.random(streams) < 0.5, -1.0, 1.0).astype(np.float32)
        grid = crop_grid(
            torch.from_numpy(boxes.reshape(4, -1)).to(self.device),
            torch.from_numpy(flip.repeat(frames + 2)).to(self.device),
            size,
        )
        picked = self._store[torch.from_numpy(index.reshape(-1)).to(self.device)]
        pixels = F.grid_sample(
            picked.to(grid.dtype), grid, align_corners=False, padding_mode="border"
        )
        both = (pixels / 255).view(streams, frames + 2, 6, *size)
        return both[:, :, :3], both[:, :, 3:], prompts


def _load(source: Path, target: Path) -> np.ndarray:
    """Both videos side by side in the channels, uint8 [T, 288, W, 6], W at most 512."""
    height, width = clip_size(source)
    width = min(STORE_WIDTH, round(width * STORE_HEIGHT / height / 2) * 2)
    both = [read_clip(path, height=STORE_HEIGHT, width=width) for path in (source, target)]
    return np.concatenate(both, -1)
