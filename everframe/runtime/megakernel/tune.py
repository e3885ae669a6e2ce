"""Tiles worth trying for a plan, and what a timed launch looked like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.schedule import Schedule
from everframe.runtime.megakernel.tiles import (
    HOPPER_SMS,
    PANEL,
    SHARED_MEMORY,
    Tiles,
    ceil_to,
    default_tiles,
    gluon_tiles,
)

PERCENTILES = (1, 10, 50, 90)


def candidates(plan: FramePlan, sms: int = HOPPER_SMS) -> Iterator[Tiles]:
    """The default first, then one change at a time, the most promising first; only tiles that fit.

    Raises:
        UnsupportedError: the kernel cannot run this plan at all.
    """
    default = default_tiles(plan, sms)
    ffn = min((block.ffn for block in plan.blocks if block.ffn), default=PANEL)
    even = all(block.heads % 2 == 0 for block in plan.blocks)
    changes = _first_changes(plan, default, sms)
    changes += [
        {"attend_parts": min(8, 2 * default.attend_parts)},
        {"down_parts": min(4, default.down_parts + 1), "out_parts": 2},
        {"stages": default.stages + 1},
        {"up_cols": default.up_cols * 2},
        {"rows": 192 - default.rows},
        {"conv_rows": PANEL},
        {"conv_rows": 256},
        {"per_sm": 2, "stages": 2, "key_stages": 2, "conv_stages": 2},
    ]
    if even and ceil_to(plan.head_dim, PANEL) == PANEL and default.qkv_heads == 1:
        changes.append({"qkv_heads": 2})
    seen: list[Tiles] = []
    for change in changes:
        tiles = replace(default, **change)
        fits = tiles.shared_memory(plan) * tiles.per_sm <= SHARED_MEMORY
        fits = fits and tiles.per_sm * tiles.warps <= 8 and tiles.up_cols <= max(PANEL, ffn)
        if fits and tiles not in seen:
            seen.append(tiles)
            yield tiles


def gluon_candidates(plan: FramePlan, sms: int = HOPPER_SMS) -> Iterator[Tiles]:
    """The default of the Gluon kernel first; only how tasks are split can change.

    Raises:
        UnsupportedError: the kernel cannot run this plan.
    """
    default = gluon_tiles(plan, sms)
    more = default.attend_parts + 1
    seen: list[Tiles] = []
    for change in (
        {},
        {"light_fences": 1},
        {"chained": 1 - default.chained},
        {"attend_parts": more},
        {"attend_parts": more, "chained": 1 - default.chained},
        {"attend_parts": more, "light_fences": 1},
        {"chained": 1 - default.chained, "light_fences": 1},
        {"model_cols": 192 - default.model_cols, "head_cols": 192 - default.head_cols},
        {"attend_parts": max(1, default.attend_parts - 1)},
        {"down_parts": 3 - default.down_parts},
        {"down_parts": 2, "out_parts": 2},
        {"attend_parts": 2 * default.attend_parts},
    ):
        tiles = replace(default, **change)
        if tiles not in seen:
            seen.append(tiles)
            yield tiles


def _first_changes(plan: FramePlan, default: Tiles, sms: int) -> list[dict[str, int]]:
    """What a short sweep tries."""
    model_cols = 192 - default.model_cols
    if default.rows > PANEL:
        return [
            {},
            {"bulk": 1},
            {"ahead": 1},
            {"stages": 3, "conv_stages": 3},
            {"keys": PANEL},
            {"model_cols": model_cols},
            {"key_stages": 2},
            {"attend_parts": max(1, default.attend_parts - 1)},
            _two_per_sm(plan, default, sms),
        ]
    return [
        {},
        {"order": 0, "merge_rows": 0},
        {"order": 2, "merge_rows": 16},
        {"order": 2, "merge_rows": 16, "rehearsed": 1},
        {"order": 2, "merge_rows": 16, "embed_parts": 2, "rehearsed": 1},
        {
            **{"order": 1, "merge_rows": 16, "embed_parts": 2, "finish_rows": 16},
            **{"rehearsed": 1, "stages": 5},
        },
        {"stages": 5},
        {"conv_stages": 5},
        {"ahead": 0},
        {"attend_parts": max(1, default.attend_parts // 2)},
        {"down_parts": 1},
        {"warps": 8},
        {"key_stages": 2},
        {"model_cols": 32},
        {"bulk": 1},
    ]


def _two_per_sm(plan: FramePlan, default: Tiles, sms: int) -> dict[str, int]:
    """Two CTAs of four warps: one computes while the other waits, or begins and ends a tile."""
    wide = ceil_to(plan.head_dim, PANEL) > PANEL
    return {
        "per_sm": 2,
        "warps": 4,
        "qkv_heads": 1 if wide else min(2, default.qkv_heads),
        "up_cols": PANEL,
        "keys": PANEL,
        "stages": 3,
        "key_stages": 2 if wide else 3,
        "attend_parts": default_tiles(plan, 2 * sms).attend_parts,
    }


def trace(schedule: Schedule, stamps: NDArray[np.int64]) -> dict[str, object]:
    """A timed launch as a trace that Perfetto and chrome://tracing open; a row per CTA.

    Args:
        schedule: what ran.
        stamps: nanoseconds at which each instruction began and ended, flat, by its number.
    """
    times = stamps.reshape(-1, 2)
    start = int(times[:, 0].min())
    events: list[dict[str, object]] = []
    for cta, tasks in enumerate(schedule.lists):
        for task in tasks:
            instruction = schedule.graph.instructions[task]
            begin, end = (int(t) - start for t in times[task])
            events.append(
                {
                    "name": instruction.name,
                    "cat": instruction.op.name,
                    "ph": "X",
                    "pid": 0,
                    "tid": cta,
                    "ts": begin / 1e3,
                    "dur": (end - begin) / 1e3,
                }
            )
    return {"traceEvents": events, "displayTimeUnit": "ns"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTimes:
    """Instructions of one kind in a timed launch; of blocks, those of all blocks together.

    blocks: how many; tasks: instructions of a block; span_us: from the first start to the last end
    in a block, on average; task_us: percentiles 1, 10, 50, 90 of an instruction, its waiting
    included; share_us: sum of a block divided by the number of CTAs.
    """

    name: str
    blocks: int
    tasks: int
    span_us: float
    task_us: tuple[float, ...]
    share_us: float


def phases(schedule: Schedule, stamps: NDArray[np.int64]) -> list[PhaseTimes]:
    """In order of start."""
    times = (stamps.reshape(-1, 2) - stamps.min()) / 1e3
    groups: dict[str, dict[str, list[int]]] = {}
    for task, instruction in enumerate(schedule.graph.instructions):
        block = instruction.name.partition("[")[0]
        name = re.sub(r"^\d+\.(blocks\.\d+\.)?", lambda found: "*." * bool(found[1]), block)
        groups.setdefault(name, {}).setdefault(block, []).append(task)
    rows: list[tuple[float, PhaseTimes]] = []
    for name, blocks in groups.items():
        spans = [float(times[t, 1].max() - times[t, 0].min()) for t in blocks.values()]
        tasks = [task for each in blocks.values() for task in each]
        taken = times[tasks, 1] - times[tasks, 0]
        row = PhaseTimes(
            name=name,
            blocks=len(blocks),
            tasks=len(tasks) // len(blocks),
            span_us=float(np.mean(spans)),
            task_us=tuple(float(x) for x in np.percentile(taken, PERCENTILES)),
            share_us=float(taken.sum()) / len(blocks) / len(schedule.lists),
        )
        rows.append((float(times[tasks, 0].min()), row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def phase_lines(schedule: Schedule, stamps: NDArray[np.int64]) -> list[str]:
    """`phases` as a table, in microseconds."""
    times = stamps.reshape(-1, 2)
    total = (stamps.max() - stamps.min()) / 1e3
    inside = float((times[:, 1] - times[:, 0]).sum()) / 1e3 / (total * len(schedule.lists))
    heads = ("blocks", "tasks", "span", *(f"p{p}" for p in PERCENTILES), "sum/CTAs")
    lines = [
        f"{total:.1f} us, {schedule.estimate_us:.1f} estimated; {len(schedule.lists)} CTAs inside "
        f"instructions {inside:.0%} of it; of a block, waiting included:",
        f"{'':20}" + "".join(f"{head:>9}" for head in heads),
    ]
    for row in phases(schedule, stamps):
        cells = "".join(f"{x:9.2f}" for x in (row.span_us, *row.task_us, row.share_us))
        lines.append(f"{row.name:20}{row.blocks:9}{row.tasks:9}{cells}")
    return lines
