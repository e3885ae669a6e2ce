"""What a program says about itself, and programs that are refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from everframe.arch.presets import PRESETS
from everframe.arch.program import Operation, Program
from everframe.arch.spec import BlockSpec, Spec
from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.plan import UnsupportedError
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.tiles import default_tiles
from tests.nets import ALONE, HALVES, TINY, UNEVEN


@pytest.mark.parametrize(
    "spec", [*PRESETS.values(), UNEVEN, HALVES, ALONE], ids=[*PRESETS, "uneven", "halves", "alone"]
)
def test_the_plan_is_the_spec(spec: Spec) -> None:
    found = plan_frame(step_program(spec, 2 * spec.patch, 3 * spec.patch))
    assert (found.rows, found.cols, found.patch) == (2, 3, spec.patch)
    assert (found.width, found.head_dim) == (spec.width, spec.head_dim)
    assert found.prompt_tokens == spec.prompt_tokens
    assert found.window == spec.window
    blocks = tuple((b.heads, b.ffn, b.history_frames) for b in found.blocks)
    assert blocks == tuple((b.heads, b.ffn, b.history_frames) for b in spec.blocks)
    assert (found.detail_channels, found.detail_depth) == (spec.detail_channels, spec.detail_depth)


def spoilt(change: Callable[[Operation], Operation]) -> Program:
    program = step_program(UNEVEN, 32, 48)
    return replace(program, operations=tuple(change(op) for op in program.operations))


def attribute(primitive: str, name: str, value: int) -> Callable[[Operation], Operation]:
    def change(op: Operation) -> Operation:
        if op.primitive != primitive:
            return op
        return replace(op, attributes={**op.attributes, name: value})

    return change


def renamed(primitive: str, other: str) -> Callable[[Operation], Operation]:
    def change(op: Operation) -> Operation:
        return replace(op, primitive=other) if op.primitive == primitive else op

    return change


def turned(primitive: str) -> Callable[[Operation], Operation]:
    def change(op: Operation) -> Operation:
        return replace(op, inputs=op.inputs[::-1]) if op.primitive == primitive else op

    return change


@pytest.mark.parametrize(
    "change",
    [
        attribute("upsample", "factor", 3),
        attribute("select", "index", 1),
        attribute("take", "start", 1),
        renamed("rms_norm", "silu"),
        turned("modulate"),
        renamed("local_affine", "add"),
    ],
    ids=["upsample", "age", "part", "norm", "modulation", "colour maps"],
)
def test_another_data_flow_is_refused(
    change: Callable[[Operation], Operation],
) -> None:
    program = spoilt(change)
    with pytest.raises(UnsupportedError, match="the mega kernel expects"):
        plan_frame(program)


def test_an_operation_that_nobody_claims_is_refused() -> None:
    program = step_program(TINY, 32, 48)
    extra = replace(program.operations[-1], primitive="silu", output=10_000)
    value = replace(program.values[-1], index=10_000, name="extra")
    grown = replace(
        program, operations=(*program.operations, extra), values=(*program.values, value)
    )
    with pytest.raises(UnsupportedError, match="no instruction for extra"):
        plan_frame(grown)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head_dim": 256}, "head_dim up to 128"),
        ({"blocks": (BlockSpec(heads=1, ffn=8, history_frames=9),)}, "up to 8 frames"),
        ({"detail_channels": 80}, "64 detail channels"),
        ({"prompt_tokens": 77}, "64 prompt tokens"),
        ({"patch": 12}, "patches of 8"),
    ],
)
def test_what_it_cannot_run_is_named(change: dict[str, Any], reason: str) -> None:
    spec = replace(TINY, **change)
    plan = plan_frame(step_program(spec, 2 * spec.patch, 2 * spec.patch))
    with pytest.raises(UnsupportedError, match=reason):
        default_tiles(plan)
