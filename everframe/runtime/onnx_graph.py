"""`Program` -> ONNX model, for ONNX Runtime, OpenVINO and `everframe export`. Needs the `onnx`
package only.

Each primitive has one lowering below, named as in `arch.ops.Ops`; a test enumerates them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everframe.arch.program import Operation, Program, Value
from everframe.runtime.onnx_maps import MAP_LOWERINGS, from_last, to_last
from everframe.runtime.onnx_writer import Array, GraphWriter, Lowering, kept

OPSET = 18
NORM_EPS = 1e-6
SMALLEST_INT8 = 64
"""Output channels from which an int8 product pays."""
Matrices = tuple[str, ...]
"""Weights by the ends of their names."""
ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


def _linear(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    if x[1] in g.transposed:
        return g.node("MatMul", [x[0], x[1]])
    return g.node("MatMul", [x[0], g.node("Transpose", [x[1]], perm=[1, 0])])


def _modulate(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    gain = g.node("Add", [x[2], g.scalar(1.0)])
    return kept(g, x, g.node("Add", [g.node("Mul", [x[0], gain]), x[1]]))


def _rms_norm(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    square = g.node("Mul", [x[0], x[0]])
    mean = g.node("ReduceMean", [square, g.ints(-1)], keepdims=1)
    root = g.node("Sqrt", [g.node("Add", [mean, g.scalar(NORM_EPS)])])
    return g.node("Div", [x[0], root])


def _silu(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    return kept(g, x, g.node("Mul", [x[0], g.node("Sigmoid", [x[0]])]))


def _swiglu(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    half = shapes[0][-1] // 2
    a, b = g.split("Split", [x[0], g.ints(half, half)], 2, axis=-1)
    return g.node("Mul", [_silu(g, op, [a], shapes), b])


def _rope(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    half = shapes[0][-1] // 2
    a, b = g.split("Split", [x[0], g.ints(half, half)], 2, axis=-1)
    left = g.node("Sub", [g.node("Mul", [a, x[1]]), g.node("Mul", [b, x[2]])])
    right = g.node("Add", [g.node("Mul", [a, x[2]]), g.node("Mul", [b, x[1]])])
    return g.node("Concat", [left, right], axis=-1)


def _split_heads(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    n, c = shapes[0]
    heads = op.attributes["heads"]
    return g.node("Transpose", [g.reshape(x[0], n, heads, c // heads)], perm=[1, 0, 2])


def _merge_heads(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    h, n, k = shapes[0]
    return g.reshape(g.node("Transpose", [x[0]], perm=[1, 0, 2]), n, h * k)


def _attend(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    q = g.node("Mul", [x[0], g.scalar(shapes[0][-1] ** -0.5)])
    scores = g.node("MatMul", [q, g.node("Transpose", [x[1]], perm=[0, 2, 1])])
    if len(x) > 3 and x[3]:
        # the rank of the scores, written out: OpenVINO's fused bfloat16 attention (2026.4) reads a
        # bias of lower rank wrongly
        bias = g.node("Unsqueeze", [x[3], g.ints(0)])
        scores = g.node("Add", [scores, bias])
    return g.node("MatMul", [g.node("Softmax", [scores], axis=-1), x[2]])


def _concat(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    if g.maps.isdisjoint(x):
        return g.node("Concat", x, axis=op.attributes["axis"])
    parts = [g.as_map(part, shape) for part, shape in zip(x, shapes, strict=True)]
    return g.mark(g.node("Concat", parts, axis=op.attributes["axis"]))


def _take(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    a = op.attributes
    bounds = [g.ints(a["start"]), g.ints(a["stop"]), g.ints(a["axis"])]
    return kept(g, x, g.node("Slice", [x[0], *bounds]))


def _select(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    a = op.attributes
    index = g.constant(np.array(a["index"], np.int64))
    return g.node("Gather", [x[0], index], axis=a["axis"])


def _stack(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    axis = op.attributes["axis"]
    parts = [g.node("Unsqueeze", [part, g.ints(axis)]) for part in x]
    return g.node("Concat", parts, axis=axis)


def _elementwise(kind: str) -> Lowering:
    def lower(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
        return kept(g, x, g.node(kind, x))

    return lower


LOWERINGS: dict[str, Lowering] = {
    "linear": _linear,
    "add": _elementwise("Add"),
    "mul": _elementwise("Mul"),
    "modulate": _modulate,
    "rms_norm": _rms_norm,
    "silu": _silu,
    "swiglu": _swiglu,
    "rope": _rope,
    "split_heads": _split_heads,
    "merge_heads": _merge_heads,
    "attend": _attend,
    "concat": _concat,
    "take": _take,
    "select": _select,
    "stack": _stack,
    **MAP_LOWERINGS,
}


def build_onnx(
    program: Program,
    bound: Mapping[str, Array],
    *,
    int8: Matrices = (),
    last: Collection[str] = (),
    narrow: Collection[str] = (),
) -> onnx.ModelProto:
    """Lower a program of one stream (no leading axes); `bound` holds its weights and constants by
    name.

    Inputs and outputs keep their names. `int8`: matrices of `linear` to write as int8 with
    one scale per output channel, for runtimes that multiply in int8. `last`: inputs and outputs
    that are maps, kept in memory as [H, W, C]; `narrow`: those kept in bfloat16.

    Raises KeyError when a weight is missing.
    """
    g = GraphWriter()
    values = {v.index: v for v in program.values}
    names: dict[int, str] = {}
    _write_weights(g, program, bound, int8)
    for value in program.values:
        if value.kind != "op":
            names[value.index] = value.name
        if value.kind == "input" and value.name in narrow:
            names[value.index] = g.node("Cast", [value.name], to=TensorProto.FLOAT)
        if value.kind == "input" and value.name in last:
            names[value.index] = from_last(g, names[value.index], value.shape)
    for op in program.operations:
        inputs = ["" if i is None else names[i] for i in op.inputs]
        shapes = [values[i].shape for i in op.inputs if i is not None]
        names[op.output] = LOWERINGS[op.primitive](g, op, inputs, shapes)
    for name, index in program.outputs.items():
        as_stored = partial(to_last, g) if name in last else g.as_array
        result = as_stored(names[index], values[index].shape)
        if name in narrow:
            result = g.node("Cast", [result], to=TensorProto.BFLOAT16)
        g.nodes.append(helper.make_node("Identity", [result], [name]))

    def info(name: str, value: Value) -> onnx.ValueInfoProto:
        kind = TensorProto.BFLOAT16 if name in narrow else ELEMENT_TYPES[value.dtype]
        channels, *size = value.shape
        shape = (*size, channels) if name in last else value.shape
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        _used(g.nodes, program.outputs),
        "everframe",
        [info(v.name, v) for v in program.named("input").values()],
        [info(name, values[index]) for name, index in program.outputs.items()],
        g.initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="everframe")


def _write_weights(
    g: GraphWriter, program: Program, bound: Mapping[str, Array], int8: Matrices
) -> None:
    """Weights and constants as initialisers."""
    matrices = {op.inputs[1] for op in program.operations if op.primitive == "linear"}
    for value in program.values:
        if value.kind not in ("weight", "constant"):
            continue
        array = np.ascontiguousarray(bound[value.name], np.float32)
        wanted = value.name.endswith(int8) and value.index in matrices
        if wanted and len(array) >= SMALLEST_INT8:
            g.int8_matrix(value.name, array)
        else:
            g.initializers.append(numpy_helper.from_array(array, value.name))


def _used(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, in order."""
    needed, kept = set(outputs), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]
