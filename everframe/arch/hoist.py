"""Split a `Program` by how often its inputs change, so that an engine computes what depends on slow
inputs only (the anchor, the noise of a stream) once, and not in every frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from everframe.arch.program import Operation, Program, Shape, Value, trimmed

Rate = Literal["never", "slow", "fast"]
"""Weights and constants; what depends on slow inputs only; everything else."""
MAPS = -3
"""The axis of channels in a map."""


def hoist(program: Program, slow: Collection[str], prefix: str) -> tuple[Program, Program]:
    """A program of what depends on the inputs `slow` and on weights alone, and one of the rest.

    The outputs of the first are inputs of the second, under the same names: `prefix` and a number.
    Run one after the other they compute what `program` does, but a convolution over maps of which
    some are slow becomes a sum of two (the order of additions changes).

    Raises:
        ValueError: nothing depends on `slow`.
    """
    program = split_convolutions(program, slow)
    rates = _rates(program, slow)
    rest = [op for op in program.operations if rates[op.output] != "slow"]
    read = {i for op in rest for i in op.inputs if i is not None} | set(program.outputs.values())
    made = [op.output for op in program.operations if rates[op.output] == "slow"]
    held = [index for index in made if index in read]
    if not held:
        raise ValueError(f"nothing in the program depends on {', '.join(slow)} alone")
    names = {index: f"{prefix}{number}" for number, index in enumerate(held)}
    first = trimmed(program.values, program.operations, {names[i]: i for i in held})
    values = [
        replace(v, kind="input", name=names[v.index]) if v.index in names else v
        for v in program.values
    ]
    return first, trimmed(values, rest, program.outputs)


def split_convolutions(program: Program, slow: Collection[str]) -> Program:
    """Every convolution of concatenated maps, some of them slow, as a sum of convolutions over
    neighbours of the same rate.
    """
    rates = _rates(program, slow)
    writer = _Writer({v.index: v for v in program.values}, [])
    made_by = {op.output: op for op in program.operations}
    for op in program.operations:
        joined = made_by.get(op.inputs[0]) if op.primitive == "conv3x3" else None  # pyright: ignore[reportArgumentType]
        parts = _groups(joined, rates)
        if joined is None or len(parts) < 2:
            writer.operations.append(op)
            continue
        sums, at = list[int](), 0
        for part in parts:
            end = at + sum(writer.values[i].shape[MAPS] for i in part)
            sums.append(writer.convolution(op, part, at, end))
            at = end
        for other in sums[1:-1]:
            sums[0] = writer.new("add", (sums[0], other), writer.values[op.output].shape)
        last = Operation(
            primitive="add", inputs=(sums[0], sums[-1]), attributes={}, output=op.output
        )
        writer.operations.append(last)
    return trimmed(list(writer.values.values()), writer.operations, program.outputs)


@dataclass(slots=True)
class _Writer:
    """A program that grows; values by index."""

    values: dict[int, Value]
    operations: list[Operation]

    def new(self, primitive: str, inputs: tuple[int, ...], shape: Shape, **attributes: Any) -> int:
        """Append an operation; the index of its result."""
        index = max(self.values) + 1
        value = Value(
            index=index, shape=shape, dtype="float32", kind="op", name=f"{primitive}_{index}"
        )
        self.values[index] = value
        self.operations.append(
            Operation(primitive=primitive, inputs=inputs, attributes=attributes, output=index)
        )
        return index

    def convolution(self, whole: Operation, part: Sequence[int], start: int, stop: int) -> int:
        """That of some of the maps, with the columns `start` to `stop` of the weight."""
        assert whole.inputs[1] is not None
        weight = self.values[whole.inputs[1]]
        out, _, *window = weight.shape
        taken = {"axis": MAPS, "start": start, "stop": stop}
        columns = self.new("take", (weight.index,), (out, stop - start, *window), **taken)
        maps = part[0]
        _, *size = self.values[maps].shape
        if len(part) > 1:
            maps = self.new("concat", tuple(part), (stop - start, *size), axis=MAPS)
        return self.new("conv3x3", (maps, columns), (out, *size))


def _groups(joined: Operation | None, rates: dict[int, Rate]) -> list[list[int]]:
    """The parts of a concatenation of maps, neighbours of equal rate together."""
    groups: list[list[int]] = []
    if joined is None or joined.primitive != "concat" or joined.attributes["axis"] != MAPS:
        return groups
    for part in joined.inputs:
        assert part is not None
        if groups and rates[groups[-1][-1]] == rates[part]:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _rates(program: Program, slow: Collection[str]) -> dict[int, Rate]:
    """Of each value by index."""
    rates: dict[int, Rate] = {}
    for v in program.values:
        if v.kind != "op":
            inner = "slow" if v.name in slow else "fast"
            rates[v.index] = inner if v.kind == "input" else "never"
    for op in program.operations:
        found = {rates[i] for i in op.inputs if i is not None}
        order: tuple[Rate, ...] = ("fast", "slow", "never")
        rates[op.output] = next(rate for rate in order if rate in found)
    return rates
