"""Start from the weights of another network: drop some of its blocks; or widen and deepen its
detail path, widen its feed-forward layers, put blocks between its blocks and tell it step sizes,
without changing what it computes (Net2Net, arXiv 1511.05641).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from everframe.arch.positions import step_features
from everframe.arch.spec import STEP_FEATURES, Spec
from everframe.core.errors import UserError

Weights = dict[str, NDArray[np.float32]]


def with_blocks(
    weights: Mapping[str, NDArray[np.float32]], spec: Spec, keep: Sequence[int]
) -> tuple[Weights, Spec]:
    """The network of the blocks `keep` (rising indices) alone.

    Raises:
        UserError: there is no such block.
    """
    if list(keep) != sorted(set(keep)) or not all(0 <= i < len(spec.blocks) for i in keep):
        raise UserError(f"blocks {list(keep)} are not rising numbers below {len(spec.blocks)}")
    out = {name: np.array(value) for name, value in weights.items() if name[:7] != "blocks."}
    for new, old in enumerate(keep):
        prefix = f"blocks.{old}."
        inner = (name.removeprefix(prefix) for name in weights if name.startswith(prefix))
        out |= {f"blocks.{new}.{name}": np.array(weights[prefix + name]) for name in inner}
    return out, replace(spec, blocks=tuple(spec.blocks[i] for i in keep))


def with_step_sizes(weights: Mapping[str, NDArray[np.float32]], spec: Spec) -> tuple[Weights, Spec]:
    """The network that is told step sizes and, until it is trained, computes for every size what it
    did at size 0, the only one that it knew. Networks that are told sizes stay as they are.
    """
    out = {name: np.array(value) for name, value in weights.items()}
    if not spec.step_sizes:
        half = STEP_FEATURES // 2
        of_size = out["condition.step_in"][:, half:]
        at_zero = step_features(0.0, 0.0)[0, half:]
        out["condition.step_bias"] += of_size @ at_zero
        of_size[:] = 0
    return out, replace(spec, step_sizes=True)


def grown(
    weights: Mapping[str, NDArray[np.float32]],
    old: Spec,
    new: Spec,
    fresh: Mapping[str, NDArray[np.float32]],
) -> Weights:
    """Weights of `new` that compute what `weights` of `old` compute.

    Args:
        weights: of the small network, by name.
        old, new: their specs; only `detail_channels`, `detail_depth` and the blocks may differ, and
            only grow. With n times as many blocks, every n-th is an old one, the first among them;
            it may have a wider feed-forward layer, and is else the same.
        fresh: initial weights of `new`; new channels and blocks take their input weights from here,
            and nothing of the rest reads them yet.

    Raises:
        UserError: the specs differ in more.
    """
    same = replace(
        old,
        detail_channels=new.detail_channels,
        detail_depth=new.detail_depth,
        blocks=new.blocks,
    )
    c, wide = old.detail_channels, new.detail_channels
    if same != new or wide < c or new.detail_depth < old.detail_depth or not _fits(old, new):
        raise UserError(
            "these weights do not fit: only the detail path, the feed-forward layers and the "
            "number of blocks can grow"
        )
    out = {name: np.array(value, np.float32) for name, value in fresh.items()}
    outside = (name for name in weights if not name.startswith(("detail.", "blocks.")))
    out |= {name: np.array(weights[name]) for name in outside}
    _grow_blocks(weights, old, new, out)
    parts = 2 * (1 + old.detail_depth)
    steer = out["detail.modulation"].reshape(-1, wide, new.condition_width)
    steer[:parts, :c] = weights["detail.modulation"].reshape(parts, c, -1)
    steer[parts:] = 0
    out["detail.local"].reshape(2, wide, -1)[:, :c] = weights["detail.local"].reshape(2, c, -1)
    out["detail.conv_in"][:c] = weights["detail.conv_in"]
    for name in weights:
        if name.startswith("detail.conv_mid"):
            out[name][:c, c:] = 0
            out[name][:c, :c] = weights[name]
    out["detail.conv_out"][:] = 0
    out["detail.conv_out"][:, :c] = weights["detail.conv_out"]
    return out


def _fits(old: Spec, new: Spec) -> bool:
    """Whether the blocks of `old` are found among those of `new`, none with less in it."""
    if len(new.blocks) % len(old.blocks):
        return False
    kept = new.blocks[:: len(new.blocks) // len(old.blocks)]
    return all(
        replace(mine, ffn=theirs.ffn) == theirs and mine.ffn <= theirs.ffn
        for mine, theirs in zip(old.blocks, kept, strict=True)
    )


def _grow_blocks(
    weights: Mapping[str, NDArray[np.float32]], old: Spec, new: Spec, out: Weights
) -> None:
    """Put the old blocks into `out`; what is new there adds nothing to the residual stream."""
    every = len(new.blocks) // len(old.blocks)
    for index in range(len(new.blocks)):
        if index % every:
            out[f"blocks.{index}.out"][:] = 0
            out[f"blocks.{index}.down"][:] = 0
    for index, block in enumerate(old.blocks):
        source, place = f"blocks.{index}.", f"blocks.{index * every}."
        for name in (name for name in weights if name.startswith(source)):
            inner = name.removeprefix(source)
            if inner not in ("up", "down"):
                out[place + inner] = np.array(weights[name])
        up, down = out[place + "up"], out[place + "down"]  # SwiGLU: gates, then values
        halves = weights[source + "up"].reshape(2, block.ffn, -1)
        up.reshape(2, -1, up.shape[1])[:, : block.ffn] = halves
        down[:] = 0
        down[:, : block.ffn] = weights[source + "down"]
