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
from dataclasses import dataclass, field, replace

from everframe.runtime.megakernel.isa import (
    GLUON_SIGNAL_US,
    MERGE_US,
    SIGNAL_US,
    Instruction,
    TaskGraph,
)


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
    """List scheduling by estimated cost, for `sms` multiprocessors: the first that can begin comes
    first.
    """
    state = _Placing(graph, sms, SIGNAL_US)
    while state.coming:
        _, index = heapq.heappop(state.coming)
        state.place(index, *heapq.heappop(state.free))
    return state.result()


def schedule_by_rank(graph: TaskGraph, sms: int, signal_us: float = GLUON_SIGNAL_US) -> Schedule:
    """The same, but of those that can begin when a multiprocessor is free the one comes first after
    which the longest chain of others must run.
    """
    ranks = _ranks(graph, signal_us)
    state = _Placing(graph, sms, signal_us)
    ready: list[tuple[float, int]] = []
    while state.coming or ready:
        at, sm = heapq.heappop(state.free)
        while state.coming and state.coming[0][0] <= at:
            index = heapq.heappop(state.coming)[1]
            heapq.heappush(ready, (-ranks[index], index))
        _, index = heapq.heappop(ready or state.coming)
        state.place(index, at, sm)
    return _renumbered(state.result())


def _renumbered(schedule: Schedule) -> Schedule:
    """Instructions in the order in which they were placed, so that of those that got stuck the
    first is the one that the others wait for.
    """
    order = list(schedule.expected)
    number = {old: new for new, old in enumerate(order)}
    instructions = tuple(schedule.graph.instructions[old] for old in order)
    return Schedule(
        graph=replace(schedule.graph, instructions=instructions),
        lists=tuple(tuple(number[old] for old in own) for own in schedule.lists),
        estimate_us=schedule.estimate_us,
        expected={number[old]: times for old, times in schedule.expected.items()},
    )


class _Placing:
    """Lists so far. `coming`: (earliest begin, instruction) of those that wait for none that has no
    place; `free`: (since when, multiprocessor).
    """

    def __init__(self, graph: TaskGraph, sms: int, signal_us: float) -> None:
        self.graph, self.signal_us = graph, signal_us
        self.waiting, self.unblocks = _dependencies(graph)
        self.signals = [0] * len(graph.totals)
        self.ready_at = [0.0] * len(graph.totals)
        self.coming = [(0.0, i) for i, n in enumerate(self.waiting) if n == 0]
        heapq.heapify(self.coming)
        self.free = [(0.0, sm) for sm in range(sms)]
        self.lists: list[list[int]] = [[] for _ in range(sms)]
        self.expected: dict[int, tuple[float, float]] = {}

    def place(self, index: int, at: float, sm: int) -> None:
        """Put an instruction at the end of the list of a multiprocessor that is free at `at`."""
        instruction = self.graph.instructions[index]
        done = _finish(instruction, at, self.ready_at)
        heapq.heappush(self.free, (done, sm))
        self.lists[sm].append(index)
        self.expected[index] = (at, done)
        counter = instruction.signal
        self.signals[counter] += 1
        self.ready_at[counter] = max(self.ready_at[counter], done + self.signal_us)
        if self.signals[counter] < self.graph.totals[counter]:
            return
        for other in self.unblocks.pop(counter, ()):
            self.waiting[other] -= 1
            if self.waiting[other] == 0:
                begin = _served(self.graph.instructions[other], 0, self.ready_at)
                heapq.heappush(self.coming, (begin, other))

    def result(self) -> Schedule:
        """When all have a place."""
        return Schedule(
            graph=self.graph,
            lists=tuple(tuple(x) for x in self.lists),
            estimate_us=max((done for _, done in self.expected.values()), default=0.0),
            expected=self.expected,
        )


def _ranks(graph: TaskGraph, signal_us: float) -> list[float]:
    """Of each instruction, the longest chain that begins with it, in microseconds."""
    longest = [0.0] * len(graph.totals)  # of those that wait for a counter
    ranks = [0.0] * len(graph.instructions)
    for index in reversed(range(len(graph.instructions))):  # who waits comes later in the graph
        instruction = graph.instructions[index]
        ranks[index] = instruction.cost + signal_us + longest[instruction.signal]
        for counter in waited(instruction):
            longest[counter] = max(longest[counter], ranks[index])
    return ranks


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
