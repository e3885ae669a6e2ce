"""How much each head, feed-forward channel and half of a block matters (docs/model.md, equations
18-19).

Measured on the training loss, with histories that the network itself has made: what a stream needs
live, not what it needs beside a true past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.model import PLAIN, Parts, Tables, transformer_block
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.compress.select import BlockValue
from everframe.core.rng import numpy_rng, stream_seed
from everframe.train.config import TrainConfig
from everframe.train.rollouts import LongClips, cut, run_live
from everframe.train.step import ClipInputs, loss_of, prepare_rollout

Array = NDArray[np.float64]
Mix = Literal["taylor", "activation", "ablation", "magnitude", "random"]
MIXES: tuple[Mix, ...] = get_args(Mix)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockScores:
    """Measured on one block, float64, all 0 or more.

    taylor_heads [H], taylor_ffn [F]: |sum of w dL/dw|, mean over clips; activation_*: mean size of
    what it adds to the tokens; magnitude_*: sum of squares of its weights; lost_attention,
    lost_ffn: rise of the loss when that half is left out.
    """

    taylor_heads: Array
    taylor_ffn: Array
    activation_heads: Array
    activation_ffn: Array
    magnitude_heads: Array
    magnitude_ffn: Array
    lost_attention: float
    lost_ffn: float


def calibration(
    net: Net, clips: LongClips, config: TrainConfig, count: int, frames: int
) -> list[ClipInputs]:
    """`count` clips of `frames` frames, one stream each, whose history the network made itself:
    every stream is run live first, then cut.
    """
    device = net.values[0].device
    generator = torch.Generator(device).manual_seed(stream_seed(config.seed, "prune/noise"))
    own = run_live(net, clips, generator)
    rng = numpy_rng(config.seed, "prune/cut")
    return [
        prepare_rollout(cut(clips, own, 1, frames, rng), config, generator) for _ in range(count)
    ]


def measure(
    net: Net,
    batches: Sequence[ClipInputs],
    config: TrainConfig,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[BlockScores, ...]:
    """Scores of every block of a network over `batches`; the weights are left as they were."""
    weights = net.params()
    taylor = [_zeros(block.heads, block.ffn) for block in net.spec.blocks]
    watch = _Watch(net.spec)
    tables: Tables[Tensor] | None = None
    whole = 0.0
    for number, batch in enumerate(batches, 1):
        if tables is None:
            size = batch.target.shape[-2:]
            tables = table_tensors(net.spec, size[0], size[1], net.values[0].device)
        net.parts = watch.parts()
        loss, _ = loss_of(net, batch, tables, config.loss)
        net.parts = PLAIN
        loss.backward()
        whole += float(loss.detach())
        for index, (heads, ffn) in enumerate(taylor):
            heads += _moved(weights, f"blocks.{index}.out", len(heads))
            ffn += _moved(weights, f"blocks.{index}.down", len(ffn))
        net.zero_grad(set_to_none=True)
        tell(f"importance: clip {number} of {len(batches)}")
    assert tables is not None
    lost = _lost(net, batches, tables, config, whole / len(batches), tell)
    scores: list[BlockScores] = []
    for index, block in enumerate(net.spec.blocks):
        sizes = [
            _columns(weights, f"blocks.{index}.{name}", count)
            for name, count in (("out", block.heads), ("down", block.ffn))
        ]
        seen = [value / len(batches) for value in watch.seen[index]]
        scores.append(
            BlockScores(
                taylor_heads=taylor[index][0] / len(batches),
                taylor_ffn=taylor[index][1] / len(batches),
                activation_heads=seen[0] * sizes[0] ** 0.5,
                activation_ffn=seen[1] * sizes[1] ** 0.5,
                magnitude_heads=sizes[0] + _rows(weights, f"blocks.{index}.qkv", 3, block.heads),
                magnitude_ffn=sizes[1] + _rows(weights, f"blocks.{index}.up", 2, block.ffn),
                lost_attention=lost[index][0],
                lost_ffn=lost[index][1],
            )
        )
    return tuple(scores)


def values(
    spec: Spec, scores: Sequence[BlockScores], mix: Mix, *, seed: int = 0
) -> tuple[BlockValue, ...]:
    """Scores as the values that `select.choose` adds up.

    `taylor`: as measured. `activation`: what the loss rises by without a half of a block, shared
    among its heads or channels by activation. `ablation`: the same, shared by the geometric mean of
    Taylor and activation. `magnitude` and `random` are controls; random values grow with the number
    of weights.
    """
    found: list[BlockValue] = []
    for block, s in zip(spec.blocks, scores, strict=True):
        match mix:
            case "taylor":
                heads, ffn = s.taylor_heads, s.taylor_ffn
            case "magnitude":
                heads, ffn = s.magnitude_heads, s.magnitude_ffn
            case "activation":
                heads = s.lost_attention * _share(s.activation_heads)
                ffn = s.lost_ffn * _share(s.activation_ffn)
            case "ablation":
                heads = s.lost_attention * _share((s.taylor_heads * s.activation_heads) ** 0.5)
                ffn = s.lost_ffn * _share((s.taylor_ffn * s.activation_ffn) ** 0.5)
            case "random":
                rng = numpy_rng(seed, "prune/random", len(found))
                heads = rng.random(block.heads) * 4 * spec.head_dim
                ffn = rng.random(block.ffn) * 3
        found.append(BlockValue(heads=heads, ffn=ffn))
    return tuple(found)


def _share(scores: Array) -> Array:
    """Scores as parts of 1 (equal parts if all are 0)."""
    total = scores.sum()
    return scores / total if total > 0 else np.full(len(scores), 1 / max(1, len(scores)))


def _zeros(heads: int, ffn: int) -> tuple[Array, Array]:
    return np.zeros(heads), np.zeros(ffn)


def _moved(weights: Mapping[str, Tensor], name: str, groups: int) -> Array:
    """|sum of w dL/dw| over the columns of each group: the change of the loss to first order when
    the group's output is taken away (equation 18).
    """
    if not groups:
        return np.zeros(0)
    weight = weights[name]
    assert weight.grad is not None
    product = (weight.detach() * weight.grad).double().reshape(len(weight), groups, -1)
    return product.sum((0, 2)).abs().cpu().numpy()


def _columns(weights: Mapping[str, Tensor], name: str, groups: int) -> Array:
    """Sum of squares of the columns of each group."""
    if not groups:
        return np.zeros(0)
    weight = weights[name].detach().double()
    return weight.square().reshape(len(weight), groups, -1).sum((0, 2)).cpu().numpy()


def _rows(weights: Mapping[str, Tensor], name: str, sections: int, groups: int) -> Array:
    """Sum of squares of the rows of each group, which has some in each section."""
    if not groups:
        return np.zeros(0)
    weight = weights[name].detach().double()
    return weight.square().reshape(sections, groups, -1).sum((0, 2)).cpu().numpy()


@torch.no_grad()
def _lost(
    net: Net,
    batches: Sequence[ClipInputs],
    tables: Tables[Tensor],
    config: TrainConfig,
    whole: float,
    tell: Callable[[str], None],
) -> list[tuple[float, float]]:
    """Rise of the mean loss without attention and without the feed-forward part of each block, not
    below 0: their last matrices are zero for that while (equation 19).
    """
    weights = net.params()
    lost: list[tuple[float, float]] = []
    for index, block in enumerate(net.spec.blocks):
        tell(f"importance: without block {index + 1} of {len(net.spec.blocks)}")
        rises: list[float] = []
        for name, size in (("out", block.heads), ("down", block.ffn)):
            if not size:
                rises.append(0.0)
                continue
            weight = weights[f"blocks.{index}.{name}"]
            saved = weight.clone()
            weight.zero_()
            losses = [float(loss_of(net, batch, tables, config.loss)[0]) for batch in batches]
            weight.copy_(saved)
            rises.append(max(0.0, float(np.mean(losses)) - whole))
        lost.append((rises[0], rises[1]))
    return lost


class _Watch:
    """Sums, over forwards, of how large the outputs of heads and of channels are."""

    def __init__(self, spec: Spec) -> None:
        self.seen = [_zeros(block.heads, block.ffn) for block in spec.blocks]
        self._next = 0

    def parts(self) -> Parts:
        """The parts of a forward, watched."""
        return Parts(embed=PLAIN.embed, transformer_block=self._block, head=PLAIN.head)

    def _block(self, _: TorchOps, *rest: Any) -> Tensor:
        ops = _WatchingOps(*self.seen[self._next])
        self._next = (self._next + 1) % len(self.seen)
        return transformer_block(ops, *rest)


class _WatchingOps(TorchOps):
    """`TorchOps` that notes the size of attention's and SwiGLU's results."""

    def __init__(self, heads: Array, ffn: Array) -> None:
        self._heads, self._ffn = heads, ffn

    def merge_heads(self, x: Tensor) -> Tensor:
        """Root mean square of each head."""
        size = x.detach().float().square().movedim(-3, 0).flatten(1).mean(1).sqrt()
        self._heads += size.double().cpu().numpy()
        return super().merge_heads(x)

    def swiglu(self, x: Tensor) -> Tensor:
        """Root mean square of each channel."""
        y = super().swiglu(x)
        size = y.detach().float().square().flatten(0, -2).mean(0).sqrt()
        self._ffn += size.double().cpu().numpy()
        return y
