"""The table of weights: names, shapes, initial values and which optimiser moves them. Defined once,
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from everframe.arch.model import AFFINE_CHANNELS
from everframe.arch.spec import (
    AFFINE_LATTICE,
    DETAIL_STRIDE,
    POSITION_FEATURES,
    STEP_FEATURES,
    TEXT_WIDTH,
    BlockSpec,
    Spec,
)

Init = Literal["fan_in", "zeros", "ones", "small", "unit", "gates", "identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor. `hidden` matrices are moved by Muon, all others by AdamW."""

    shape: tuple[int, ...]
    init: Init
    hidden: bool = False


def block_weights(spec: Spec, block: BlockSpec) -> dict[str, Weight]:
    """Weights of one block, without prefix. A half that the block does not have has none, but its
    rows of the modulation stay.
    """
    inner, d = block.heads * spec.head_dim, spec.width
    table = {
        "modulation": Weight(shape=(6 * d, spec.condition_width), init="small"),
        "modulation_bias": Weight(shape=(6 * d,), init="gates"),
    }
    if block.heads:
        table |= {
            "qkv": Weight(shape=(3 * inner, d), init="fan_in", hidden=True),
            "out": Weight(shape=(d, inner), init="fan_in", hidden=True),
            "q_gain": Weight(shape=(spec.head_dim,), init="ones"),
            "k_gain": Weight(shape=(spec.head_dim,), init="ones"),
            "prompt_kv": Weight(shape=(2 * inner, spec.prompt_width), init="fan_in"),
        }
    if block.ffn:
        table |= {
            "up": Weight(shape=(2 * block.ffn, d), init="fan_in", hidden=True),
            "down": Weight(shape=(d, block.ffn), init="fan_in", hidden=True),
        }
    if block.history_frames:
        shape = (block.history_frames, block.heads, 1, spec.head_dim)
        table["age"] = Weight(shape=shape, init="zeros")
    return table


def weight_table(spec: Spec) -> dict[str, Weight]:
    """All weights of a network by full name."""
    d, pc, c = spec.width, spec.patch_channels, spec.detail_channels
    sub = 3 * DETAIL_STRIDE**2
    w, cw = spec.prompt_width, spec.condition_width
    table = {
        "prompt.key": Weight(shape=(w, TEXT_WIDTH), init="fan_in"),
        "prompt.value": Weight(shape=(w, TEXT_WIDTH), init="fan_in"),
        "prompt.queries": Weight(shape=(spec.prompt_tokens + 1, w), init="unit"),
        "prompt.up": Weight(shape=(4 * w, w), init="fan_in"),
        "prompt.down": Weight(shape=(w, 2 * w), init="fan_in"),
        "condition.step_in": Weight(shape=(cw, STEP_FEATURES), init="fan_in"),
        "condition.step_bias": Weight(shape=(cw,), init="zeros"),
        "condition.step_out": Weight(shape=(cw, cw), init="fan_in"),
        "condition.pooled": Weight(shape=(cw, w), init="fan_in"),
        "condition.bias": Weight(shape=(cw,), init="zeros"),
        "embed.camera": Weight(shape=(d, pc), init="fan_in"),
        "embed.noisy_in": Weight(shape=(spec.noisy_rank, pc), init="fan_in"),
        "embed.noisy_out": Weight(shape=(d, spec.noisy_rank), init="fan_in"),
        "embed.previous": Weight(shape=(d, pc), init="fan_in"),
        "embed.previous_bias": Weight(shape=(d,), init="zeros"),
        "embed.anchor_in": Weight(shape=(spec.anchor_rank, 2 * pc), init="fan_in"),
        "embed.anchor_out": Weight(shape=(d, spec.anchor_rank), init="fan_in"),
        "embed.anchor_bias": Weight(shape=(d,), init="zeros"),
        "embed.position": Weight(shape=(d, POSITION_FEATURES), init="fan_in"),
    }
    for i, block in enumerate(spec.blocks):
        table |= {f"blocks.{i}.{name}": x for name, x in block_weights(spec, block).items()}
    return table | {
        "head.modulation": Weight(shape=(2 * d, cw), init="zeros"),
        "head.patches": Weight(shape=(pc, d), init="zeros"),
        "head.affine": Weight(shape=(AFFINE_CHANNELS * AFFINE_LATTICE**2, d), init="zeros"),
        "head.affine_bias": Weight(shape=(AFFINE_CHANNELS, 1, 1), init="identity"),
        "detail.modulation": Weight(shape=(2 * (1 + spec.detail_depth) * c, cw), init="small"),
        "detail.local": Weight(shape=(2 * c, d), init="small"),
        "detail.conv_in": Weight(shape=(c, 4 * sub, 3, 3), init="fan_in"),
        "detail.conv_mid": Weight(shape=(c, c, 3, 3), init="fan_in"),
        **{
            f"detail.conv_mid.{i}": Weight(shape=(c, c, 3, 3), init="zeros")
            for i in range(1, spec.detail_depth)
        },
        "detail.conv_out": Weight(shape=(sub, c, 3, 3), init="zeros"),
    }


def parameter_count(spec: Spec) -> int:
    """Numbers in all weights."""
    total = 0
    for weight in weight_table(spec).values():
        size = 1
        for side in weight.shape:
            size *= side
        total += size
    return total
