"""What a step minimises. The loop knows no method by name: it is given an `Objective`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from everframe.arch.model import Tables
from everframe.train.config import TrainConfig
from everframe.train.second_pass import estimate_second_pass
from everframe.train.state import TrainState
from everframe.train.step import ClipInputs, estimate, loss_of

LossFunction = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""`train.loss.clip_loss`, or a compiled version of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a run is: its state, progress 0..1, random numbers of the step, and the loss."""

    state: TrainState
    progress: float
    generator: torch.Generator
    loss: LossFunction


class Objective(Protocol):
    """The loss of a step, and its terms for the log."""

    def __call__(
        self, inputs: ClipInputs, tables: Tables[Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward of `moment.state.net` on `inputs`, and the loss."""
        ...


def truth_objective(config: TrainConfig) -> Objective:
    """The distance to the true frame (equation 17)."""
    forward = estimate_second_pass if config.second_pass else estimate

    def objective(
        inputs: ClipInputs, tables: Tables[Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return loss_of(moment.state.net, inputs, tables, config.loss, moment.loss, forward)

    return objective
