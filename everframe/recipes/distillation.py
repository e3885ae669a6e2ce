"""Shortcut distillation as a run: teacher and student bundles in, a student bundle out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from everframe.arch.bundle import Bundle
from everframe.arch.torch_net import Net
from everframe.compress.shortcut import Shortcut, ShortcutConfig
from everframe.recipes.configs import pocket
from everframe.recipes.training import Learner, run_training
from everframe.train.config import TrainConfig
from everframe.train.grow import with_step_sizes
from everframe.train.noise import NoiseConfig
from everframe.train.rollouts import RolloutConfig


def student_training() -> TrainConfig:
    """What a student trains on: the data of `pocket`, the histories of its own rollouts in half of
    the steps from the beginning, all noise levels, a third of the learning rates.
    """
    return replace(
        pocket(),
        streams=48,
        own_start=0.0,
        lr_muon=5e-4,
        lr_adamw=2e-4,
        noise=NoiseConfig(),
        rollouts=RolloutConfig(share=0.5, start=0.0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig:
    """A distillation.

    Attributes:
        teacher, student: bundles, by name or folder.
        fresh: random weights in the student's shape instead of its own (a control).
        train: data, length and optimiser; its `preset`, `init` and `second_pass` are not used.
        shortcut: the objective.
    """

    teacher: str
    student: str
    fresh: bool = False
    train: TrainConfig = field(default_factory=student_training)
    shortcut: ShortcutConfig = field(default_factory=ShortcutConfig)


def student_net(bundle: Bundle, *, fresh: bool, seed: int) -> Net:
    """The student, which is told step sizes from now on and begins by ignoring them."""
    weights, spec = with_step_sizes(bundle.weights, bundle.spec)
    net = Net(spec, seed=seed)
    if not fresh:
        net.load_arrays(weights)
    return net


def run_distillation(
    config: DistillConfig, folder: Path, *, stop_after_s: float = float("inf")
) -> bool:
    """Distil (or go on distilling) into `folder`; returns whether the run is complete.

    Raises:
        UserError: unknown bundles, or two that cannot be compared.
    """
    teacher, student = (Bundle.from_pretrained(name) for name in (config.teacher, config.student))
    net = student_net(student, fresh=config.fresh, seed=config.train.seed)

    def aim(device: torch.device) -> Shortcut:
        wise = Net(teacher.spec)
        wise.load_arrays(teacher.weights)
        return Shortcut(wise.to(device), net, config.shortcut, config.train.loss)

    aim(torch.device("cpu"))  # faults before minutes of preparation
    learner = Learner(
        net=net,
        aim=aim,
        config=config,
        meta={
            "recipe": "shortcut",
            "teacher": Path(config.teacher).name,
            "student": Path(config.student).name,
        },
    )
    return run_training(config.train, folder, stop_after_s=stop_after_s, learner=learner)
