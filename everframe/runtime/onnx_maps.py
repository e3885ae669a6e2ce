"""Lowerings of what works on maps [C, H, W] and pictures, as named in `arch.ops.Ops`.

Bytes are moved before they are converted and after they were rounded: a fourth of the memory, and
one pass instead of two.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from everframe.arch.program import Operation
from everframe.arch.spec import DETAIL_STRIDE
from everframe.runtime.onnx_writer import GraphWriter, Lowering


def _space_to_depth(
    g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]
) -> str:
    (c, h, w), s = shapes[0], op.attributes["block"]
    if x[0] in g.pictures:
        cells = g.reshape(g.pictures[x[0]], h // s, s, w // s, s, c)
        planes = g.node("Transpose", [cells], perm=[4, 1, 3, 0, 2])
        image = g.mark(_to_float(g, g.reshape(planes, 1, c * s * s, h // s, w // s)))
        moved = g.node("Transpose", [cells], perm=[0, 2, 4, 1, 3])
        g.patches[image] = _to_float(g, g.reshape(moved, h // s * (w // s), c * s * s))
        return image
    cells = g.reshape(x[0], c, h // s, s, w // s, s)
    moved = g.node("Transpose", [cells], perm=[0, 2, 4, 1, 3])
    image = g.mark(g.reshape(moved, 1, c * s * s, h // s, w // s))
    straight = g.node("Transpose", [cells], perm=[1, 3, 0, 2, 4])
    g.patches[image] = g.reshape(straight, h // s * (w // s), c * s * s)
    return image


def from_last(g: GraphWriter, x: str, shape: tuple[int, ...]) -> str:
    """The map [C, H, W] whose numbers lie in memory as [H, W, C], as convolutions like it."""
    c, h, w = shape
    return g.mark(g.node("Transpose", [g.reshape(x, 1, h, w, c)], perm=[0, 3, 1, 2]))


def to_last(g: GraphWriter, x: str, shape: tuple[int, ...]) -> str:
    """Inverse of `from_last`, [H, W, C]."""
    c, h, w = shape
    return g.reshape(g.node("Transpose", [g.as_map(x, shape)], perm=[0, 2, 3, 1]), h, w, c)


def _depth_to_space(
    g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]
) -> str:
    image = g.as_map(x[0], shapes[0])
    block = op.attributes["block"]
    spread = g.mark(g.node("DepthToSpace", [image], blocksize=block, mode="CRD"))
    g.spread[spread] = image, block
    return spread


def _to_tokens(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    c, h, w = shapes[0]
    if x[0] in g.patches:  # patches straight to tokens: one transposition instead of two
        return g.patches[x[0]]
    return g.node("Transpose", [g.reshape(x[0], c, h * w)], perm=[1, 0])


def _to_map(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    cells = g.reshape(x[0], 1, op.attributes["rows"], op.attributes["cols"], shapes[0][-1])
    return g.mark(g.node("Transpose", [cells], perm=[0, 3, 1, 2]))


def _upsample(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    f = op.attributes["factor"]
    scales = g.constant(np.array([1, 1, f, f], np.float32))
    up = g.node(
        "Resize",
        [g.as_map(x[0], shapes[0]), "", scales],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return g.mark(up)


def _conv3x3(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    return g.mark(g.node("Conv", [g.as_map(x[0], shapes[0]), x[1]], pads=[1, 1, 1, 1]))


def _local_affine(
    g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]
) -> str:
    _, h, w = shapes[0]
    sub = DETAIL_STRIDE**2
    columns = g.split("Split", [g.reshape(x[0], 3, 4, h, w), g.ints(1, 1, 1, 1)], 4, axis=1)
    channels = g.split("Split", [g.reshape(x[1], 3, sub, h, w), g.ints(1, 1, 1)], 3, axis=0)
    y = columns[3]
    for column, channel in zip(columns[:3], channels, strict=True):
        y = g.node("Add", [g.node("Mul", [column, channel]), y])
    return g.mark(g.reshape(y, 1, 3 * sub, h, w))


def _from_uint8(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    planes = _to_float(g, g.node("Transpose", [x[0]], perm=[2, 0, 1]))
    g.pictures[planes] = x[0]
    return planes


def _to_float(g: GraphWriter, levels: str) -> str:
    wide = g.node("Cast", [levels], to=TensorProto.FLOAT)
    return g.node("Sub", [g.node("Mul", [wide, g.scalar(2 / 255)]), g.scalar(1.0)])


def _to_uint8(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    c, h, w = shapes[0]
    if x[0] not in g.spread:
        levels = _to_levels(g, g.as_array(x[0], shapes[0]))
        return g.node("Transpose", [levels], perm=[1, 2, 0])
    image, s = g.spread[x[0]]
    cells = g.reshape(_to_levels(g, image), c, s, s, h // s, w // s)
    return g.reshape(g.node("Transpose", [cells], perm=[3, 1, 4, 2, 0]), h, w, c)


def _to_levels(g: GraphWriter, x: str) -> str:
    clamped = g.node("Clip", [x, g.scalar(-1.0), g.scalar(1.0)])
    wide = g.node("Mul", [g.node("Add", [clamped, g.scalar(1.0)]), g.scalar(127.5)])
    return g.node("Cast", [g.node("Round", [wide])], to=TensorProto.UINT8)


MAP_LOWERINGS: dict[str, Lowering] = {
    "space_to_depth": _space_to_depth,
    "depth_to_space": _depth_to_space,
    "to_tokens": _to_tokens,
    "to_map": _to_map,
    "upsample": _upsample,
    "conv3x3": _conv3x3,
    "local_affine": _local_affine,
    "from_uint8": _from_uint8,
    "to_uint8": _to_uint8,
}
