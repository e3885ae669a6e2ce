"""Which prompt holds from which frame on: timed prompts, as typed or from a timeline file."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from everframe.core.errors import UserError
from everframe.stream.control import PROMPT_LIMIT

TRANSITION_MAX_FRAMES = 1000
"""Longest blend from one prompt to the next, frames."""

TIME_FORMS = "4s, 0.5s, 1:30, 1:02:30 or 250f (frames)"

_TIME = r"(?P<time>\d+(?:\.\d+)?s|\d+f|(?:\d+:)?\d+:\d{1,2}(?:\.\d+)?)"
_TIMED_PROMPT = re.compile(_TIME + r":(?P<rest>.*)", re.DOTALL)
_TIMED_LINE = re.compile(_TIME + r"(?::|\s)(?P<rest>.*)", re.DOTALL)
_JUST_TIME = re.compile(_TIME)
_TRANSITION = re.compile(r"(?P<prompt>.*)\|\s*transition\s+(?P<frames>\d+)(?:\s+frames?)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """When a prompt takes hold: at a time (seconds) or at a frame index; the other one is None."""

    time_s: Fraction | None = None
    frame: int | None = None

    def reached(self, index: int, time_s: Fraction) -> bool:
        """Whether the frame with this index and time is at or past the start."""
        if self.frame is not None:
            return index >= self.frame
        return self.time_s is not None and time_s >= self.time_s

    def __str__(self) -> str:
        return f"frame {self.frame}" if self.frame is not None else f"{float(self.time_s or 0):g}s"


OPENING = Start(frame=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A prompt, its start, and over how many frames the change to it is spread (0: at once)."""

    start: Start
    prompt: str
    transition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The prompts of a run: one that holds from the first frame, and those after it, in order."""

    opening: str
    cues: tuple[Cue, ...] = ()

    def prompts(self) -> list[dict[str, object]]:
        """Return all prompts with their starts for a stats file."""
        rows: list[dict[str, object]] = [{"at": "0s", "prompt": self.opening}]
        return rows + [
            {"at": str(cue.start), "prompt": cue.prompt, "transition": cue.transition}
            for cue in self.cues
        ]


def parse_prompts(texts: Sequence[str], *, transition: int = 0) -> Timeline:
    """Read prompts as typed: `pencil sketch`, `4s:neon night`, `1:30:oil paint`, `250f:comic`.

    A text is timed only if it starts with one of these times and a colon; any other colon belongs
    to the prompt. To start a prompt itself with such text, write `0s:` before it.

    Args:
        texts: the prompts; exactly one without a time (or at 0s).
        transition: frames over which each later prompt comes in.

    Raises:
        UserError: no opening prompt, two of them, a bad prompt, or times that do not rise.
    """
    cues: list[Cue] = []
    for text in texts:
        where = f"prompt {_short(text)}"
        match = _TIMED_PROMPT.fullmatch(text.strip())
        start = OPENING if match is None else parse_start(match["time"], where)
        words = check_prompt(text if match is None else match["rest"], where)
        cues.append(Cue(start=start, prompt=words, transition=transition))
    return _timeline([(f"prompt {_short(cue.prompt)}", cue) for cue in cues])


def read_timeline(path: Path, *, transition: int = 0) -> Timeline:
    """Read a timeline file: JSON, or plain text with one prompt per line.

    Text: `0s pencil sketch`, `4s neon night | transition 12 frames`; blank lines and lines that
        start with
    `#` are skipped. JSON: a list of `{"at": "4s", "prompt": "neon night", "transition": 12}`, where
    `at` is a time as above or a number of seconds and `transition` may be left out.

    Args:
        path: the file, UTF-8.
        transition: frames for prompts that do not say.

    Raises:
        UserError: the file cannot be read, or a line is wrong; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the timeline {path}: {error}") from error
    is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("[")
    placed = _json_cues(text, path.name) if is_json else _line_cues(text, path.name)
    return _timeline(
        [
            (
                where,
                Cue(
                    start=start,
                    prompt=prompt,
                    transition=transition if frames is None else frames,
                ),
            )
            for where, start, prompt, frames in placed
        ]
    )


def parse_start(text: str, where: str) -> Start:
    """Read a time such as `4s`, `1:30` or `250f`; `where` names its place in error messages."""
    if _JUST_TIME.fullmatch(text.strip()) is None:
        raise UserError(f"{where}: {text[:20]!r} is no time; write {TIME_FORMS}")
    text = text.strip()
    if text.endswith("f"):
        return Start(frame=int(text[:-1]))
    if text.endswith("s"):
        return Start(time_s=Fraction(text[:-1]))
    parts = [Fraction(part) for part in text.split(":")]
    if any(part >= 60 for part in parts[1:]):
        raise UserError(f"{where}: {text!r} has 60 or more minutes or seconds; write {TIME_FORMS}")
    seconds = Fraction(0)
    for part in parts:
        seconds = seconds * 60 + part
    return Start(time_s=seconds)


