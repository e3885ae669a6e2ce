"""True own rollouts as history: streams as they run live, with the errors that the model itself
piled up (DAgger, arXiv 1011.0686; for video diffusion arXiv 2512.12080).

Now and then the network of the moment runs some streams frame by frame, one step a frame, with
nothing true in its memory but what a live stream has: streams whose look has hidden state open with
a true anchor, as with an exemplar, all others with nothing; the first own frame is the anchor from
then on. Clips cut from these streams are trained on with the own frames as history and the paired
target as the truth: plain regression, no score network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everframe.arch.history import History, slot_shapes
from everframe.arch.model import Control, prepare_control
from everframe.arch.positions import step_features
from everframe.arch.torch_net import Net, table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.core.rng import numpy_rng, stream_seed
from everframe.data.batch import ClipBatch
from everframe.diffusion.rollout import Roller

Draw = Callable[[int, int, int, tuple[int, int], np.random.Generator, torch.Generator], ClipBatch]
CHUNK = 12
"""Streams drawn at once: long clips of all streams would not fit into the memory beside a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutConfig:
    """Own rollouts in training.

    share: of the steps at the main size, those whose history is an own rollout; 0: none.
    start: progress (0..1) at which they begin.
    streams: how many run side by side.
    lengths: frames of a rollout; they take turns as the run goes on, so that rollouts grow.
    uses: batches drawn from the streams before the network of the moment makes new ones.
    """

    share: float = 0.0
    start: float = 0.1
    streams: int = 64
    lengths: tuple[int, ...] = (16, 32, 48, 64)
    uses: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LongClips:
    """R long clips under one prompt each (or a fixed mixture of two): a `ClipBatch` in bytes.

    camera, target: uint8 [R, L, H, W, 3]; anchor_output, anchor_camera: uint8 [R, H, W, 3]; blend
    [R]; others as in `ClipBatch`.
    """

    camera: Tensor
    target: Tensor
    anchor_output: Tensor
    anchor_camera: Tensor
    states: Tensor
    mask: Tensor
    blend: Tensor
    label: Tensor
    hidden: Tensor

    @staticmethod
    def of(drawn: ClipBatch) -> LongClips:
        """Keep what rollouts need."""
        return LongClips(
            camera=to_u8(drawn.camera),
            target=to_u8(drawn.target),
            anchor_output=to_u8(drawn.anchor_output),
            anchor_camera=to_u8(drawn.anchor_camera),
            states=drawn.states,
            mask=drawn.mask,
            blend=drawn.blend[:, 0],
            label=drawn.label,
            hidden=drawn.hidden,
        )

    @staticmethod
    def join(parts: Sequence[LongClips]) -> LongClips:
        """All streams of all parts."""
        return LongClips(
            camera=torch.cat([part.camera for part in parts]),
            target=torch.cat([part.target for part in parts]),
            anchor_output=torch.cat([part.anchor_output for part in parts]),
            anchor_camera=torch.cat([part.anchor_camera for part in parts]),
            states=torch.cat([part.states for part in parts]),
            mask=torch.cat([part.mask for part in parts]),
            blend=torch.cat([part.blend for part in parts]),
            label=torch.cat([part.label for part in parts]),
            hidden=torch.cat([part.hidden for part in parts]),
        )


def make_roller(
    net: Net, codes: Tensor, height: int, width: int, kind: type[Roller[Tensor]] = Roller
) -> Roller[Tensor]:
    """A `Roller` over all streams of `codes` [S, P + 1, prompt_width] at once, on their device."""
    device = codes.device
    ops, params = TorchOps(), net.params()
    cache: dict[tuple[float, float], Control[Tensor]] = {}

    def control(tau: float, size: float) -> Control[Tensor]:
        if (tau, size) not in cache:
            features = torch.from_numpy(step_features(tau, size)).to(device)
            features = features.expand(len(codes), *features.shape)
            cache[tau, size] = prepare_control(ops, params, net.spec, codes, features)
        return cache[tau, size]

    return kind(
        ops=ops,
        params=params,
        spec=net.spec,
        tables=table_tensors(net.spec, height, width, device),
        scalar=lambda x: torch.full((1, 1, 1), x, device=device),
        array=lambda a: torch.as_tensor(a, device=device),
        control=control,
    )


def empty_history(
    net: Net, streams: int, height: int, width: int, device: torch.device
) -> History[Tensor]:
    """Nothing remembered yet, for `streams` streams at once."""
    rows, cols = net.spec.grid(height, width)
    zeros = torch.zeros((streams, height, width, 3), dtype=torch.uint8, device=device)
    shapes = slot_shapes(net.spec, rows * cols)
    return History(
        previous=zeros,
        anchor_output=zeros,
        anchor_camera=zeros,
        slots=tuple(
            tuple(torch.zeros(streams, *shape, device=device) for shape in shapes)
            for _ in range(net.spec.window)
        ),
        filled=0,
        has_previous=False,
        has_anchor=False,
    )


