"""One training step: from a `ClipBatch` to a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from everframe.arch.model import FrameInputs, Tables
from everframe.arch.positions import STEP_BASE
from everframe.arch.spec import STEP_FEATURES
from everframe.arch.torch_net import Net
from everframe.data.batch import ClipBatch
from everframe.train.augment import Damage, corrupt
from everframe.train.config import TrainConfig
from everframe.train.loss import LossConfig, clip_loss
from everframe.train.noise import draw_levels, draw_noise, mix

LEVEL_BASE = 0.1
"""A previous frame that is told to be perfect; 0 is "unknown"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInputs:
    """What the network sees of a batch, and the truth.

    tau, size: signal level and step size of each frame [B, T]; noise [B, T, 3, H, W]: what
    `frame.noisy` was mixed with.
    """

    frame: FrameInputs[Tensor]
    tau: Tensor
    size: Tensor
    noise: Tensor
    target: Tensor
    states: Tensor
    mask: Tensor
    blend: Tensor
    hidden: Tensor


def torch_step_features(tau: Tensor, size: Tensor) -> Tensor:
    """`arch.positions.step_features` on the device: [B, T] and [B, T] -> [B, T, 1, 64]."""
    half = STEP_FEATURES // 4
    exponent = torch.arange(half, device=tau.device, dtype=torch.float32) / half
    frequency = STEP_BASE**-exponent * 100
    level, step = tau[..., None] * frequency, size[..., None] * frequency
    features = torch.cat([level.cos(), level.sin(), step.cos(), step.sin()], -1)
    return features[..., None, :]


def prepare(
    batch: ClipBatch,
    patch: int,
    config: TrainConfig,
    generator: torch.Generator,
    damage: Damage | None = None,
) -> ClipInputs:
    """Noise levels, damaged history, anchor and flags. `damage` may be compiled."""
    b, t = batch.camera.shape[:2]
    device = batch.camera.device

    def draw(share: float, *shape: int) -> Tensor:
        return (torch.rand(shape, device=device, generator=generator) < share).float()

    previous = corrupt(batch.before, patch, config.augment, generator, damage).clamp(-1.5, 1.5)
    cold = draw(config.cold_share, b, 1)
    first = torch.zeros(1, t, device=device)
    first[:, 0] = 1
    has_previous = (1 - cold * first) * (1 - draw(config.no_previous_share, b, t))
    steady = (batch.blend == batch.blend[:, :1]).all(1, keepdim=True).float()
    has_anchor = (1 - draw(config.no_anchor_share, b, 1)) * steady * (1 - cold * first)
    alone = (1 - has_previous) * (1 - has_anchor)
    hidden = batch.hidden[:, None].float()
    tau = draw_levels(alone, hidden, config.noise, generator)
    noise = draw_noise(batch.target, config.noise, generator)
    # a cold stream has its own first frame as the anchor; others a far moment or another scene
    is_cold = cold[..., None, None]
    output = torch.where(is_cold > 0, batch.target[:, 0], batch.anchor_output)
    camera = torch.where(is_cold > 0, batch.camera[:, 0], batch.anchor_camera)
    output = corrupt(output[:, None], patch, config.augment, generator)
    anchor = torch.cat([output, camera[:, None]], 2) * has_anchor[..., None, None, None]
    frame = FrameInputs(
        noisy=mix(batch.target, noise, tau),
        camera=batch.camera,
        previous=previous,
        anchor=anchor,
        has_previous=has_previous[..., None, None],
        has_anchor=has_anchor[..., None, None],
    )
    return _inputs(batch, frame, tau, noise)


def prepare_rollout(
    batch: ClipBatch, config: TrainConfig, generator: torch.Generator
) -> ClipInputs:
    """Noise levels for clips cut from own rollouts; their memory is complete and left as it is."""
    b, t = batch.camera.shape[:2]
    ones = torch.ones(b, t, device=batch.camera.device)
    hidden = batch.hidden[:, None].float()
    tau = draw_levels(torch.zeros_like(ones), hidden, config.noise, generator)
    noise = draw_noise(batch.target, config.noise, generator)
    anchor = torch.cat([batch.anchor_output, batch.anchor_camera], 1)[:, None]
    frame = FrameInputs(
        noisy=mix(batch.target, noise, tau),
        camera=batch.camera,
        previous=batch.before,
        anchor=anchor.repeat(1, t, 1, 1, 1),
        has_previous=ones[..., None, None],
        has_anchor=ones[..., None, None],
    )
    return _inputs(batch, frame, tau, noise)


