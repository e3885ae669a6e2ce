"""Two small looks, two clips and three sessions whose scores are known beforehand."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.dims import FrameU8
from everframe.data.looks.look import Look, State
from everframe.evaluate.classifier import Batch
from everframe.evaluate.metrics import to_frames, to_pictures
from everframe.evaluate.streams import CameraClip, restyle

LABELS = ("identity", "inverted", "tinted")
GUESS = 128


def picture(seed: int, height: int = 64, width: int = 64, cells: int = 8) -> Tensor:
    """A smooth random picture [3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, cells, cells, generator=generator)
    size = (height, width)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def moving_clip(name: str, seed: int, frames: int = 9, step: int = 2) -> CameraClip:
    """A crop that moves `step` px a frame to the right over a still picture."""
    wide = picture(seed, 64, 64 + step * frames, cells=12)
    crops = torch.stack([wide[:, :, step * t : step * t + 64] for t in range(frames)])
    return CameraClip(name=name, frames=to_frames(crops))


def _nothing(_b: int, _h: int, _w: int, _generator: torch.Generator) -> State:
    return {}


def _draw_tint(b: int, _h: int, _w: int, generator: torch.Generator) -> State:
    levels = torch.randint(0, 256, (b, 1, 3, 1, 1), generator=generator)
    return {"tint": levels.float() / 255}


def tint(x: Tensor, colour: Tensor) -> Tensor:
    """Half the camera, half a colour."""
    return (x + colour) / 2


INVERTED = Look(
    name="inverted",
    kind="colour",
    prompts=("inverted colours", "a photo negative"),
    held_out=("like film negative",),
    draw=_nothing,
    apply=lambda x, _: 1 - x,
)
TINTED = Look(
    name="tinted",
    kind="hidden",
    prompts=("one strange tint", "washed in a colour"),
    held_out=("some coloured fog",),
    draw=_draw_tint,
    apply=lambda x, state: tint(x, state["tint"]),
)
LOOKS = (INVERTED, TINTED)


class Oracle:
    """Knows both looks; finds the tint in its history, and forgets it after `memory` frames."""

    def __init__(self, memory: int = 10_000) -> None:
        self.memory = memory
        self.prompt = ""
        self.tint: Tensor | None = None
        self.age = 0

    def update(self, *, prompt: str, seed: int) -> None:
        assert seed >= 0
        self.prompt = prompt

    def reset(self) -> None:
        self.tint, self.age = None, 0

    def seed_history(self, *, output: FrameU8, camera: FrameU8) -> None:
        self.age = 0
        double = 2 * to_pictures(output[None]) - to_pictures(camera[None])
        self.tint = (double.mean((2, 3), keepdim=True) * 255).round() / 255

    def step(self, frame: FrameU8) -> FrameU8:
        self.age += 1
        known = self.tint is not None and self.age <= self.memory
        colour = self.tint if known and self.tint is not None else torch.tensor(GUESS / 255)
        inverted = self.prompt in (*INVERTED.prompts, *INVERTED.held_out)
        look, state = (INVERTED, {}) if inverted else (TINTED, {"tint": colour})
        return restyle(look, frame[None], state)[0]


class Identity:
    """Gives the camera back."""

    def update(self, *, prompt: str, seed: int) -> None:
        assert prompt
        assert seed >= 0

    def reset(self) -> None:
        pass

    def seed_history(self, *, output: FrameU8, camera: FrameU8) -> None:
        assert output.shape == camera.shape

    def step(self, frame: FrameU8) -> FrameU8:
        return frame


def batches(seed: int, size: int = 8) -> Iterator[Batch]:
    """Endless (camera, target, label) of identity, inverted and tinted pictures."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        first = int(torch.randint(10_000, (), generator=generator))
        camera = torch.stack([picture(first + i) for i in range(size)])
        label = torch.randint(3, (size,), generator=generator)
        colour = _draw_tint(size, 64, 64, generator)["tint"][:, 0]
        versions = torch.stack([camera, 1 - camera, tint(camera, colour)])
        yield camera, versions[label, torch.arange(size)], label
