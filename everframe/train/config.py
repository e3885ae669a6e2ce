"""`TrainConfig`: one complete, typed description of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from everframe.data.mixture import MixtureConfig
from everframe.train.augment import AugmentConfig
from everframe.train.loss import LossConfig
from everframe.train.noise import NoiseConfig
from everframe.train.rollouts import RolloutConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A run. Either `steps` or `seconds` (wall clock, over all resumed parts) ends it.

    Attributes:
        preset: name in `arch.presets`, or a bundle's folder: a network of the shape of that one.
        init: bundle (name or folder) to start from instead of random weights.
        init_blocks: those of `init` to start from, all if empty. Its detail path may grow.
        pairs: folder or manifest of own pairs; `mixture.pairs_share`: how many (docs/own-data.md)
        streams, frames: clips per step and GPU, and their length.
        size: (height, width) of most steps. `other_sizes` take turns in every `other_every`-th
            step, `rare_sizes` in every `rare_every`-th, with streams reduced to equal pixels;
            rare ones run eagerly, as compiling them would cost more than it saves.
        image_share: first part of the run in which clips have one frame (image warm-up).
        own_share: share of the steps whose history is the model's own one-step output, from
            `own_start` on.
        own_frames: share of the frames of such a step that are replaced.
        own_alone_share: of the streams of such a step whose look has no hidden state, those whose
            own output was made without any memory, as live streams begin.
        cold_share, no_anchor_share, no_previous_share: clips that start without memory, never see
            an anchor, or have the own previous output removed.
        worlds, refresh_every: clips in the world bank, and after how many steps a part of it is
            renewed.
        world_size: (height, width) that worlds are rendered at; steps of a size that fits into it
            have worlds, and share their dead leaves. (0, 0): `size`.
        second_pass: a control: cached keys and values are written by a second, clean pass per frame
            (`train.second_pass`); for clips with true history only.
        known_share: a control: of the streams that are told how wrong their history is; the others,
            and every live stream, are told "unknown".
        sheet_every: sample sheets after so many steps and at the end; 0: none.
        cooldown: last part of the run, in which the learning rate falls linearly to zero.
    """

    preset: str = "pocket"
    init: str = ""
    init_blocks: tuple[int, ...] = ()
    footage: str = "examples/footage"
    pairs: str = ""
    held_out: tuple[str, ...] = ()
    seed: int = 0
    streams: int = 32
    frames: int = 8
    size: tuple[int, int] = (256, 256)
    other_sizes: tuple[tuple[int, int], ...] = ()
    other_every: int = 2
    rare_sizes: tuple[tuple[int, int], ...] = ()
    rare_every: int = 10
    steps: int = 0
    seconds: float = 0.0
    image_share: float = 0.08
    own_share: float = 0.5
    own_start: float = 0.3
    own_frames: float = 0.6
    own_alone_share: float = 0.6
    cold_share: float = 0.4
    no_anchor_share: float = 0.2
    no_previous_share: float = 0.15
    lr_muon: float = 1.5e-3
    lr_adamw: float = 6e-4
    warmup: int = 100
    cooldown: float = 0.4
    ema: float = 0.999
    clip_norm: float = 1.0
    second_pass: bool = False
    known_share: float = 0.0
    worlds: int = 160
    world_size: tuple[int, int] = (0, 0)
    refresh_every: int = 150
    compile: bool = True
    log_every: int = 20
    sheet_every: int = 500
    save_every_s: float = 120.0
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
