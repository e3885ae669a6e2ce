"""`Program` -> ONNX model, for ONNX Runtime, OpenVINO and `everframe export`. Needs the `onnx`
package only.

Each primitive has one lowering below, named as in `arch.ops.Ops`; a test enumerates them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from everframe.arch.bundle import quantise_rows
from everframe.arch.program import Operation, Program, Value
from everframe.arch.spec import DETAIL_STRIDE

OPSET = 18
NORM_EPS = 1e-6
SMALLEST_INT8 = 64
"""Output channels from which an int8 product pays."""
Matrices = tuple[str, ...]
"""Weights by the ends of their names."""
ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
Array = NDArray[Any]


class GraphWriter:
    """Collects nodes and initialisers; one method per primitive, arguments as in `arch.ops.Ops`."""

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.transposed: set[str] = set()
        self.maps: set[str] = set()
        self.cells: dict[str, str] = {}
        self._count = 0
        self._shared: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node with one output and return the name of that output."""
        self._count += 1
        name = f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, kind: str, inputs: Sequence[str], parts: int, **attributes: Any) -> list[str]:
        """Append a node with several outputs."""
        self._count += 1
        names = [f"{kind.lower()}_{self._count}_{i}" for i in range(parts)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, array: Array) -> str:
        """An initialiser; equal arrays are stored once."""
        key = (str(array.dtype), array.tobytes(), array.shape)
        if key not in self._shared:
            name = f"constant_{len(self._shared)}"
            self.initializers.append(numpy_helper.from_array(array, name))
            self._shared[key] = name
        return self._shared[key]

    def ints(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """A float scalar."""
        return self.constant(np.array(value, np.float32))

    def int8_matrix(self, name: str, array: Array) -> None:
        """Define `name` as the dequantised int8 form of a matrix [Dout, Din], transposed."""
        rounded, scale = quantise_rows(array)
        parts = [f"{name}.int8", f"{name}.scale"]
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(rounded.T), parts[0]))
        self.initializers.append(numpy_helper.from_array(scale.ravel(), parts[1]))
        self.nodes.append(helper.make_node("DequantizeLinear", parts, [name], axis=1))
        self.transposed.add(name)

    def reshape(self, x: str, *shape: int) -> str:
        """Static reshape."""
        return self.node("Reshape", [x, self.ints(*shape)])

    def as_map(self, x: str, shape: tuple[int, ...]) -> str:
        """A map [C, H, W] as [1, C, H, W]. Maps stay so from one operation to the next: a runtime
        then keeps the layout that its convolutions like, instead of reordering around each reshape.
        """
        return self.mark(x if x in self.maps else self.reshape(x, 1, *shape))

    def as_array(self, x: str, shape: tuple[int, ...]) -> str:
        """The value in the rank that the program says."""
        return self.reshape(x, *shape) if x in self.maps else x

    def mark(self, x: str) -> str:
        """Note that `x` has a leading axis of one."""
        self.maps.add(x)
        return x


Lowering = Callable[[GraphWriter, Operation, list[str], list[tuple[int, ...]]], str]


