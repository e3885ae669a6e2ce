"""Runs a schedule on the CPU, instruction by instruction, in a random legal order.

The same lists, counters and stages as the kernel; scratch starts as NaN; an instruction may touch
only the regions that it declares. Results must not depend on the order in which multiprocessors
happen to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everframe.runtime.megakernel.emulate_tiles import begin
from everframe.runtime.megakernel.isa import SEGMENTS, Instruction
from everframe.runtime.megakernel.machine import Array, Machine, Work
from everframe.runtime.megakernel.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Frame uint8 [H, W, 3]; new slots by name of the program's outputs, [2, H, N, K]."""

    frame: NDArray[np.uint8]
    slots: Mapping[str, Array]


def emulate(schedule: Schedule, machine: Machine, seed: int) -> Result:
    """Run a schedule in the order that `seed` draws.

    Raises:
        RuntimeError: no multiprocessor can go on (the checker would have refused the schedule).
    """
    _poison(schedule, machine)
    _load(machine)
    _run(schedule, machine, np.random.default_rng(seed))
    return _result(machine)


def _poison(schedule: Schedule, machine: Machine) -> None:
    for name, (rows, cols) in schedule.graph.buffers.items():
        machine.buffers[name] = np.full((rows, cols), np.nan, np.float32)


def _load(machine: Machine) -> None:
    plan = machine.plan
    for name in SEGMENTS[:4]:
        picture = machine.launch.pictures[name]
        blocks = picture.reshape(plan.rows, plan.patch, plan.cols, plan.patch, 3)
        tokens = blocks.transpose(0, 2, 4, 1, 3).reshape(plan.tokens, -1)
        machine.buffers[f"input.{name}"][...] = tokens
    noise = machine.launch.noise.reshape(3, plan.map_rows, 2, plan.map_cols, 2)
    machine.buffers["input.noisy"][...] = noise.transpose(1, 3, 0, 2, 4).reshape(-1, 12)


def _run(schedule: Schedule, machine: Machine, rng: np.random.Generator) -> None:
    signals = np.zeros(len(schedule.graph.totals), np.int64)
    at = [0] * len(schedule.lists)
    running: dict[int, tuple[Instruction, Work, int]] = {}

    def head(sm: int) -> None:
        if at[sm] < len(schedule.lists[sm]):
            instruction = schedule.graph.instructions[schedule.lists[sm][at[sm]]]
            running[sm] = (instruction, begin(machine, instruction), 0)
        else:
            running.pop(sm, None)

    def served(sm: int) -> bool:
        instruction, _, stage = running[sm]
        return all(
            bool((signals[w.first : w.first + w.count] >= w.target).all())
            for w in instruction.waits
            if w.stage == stage
        )

    for sm in range(len(schedule.lists)):
        head(sm)
    while running:
        candidates = list(running)
        rng.shuffle(candidates)
        sm = next((sm for sm in candidates if served(sm)), None)
        if sm is None:
            raise RuntimeError("the schedule hangs")
        instruction, work, _ = running[sm]
        stage = next(work, None)
        if stage is not None:
            running[sm] = (instruction, work, stage)
            continue
        signals[instruction.signal] += 1
        at[sm] += 1
        head(sm)


def _result(machine: Machine) -> Result:
    plan = machine.plan
    values = machine.buffers["frame"].reshape(plan.map_rows, plan.map_cols, 3, 2, 2)
    frame = values.transpose(0, 3, 1, 4, 2).reshape(2 * plan.map_rows, 2 * plan.map_cols, 3)
    slots: dict[str, Array] = {}
    for block in plan.history_blocks:
        assert block.new_slot is not None
        rows = machine.buffers[block.new_slot]
        slot = rows.reshape(plan.tokens, 2, block.heads, plan.head_dim).transpose(1, 2, 0, 3)
        slots[block.new_slot] = slot
    assert not any(bool(np.isnan(v).any()) for v in (frame, *slots.values())), "unwritten output"
    return Result(frame=frame.astype(np.uint8), slots=slots)
