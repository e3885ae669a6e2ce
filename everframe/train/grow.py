"""Start from the weights of another network: drop some of its blocks, and widen and deepen its
detail path without changing what it computes (Net2Net, arXiv 1511.05641).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from everframe.arch.spec import Spec
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


def grown(
    weights: Mapping[str, NDArray[np.float32]],
    old: Spec,
    new: Spec,
    fresh: Mapping[str, NDArray[np.float32]],
) -> Weights:
    """Weights of `new` that compute what `weights` of `old` compute.

    Args:
        weights: of the small network, by name.
        old, new: their specs; only `detail_channels` and `detail_depth` may differ, and only grow.
        fresh: initial weights of `new`; new channels take their input weights from here, and
            nothing of the rest reads them yet.

    Raises:
        UserError: the specs differ in more.
    """
    same = replace(old, detail_channels=new.detail_channels, detail_depth=new.detail_depth) == new
    c, wide = old.detail_channels, new.detail_channels
    if not same or wide < c or new.detail_depth < old.detail_depth:
        raise UserError("these weights do not fit: only the detail path of a network can grow")
    out = {name: np.array(value, np.float32) for name, value in fresh.items()}
    out |= {name: np.array(weights[name]) for name in weights if not name.startswith("detail.")}
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
