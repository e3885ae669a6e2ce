"""Default tiles, what they are cut into, and what the scheduler thinks that it takes."""

from dataclasses import replace

import pytest

from everframe.arch.presets import preset
from everframe.arch.spec import Spec
from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.isa import Opcode
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_tasks
from everframe.runtime.megakernel.tiles import (
    GLUON,
    SHARED_MEMORY,
    TRITON,
    Tiles,
    default_tiles,
    kernels_of,
)
from everframe.runtime.megakernel.tune import candidates
from everframe.runtime.torch_shapes import SHAPES

LARGE = Spec.uniform(
    patch=16, width=1024, head_dim=128, depth=1, ffn=2816, history_frames=4, history_every=1
)
"""A block of shape D."""


def plan_of(spec: Spec, size: tuple[int, int]) -> FramePlan:
    return plan_frame(step_program(spec, *size))


def pocket() -> FramePlan:
    """As it was measured, with past frames."""
    return plan_of(preset("control"), (256, 256))


def test_pocket_gets_the_tiles_that_were_measured_fastest() -> None:
    tiles = default_tiles(pocket())
    assert (tiles.attend_parts, tiles.down_parts, tiles.warps, tiles.stages) == (6, 2, 4, 3)
    assert (tiles.bulk, tiles.ahead) == (0, 1)
    assert (tiles.order, tiles.merge_rows) == (2, 16)


def test_four_parts_of_attention_are_added_by_the_last_of_them() -> None:
    tiles = default_tiles(plan_of(*SHAPES["B"]))
    assert (tiles.attend_parts, tiles.order, tiles.merge_rows) == (4, 0, 0)


@pytest.mark.parametrize(
    ("shape", "kernels"), [("A", (TRITON,)), ("B", (TRITON,)), ("D", (GLUON, TRITON))]
)
def test_large_shapes_try_the_gluon_kernel_first(shape: str, kernels: tuple[str, ...]) -> None:
    plan = plan_of(*SHAPES[shape])
    assert kernels_of(plan, GLUON) == kernels
    assert kernels_of(plan, TRITON) == (TRITON,)


def test_on_few_multiprocessors_nothing_is_left_to_merge() -> None:
    tiles = default_tiles(pocket(), 8)
    assert (tiles.attend_parts, tiles.order, tiles.merge_rows) == (1, 0, 0)


@pytest.mark.parametrize(
    ("ctas", "parts", "measured_us"),
    [
        (132, (6, 2), 191),
        (132, (1, 1), 209),
        (33, (1, 1), 379),
        (16, (1, 1), 696),
        (8, (1, 1), 1439),
    ],
    ids=str,
)
def test_the_estimate_of_pocket_is_near_what_was_measured(
    ctas: int, parts: tuple[int, int], measured_us: int
) -> None:
    plan = pocket()
    tiles = replace(default_tiles(plan), attend_parts=parts[0], down_parts=parts[1], order=0)
    schedule = schedule_tasks(lower(plan, tiles, 1), ctas)
    assert abs(schedule.estimate_us / measured_us - 1) < 0.25


def test_parts_of_attention_take_each_key_tile_once_and_the_last_fewer() -> None:
    plan = plan_of(LARGE, (576, 576))
    tiles = default_tiles(plan)
    assert (tiles.rows, tiles.attend_parts, tiles.bulk, tiles.ahead) == (128, 3, 0, 0)
    cuts = sorted(
        {
            (x.fields["first_tile"], x.fields["last_tile"])
            for x in lower(plan, tiles, 1).instructions
            if x.op in (Opcode.ATTEND, Opcode.ATTEND_PART)
        }
    )
    assert [low for low, _ in cuts] == [0, *(high for _, high in cuts[:-1])]
    sizes = [high - low for low, high in cuts]
    assert sum(sizes) == 51
    assert sizes[2] < sizes[0] <= sizes[1] + 1


@pytest.mark.parametrize("name", ["pocket", "D", "tiny"])
def test_candidates_fit_and_differ(name: str) -> None:
    plan = {
        "pocket": pocket,
        "D": lambda: plan_of(LARGE, (576, 576)),
        "tiny": lambda: plan_of(preset("tiny"), (64, 96)),
    }[name]()
    tried = list(candidates(plan))
    assert tried[0] == default_tiles(plan)
    assert len(set(tried)) == len(tried) >= 8
    assert all(tiles.shared_memory(plan) * tiles.per_sm <= SHARED_MEMORY for tiles in tried)
    assert replace(tried[0], bulk=1) in tried


@pytest.mark.parametrize("rows", [8, 24, 128])
def test_rows_that_are_added_divide_those_of_a_tile(rows: int) -> None:
    with pytest.raises(ValueError, match="must divide"):
        Tiles(merge_rows=rows)
    with pytest.raises(ValueError, match="must divide"):
        Tiles(finish_rows=rows)


def test_tiles_begin_at_multiples_of_16() -> None:
    with pytest.raises(ValueError, match="16"):
        Tiles(rows=24)
