"""Cut a network down to the heads, channels and blocks that are kept: weights in, weights out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from everframe.arch.spec import Spec
from everframe.compress.select import Kept, shape_of

Weights = dict[str, NDArray[np.float32]]
ATTENTION = ("qkv", "out", "q_gain", "k_gain", "prompt_kv", "age")
FEED_FORWARD = ("up", "down")


def slim(
    weights: Mapping[str, NDArray[np.float32]], spec: Spec, kept: Sequence[Kept]
) -> tuple[Weights, Spec]:
    """Weights and spec of what is left. Where nothing is cut, the numbers are the same bit for bit.

    Args:
        weights: of the network, by name.
        spec: the network.
        kept: per block.
    """
    out = {name: np.array(value) for name, value in weights.items() if name[:7] != "blocks."}
    new = 0
    for old, keep in enumerate(kept):
        if not keep.heads and not keep.ffn:
            continue
        prefix = f"blocks.{old}."
        inner = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        cut = _block(inner, spec.blocks[old].heads, keep)
        out |= {f"blocks.{new}.{name}": value for name, value in cut.items()}
        new += 1
    return out, shape_of(spec, kept)


def _block(
    weights: Mapping[str, NDArray[np.float32]], heads: int, keep: Kept
) -> dict[str, NDArray[np.float32]]:
    """The rows and columns of one block that stay."""
    gone = (() if keep.heads else ATTENTION) + (() if keep.ffn else FEED_FORWARD)
    out = {name: np.array(value) for name, value in weights.items() if name not in gone}
    if not keep.history:
        out.pop("age", None)
    if keep.heads:
        chosen = list(keep.heads)
        for name, sections in (("qkv", 3), ("prompt_kv", 2)):
            parts = out[name].reshape(sections, heads, -1, out[name].shape[1])[:, chosen]
            out[name] = np.ascontiguousarray(parts.reshape(-1, out[name].shape[1]))
        columns = out["out"].reshape(len(out["out"]), heads, -1)[:, chosen]
        out["out"] = np.ascontiguousarray(columns.reshape(len(columns), -1))
        if "age" in out:
            out["age"] = np.ascontiguousarray(out["age"][:, chosen])
    if keep.ffn:
        channels = list(keep.ffn)
        rows = out["up"].reshape(2, -1, out["up"].shape[1])[:, channels]
        out["up"] = np.ascontiguousarray(rows.reshape(-1, out["up"].shape[1]))
        out["down"] = np.ascontiguousarray(out["down"][:, channels])
    return out
