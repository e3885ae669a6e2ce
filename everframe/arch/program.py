"""`Program`: the op list of a pure function written in primitives, obtained by running it on a
`Tracer`.

The ONNX engines and the kernels read this list, so that no model is ever written twice. A program
is plain data: values with shapes, operations in order. `Program.run` with `TorchOps` is
bit-identical to calling the function itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from everframe.arch.ops import PRIMITIVES, Ops
from everframe.arch.spec import DETAIL_STRIDE

T = TypeVar("T")
Shape = tuple[int, ...]
Dtype = Literal["float32", "uint8"]
Kind = Literal["input", "weight", "constant", "op"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor of the program: an input, a weight, a constant or the result of an operation."""

    index: int
    shape: Shape
    dtype: Dtype
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One primitive: `inputs` are value indices (None: absent), `attributes` static arguments."""

    primitive: str
    inputs: tuple[int | None, ...]
    attributes: dict[str, Any]
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Values, operations in execution order, and named outputs."""

    values: tuple[Value, ...]
    operations: tuple[Operation, ...]
    outputs: dict[str, int]

    def named(self, kind: Kind) -> dict[str, Value]:
        """All values of a kind by name."""
        return {v.name: v for v in self.values if v.kind == kind}

    def only(self, outputs: Collection[str]) -> Program:
        """What these outputs need."""
        named = {name: index for name, index in self.outputs.items() if name in outputs}
        return trimmed(self.values, self.operations, named)

    def run(self, ops: Ops[T], bound: Mapping[str, T]) -> dict[str, T]:
        """Interpret with a back end; `bound` gives inputs, weights and constants by name.

        Raises:
            KeyError: a value is not bound.
        """
        table = {name: getattr(ops, name) for name in PRIMITIVES}
        env: dict[int, T] = {v.index: bound[v.name] for v in self.values if v.kind != "op"}
        last_use = {
            i: n for n, op in enumerate(self.operations) for i in op.inputs if i is not None
        }
        keep = set(self.outputs.values())
        for n, op in enumerate(self.operations):
            arguments = [None if i is None else env[i] for i in op.inputs]
            if op.primitive in ("concat", "stack"):
                env[op.output] = table[op.primitive](arguments, **op.attributes)
            else:
                env[op.output] = table[op.primitive](*arguments, **op.attributes)
            for i in op.inputs:
                if i is not None and last_use[i] == n and i not in keep:
                    env.pop(i, None)
        return {name: env[i] for name, i in self.outputs.items()}


def trimmed(
    values: Sequence[Value], operations: Sequence[Operation], outputs: dict[str, int]
) -> Program:
    """The program of the values and operations that the outputs need."""
    needed = set(outputs.values())
    kept: list[Operation] = []
    for op in reversed(operations):
        if op.output in needed:
            kept.append(op)
            needed |= {i for i in op.inputs if i is not None}
    used = tuple(v for v in values if v.index in needed)
    return Program(values=used, operations=tuple(reversed(kept)), outputs=outputs)


def broadcast(a: Shape, b: Shape) -> Shape:
    """Shape of an elementwise result."""
    size = max(len(a), len(b))
    pairs = zip((1,) * (size - len(a)) + a, (1,) * (size - len(b)) + b, strict=True)
    return tuple(_broadcast_side(x, y, a, b) for x, y in pairs)


def _broadcast_side(x: int, y: int, a: Shape, b: Shape) -> int:
    if x != y and 1 not in (x, y):
        raise ValueError(f"shapes {a} and {b} do not broadcast")
    return y if x == 1 else x


