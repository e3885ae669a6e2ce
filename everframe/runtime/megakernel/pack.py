"""Weights and tables in the kernel's layout (`layout.Layout`), as float32 arenas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.isa import SEGMENTS
from everframe.runtime.megakernel.layout import DOWN, OUT, QKV, UP, Arena, Layout
from everframe.runtime.megakernel.lower_state import PIXELS
from everframe.runtime.megakernel.operands import BYTE_SCALE, Array, Operands, StepControl
from everframe.runtime.megakernel.tiles import GLUON_AGES, PANEL, ceil_to


def panels(matrix: Array, rows: int, columns: int) -> Array:
    """[R, K] -> flat [columns / 64][rows][64], zeros where padded."""
    padded = np.zeros((rows, columns), np.float32)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded.reshape(rows, -1, PANEL).transpose(1, 0, 2).reshape(-1)


def interleaved(head_dim: int) -> NDArray[np.intp]:
    """Order in which the channels of a head are stored: the pairs of RoPE side by side."""
    return np.arange(head_dim).reshape(2, -1).T.reshape(-1)


def head_rows(matrix: Array, heads: int, size: int, *, turned: bool) -> Array:
    """[heads * K, ...] -> [heads * size, ...]: heads padded, and in the order of `interleaved`."""
    k = matrix.shape[0] // heads
    by_head = matrix.reshape(heads, k, -1)
    if turned:
        by_head = by_head[:, interleaved(k)]
    padded = np.zeros((heads, size, by_head.shape[2]), np.float32)
    padded[:, :k] = by_head
    return padded.reshape(heads * size, -1)


def alternating(matrix: Array, ffn: int, run: int) -> Array:
    """[2 F, ...] -> [2 ffn, ...]: runs of gate and of value rows in turn, padded."""
    half = matrix.shape[0] // 2
    rows = matrix.reshape(2, half, -1)
    padded = np.zeros((2, ffn, rows.shape[2]), np.float32)
    padded[:, :half] = rows
    turns = padded.reshape(2, ffn // run, run, -1).transpose(1, 0, 2, 3)
    return turns.reshape(2 * ffn, -1)


def by_thread(matrix: Array) -> Array:
    """[R, n] as the threads of the Gluon kernel hold [64, n] of it (`gluon_sums.packed`)."""
    warps, halves, rows, fours, pairs = 4, 2, 8, 4, 2
    parts = matrix.reshape(-1, warps, halves, rows, matrix.shape[1] // 8, fours, pairs)
    return parts.transpose(0, 4, 1, 3, 5, 2, 6).reshape(-1)


def _filled(arena: Arena) -> Array:
    return np.zeros(max(1, arena.lines) * PANEL, np.float32)


def _put(out: Array, arena: Arena, name: str, values: Array) -> None:
    at = arena.at[name] * PANEL
    flat = values.reshape(-1)
    out[at : at + flat.size] = flat


def pack_weights(layout: Layout, fixed: Operands) -> Array:
    """The matrices."""
    out, arena = _filled(layout.weights), layout.weights
    inner = ceil_to(layout.plan.width, PANEL)
    for number, name in enumerate(SEGMENTS):
        matrix = fixed.embed[number]
        if name != "noisy":
            matrix = matrix * BYTE_SCALE
        _put(out, arena, f"embed.{name}", panels(matrix, layout.width, matrix.shape[1]))
    for block, own in zip(layout.plan.blocks, fixed.blocks, strict=True):
        size, heads, ffn = layout.head_dim, block.heads, layout.ffn(block)
        if heads:
            sections = np.split(own.qkv, 3)
            turned = [head_rows(s, heads, size, turned=i < 2) for i, s in enumerate(sections)]
            qkv = panels(np.concatenate(turned), 3 * heads * size, inner)
            _put(out, arena, f"{QKV}.{block.index}", qkv)
            columns = head_rows(own.out.T, heads, size, turned=False).T
            _put(out, arena, f"{OUT}.{block.index}", panels(columns, layout.width, heads * size))
        if ffn:
            raised = panels(alternating(own.up, ffn, layout.run), 2 * ffn, inner)
            _put(out, arena, f"{UP}.{block.index}", raised)
            _put(out, arena, f"{DOWN}.{block.index}", panels(own.down, layout.width, ffn))
        if layout.tiles.gluon and block.history_frames:
            _put(out, arena, f"ages.{block.index}", _ages(layout, own.age))
    _put(out, arena, "head", panels(fixed.head, layout.head_rows, inner))
    return out


def _ages(layout: Layout, age: Array) -> Array:
    """[frames, heads, K] -> [heads][GLUON_AGES][head_dim], as keys are stored."""
    frames, heads, k = age.shape
    padded = np.zeros((heads, GLUON_AGES, layout.head_dim), np.float32)
    padded[:, :frames, :k] = age.transpose(1, 0, 2)[:, :, interleaved(k)]
    return padded


def pack_convolutions(layout: Layout, fixed: Operands) -> Array:
    """[tap][out][in], padded; pixels of the camera and of the anchor come as centred bytes. For the
    Gluon kernel a matrix [out, (tap, in)] in panels.
    """
    out, arena = _filled(layout.convolutions), layout.convolutions
    for number, (name, outputs, inputs) in enumerate(layout.convolution_sizes()):
        kernel = fixed.convolutions[number].reshape(*fixed.convolutions[number].shape[:2], 9)
        if number == 0:
            scale = np.ones(kernel.shape[1], np.float32)
            scale[:PIXELS] = scale[2 * PIXELS :] = BYTE_SCALE
            kernel = kernel * scale[:, None]
        padded = np.zeros((9, outputs, inputs), np.float32)
        padded[:, : kernel.shape[0], : kernel.shape[1]] = kernel.transpose(2, 0, 1)
        if layout.tiles.gluon:
            matrix = padded.transpose(1, 0, 2).reshape(outputs, -1)
            padded = panels(matrix, outputs, layout.tap_panels(inputs) * PANEL)
        _put(out, arena, name, padded)
    return out


def pack_fixed(layout: Layout, fixed: Operands) -> Array:
    """Position table, biases, RoPE angles, gains, age offsets."""
    out, arena, plan = _filled(layout.fixed), layout.fixed, layout.plan
    base = np.zeros((layout.rows, layout.width), np.float32)
    base[: plan.tokens, : plan.width] = fixed.base
    _put(out, arena, "base", base)
    _put(out, arena, "previous_bias", fixed.previous_bias)
    _put(out, arena, "anchor_bias", fixed.anchor_bias)
    _put(out, arena, "affine_bias", fixed.affine_bias)
    angles = np.zeros((layout.rows, layout.head_dim // 2, 2), np.float32)
    angles[: plan.tokens, : plan.head_dim // 2] = np.stack((fixed.cos, fixed.sin), -1)
    if layout.tiles.gluon:
        _put(out, arena, "turns", by_thread(angles.reshape(layout.rows, layout.head_dim)))
    else:
        _put(out, arena, "cos", angles[..., 0])
        _put(out, arena, "sin", angles[..., 1])
    order = interleaved(plan.head_dim)
    for block, own in zip(plan.blocks, fixed.blocks, strict=True):
        _put(out, arena, f"q_gain.{block.index}", own.q_gain[order])
        _put(out, arena, f"k_gain.{block.index}", own.k_gain[order])
        if block.history_frames:
            age = own.age.reshape(-1, plan.head_dim)[:, order]
            padded = np.zeros((age.shape[0], layout.head_dim), np.float32)
            padded[:, : plan.head_dim] = age
            _put(out, arena, f"age.{block.index}", padded)
    return out


def pack_control(layout: Layout, steps: Sequence[StepControl]) -> Array:
    """Tables of all steps."""
    out, arena = _filled(layout.control), layout.control
    size = layout.head_dim
    for number, step in enumerate(steps):
        for block, own in zip(layout.plan.blocks, step.blocks, strict=True):
            key = f"{number}.{block.index}"
            for name, row in (
                ("scale_a", own.scale_a),
                ("gate_a", own.gate_a),
                ("scale_f", own.scale_f),
                ("gate_f", own.gate_f),
            ):
                _put(out, arena, f"{name}.{key}", row)
            if block.heads:
                shifts = [
                    head_rows(s[:, None], block.heads, size, turned=i < 2)
                    for i, s in enumerate(np.split(own.qkv_shift, 3))
                ]
                _put(out, arena, f"qkv_shift.{key}", np.concatenate(shifts))
            if block.ffn:
                up_shift = alternating(own.up_shift[:, None], layout.ffn(block), layout.run)
                _put(out, arena, f"up_shift.{key}", up_shift)
        _put(out, arena, f"head_scale.{number}", step.head_scale)
        _put(out, arena, f"head_shift.{number}", step.head_shift)
        for row, values in enumerate(step.detail):
            _put(out, arena, f"detail.{number}.{row}", values)
        _put(out, arena, f"euler.{number}", np.array([step.keep, step.move], np.float32))
    return out


def pack_prompt(layout: Layout, steps: Sequence[StepControl]) -> Array:
    """Keys and values of the prompt as [2][heads][rows][head_dim]."""
    out = _filled(layout.prompt)
    for number, step in enumerate(steps):
        for block, own in zip(layout.plan.blocks, step.blocks, strict=True):
            if block.heads:
                both = pack_keys(layout, own.prompt_k, own.prompt_v, layout.prompt_rows)
                _put(out, layout.prompt, f"{number}.{block.index}", both)
    return out


def pack_keys(layout: Layout, keys: Array, values: Array, rows: int) -> Array:
    """[H, N, K] each -> [2][heads][rows][head_dim]; keys in the order of `interleaved`."""
    heads, count, k = keys.shape
    both = np.zeros((2, heads, rows, layout.head_dim), np.float32)
    both[0, :, :count, :k] = keys[:, :, interleaved(k)]
    both[1, :, :count, :k] = values
    return both


def unpack_keys(layout: Layout, packed: Array, heads: int) -> tuple[Array, Array]:
    """Inverse of `pack_keys` for the tokens of a frame."""
    both = packed.reshape(2, heads, layout.rows, layout.head_dim)
    both = both[:, :, : layout.plan.tokens, : layout.plan.head_dim]
    keys = np.empty_like(both[0])
    keys[:, :, interleaved(layout.plan.head_dim)] = both[0]
    return keys, both[1].copy()
