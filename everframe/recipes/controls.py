"""Controls: what each part of the method is worth, trained with one budget (docs/training.md).

All are `control` (`pocket` before it was cut, with keys and values of past frames) from random
weights on footage and dead leaves (no worlds), for the same number of steps; each changes one
thing. `benchmarks/controls.py` trains them and rolls them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from everframe.data.mixture import MixtureConfig
from everframe.recipes.configs import HELD_OUT
from everframe.train.augment import AugmentConfig
from everframe.train.config import TrainConfig
from everframe.train.noise import NoiseConfig
from everframe.train.rollouts import RolloutConfig

STEPS = 3600

UNDAMAGED = AugmentConfig(clean_share=1.0)
NOISE_ONLY = AugmentConfig(
    resample_share=0.0,
    blur_share=0.0,
    saturation_share=0.0,
    exposure_share=0.0,
    offset_share=0.0,
    swap_share=0.0,
    repeat_share=0.0,
    noise_share=1.0,
)
ONLY_NOISE = NoiseConfig(
    pure_share=1.0, alone_pure_share=1.0, hidden_pure_share=1.0, uniform_share=0.0
)
NOTHING_OWN = RolloutConfig(share=0.0)


def full() -> TrainConfig:
    """The method: damaged history, own one-step outputs, own rollouts, anchor, fixed noise."""
    return TrainConfig(
        preset="control",
        held_out=HELD_OUT,
        streams=32,
        frames=8,
        steps=STEPS,
        size=(224, 288),
        image_share=0.04,
        own_start=0.3,
        sheet_every=0,
        mixture=MixtureConfig(world_share=0.0, world_camera_share=0.0),
        rollouts=RolloutConfig(share=0.35, start=0.4, lengths=(16, 32), streams=32),
    )


def augmented() -> TrainConfig:
    """Damaged history only; nothing own."""
    return replace(full(), own_share=0.0, rollouts=NOTHING_OWN)


def clean() -> TrainConfig:
    """Teacher forcing: the true history, never damaged or dropped but at the start of a clip."""
    return replace(augmented(), augment=UNDAMAGED, no_previous_share=0.0)


def noise() -> TrainConfig:
    """The history is damaged by Gaussian noise alone."""
    return replace(augmented(), augment=NOISE_ONLY)


def own_steps() -> TrainConfig:
    """Damaged history and own one-step outputs; no rollouts."""
    return replace(full(), rollouts=NOTHING_OWN)


def second_pass() -> TrainConfig:
    """The other memory: keys and values of a second, clean pass; compare with `augmented`."""
    return replace(augmented(), second_pass=True)


def known_level() -> TrainConfig:
    """The method, and half of the streams are told how wrong their history is."""
    return replace(full(), known_share=0.5)


def no_anchor() -> TrainConfig:
    """The method without an anchor."""
    return replace(full(), no_anchor_share=1.0)


def one_step() -> TrainConfig:
    """Regression in one step: every frame from pure noise; otherwise the method."""
    return replace(full(), noise=ONLY_NOISE)


CONTROLS: dict[str, Callable[[], TrainConfig]] = {
    "control-clean": clean,
    "control-noise": noise,
    "control-augmented": augmented,
    "control-own-steps": own_steps,
    "control-full": full,
    "control-second-pass": second_pass,
    "control-known-level": known_level,
    "control-no-anchor": no_anchor,
    "control-one-step": one_step,
}