def to_u8(x: Tensor) -> Tensor:
    """[..., 3, H, W] in -1..1 -> uint8 [..., H, W, 3]."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)


def from_u8(x: Tensor) -> Tensor:
    """Inverse of `to_u8`, contiguous (compiled graphs are made for strides, too)."""
    return x.movedim(-1, -3).contiguous().float() / 127.5 - 1


@torch.no_grad()
def run_live(net: Net, clips: LongClips, generator: torch.Generator) -> Tensor:
    """Own frames of all streams, uint8 [R, L, H, W, 3], one step each, as a live stream runs."""
    _, length, height, width, _ = clips.camera.shape
    both = net.prompt_codes(clips.states, clips.mask)
    codes = both[:, 0] + clips.blend[:, None, None] * (both[:, 1] - both[:, 0])
    own = torch.empty_like(clips.camera)
    for hidden in (False, True):
        rows = ((clips.hidden > 0) == hidden).nonzero()[:, 0]
        if not len(rows):
            continue
        roller = make_roller(net, codes[rows], height, width)
        history = empty_history(net, len(rows), height, width, codes.device)
        if hidden:
            output, camera = clips.anchor_output[rows], clips.anchor_camera[rows]
            history = history.anchored(output=output, camera=camera)
        shape = (len(rows), 3, height, width)
        noise = torch.randn(shape, device=codes.device, generator=generator)
        for t in range(length):
            camera = clips.camera[rows, t]
            frame, history = roller.step(history, camera, noise, 1)
            if t == 0:
                history = history.anchored(output=frame, camera=camera)
            own[rows, t] = frame
    return own


def cut(
    clips: LongClips, own: Tensor, count: int, frames: int, rng: np.random.Generator
) -> ClipBatch:
    """`count` clips of `frames` frames; what they remember (`before`, the anchor) is `own`."""
    total, length = own.shape[:2]
    picks = np.concatenate([rng.permutation(total) for _ in range(-(-count // total))])[:count]
    begin = rng.integers(1, length - frames + 1, (count, 1))
    rows = torch.from_numpy(picks).to(own.device)
    times = torch.from_numpy(begin + np.arange(frames)).to(own.device)
    of = rows[:, None]
    return ClipBatch(
        camera=from_u8(clips.camera[of, times]),
        target=from_u8(clips.target[of, times]),
        before=from_u8(own[of, times - 1]),
        anchor_output=from_u8(own[rows, 0]),
        anchor_camera=from_u8(clips.camera[rows, 0]),
        states=clips.states[rows],
        mask=clips.mask[rows],
        blend=clips.blend[rows, None].expand(count, frames),
        label=clips.label[rows],
        hidden=clips.hidden[rows],
    )


@dataclass(slots=True, kw_only=True)
class Rolled:
    """What the present rollouts were made with: enough to make them again in a resumed run.

    step, progress: of the run; used: batches drawn since; values: weights, in the order of the net.
    """

    step: int
    progress: float
    used: int
    values: list[Tensor]


class RolloutBank:
    """Own streams that several steps are drawn from. What a step sees depends on the seed, the step
    and `Rolled` only.
    """

    def __init__(self, config: RolloutConfig, draw: Draw, *, seed: int, purpose: str) -> None:
        """`draw` makes long clips under one prompt each; `purpose` tells processes apart."""
        self._config, self._draw = config, draw
        self._seed, self._purpose = seed, f"rollouts/{purpose}"
        self._kept: tuple[LongClips, Tensor] | None = None

    def due(self, step: int, progress: float) -> bool:
        """Whether a step at the main size is trained on own rollouts; the same in all processes."""
        c = self._config
        drawn = numpy_rng(self._seed, "rollouts due", step).random()
        return progress >= c.start and drawn < c.share

    def length(self, progress: float) -> int:
        """Frames of a rollout at `progress` (0..1) of the run."""
        c = self._config
        done = (progress - c.start) / max(1 - c.start, 1e-6)
        return c.lengths[min(len(c.lengths) - 1, max(0, int(done * len(c.lengths))))]

    def batch(
        self,
        net: Net,
        rolled: Rolled | None,
        now: tuple[int, float],
        shape: tuple[int, int, tuple[int, int]],
        rng: np.random.Generator,
    ) -> tuple[ClipBatch, Rolled]:
        """Clips for a step, and what they were made with.

        Args:
            net: the network of the moment; it runs new streams where `rolled` is used up.
            rolled: what this function returned the last time, or a resumed run has read.
            now: (step, progress).
            shape: (streams, frames, size).
            rng: of the step, chooses the cuts.
        """
        count, frames, size = shape
        if rolled is None or rolled.used >= self._config.uses:
            values = [value.detach().clone() for value in net.values]
            rolled = Rolled(step=now[0], progress=now[1], used=0, values=values)
            self._kept = None
        if self._kept is None:
            self._kept = self._roll(net, rolled, frames, size)
        rolled.used += 1
        return cut(*self._kept, count, frames, rng), rolled

    def _roll(
        self, net: Net, rolled: Rolled, frames: int, size: tuple[int, int]
    ) -> tuple[LongClips, Tensor]:
        device = net.values[0].device
        rng = numpy_rng(self._seed, self._purpose, rolled.step)
        generator = torch.Generator(device).manual_seed(
            stream_seed(self._seed, self._purpose, rolled.step)
        )
        runner = Net(net.spec).to(device)
        with torch.no_grad():
            for mine, value in zip(runner.values, rolled.values, strict=True):
                mine.copy_(value)
        length = max(self.length(rolled.progress), frames + 1)
        parts: list[LongClips] = []
        for first in range(0, self._config.streams, CHUNK):
            streams = min(CHUNK, self._config.streams - first)
            drawn = self._draw(rolled.step, streams, length, size, rng, generator)
            parts.append(LongClips.of(drawn))
        clips = LongClips.join(parts)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return clips, run_live(runner, clips, generator)
