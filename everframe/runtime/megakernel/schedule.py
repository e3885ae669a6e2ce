"""Static schedule: which multiprocessor runs which instructions, in which order.

Pure and deterministic. Instructions are placed in an order in which each comes after all that it
waits for; every list is a part of that one order. So the first unfinished instruction of the order
is always at the head of its list with its waits served: the schedule cannot deadlock as long as all
CTAs are resident.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from everframe.runtime.megakernel.isa import MERGE_US, SIGNAL_US, Instruction, TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Lists of instruction numbers, one per multiprocessor; the estimated time in us, and of each
    instruction when it is expected to be begun and done.
    """

    graph: TaskGraph
    lists: tuple[tuple[int, ...], ...]
    estimate_us: float
    expected: Mapping[int, tuple[float, float]] = field(
        default_factory=dict[int, tuple[float, float]]
    )

    @property
    def filled(self) -> float:
        """Share of the estimated time in which a multiprocessor works, on average."""
        cost = sum(instruction.cost for instruction in self.graph.instructions)
        return cost / (self.estimate_us * len(self.lists))


def schedule_tasks(graph: TaskGraph, sms: int) -> Schedule:
    """List scheduling by estimated cost, for `sms` multiprocessors."""
    waiting, unblocks = _dependencies(graph)
    signals = [0] * len(graph.totals)
    ready_at = [0.0] * len(graph.totals)
    heap = [(0.0, i) for i, n in enumerate(waiting) if n == 0]
    heapq.heapify(heap)
    free = [(0.0, sm) for sm in range(sms)]
    lists: list[list[int]] = [[] for _ in range(sms)]
    expected: dict[int, tuple[float, float]] = {}
    end = 0.0
    while heap:
        _, index = heapq.heappop(heap)
        instruction = graph.instructions[index]
        at, sm = heapq.heappop(free)
        done = _finish(instruction, at, ready_at)
        heapq.heappush(free, (done, sm))
        lists[sm].append(index)
        expected[index] = (at, done)
        end = max(end, done)
        counter = instruction.signal
        signals[counter] += 1
        ready_at[counter] = max(ready_at[counter], done + SIGNAL_US)
        if signals[counter] == graph.totals[counter]:
            for other in unblocks.pop(counter, ()):
                waiting[other] -= 1
                if waiting[other] == 0:
                    begin = _served(graph.instructions[other], 0, ready_at)
                    heapq.heappush(heap, (begin, other))
    return Schedule(
        graph=graph,
        lists=tuple(tuple(x) for x in lists),
        estimate_us=end,
        expected=expected,
    )


def _dependencies(graph: TaskGraph) -> tuple[list[int], dict[int, list[int]]]:
    """How many counters each instruction waits for, and who waits for each counter."""
    waiting: list[int] = []
    unblocks: defaultdict[int, list[int]] = defaultdict(list)
    for index, instruction in enumerate(graph.instructions):
        counters = waited(instruction)
        waiting.append(len(counters))
        for counter in counters:
            unblocks[counter].append(index)
    return waiting, unblocks


def waited(instruction: Instruction) -> set[int]:
    """Counters that an instruction waits for, in any stage."""
    return {w.first + i for w in instruction.waits for i in range(w.count)}


def _served(instruction: Instruction, stage: int, ready_at: Sequence[float]) -> float:
    times = [
        ready_at[w.first + i] for w in instruction.waits if w.stage == stage for i in range(w.count)
    ]
    return max(times, default=0.0)


def _finish(instruction: Instruction, at: float, ready_at: Sequence[float]) -> float:
    """End of an instruction whose multiprocessor is free at `at`: late waits come half way through,
    merges at the end.
    """
    begin = max(at, _served(instruction, 0, ready_at))
    middle = max(begin + 0.5 * instruction.cost, _served(instruction, 1, ready_at))
    end, parts = middle + 0.5 * instruction.cost, _served(instruction, 2, ready_at)
    return max(end, parts) + MERGE_US if parts else end
