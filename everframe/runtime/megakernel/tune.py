"""Tiles worth trying for a plan, and what a timed launch looked like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
)


def candidates(plan: FramePlan, sms: int = HOPPER_SMS) -> Iterator[Tiles]:
    """The default first, then one change at a time; only tiles that fit.

    Raises:
        UnsupportedError: the kernel cannot run this plan at all.
    """
    default = default_tiles(plan, sms)
    ffn = min((block.ffn for block in plan.blocks if block.ffn), default=PANEL)
    even = all(block.heads % 2 == 0 for block in plan.blocks)
    changes: list[dict[str, int]] = [
        {},
        {"warps": 12 - default.warps},
        {"per_sm": 2, "stages": 3, "conv_stages": 3},
        {"per_sm": 2, "stages": 2, "conv_stages": 2},
        {"stages": default.stages + 1, "conv_stages": 9},
        {"stages": 3, "conv_stages": 3},
        {"attend_parts": max(1, default.attend_parts // 2)},
        {"attend_parts": min(8, 2 * default.attend_parts)},
        {"attend_parts": min(8, 4 * default.attend_parts)},
        {"down_parts": 1},
        {"down_parts": min(4, default.down_parts + 1), "out_parts": 2},
        {"model_cols": 32 if default.model_cols == PANEL else PANEL},
        {"up_cols": default.up_cols * 2},
        {"keys": 192 - default.keys, "key_stages": 3},
        {"key_stages": 2},
        {"bulk": 1 - default.bulk},
        {"rows": 192 - default.rows},
        {"conv_rows": PANEL},
        {"conv_rows": 256},
    ]
    if default.bulk:
        changes.insert(1, _two_per_sm(plan, default, sms))
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


def phases(schedule: Schedule, stamps: NDArray[np.int64]) -> list[tuple[str, float, float, float]]:
    """(phase, first start, last end, mean time of a task) in microseconds, in order of start; the
    time of a task includes its waiting.
    """
    times = (stamps.reshape(-1, 2) - stamps.min()) / 1e3
    groups: dict[str, list[int]] = {}
    for task, instruction in enumerate(schedule.graph.instructions):
        groups.setdefault(instruction.name.partition("[")[0], []).append(task)
    rows = [
        (
            name,
            float(times[tasks, 0].min()),
            float(times[tasks, 1].max()),
            float((times[tasks, 1] - times[tasks, 0]).mean()),
        )
        for name, tasks in groups.items()
    ]
    return sorted(rows, key=lambda row: row[1])
