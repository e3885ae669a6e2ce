"""Muon for the hidden matrices, AdamW for all other weights, and an exponential moving average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
RMS_SCALE = 0.2
"""Update size relative to AdamW's (arXiv 2502.16982)."""


class Muon:
    """Momentum, orthogonalised by five Newton-Schulz steps (Jordan et al. 2024).

    Matrices of equal shape are stacked, so that a step is a handful of batched products.
    """

    def __init__(self, params: Sequence[Tensor], momentum: float = 0.95) -> None:
        """Move `params`, all two-dimensional."""
        self._momentum = momentum
        self._groups: dict[tuple[int, ...], list[Tensor]] = {}
        for p in params:
            self._groups.setdefault(tuple(p.shape), []).append(p)
        self._buffers = {
            shape: [torch.zeros_like(p) for p in group] for shape, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradients."""
        for shape, group in self._groups.items():
            grads = [p.grad for p in group if p.grad is not None]
            buffers = self._buffers[shape]
            torch._foreach_lerp_(buffers, grads, 1 - self._momentum)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
            ahead = [g.lerp(b, self._momentum) for g, b in zip(grads, buffers, strict=True)]
            update = orthogonalise(torch.stack(ahead)).float()
            scale = lr * RMS_SCALE * max(shape) ** 0.5
            for p, u in zip(group, update.unbind(0), strict=True):
                p.sub_(u, alpha=scale)

    def state(self) -> list[Tensor]:
        """Momentum buffers, in a fixed order."""
        return [b for buffers in self._buffers.values() for b in buffers]

    def load_state(self, state: Sequence[Tensor]) -> None:
        """Inverse of `state`."""
        for mine, saved in zip(self.state(), state, strict=True):
            mine.copy_(saved)


def orthogonalise(matrices: Tensor) -> Tensor:
    """[n, rows, cols] -> matrices with singular values near 1, bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Ema:
    """Moving average of the weights, with a warm-up so that early averages are not the initial
    values.
    """

    def __init__(self, params: Sequence[Tensor], decay: float) -> None:
        """Start from a copy of `params`."""
        self.decay = decay
        self.values = [p.detach().clone() for p in params]

    @torch.no_grad()
    def update(self, params: Sequence[Tensor], step: int) -> None:
        """Move towards `params`."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in params], weight)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def adamw(params: Sequence[Tensor], lr: float) -> torch.optim.AdamW:
    """AdamW without decay; the learning rate is set again at each step."""
    fused: dict[str, Any] = {"fused": True} if params[0].is_cuda else {}
    return torch.optim.AdamW(list(params), lr=lr, betas=(0.9, 0.95), weight_decay=0.0, **fused)
