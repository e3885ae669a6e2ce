"""Proves a schedule before it may run: no deadlock, no race, nothing read that was not written,
enough shared memory. Refuses with the instructions and regions concerned.

Happens-before is computed with vector clocks: for each instruction and wait stage, how far every
multiprocessor is known to have come, through its own list and through the counters it waited for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from everframe.core.errors import UserError
from everframe.runtime.megakernel.isa import STAGES, Instruction, Region
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.schedule import Schedule
from everframe.runtime.megakernel.tiles import SHARED_MEMORY, Tiles

Clock = NDArray[np.int32]
BUCKET = 256
"""Accesses are compared in slices of this many rows, so that the check stays linear."""


class ScheduleError(UserError):
    """A schedule that must not run; the message says why."""


@dataclass(frozen=True, slots=True)
class _Access:
    region: Region
    task: int
    sm: int
    position: int


@dataclass(slots=True)
class _Cell:
    """Live writes of a slice of a buffer, and the reads since."""

    writes: list[_Access] = field(default_factory=list[_Access])
    reads: list[_Access] = field(default_factory=list[_Access])


def check_shared_memory(plan: FramePlan, tiles: Tiles, limit: int = SHARED_MEMORY) -> None:
    """Refuse tiles whose pipeline does not fit.

    Raises:
        ScheduleError: they need more than `limit` bytes.
    """
    need = tiles.shared_memory(plan)
    if need > limit:
        raise ScheduleError(
            f"these tiles need {need} bytes of shared memory, a CTA has {limit}; "
            "use smaller tiles or fewer stages"
        )


def check_schedule(schedule: Schedule) -> None:
    """Prove a schedule.

    Raises:
        ScheduleError: a list is wrong, or there is a deadlock, a race or an unwritten read.
    """
    _check_lists(schedule)
    _check_counters(schedule)
    order, clocks = _simulate(schedule)
    _check_accesses(schedule, order, clocks)


def _name(schedule: Schedule, task: int) -> str:
    return schedule.graph.instructions[task].name


def _check_lists(schedule: Schedule) -> None:
    seen: dict[int, int] = defaultdict(int)
    for tasks in schedule.lists:
        for task in tasks:
            seen[task] += 1
    for task in range(len(schedule.graph.instructions)):
        if seen[task] != 1:
            raise ScheduleError(
                f"instruction {_name(schedule, task)} is scheduled {seen[task]} times, not once"
            )


def _check_counters(schedule: Schedule) -> None:
    totals = [0] * len(schedule.graph.totals)
    for instruction in schedule.graph.instructions:
        totals[instruction.signal] += 1
    for instruction in schedule.graph.instructions:
        for wait in instruction.waits:
            for counter in range(wait.first, wait.first + wait.count):
                if wait.target < totals[counter]:
                    raise ScheduleError(
                        f"{instruction.name} waits for {wait.target} of {totals[counter]} signals "
                        f"of counter {counter}: it cannot know which came"
                    )
                if wait.target > totals[counter]:
                    raise ScheduleError(
                        f"deadlock: {instruction.name} waits for {wait.target} signals of counter "
                        f"{counter}, which gets {totals[counter]}"
                    )


def _simulate(schedule: Schedule) -> tuple[list[tuple[int, int, int]], NDArray[np.int32]]:
    """Run the lists as far as they go; returns the order as (task, sm, position), and clocks
    [tasks, stages + 1, sms].
    """
    graph, lists = schedule.graph, schedule.lists
    sms = len(lists)
    clocks = np.full((len(graph.instructions), len(STAGES) + 1, sms), -1, np.int32)
    of_counter = np.full((len(graph.totals), sms), -1, np.int32)
    signals = [0] * len(graph.totals)
    own = np.full((sms, sms), -1, np.int32)
    at = [0] * sms
    order: list[tuple[int, int, int]] = []
    waiters: defaultdict[int, list[int]] = defaultdict(list)
    runnable = list(range(sms))
    while runnable:
        sm = runnable.pop()
        while at[sm] < len(lists[sm]):
            task = lists[sm][at[sm]]
            instruction = graph.instructions[task]
            blocked = _unserved(instruction, signals, graph.totals)
            if blocked is not None:
                waiters[blocked].append(sm)
                break
            _advance(instruction, own[sm], of_counter, clocks[task])
            own[sm] = clocks[task, -1]
            own[sm, sm] = at[sm]
            order.append((task, sm, at[sm]))
            at[sm] += 1
            np.maximum(of_counter[instruction.signal], own[sm], out=of_counter[instruction.signal])
            signals[instruction.signal] += 1
            if signals[instruction.signal] == graph.totals[instruction.signal]:
                runnable += waiters.pop(instruction.signal, [])
    stuck = [lists[sm][at[sm]] for sm in range(sms) if at[sm] < len(lists[sm])]
    if stuck:
        names = ", ".join(_name(schedule, task) for task in stuck[:4])
        raise ScheduleError(f"deadlock: {len(stuck)} multiprocessors wait for ever, at {names}")
    return order, clocks


def _unserved(instruction: Instruction, signals: list[int], totals: tuple[int, ...]) -> int | None:
    for wait in instruction.waits:
        for counter in range(wait.first, wait.first + wait.count):
            if signals[counter] < totals[counter]:
                return counter
    return None


def _advance(instruction: Instruction, own: Clock, of_counter: Clock, out: Clock) -> None:
    """Clocks of the stages of a task, and of its writes (the last row)."""
    clock = own.copy()
    for stage in range(len(STAGES)):
        for wait in instruction.waits:
            if wait.stage == stage:
                served = of_counter[wait.first : wait.first + wait.count].max(0)
                np.maximum(clock, served, out=clock)
        out[stage] = clock
    out[-1] = clock


def _pieces(region: Region) -> Iterator[tuple[tuple[str, int], Region]]:
    for bucket in range(region.row0 // BUCKET, (region.row1 - 1) // BUCKET + 1):
        low, high = max(region.row0, bucket * BUCKET), min(region.row1, (bucket + 1) * BUCKET)
        yield (
            (region.buffer, bucket),
            Region(region.buffer, low, high, region.col0, region.col1),
        )


def _check_accesses(
    schedule: Schedule, order: list[tuple[int, int, int]], clocks: NDArray[np.int32]
) -> None:
    cells: defaultdict[tuple[str, int], _Cell] = defaultdict(_Cell)
    for task, sm, position in order:
        instruction = schedule.graph.instructions[task]
        _check_bounds(schedule, instruction)
        for read in instruction.reads:
            if read.region.buffer in schedule.graph.external:
                continue
            for key, piece in _pieces(read.region):
                access = _Access(piece, task, sm, position)
                _check_read(schedule, cells[key], access, clocks[task, read.stage])
        for written in instruction.writes:
            for key, piece in _pieces(written):
                access = _Access(piece, task, sm, position)
                _check_write(schedule, cells[key], access, clocks[task, -1])


def _check_bounds(schedule: Schedule, instruction: Instruction) -> None:
    for region in (*(read.region for read in instruction.reads), *instruction.writes):
        rows, cols = schedule.graph.buffers[region.buffer]
        if not (0 <= region.row0 < region.row1 <= rows and 0 <= region.col0 < region.col1 <= cols):
            raise ScheduleError(f"{instruction.name} reaches outside its buffer: {region}")
    for region in instruction.writes:
        if region.buffer in schedule.graph.external:
            raise ScheduleError(f"{instruction.name} writes to an input: {region}")


def _check_read(schedule: Schedule, cell: _Cell, access: _Access, clock: Clock) -> None:
    covered = 0
    for write in cell.writes:
        common = access.region.meet(write.region)
        if common is None:
            continue
        covered += common.area
        if write.task != access.task and clock[write.sm] < write.position:
            raise ScheduleError(
                f"race: {_name(schedule, access.task)} reads {common} that "
                f"{_name(schedule, write.task)} may still be writing"
            )
    if covered != access.region.area:
        raise ScheduleError(
            f"unwritten: {_name(schedule, access.task)} reads {access.region}, of which "
            f"{access.region.area - covered} numbers were never written"
        )
    cell.reads.append(access)


def _check_write(schedule: Schedule, cell: _Cell, access: _Access, clock: Clock) -> None:
    for kind, others in (("writes", cell.writes), ("reads", cell.reads)):
        for other in others:
            if other.task == access.task or clock[other.sm] >= other.position:
                continue
            common = access.region.meet(other.region)
            if common is not None:
                raise ScheduleError(
                    f"race: {_name(schedule, access.task)} overwrites {common} that "
                    f"{_name(schedule, other.task)} {kind}"
                )
    cell.writes = [
        _Access(rest, w.task, w.sm, w.position)
        for w in cell.writes
        for rest in w.region.minus(access.region)
    ]
    cell.reads = [
        _Access(rest, r.task, r.sm, r.position)
        for r in cell.reads
        for rest in r.region.minus(access.region)
    ]
    cell.writes.append(access)
