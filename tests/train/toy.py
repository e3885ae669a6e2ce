"""A training task in milliseconds: drawn batches of noise, no footage."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from everframe.arch.spec import TEXT_TOKENS, TEXT_WIDTH
from everframe.arch.torch_net import Net
from everframe.data.batch import ClipBatch
from everframe.train.board import Board
from everframe.train.config import TrainConfig
from everframe.train.loop import Task
from everframe.train.parallel import World
from everframe.train.state import TrainState, new_state
from tests.nets import TINY

CONFIG = TrainConfig(
    preset="tiny",
    streams=2,
    frames=2,
    size=(32, 32),
    steps=6,
    warmup=2,
    image_share=0.2,
    own_start=0.3,
    log_every=1,
    sheet_every=0,
    save_every_s=0.0,
    compile=False,
)
ONE = World(rank=0, size=1, device=torch.device("cpu"))


def toy_batch(streams: int, frames: int, size: tuple[int, int], g: torch.Generator) -> ClipBatch:
    """The target is the camera with its colours inverted."""
    camera = torch.rand((streams, frames + 2, 3, *size), generator=g) * 2 - 1
    target = -camera
    return ClipBatch(
        camera=camera[:, 1:-1],
        target=target[:, 1:-1],
        before=target[:, :-2],
        anchor_output=target[:, -1],
        anchor_camera=camera[:, -1],
        states=torch.randn((streams, 2, TEXT_TOKENS, TEXT_WIDTH), generator=g),
        mask=torch.ones(streams, 2, TEXT_TOKENS, dtype=torch.bool),
        blend=torch.zeros(streams, frames),
        label=torch.zeros(streams, dtype=torch.int64),
        hidden=torch.zeros(streams),
    )


@dataclass
class ToyDraw:
    """Draws toy batches, and breaks down at a step if told so."""

    breaks_at: int = -1

    def __call__(
        self,
        step: int,
        streams: int,
        frames: int,
        size: tuple[int, int],
        _rng: np.random.Generator,
        generator: torch.Generator,
    ) -> ClipBatch:
        if step == self.breaks_at:
            raise InterruptedError("the power went off")
        return toy_batch(streams, frames, size, generator)


def toy_state(config: TrainConfig = CONFIG, seed: int = 0) -> TrainState:
    """Fresh network and optimisers."""
    return new_state(Net(TINY, seed=seed), config.lr_adamw, config.ema)


def toy_task(
    folder: Path,
    *,
    config: TrainConfig = CONFIG,
    breaks_at: int = -1,
    board: Board | None = None,
) -> Task:
    """The task of a run into `folder`."""
    return Task(
        config=config,
        draw=ToyDraw(breaks_at),
        draw_long=ToyDraw(),
        sheet=lambda _: None,
        folder=folder,
        world=ONE,
        board=board or Board(),
    )
