"""One training step: from a `ClipBatch` to a loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from everframe.arch.model import FrameInputs, Tables
from everframe.arch.positions import STEP_BASE
from everframe.arch.spec import STEP_FEATURES
from everframe.arch.torch_net import Net
from everframe.data.batch import ClipBatch
from everframe.train.augment import corrupt
from everframe.train.config import TrainConfig
from everframe.train.loss import LossConfig, clip_loss
from everframe.train.noise import draw_levels, draw_noise, mix


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInputs:
    """What the network sees of a batch, and the truth."""

    frame: FrameInputs[Tensor]
    tau: Tensor
    target: Tensor
    states: Tensor
    mask: Tensor
    blend: Tensor


def torch_step_features(tau: Tensor) -> Tensor:
    """`arch.positions.step_features` on the device, for step size 0: [B, T] -> [B, T, 1, 64]."""
    half = STEP_FEATURES // 4
    exponent = torch.arange(half, device=tau.device, dtype=torch.float32) / half
    frequency = STEP_BASE**-exponent * 100
    part = tau[..., None] * frequency
    zero = torch.zeros_like(part)
    features = torch.cat([part.cos(), part.sin(), zero.cos(), zero.sin()], -1)
    return features[..., None, :]


def prepare(
    batch: ClipBatch, patch: int, config: TrainConfig, generator: torch.Generator
) -> ClipInputs:
    """Noise levels, damaged history, anchor and flags."""
    b, t = batch.camera.shape[:2]
    device = batch.camera.device

    def draw(share: float, *shape: int) -> Tensor:
        return (torch.rand(shape, device=device, generator=generator) < share).float()

    previous = corrupt(batch.before, patch, config.augment, generator).clamp(-1.5, 1.5)
    cold = draw(config.cold_share, b, 1)
    first = torch.zeros(1, t, device=device)
    first[:, 0] = 1
    has_previous = (1 - cold * first) * (1 - draw(config.no_previous_share, b, t))
    steady = (batch.blend == batch.blend[:, :1]).all(1, keepdim=True).float()
    has_anchor = (1 - draw(config.no_anchor_share, b, 1)) * steady * (1 - cold * first)
    alone = (1 - has_previous) * (1 - has_anchor)
    tau = draw_levels(alone, config.noise, generator)
    noisy = mix(batch.target, draw_noise(batch.target, config.noise, generator), tau)
    # a cold stream has its own first frame as the anchor; others a far moment of the same stream
    is_cold = cold[..., None, None]
    output = torch.where(is_cold > 0, batch.target[:, 0], batch.anchor_output)
    camera = torch.where(is_cold > 0, batch.camera[:, 0], batch.anchor_camera)
    output = corrupt(output[:, None], patch, config.augment, generator)
    anchor = torch.cat([output, camera[:, None]], 2) * has_anchor[..., None, None, None]
    frame = FrameInputs(
        noisy=noisy,
        camera=batch.camera,
        previous=previous,
        anchor=anchor,
        has_previous=has_previous[..., None, None],
        has_anchor=has_anchor[..., None, None],
    )
    return ClipInputs(
        frame=frame,
        tau=tau,
        target=batch.target,
        states=batch.states,
        mask=batch.mask,
        blend=batch.blend,
    )


def codes_of(net: Net, inputs: ClipInputs) -> Tensor:
    """Prompt code of each frame: the two prompts of a stream, mixed by `blend`."""
    both = net.prompt_codes(inputs.states, inputs.mask)
    first, second = both[:, None, 0], both[:, None, 1]
    return first + inputs.blend[..., None, None] * (second - first)


def estimate(net: Net, inputs: ClipInputs, tables: Tables[Tensor]) -> Tensor:
    """Clean estimates of the clip."""
    return net(inputs.frame, codes_of(net, inputs), torch_step_features(inputs.tau), tables)


@torch.no_grad()
def with_own_history(
    net: Net,
    inputs: ClipInputs,
    noise: Tensor,
    tables: Tables[Tensor],
    share: float,
    generator: torch.Generator,
) -> ClipInputs:
    """Replace a share of the remembered frames by the model's own one-step outputs (arXiv
    2512.15702).

    `noise` [B, T, 3, H, W] is what those outputs start from.
    """
    tau = torch.zeros_like(inputs.tau)
    frame = inputs.frame
    cold = replace(frame, noisy=noise)
    own = net(cold, codes_of(net, inputs), torch_step_features(tau), tables).float().clamp(-1, 1)
    shifted = torch.cat([frame.previous[:, :1], own[:, :-1]], 1)
    b, t = tau.shape
    pick = torch.rand((b, t, 1, 1, 1), device=tau.device, generator=generator) < share
    previous = torch.where(pick, shifted, frame.previous)
    return replace(inputs, frame=replace(frame, previous=previous))


def loss_of(
    net: Net, inputs: ClipInputs, tables: Tables[Tensor], config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Forward and loss."""
    return clip_loss(
        estimate(net, inputs, tables), inputs.target, inputs.tau, net.spec.patch, config
    )
