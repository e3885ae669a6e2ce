"""What a restyling look is: its name, its prompts, the state it draws once, the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

State = dict[str, Tensor]
"""Per-stream tensors, first axis B; constant over the life of a stream."""

DrawState = Callable[[int, int, int, torch.Generator], State]
ApplyLook = Callable[[Tensor, State], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One restyling look.

    Attributes:
        name: unique, snake_case.
        kind: "colour" if a map of single pixels (and their place) suffices, "plain" if camera and
            prompt decide the picture, "hidden" if a state drawn once per stream decides too.
        prompts: paraphrases for training.
        held_out: paraphrases that are never trained on.
        draw: (B, H, W, generator) -> state on the generator's device; {} unless kind is "hidden".
        apply: ([B, T, 3, H, W] float32 in 0..1, state) -> the same shape and range. Each frame is
            treated alone, so one state serves every frame of its stream at any time.
    """

    name: str
    kind: Literal["colour", "plain", "hidden"]
    prompts: tuple[str, ...]
    held_out: tuple[str, ...]
    draw: DrawState
    apply: ApplyLook
