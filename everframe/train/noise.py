"""Diffusion forcing: every frame of a clip gets its own noise level (arXiv 2407.01392; equations
13-14).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseConfig:
    """Shares of the signal level tau, and of noise that is constant along a stream.

    pure_share: of frames that remember something; they are made in one step, from tau = 0.
    alone_pure_share: of frames without any memory (the first of a stream), `hidden_pure_share` of
    those whose look has hidden state: there one step gives the mean of all states, so they are made
    in several steps and need all levels.
    """

    pure_share: float = 0.85
    alone_pure_share: float = 0.8
    hidden_pure_share: float = 0.1
    uniform_share: float = 0.05
    mean: float = -0.8
    deviation: float = 0.8
    fixed_share: float = 0.75


def draw_levels(
    alone: Tensor, hidden: Tensor, config: NoiseConfig, generator: torch.Generator
) -> Tensor:
    """tau [B, T]: 0 (pure noise), uniform on 0..0.95, or logit-normal (JiT, arXiv 2511.13720).

    `alone` [B, T] is 1 for frames without any memory, `hidden` [B, 1] for streams with hidden
    state.
    """
    shape, device = alone.shape, alone.device
    choice = torch.rand(shape, device=device, generator=generator)
    normal = torch.randn(shape, device=device, generator=generator)
    tau = torch.sigmoid(normal * config.deviation + config.mean)
    uniform = torch.rand(shape, device=device, generator=generator) * 0.95
    tau = torch.where(choice < config.uniform_share, uniform, tau)
    first = config.alone_pure_share + hidden * (config.hidden_pure_share - config.alone_pure_share)
    pure = config.pure_share + alone * (first - config.pure_share)
    return torch.where(choice > 1 - pure, torch.zeros_like(tau), tau)


def draw_noise(target: Tensor, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    """Normal noise like `target` [B, T, 3, H, W]; in a share of the streams the same for every
    frame.
    """
    eps = torch.randn(target.shape, device=target.device, generator=generator)
    shape = (len(target), 1, 1, 1, 1)
    fixed = torch.rand(shape, device=target.device, generator=generator) < config.fixed_share
    return torch.where(fixed, eps[:, :1], eps)


def mix(target: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
    """z = tau * x + (1 - tau) * eps (equation 1)."""
    level = tau[..., None, None, None]
    return level * target + (1 - level) * eps
