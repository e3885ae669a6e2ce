"""Weights and control tables in the form in which the instructions use them, float32 NumPy.

Low-rank embeddings are multiplied out, so that the embedding is one product; the rows of the head
come in the order of positions; `shift @ weight` of every norm is precomputed, because a norm's
reciprocal root commutes with the product: `(x r (1 + s) + b) W = r ((x (1 + s)) W) + b W`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everframe.arch.positions import position_features, rope_angles
from everframe.arch.spec import Spec
from everframe.runtime.megakernel.lower_state import PIXELS
from everframe.runtime.megakernel.plan import FramePlan

Array = NDArray[np.float32]
BYTE_SCALE = np.float32(2 / 255)
BYTE_CENTRE = np.float32(127.5)
"""A byte b means (b - centre) * scale; b - centre is exact in bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOperands:
    """Matrices [out, in] and gains of a block; `age` [frames, heads, K]. A half that the block does
    not have has matrices of no rows or columns.
    """

    qkv: Array
    out: Array
    up: Array
    down: Array
    q_gain: Array
    k_gain: Array
    age: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """Constants of a model at a frame size.

    embed: matrices [D, patch channels] of camera, previous, anchor output, anchor camera, noisy;
    base [N, D]: positions; cos, sin [N, K/2]; head: rows (cell, number) of the patches, then colour
    maps, then local gains; convolutions [out, in, 3, 3], first to last.
    """

    embed: tuple[Array, ...]
    base: Array
    previous_bias: Array
    anchor_bias: Array
    cos: Array
    sin: Array
    blocks: tuple[BlockOperands, ...]
    head: Array
    affine_bias: Array
    convolutions: tuple[Array, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockControl:
    """Modulation of a block: scales without their `1 +`; shifts are multiplied out."""

    scale_a: Array
    gate_a: Array
    scale_f: Array
    gate_f: Array
    qkv_shift: Array
    up_shift: Array
    prompt_k: Array
    prompt_v: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StepControl:
    """Tables of a denoising step. detail: [2 (1 + depth), C]; keep, move: Euler coefficients."""

    blocks: tuple[BlockControl, ...]
    head_scale: Array
    head_shift: Array
    detail: Array
    keep: float
    move: float


def operands(spec: Spec, plan: FramePlan, weights: Mapping[str, NDArray[Any]]) -> Operands:
    """From the weights of a bundle."""
    w = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    anchor = w["embed.anchor_out"] @ w["embed.anchor_in"]
    half = plan.patch_channels
    cos, sin = rope_angles(spec, plan.rows, plan.cols)
    by_cell = np.arange(plan.patch_channels).reshape(PIXELS, -1).T.reshape(-1)
    blocks: list[BlockOperands] = []
    for block in plan.blocks:
        p = f"blocks.{block.index}."
        age = w.get(p + "age", np.zeros((0, block.heads, 1, plan.head_dim), np.float32))
        none = np.zeros((0, plan.width), np.float32)
        ones = np.ones(plan.head_dim, np.float32)
        blocks.append(
            BlockOperands(
                qkv=w.get(p + "qkv", none),
                out=w.get(p + "out", none.T),
                up=w.get(p + "up", none),
                down=w.get(p + "down", none.T),
                q_gain=w.get(p + "q_gain", ones),
                k_gain=w.get(p + "k_gain", ones),
                age=age[:, :, 0],
            )
        )
    more = [f"detail.conv_mid.{i}" for i in range(1, plan.detail_depth)]
    names = ["detail.conv_in", "detail.conv_mid", *more, "detail.conv_out"]
    return Operands(
        embed=(
            w["embed.camera"],
            w["embed.previous"],
            anchor[:, :half],
            anchor[:, half:],
            w["embed.noisy_out"] @ w["embed.noisy_in"],
        ),
        base=position_features(plan.rows, plan.cols) @ w["embed.position"].T,
        previous_bias=w["embed.previous_bias"],
        anchor_bias=w["embed.anchor_bias"],
        cos=cos,
        sin=sin,
        blocks=tuple(blocks),
        head=np.concatenate([w["head.patches"][by_cell], w["head.affine"], w["detail.local"]]),
        affine_bias=w["head.affine_bias"][:, 0, 0],
        convolutions=tuple(w[name] for name in names),
    )


def step_control(
    plan: FramePlan,
    fixed: Operands,
    control: Mapping[str, NDArray[Any]],
    coefficients: tuple[float, float],
) -> StepControl:
    """From the outputs of the control program (`diffusion.programs.control_program`)."""
    blocks: list[BlockControl] = []
    for block, own in zip(plan.blocks, fixed.blocks, strict=True):
        parts = np.split(_row(control[f"control.modulation.{block.index}"]), 6)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = parts
        prompt = (0, plan.prompt_tokens, plan.head_dim)
        keys, values = (
            np.asarray(
                control.get(f"control.prompt_{x}.{block.index}", np.zeros(prompt)), np.float32
            )
            for x in "kv"
        )
        blocks.append(
            BlockControl(
                scale_a=scale_a,
                gate_a=gate_a,
                scale_f=scale_f,
                gate_f=gate_f,
                qkv_shift=own.qkv @ shift_a,
                up_shift=own.up @ shift_f,
                prompt_k=keys,
                prompt_v=values,
            )
        )
    shift, scale = np.split(_row(control["control.output"]), 2)
    return StepControl(
        blocks=tuple(blocks),
        head_scale=scale,
        head_shift=fixed.head @ shift,
        detail=_row(control["control.detail"]).reshape(-1, plan.detail_channels),
        keep=coefficients[0],
        move=coefficients[1],
    )


def _row(value: NDArray[Any]) -> Array:
    return np.asarray(value, np.float32).reshape(-1)


def next_norm(plan: FramePlan, block: int, *, after_attention: bool) -> tuple[str, int] | None:
    """Which norm follows attention or feed-forward of a block (-1: the embedding): ("scale_a" or
    "scale_f", block), None: that of the head.
    """
    if after_attention and plan.blocks[block].ffn:
        return "scale_f", block
    if block + 1 == len(plan.blocks):
        return None
    return "scale_a" if plan.blocks[block + 1].heads else "scale_f", block + 1


def next_scale(plan: FramePlan, step: StepControl, block: int, *, after_attention: bool) -> Array:
    """The scale of `next_norm`."""
    found = next_norm(plan, block, after_attention=after_attention)
    if found is None:
        return step.head_scale
    own = step.blocks[found[1]]
    return own.scale_a if found[0] == "scale_a" else own.scale_f


def score_bound(plan: FramePlan, fixed: Operands) -> Sequence[float]:
    """Per block, the largest base-2 logarithm that attention can meet before the softmax.

    Queries and keys are normed, so their length is at most sqrt(K) times the largest gain.
    """
    root = plan.head_dim**0.5
    bounds: list[float] = []
    for own in fixed.blocks:
        longest = root * float(np.abs(own.k_gain).max())
        offset = float(np.linalg.norm(own.age, axis=-1).max(initial=0.0))
        score = float(np.abs(own.q_gain).max()) * (longest + offset)
        bounds.append(score * float(np.log2(np.e)))
    return bounds