@dataclass(slots=True)
class Tracer:
    """The primitives on `Value`s: infers shapes and records operations. See `arch.ops.Ops`."""

    values: list[Value] = field(default_factory=list[Value])
    operations: list[Operation] = field(default_factory=list[Operation])

    def new(self, name: str, shape: Shape, kind: Kind, dtype: Dtype = "float32") -> Value:
        """Declare an input, a weight or a constant."""
        value = Value(index=len(self.values), shape=shape, dtype=dtype, kind=kind, name=name)
        self.values.append(value)
        return value

    def program(self, outputs: dict[str, Value]) -> Program:
        """Freeze; operations whose results nobody uses are dropped, values keep their indices."""
        named = {name: v.index for name, v in outputs.items()}
        return trimmed(self.values, self.operations, named)

    def _record(
        self,
        primitive: str,
        inputs: Sequence[Value | None],
        shape: Shape,
        dtype: Dtype = "float32",
        **attributes: Any,
    ) -> Value:
        value = self.new(f"{primitive}_{len(self.values)}", shape, "op", dtype)
        indices = tuple(None if v is None else v.index for v in inputs)
        operation = Operation(
            primitive=primitive, inputs=indices, attributes=attributes, output=value.index
        )
        self.operations.append(operation)
        return value

    def linear(self, x: Value, weight: Value) -> Value:
        """Record."""
        assert x.shape[-1] == weight.shape[1], (x, weight)
        return self._record("linear", [x, weight], (*x.shape[:-1], weight.shape[0]))

    def add(self, a: Value, b: Value) -> Value:
        """Record."""
        return self._record("add", [a, b], broadcast(a.shape, b.shape))

    def mul(self, a: Value, b: Value) -> Value:
        """Record."""
        return self._record("mul", [a, b], broadcast(a.shape, b.shape))

    def modulate(self, x: Value, shift: Value, scale: Value) -> Value:
        """Record."""
        shape = broadcast(broadcast(x.shape, shift.shape), scale.shape)
        return self._record("modulate", [x, shift, scale], shape)

    def rms_norm(self, x: Value) -> Value:
        """Record."""
        return self._record("rms_norm", [x], x.shape)

    def silu(self, x: Value) -> Value:
        """Record."""
        return self._record("silu", [x], x.shape)

    def swiglu(self, x: Value) -> Value:
        """Record."""
        return self._record("swiglu", [x], (*x.shape[:-1], x.shape[-1] // 2))

    def rope(self, x: Value, cos: Value, sin: Value) -> Value:
        """Record."""
        assert cos.shape == sin.shape == (x.shape[-2], x.shape[-1] // 2), (x, cos)
        return self._record("rope", [x, cos, sin], x.shape)

    def split_heads(self, x: Value, heads: int) -> Value:
        """Record."""
        *lead, n, c = x.shape
        return self._record("split_heads", [x], (*lead, heads, n, c // heads), heads=heads)

    def merge_heads(self, x: Value) -> Value:
        """Record."""
        *lead, h, n, k = x.shape
        return self._record("merge_heads", [x], (*lead, n, h * k))

    def attend(self, q: Value, k: Value, v: Value, bias: Value | None) -> Value:
        """Record."""
        assert k.shape == v.shape, (k, v)
        assert q.shape[-1] == k.shape[-1], (q, k)
        return self._record("attend", [q, k, v, bias], q.shape)

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """Record."""
        shape = list(parts[0].shape)
        shape[axis] = sum(p.shape[axis] for p in parts)
        return self._record("concat", parts, tuple(shape), axis=axis)

    def take(self, x: Value, axis: int, start: int, stop: int) -> Value:
        """Record."""
        shape = list(x.shape)
        assert 0 <= start < stop <= shape[axis], (x, axis, start, stop)
        shape[axis] = stop - start
        return self._record("take", [x], tuple(shape), axis=axis, start=start, stop=stop)

    def select(self, x: Value, axis: int, index: int) -> Value:
        """Record."""
        shape = list(x.shape)
        shape.pop(axis)
        return self._record("select", [x], tuple(shape), axis=axis, index=index)

    def stack(self, parts: Sequence[Value], axis: int) -> Value:
        """Record."""
        shape = list(parts[0].shape)
        shape.insert(len(shape) + 1 + axis, len(parts))
        return self._record("stack", parts, tuple(shape), axis=axis)

    def space_to_depth(self, x: Value, block: int) -> Value:
        """Record."""
        *lead, c, h, w = x.shape
        shape = (*lead, c * block * block, h // block, w // block)
        return self._record("space_to_depth", [x], shape, block=block)

    def depth_to_space(self, x: Value, block: int) -> Value:
        """Record."""
        *lead, c, h, w = x.shape
        shape = (*lead, c // block**2, h * block, w * block)
        return self._record("depth_to_space", [x], shape, block=block)

    def to_tokens(self, x: Value) -> Value:
        """Record."""
        *lead, c, h, w = x.shape
        return self._record("to_tokens", [x], (*lead, h * w, c))

    def to_map(self, x: Value, rows: int, cols: int) -> Value:
        """Record."""
        *lead, n, c = x.shape
        assert n == rows * cols
        return self._record("to_map", [x], (*lead, c, rows, cols), rows=rows, cols=cols)

    def upsample(self, x: Value, factor: int) -> Value:
        """Record."""
        *lead, h, w = x.shape
        return self._record("upsample", [x], (*lead, h * factor, w * factor), factor=factor)

    def conv3x3(self, x: Value, weight: Value) -> Value:
        """Record."""
        *lead, c, h, w = x.shape
        assert c == weight.shape[1], (x, weight)
        return self._record("conv3x3", [x, weight], (*lead, weight.shape[0], h, w))

    def local_affine(self, maps: Value, image: Value) -> Value:
        """Record."""
        assert image.shape[-3] == 3 * DETAIL_STRIDE**2, image
        assert maps.shape[-2:] == image.shape[-2:], (maps, image)
        return self._record("local_affine", [maps, image], image.shape)

    def from_uint8(self, x: Value) -> Value:
        """Record."""
        *lead, h, w, c = x.shape
        return self._record("from_uint8", [x], (*lead, c, h, w))

    def to_uint8(self, x: Value) -> Value:
        """Record."""
        *lead, c, h, w = x.shape
        return self._record("to_uint8", [x], (*lead, h, w, c), "uint8")


def elements(shape: Shape) -> int:
    """Numbers in a tensor of this shape."""
    return math.prod(shape)