def _linear(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    if x[1] in g.transposed:
        return g.node("MatMul", [x[0], x[1]])
    return g.node("MatMul", [x[0], g.node("Transpose", [x[1]], perm=[1, 0])])


def _modulate(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    gain = g.node("Add", [x[2], g.scalar(1.0)])
    return _kept(g, x, g.node("Add", [g.node("Mul", [x[0], gain]), x[1]]))


def _rms_norm(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    square = g.node("Mul", [x[0], x[0]])
    mean = g.node("ReduceMean", [square, g.ints(-1)], keepdims=1)
    root = g.node("Sqrt", [g.node("Add", [mean, g.scalar(NORM_EPS)])])
    return g.node("Div", [x[0], root])


def _silu(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    return _kept(g, x, g.node("Mul", [x[0], g.node("Sigmoid", [x[0]])]))


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
    return _kept(g, x, g.node("Slice", [x[0], *bounds]))


def _select(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    a = op.attributes
    index = g.constant(np.array(a["index"], np.int64))
    return g.node("Gather", [x[0], index], axis=a["axis"])


def _stack(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    axis = op.attributes["axis"]
    parts = [g.node("Unsqueeze", [part, g.ints(axis)]) for part in x]
    return g.node("Concat", parts, axis=axis)


def _space_to_depth(
    g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]
) -> str:
    (c, h, w), s = shapes[0], op.attributes["block"]
    cells = g.reshape(x[0], c, h // s, s, w // s, s)
    moved = g.node("Transpose", [cells], perm=[0, 2, 4, 1, 3])
    image = g.mark(g.reshape(moved, 1, c * s * s, h // s, w // s))
    g.cells[image] = cells
    return image


def _depth_to_space(
    g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]
) -> str:
    image = g.as_map(x[0], shapes[0])
    return g.mark(g.node("DepthToSpace", [image], blocksize=op.attributes["block"], mode="CRD"))


def _to_tokens(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    c, h, w = shapes[0]
    if x[0] in g.cells:  # patches straight to tokens: one transposition instead of two
        moved = g.node("Transpose", [g.cells[x[0]]], perm=[1, 3, 0, 2, 4])
        return g.reshape(moved, h * w, c)
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
    planes = g.node("Transpose", [g.node("Cast", [x[0]], to=TensorProto.FLOAT)], perm=[2, 0, 1])
    return g.node("Sub", [g.node("Mul", [planes, g.scalar(2 / 255)]), g.scalar(1.0)])


def _to_uint8(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
    planes = g.as_array(x[0], shapes[0])
    clamped = g.node("Clip", [planes, g.scalar(-1.0), g.scalar(1.0)])
    wide = g.node("Mul", [g.node("Add", [clamped, g.scalar(1.0)]), g.scalar(127.5)])
    whole = g.node("Cast", [g.node("Round", [wide])], to=TensorProto.UINT8)
    return g.node("Transpose", [whole], perm=[1, 2, 0])


def _elementwise(kind: str) -> Lowering:
    def lower(g: GraphWriter, op: Operation, x: list[str], shapes: list[tuple[int, ...]]) -> str:
        return _kept(g, x, g.node(kind, x))

    return lower


def _kept(g: GraphWriter, x: list[str], result: str) -> str:
    """The result of an operation that broadcasts: a map if an operand is one."""
    return result if g.maps.isdisjoint(x) else g.mark(result)


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


def build_onnx(
    program: Program, bound: Mapping[str, Array], *, int8: Matrices = ()
) -> onnx.ModelProto:
    """Lower a program of one stream (no leading axes); `bound` holds its weights and constants by
    name.

    Inputs and outputs keep their names. `int8`: matrices of `linear` to write as int8 with
    one scale per output channel, for runtimes that multiply in int8.

    Raises KeyError when a weight is missing.
    """
    g = GraphWriter()
    values = {v.index: v for v in program.values}
    names: dict[int, str] = {}
    matrices = {op.inputs[1] for op in program.operations if op.primitive == "linear"}
    for value in program.values:
        if value.kind in ("weight", "constant"):
            array = np.ascontiguousarray(bound[value.name], np.float32)
            wanted = value.name.endswith(int8) and value.index in matrices
            if wanted and len(array) >= SMALLEST_INT8:
                g.int8_matrix(value.name, array)
            else:
                g.initializers.append(numpy_helper.from_array(array, value.name))
        if value.kind != "op":
            names[value.index] = value.name
    for op in program.operations:
        inputs = ["" if i is None else names[i] for i in op.inputs]
        shapes = [values[i].shape for i in op.inputs if i is not None]
        names[op.output] = LOWERINGS[op.primitive](g, op, inputs, shapes)
    for name, index in program.outputs.items():
        result = g.as_array(names[index], values[index].shape)
        g.nodes.append(helper.make_node("Identity", [result], [name]))
    graph = helper.make_graph(
        _used(g.nodes, program.outputs),
        "everframe",
        [_info(v.name, v) for v in program.named("input").values()],
        [_info(name, values[index]) for name, index in program.outputs.items()],
        g.initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="everframe")


def _used(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, in order."""
    needed, kept = set(outputs), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]


def _info(name: str, value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[value.dtype], value.shape)
