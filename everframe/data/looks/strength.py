"""Words for how strong a look is, and words for no look at all.

A strength prompt is a template around a look's prompt; its target is the blend
(1 - alpha) * camera + alpha * look.
"""

from typing import NamedTuple


class Strength(NamedTuple):
    """A phrase with the place {p} for a look's prompt, and the blend weight of the look, 0..1."""

    template: str
    alpha: float


STRENGTHS: tuple[Strength, ...] = (
    Strength("barely visible {p}", 0.2),
    Strength("very faint {p}", 0.2),
    Strength("a hint of {p}", 0.35),
    Strength("slightly {p}", 0.35),
    Strength("a touch of {p}", 0.35),
    Strength("a little {p}", 0.35),
    Strength("subtle {p}", 0.5),
    Strength("half {p}", 0.5),
    Strength("mild {p}", 0.5),
    Strength("moderate {p}", 0.65),
    Strength("fairly strong {p}", 0.8),
    Strength("mostly {p}", 0.8),
    Strength("strong {p}", 1.0),
    Strength("full {p}", 1.0),
    Strength("very strong {p}", 1.0),
    Strength("completely {p}", 1.0),
)

IDENTITY_PROMPTS: tuple[str, ...] = (
    "leave the video as it is",
    "no change",
    "original camera",
    "do nothing",
    "unchanged",
    "no effect",
    "no filter",
    "keep the picture as it is",
    "plain camera image",
    "the untouched video",
    "turn off all effects",
    "normal view",
    "raw webcam",
    "show the real camera",
)

IDENTITY_HELD_OUT: tuple[str, ...] = (
    "without any effect",
    "just the normal camera",
    "don't change anything",
)
