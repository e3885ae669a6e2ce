"""The training loss: pure, one screen (docs/model.md, equations 15-17)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the terms; `level_floor` bounds the weight of nearly clean levels."""

    level_floor: float = 0.3
    absolute: float = 0.5
    gradient: float = 0.5
    lattice: float = 1.0


def clip_loss(
    clean: Tensor, target: Tensor, tau: Tensor, patch: int, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of clean estimates against the truth.

    Args:
        clean: estimates [B, T, 3, H, W], -1..1, any float type; the loss is taken in float32.
        target: truth, same shape.
        tau: signal levels [B, T].
        patch: side of a patch; gradients across the patch lattice count more (`lattice`).
        config: weights.

    Returns:
        The loss and its terms: `square` (weighted v-loss, equation 15), `absolute`, `gradient`.
    """
    error = clean.float() - target
    weight = 1 / (1 - tau).clamp(min=config.level_floor) ** 2
    square = (weight * error.square().mean((2, 3, 4))).mean()
    absolute = error.abs().mean()
    gradient = _gradient(error, -1, patch, config) + _gradient(error, -2, patch, config)
    total = square + config.absolute * absolute + config.gradient * gradient
    return total, {"square": square, "absolute": absolute, "gradient": gradient}


def _gradient(error: Tensor, axis: int, patch: int, config: LossConfig) -> Tensor:
    """L1 of the difference of neighbours, with extra weight across the patch lattice."""
    n = error.shape[axis]
    difference = error.narrow(axis, 1, n - 1) - error.narrow(axis, 0, n - 1)
    weight = torch.ones(n - 1, device=error.device)
    weight[patch - 1 :: patch] += config.lattice
    shape = (-1,) if axis == -1 else (-1, 1)
    return (difference.abs() * weight.view(shape)).mean()
