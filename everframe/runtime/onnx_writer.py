"""`GraphWriter`: the nodes and initialisers of an ONNX graph as they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from everframe.arch.bundle import quantise_rows
from everframe.arch.program import Operation

Array = NDArray[Any]


class GraphWriter:
    """Collects nodes and initialisers.

    Notes on values by name, so that lowerings can look back: maps have a leading axis of one;
    pictures were bytes [H, W, 3] of that name; patches are tokens already; spread came from
    the map of that name with that block.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.transposed: set[str] = set()
        self.maps: set[str] = set()
        self.pictures: dict[str, str] = {}
        self.patches: dict[str, str] = {}
        self.spread: dict[str, tuple[str, int]] = {}
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
"""Writes the nodes of a primitive: its inputs by name, their shapes; returns the result's name."""


def kept(g: GraphWriter, x: list[str], result: str) -> str:
    """The result of an operation that broadcasts: a map if an operand is one."""
    return result if g.maps.isdisjoint(x) else g.mark(result)
