"""Train the look classifier of the evaluation on the training mixture (own network and seed)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from everframe.core.rng import numpy_rng, stream_seed
from everframe.data.mixture import Mixture
from everframe.evaluate.classifier import ClassifierTraining, save_classifier, train_classifier
from everframe.recipes.training import build_sources
from everframe.text.encoder import TextEncoder
from everframe.train.config import TrainConfig

PURPOSE = "judge"


def single_frames(
    mixture: Mixture, streams: int, size: tuple[int, int], seed: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless (camera, target, label) batches of single frames, 0..1, without fades or blends."""
    step = 0
    while True:
        rng = numpy_rng(seed, PURPOSE, step)
        generator = torch.Generator(device).manual_seed(stream_seed(seed, PURPOSE, step))
        batch = mixture.draw(step, streams, 1, size, rng, generator)
        yield (batch.camera[:, 0] + 1) / 2, (batch.target[:, 0] + 1) / 2, batch.label
        step += 1


def train_judge(config: TrainConfig, path: Path, steps: int, streams: int = 96) -> None:
    """Train on `config`'s sources and write the classifier to `path`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = replace(config.mixture, fade_share=0.0, blend_share=0.0, group=2)
    config = replace(config, mixture=plain, seed=config.seed + 1)
    sources = build_sources(config, device, TextEncoder.load(), full_strength=True)
    batches = single_frames(sources.mixture, streams, config.size, config.seed, device)
    model = train_classifier(
        batches,
        labels=sources.catalogue.names,
        training=ClassifierTraining(steps=steps),
        device=device,
    )
    save_classifier(model, path)
