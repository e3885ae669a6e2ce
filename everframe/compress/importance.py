"""How much each head, feed-forward channel and half of a block matters (docs/model.md, equations
18-19).

Measured on the training loss, with histories that the network itself has made: what a stream needs
live, not what it needs beside a true past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.model import PLAIN, Parts, Tables, transformer_block
from everframe.arch.spec import BlockSpec, Spec
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
BATCH = 8
"""Calibration clips side by side; in float32 a backward over them fits into some 20 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockScores:
    """Measured on one block, float64, all 0 or more.

    taylor_heads [H], taylor_ffn [F]: |sum of w dL/dw|, mean over clips; activation_*: mean size of
    what it adds to the tokens; magnitude_*: sum of squares of its weights; lost_attention,
    lost_ffn, lost_history: rise of the loss when that half is left out, or past frames unseen.
    """

    taylor_heads: Array
    taylor_ffn: Array
    activation_heads: Array
    activation_ffn: Array
    magnitude_heads: Array
    magnitude_ffn: Array
    lost_attention: float
    lost_ffn: float
    lost_history: float


def calibration(
    net: Net, clips: LongClips, config: TrainConfig, count: int, frames: int
) -> list[ClipInputs]:
    """`count` clips of `frames` frames, at most `BATCH` in a batch, whose history the network made
    itself: every stream is run live first, then cut.
    """
    device = net.values[0].device
    generator = torch.Generator(device).manual_seed(stream_seed(config.seed, "prune/noise"))
    own = run_live(net, clips, generator)
    rng = numpy_rng(config.seed, "prune/cut")
    sizes = [min(BATCH, count - first) for first in range(0, count, BATCH)]
    return [
        prepare_rollout(cut(clips, own, size, frames, rng), config, generator) for size in sizes
    ]


