"""What a user may ask of a stream, validated. Plain data, no numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from everframe.core.errors import UserError

STEP_CHOICES = (1, 2, 4, 8)
PROMPT_LIMIT = 300
"""Characters of one prompt."""

WeightedPrompts = tuple[tuple[str, float], ...]


def weighted_prompts(prompt: str | Sequence[tuple[str, float]]) -> WeightedPrompts:
    """One prompt, or several with weights; weights are made to add to 1.

    Raises:
        UserError: empty or overlong text, no prompt, or weights that are negative or all zero.
    """
    pairs = [(prompt, 1.0)] if isinstance(prompt, str) else list(prompt)
    if not pairs:
        raise UserError("no prompt given; say how the video shall look, e.g. 'pencil sketch'")
    for text, weight in pairs:
        check_prompt(text)
        if not 0 <= weight < math.inf:
            raise UserError(f"the weight of '{text}' is {weight}; give a number from 0 on")
    total = sum(weight for _, weight in pairs)
    if total <= 0:
        raise UserError("all prompt weights are zero; give at least one a positive weight")
    return tuple((text.strip(), weight / total) for text, weight in pairs)


def check_prompt(text: str) -> None:
    """Refuse text that cannot be a prompt.

    Raises:
        UserError: empty, or longer than `PROMPT_LIMIT`.
    """
    if not text.strip():
        raise UserError("the prompt is empty; say how the video shall look, e.g. 'pencil sketch'")
    if len(text) > PROMPT_LIMIT:
        raise UserError(f"the prompt has {len(text)} characters; use at most {PROMPT_LIMIT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Settings of a stream.

    prompts: texts with weights that add to 1; strength: 0 (camera) to 1 (full restyle);
    seed: of the stream's noise; steps: denoising steps per frame; first_steps: of the first frame
    and the first after a prompt change, 0: as the look needs; fresh_noise: new noise for each frame
    instead of the same for all.
    """

    prompts: WeightedPrompts
    strength: float = 1.0
    seed: int = 0
    steps: int = 1
    first_steps: int = 0
    fresh_noise: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range, naming the range."""
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength is {self.strength}; it must be between 0 and 1")
        for name, value in (("steps", self.steps), ("first_steps", self.first_steps)):
            if value not in STEP_CHOICES and not (name == "first_steps" and value == 0):
                choices = ", ".join(map(str, STEP_CHOICES))
                raise UserError(f"{name} is {value}; choose one of {choices}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}; it must be a whole number from 0 to 2^63 - 1")