def check_prompt(text: str, where: str = "prompt") -> str:
    """Return the prompt with runs of white space made single spaces.

    Raises:
        UserError: empty, without a letter or digit, or longer than `PROMPT_LIMIT`.
    """
    words = " ".join(text.split())
    if not any(letter.isalnum() for letter in words):
        fault = "has no words" if words else "is empty"
        raise UserError(f"{where}: the prompt {fault}; describe the look, e.g. 'pencil sketch'")
    if len(words) > PROMPT_LIMIT:
        raise UserError(
            f"{where}: the prompt has {len(words)} characters; use a few words, at most "
            f"{PROMPT_LIMIT} characters"
        )
    return words


_Placed = tuple[str, Start, str, int | None]


def _line_cues(text: str, name: str) -> Iterable[_Placed]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{name} line {number}"
        match = _TIMED_LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(
                f"{where}: {_short(line.strip())} does not start with a time and a prompt; "
                f"write for example '4s neon night' (times: {TIME_FORMS})"
            )
        prompt, frames = match["rest"], None
        if "|" in prompt:
            tail = _TRANSITION.fullmatch(prompt)
            if tail is None:
                raise UserError(f"{where}: after '|' write 'transition 12 frames'")
            prompt, frames = tail["prompt"], _check_transition(int(tail["frames"]), where)
        yield where, parse_start(match["time"], where), check_prompt(prompt, where), frames


def _json_cues(text: str, name: str) -> Iterable[_Placed]:
    try:
        entries: object = json.loads(text)
    except ValueError as error:
        raise UserError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise UserError(f'{name}: write a list of {{"at": "4s", "prompt": "neon night"}}')
    for number, entry in enumerate(cast(list[object], entries), 1):
        where = f"{name} entry {number}"
        if not isinstance(entry, dict):
            raise UserError(f'{where}: write {{"at": "4s", "prompt": "neon night"}}')
        fields = cast(dict[str, object], entry)
        unknown = sorted(set(fields) - {"at", "prompt", "transition"})
        if unknown:
            raise UserError(f"{where}: unknown field {unknown[0]!r}; use at, prompt, transition")
        at, prompt, frames = fields.get("at"), fields.get("prompt"), fields.get("transition")
        if not isinstance(prompt, str):
            raise UserError(f"{where}: 'prompt' must be a text")
        if isinstance(at, int | float) and not isinstance(at, bool):
            at = f"{at}s"
        if not isinstance(at, str):
            raise UserError(f"{where}: 'at' must be a time; write {TIME_FORMS}")
        if frames is not None and (not isinstance(frames, int) or isinstance(frames, bool)):
            raise UserError(f"{where}: 'transition' must be a whole number of frames")
        frames = None if frames is None else _check_transition(frames, where)
        yield where, parse_start(at, where), check_prompt(prompt, where), frames


def _check_transition(frames: int, where: str) -> int:
    if not 0 <= frames <= TRANSITION_MAX_FRAMES:
        raise UserError(f"{where}: a transition lasts 0 to {TRANSITION_MAX_FRAMES} frames")
    return frames


def _timeline(placed: Sequence[tuple[str, Cue]]) -> Timeline:
    opening: str | None = None
    later: list[Cue] = []
    for where, cue in placed:
        if not cue.start.time_s and not cue.start.frame:
            if opening is not None:
                raise UserError(
                    f"{where}: two prompts start at the first frame; give the second one a time, "
                    f"e.g. '4s:{cue.prompt[:40]}'"
                )
            opening = cue.prompt
            continue
        for earlier in later:
            if _comparable(cue) == _comparable(earlier) and _value(cue) <= _value(earlier):
                raise UserError(
                    f"{where}: starts at {cue.start}, not after the one at {earlier.start} "
                    "before it; list prompts in order of time"
                )
        later.append(cue)
    if opening is None:
        raise UserError("no prompt for the start; add one without a time, e.g. 'pencil sketch'")
    return Timeline(opening=opening, cues=tuple(later))


def _comparable(cue: Cue) -> bool:
    return cue.start.frame is not None


def _value(cue: Cue) -> Fraction:
    return Fraction(cue.start.frame or 0) if cue.start.time_s is None else cue.start.time_s


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