def _inputs(batch: ClipBatch, frame: FrameInputs[Tensor], tau: Tensor, noise: Tensor) -> ClipInputs:
    return ClipInputs(
        frame=frame,
        tau=tau,
        size=torch.zeros_like(tau),
        noise=noise,
        target=batch.target,
        states=batch.states,
        mask=batch.mask,
        blend=batch.blend,
        hidden=batch.hidden[:, None].float(),
    )


def codes_of(net: Net, inputs: ClipInputs) -> Tensor:
    """Prompt code of each frame: the two prompts of a stream, mixed by `blend`."""
    both = net.prompt_codes(inputs.states, inputs.mask)
    first, second = both[:, None, 0], both[:, None, 1]
    return first + inputs.blend[..., None, None] * (second - first)


def estimate(net: Net, inputs: ClipInputs, tables: Tables[Tensor]) -> Tensor:
    """Clean estimates of the clip."""
    features = torch_step_features(inputs.tau, inputs.size)
    return net(inputs.frame, codes_of(net, inputs), features, tables)


@torch.no_grad()
def with_own_history(
    net: Net,
    inputs: ClipInputs,
    noise: Tensor,
    tables: Tables[Tensor],
    config: TrainConfig,
    generator: torch.Generator,
) -> ClipInputs:
    """Replace a share of the remembered frames by the model's own one-step outputs (arXiv
    2512.15702).

    Streams that begin alone (`own_alone_share` of those whose look the camera and the prompt
    decide) make these outputs without any memory, as the first frame of a live stream is made, and
    then remember nothing else: previous frames and anchor are own, the truth stays the truth.

    `noise` [B, T, 3, H, W] is what those outputs start from.
    """
    tau = torch.zeros_like(inputs.tau)
    size = torch.full_like(tau, float(net.spec.step_sizes))  # one step over the whole way
    frame = inputs.frame
    b, t = tau.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand((*shape, 1, 1, 1), device=tau.device, generator=generator)

    alone = (draw(b, 1) < config.own_alone_share) & (inputs.hidden[..., None, None, None] == 0)
    memory = 1 - alone.float()[..., 0]
    first = replace(
        frame,
        noisy=noise,
        anchor=frame.anchor * memory[..., None],  # the detail path reads its pixels, not its flag
        has_previous=frame.has_previous * memory,
        has_anchor=frame.has_anchor * memory,
    )
    own = net(first, codes_of(net, inputs), torch_step_features(tau, size), tables)
    own = own.float().clamp(-1, 1)
    shifted = torch.cat([frame.previous[:, :1], own[:, :-1]], 1)
    pick = (draw(b, t) < config.own_frames) | alone
    anchor = torch.cat([own[:, :1], frame.camera[:, :1]], 2)
    late = torch.ones_like(memory).expand(b, t, 1, 1).clone()
    late[:, 0] = memory[:, 0]
    has_anchor = frame.has_anchor * late
    anchor = torch.where(alone, anchor, frame.anchor) * has_anchor[..., None]
    return replace(
        inputs,
        frame=replace(
            frame,
            previous=torch.where(pick, shifted, frame.previous),
            anchor=anchor,
            has_previous=frame.has_previous * late,
            has_anchor=has_anchor,
        ),
    )


def with_told_levels(inputs: ClipInputs, share: float, generator: torch.Generator) -> ClipInputs:
    """Tell a share of the streams how wrong their previous frames are; 0 says "unknown".

    The level, `LEVEL_BASE` and up, is the RMS distance of the previous frame to the truth. It takes
    the place of the step size, which such networks are not told. A live stream never knows it. The
    truth of the frame before a clip is not at hand: unknown, too.
    """
    b, _ = inputs.tau.shape
    wrong = inputs.frame.previous[:, 1:] - inputs.target[:, :-1]
    level = wrong.square().mean((2, 3, 4)).sqrt().clamp(max=1)
    known = torch.rand((b, 1), device=level.device, generator=generator) < share
    seen = inputs.frame.has_previous[:, 1:, 0, 0]
    told = (LEVEL_BASE + (1 - LEVEL_BASE) * level) * known * seen
    return replace(inputs, size=torch.cat([inputs.size[:, :1], told], 1))


def loss_of(
    net: Net,
    inputs: ClipInputs,
    tables: Tables[Tensor],
    config: LossConfig,
    loss: Callable[..., tuple[Tensor, dict[str, Tensor]]] = clip_loss,
    estimate: Callable[[Net, ClipInputs, Tables[Tensor]], Tensor] = estimate,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Forward and loss (`loss` may be a compiled `clip_loss`, `estimate` another forward)."""
    clean = estimate(net, inputs, tables)
    return loss(clean, inputs.target, inputs.tau, net.spec.patch, config)