def measure(
    net: Net,
    batches: Sequence[ClipInputs],
    config: TrainConfig,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[BlockScores, ...]:
    """Scores of every block of a network, means over the clips of all batches. Each batch takes one
    forward with its backward, and two or three forwards per block from that block on; the weights
    are left as they were.
    """
    size = batches[0].target.shape[-2:]
    tables = table_tensors(net.spec, size[0], size[1], net.values[0].device)
    count = sum(len(batch.tau) for batch in batches)
    sums = [_Sums.of(block) for block in net.spec.blocks]
    done = 0
    for batch in batches:
        probe = _Probe(net.spec, len(batch.tau), net.values[0].device)
        net.parts = probe.parts()
        net.requires_grad_(False)  # a third of the memory is for their slopes
        loss, _ = loss_of(net, batch, tables, config.loss)
        net.requires_grad_(True)
        net.parts = PLAIN
        probe.add_slopes(loss, sums)
        rises_of = _lost(net, batch, tables, config, probe.tokens, loss.detach())
        for total, rises in zip(sums, rises_of, strict=True):
            total.lost[:] += rises * len(batch.tau)
        done += len(batch.tau)
        tell(f"importance: {done} of {count} clips")
    return tuple(
        _scores(net.params(), index, block, total, count)
        for index, (block, total) in enumerate(zip(net.spec.blocks, sums, strict=True))
    )


def of_weights(net: Net) -> tuple[BlockScores, ...]:
    """Scores that see no data: the magnitudes of the weights; all others are 0."""
    return tuple(
        _scores(net.params(), index, block, _Sums.of(block), 1)
        for index, block in enumerate(net.spec.blocks)
    )


def values(
    spec: Spec, scores: Sequence[BlockScores], mix: Mix, *, seed: int = 0
) -> tuple[BlockValue, ...]:
    """Scores as the values that `select.choose` adds up.

    `taylor`: as measured. `activation`: what the loss rises by without a half of a block, shared
    among its heads or channels by activation. `ablation`: the same, shared by the geometric mean of
    Taylor and activation. `magnitude` and `random` are controls, which know nothing of past frames;
    random values grow with the number of weights.
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
        measured = block.history_frames and mix in ("taylor", "activation", "ablation")
        history = _part_of_history(s) if measured else None
        found.append(BlockValue(heads=heads, ffn=ffn, history=history))
    return tuple(found)


def _part_of_history(scores: BlockScores) -> float:
    """What the attention of a block owes to past frames, 0 to 1."""
    lost, of_it = scores.lost_attention, scores.lost_history
    return min(1.0, of_it / lost) if lost > 0 else 0.0


def _share(scores: Array) -> Array:
    """Scores as parts of 1 (equal parts if all are 0)."""
    total = scores.sum()
    return scores / total if total > 0 else np.full(len(scores), 1 / max(1, len(scores)))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Of one block over clips: Taylor scores and sizes of outputs, heads [H] and channels [F];
    `lost` [3]: rises of the loss without attention, without the feed-forward part, and without
    past frames.
    """

    taylor: tuple[Array, Array]
    activation: tuple[Array, Array]
    lost: Array

    @staticmethod
    def of(block: BlockSpec) -> _Sums:
        """Nothing yet."""
        empty = [(np.zeros(block.heads), np.zeros(block.ffn)) for _ in range(2)]
        return _Sums(taylor=empty[0], activation=empty[1], lost=np.zeros(3))


def _scores(
    weights: Mapping[str, Tensor], index: int, block: BlockSpec, sums: _Sums, clips: int
) -> BlockScores:
    """The scores of a block from its sums and its weights."""
    out = _columns(weights, f"blocks.{index}.out", block.heads)
    down = _columns(weights, f"blocks.{index}.down", block.ffn)
    lost = np.maximum(0.0, sums.lost / clips)
    return BlockScores(
        taylor_heads=sums.taylor[0] / clips,
        taylor_ffn=sums.taylor[1] / clips,
        activation_heads=sums.activation[0] / clips * out**0.5,
        activation_ffn=sums.activation[1] / clips * down**0.5,
        magnitude_heads=out + _rows(weights, f"blocks.{index}.qkv", 3, block.heads),
        magnitude_ffn=down + _rows(weights, f"blocks.{index}.up", 2, block.ffn),
        lost_attention=float(lost[0]),
        lost_ffn=float(lost[1]),
        lost_history=float(lost[2]),
    )


@torch.no_grad()
def _lost(
    net: Net,
    batch: ClipInputs,
    tables: Tables[Tensor],
    config: TrainConfig,
    tokens: Sequence[Tensor],
    whole: Tensor,
) -> Array:
    """Rise over `whole` of the loss of a batch without attention, without the feed-forward part and
    without past frames in each block [L, 3]; the last matrix of a half is zero for that while
    (equation 19).

    `tokens` are those before each block, where such a forward begins.
    """
    weights = net.params()
    losses: list[Tensor] = []
    for index, block in enumerate(net.spec.blocks):
        net.parts = _resumed(index, tokens[index])
        for name, size in (("out", block.heads), ("down", block.ffn)):
            last = [weights[f"blocks.{index}.{name}"]] if size else []
            saved = [weight.clone() for weight in last]
            for weight in last:
                weight.zero_()
            losses.append(loss_of(net, batch, tables, config.loss)[0])
            for weight, value in zip(last, saved, strict=True):
                weight.copy_(value)
        net.parts = _resumed(index, tokens[index], alone=True)
        seeing = bool(block.history_frames)
        losses.append(loss_of(net, batch, tables, config.loss)[0] if seeing else whole)
    net.parts = PLAIN
    return (torch.stack(losses) - whole).double().reshape(-1, 3).cpu().numpy()


def _resumed(index: int, tokens: Tensor, alone: bool = False) -> Parts:
    """The parts of a forward that has done its first `index` blocks, which led to `tokens`; the
    next sees no past frames if `alone`.
    """
    left = index

    def block(*args: Any) -> Tensor:
        nonlocal left
        left -= 1
        if left >= 0:
            return tokens
        if alone and left == -1:
            args = (*args[:3], replace(args[3], history_frames=0), *args[4:])
        return transformer_block(*args)

    def embed(*_: Any) -> Tensor:
        nonlocal left
        left = index
        return tokens

    return Parts(embed=embed, transformer_block=block, head=PLAIN.head)


class _Probe:
    """One forward over a batch with gates, all 1, on what heads and channels give: one for each and
    for each clip, so that one backward has the slopes of all clips apart.
    """

    def __init__(self, spec: Spec, clips: int, device: torch.device) -> None:
        def ones(size: int) -> Tensor:
            return torch.ones(clips, size, device=device, requires_grad=True)

        self._gates = [(ones(block.heads), ones(block.ffn)) for block in spec.blocks]
        self._sizes = [[torch.zeros_like(gate) for gate in pair] for pair in self._gates]
        self.tokens: list[Tensor] = []

    def parts(self) -> Parts:
        """The parts of the forward."""
        return Parts(embed=PLAIN.embed, transformer_block=self._block, head=PLAIN.head)

    def _block(self, *args: Any) -> Tensor:
        index = len(self.tokens)
        self.tokens.append(args[4].detach())
        ops = _GatedOps(self._gates[index], self._sizes[index])
        return transformer_block(ops, *args[1:])

    def add_slopes(self, loss: Tensor, sums: Sequence[_Sums]) -> None:
        """Add |dL/dm| of each clip (equation 18; L is the mean over clips) and the sizes."""
        gates = [gate for pair in self._gates for gate in pair if gate.numel()]
        slopes = dict(zip(map(id, gates), torch.autograd.grad(loss, gates), strict=True))
        for pair, sizes, total in zip(self._gates, self._sizes, sums, strict=True):
            for half in (0, 1):
                gate = pair[half]
                if gate.numel():
                    slope = slopes[id(gate)].double().abs().sum(0) * len(gate)
                    total.taylor[half][:] += slope.cpu().numpy()
                    total.activation[half][:] += sizes[half].double().sum(0).cpu().numpy()


class _GatedOps(TorchOps):
    """`TorchOps` with gates [B, H] on attention's heads and [B, F] on SwiGLU's channels; notes the
    root mean square of each, before the gates.
    """

    def __init__(self, gates: tuple[Tensor, Tensor], sizes: list[Tensor]) -> None:
        self._gates, self._sizes = gates, sizes

    def merge_heads(self, x: Tensor) -> Tensor:
        """Heads [B, T, H, N, K] to channels."""
        self._sizes[0] = x.detach().float().square().mean((1, 3, 4)).sqrt()
        return super().merge_heads(x * self._gates[0][:, None, :, None, None])

    def swiglu(self, x: Tensor) -> Tensor:
        """Gated unit [B, T, N, F]."""
        y = super().swiglu(x)
        self._sizes[1] = y.detach().float().square().mean((1, 2)).sqrt()
        return y * self._gates[1][:, None, None]
