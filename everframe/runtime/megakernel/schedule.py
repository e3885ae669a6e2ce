"""Static schedule: which multiprocessor runs which instructions, in which order.

Pure and deterministic. Instructions are placed in an order in which each comes after all that it
waits for; every list is a part of that one order. So the first unfinished instruction of the order
is always at the head of its list with its waits served: the schedule cannot deadlock as long as all
CTAs are resident. That holds for any rule by which the next instruction is chosen, see `ORDERS`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from everframe.runtime.megakernel.isa import (
    GLUON_SIGNAL_US,
    MERGE_US,
    SIGNAL_US,
    Instruction,
    Opcode,
    TaskGraph,
)
from everframe.runtime.megakernel.timing import COLD_US, Timing, timing_of

ORDERS = ("graph", "readiness", "readiness, fewest CTAs")
"""By their number in `Tiles.order`: in the order of the graph by the first wait; by the time from
which an instruction waits for nothing any more, the longest way to the end first; the same on the
CTA that is free last among those that are free in time, so that fewer CTAs fetch the same code.
"""
MARGIN_US = 1.5
"""How much earlier than it is needed a CTA must be free to count as free in time."""
REHEARSAL_US = 2.5
"""What an instruction of the detail path takes that is run for nothing, its code at hand."""
RECENT = 6
"""How many instructions earlier the code may be fetched: it must still be there."""


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
    """List scheduling by estimated cost, for `sms` multiprocessors, in the graph's order."""
    made = _Readiness(graph, sms).schedule() if graph.order else _in_order(graph, sms)
    return rehearse(made) if graph.rehearsals else made


def _in_order(graph: TaskGraph, sms: int) -> Schedule:
    """The first that can begin comes first."""
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


class _Readiness:
    """Scheduling by readiness: state of one run."""

    def __init__(self, graph: TaskGraph, sms: int) -> None:
        self.graph = graph
        self.timings = [timing_of(instruction) for instruction in graph.instructions]
        self.ahead = _ways(graph, self.timings)
        self.waiting, self.unblocks = _dependencies(graph)
        self.signals = [0] * len(graph.totals)
        self.ready_at = [0.0] * len(graph.totals)
        self.free = [(0.0, sm) for sm in range(sms)]
        self.known: list[set[Opcode]] = [set() for _ in range(sms)]
        self.lists: list[list[int]] = [[] for _ in range(sms)]
        self.heap: list[tuple[float, float, int]] = []

    def schedule(self) -> Schedule:
        expected: dict[int, tuple[float, float]] = {}
        for task, counters in enumerate(self.waiting):
            if counters == 0:
                self._push(task)
        while self.heap:
            start, _, task = heapq.heappop(self.heap)
            at, sm = self.free.pop(self._place(start))
            done = self._end(task, at, sm)
            insort(self.free, (done, sm))
            self.lists[sm].append(task)
            expected[task] = (at, done)
            self._signal(self.graph.instructions[task].signal, done + SIGNAL_US)
        return Schedule(
            graph=self.graph,
            lists=tuple(tuple(x) for x in self.lists),
            estimate_us=max((end for _, end in expected.values()), default=0.0),
            expected=expected,
        )

    def _push(self, task: int) -> None:
        heapq.heappush(self.heap, (self._start(task), -self.ahead[task], task))

    def _place(self, start: float) -> int:
        """Which of the free CTAs, which are sorted by time, gets an instruction."""
        if self.graph.order == 1:
            return 0
        return max(0, bisect_right(self.free, (start - MARGIN_US, len(self.lists))) - 1)

    def _start(self, task: int) -> float:
        """The latest begin that delays nothing."""
        return self._end(task, 0.0, None) - self.timings[task].alone

    def _end(self, task: int, at: float, sm: int | None) -> float:
        """End of an instruction whose CTA is free at `at`; on no CTA in particular, with its code
        at hand.
        """
        instruction, timing = self.graph.instructions[task], self.timings[task]
        fetch = 0.0
        if sm is not None and instruction.op not in self.known[sm]:
            self.known[sm].add(instruction.op)
            fetch = COLD_US.get(instruction.op, 0.0)
        start, late, merge = (_served(instruction, stage, self.ready_at) for stage in range(3))
        end = max(at, start) + timing.alone + fetch
        if late:
            end = max(end, late + timing.late + fetch)
        return max(end, merge + timing.merge) if merge else end

    def _signal(self, counter: int, time: float) -> None:
        self.signals[counter] += 1
        self.ready_at[counter] = max(self.ready_at[counter], time)
        if self.signals[counter] == self.graph.totals[counter]:
            for other in self.unblocks.pop(counter, ()):
                self.waiting[other] -= 1
                if self.waiting[other] == 0:
                    self._push(other)


def _ways(graph: TaskGraph, timings: Sequence[Timing]) -> list[float]:
    """Of each instruction: the longest way from its begin to the end of the frame."""
    after = [0.0] * len(graph.totals)
    ways = [0.0] * len(graph.instructions)
    for task in reversed(range(len(graph.instructions))):
        instruction, timing = graph.instructions[task], timings[task]
        rest = after[instruction.signal]
        ways[task] = timing.alone + rest
        stages = (ways[task], timing.late + rest, timing.merge + rest)
        for wait in instruction.waits:
            for counter in range(wait.first, wait.first + wait.count):
                after[counter] = max(after[counter], stages[wait.stage] + SIGNAL_US)
    return ways


def rehearse(schedule: Schedule) -> Schedule:
    """Let CTAs that have nothing to do before their first instruction of the detail path run each
    kind of its instructions once for nothing: the code is in the instruction cache afterwards.
    They wait for nothing, touch no memory that another instruction writes, and nobody waits for
    them.
    """
    graph, counter = schedule.graph, len(schedule.graph.totals)
    instructions = list(graph.instructions)
    lists: list[tuple[int, ...]] = []
    for tasks in schedule.lists:
        made: list[int] = []
        places = _rehearsal_places(schedule, tasks)
        for place, task in enumerate(tasks):
            for template in places.get(place, ()):
                made.append(len(instructions))
                instructions.append(replace(template, signal=counter))
            made.append(task)
        lists.append(tuple(made))
    added = len(instructions) - len(graph.instructions)
    whole = replace(
        graph, instructions=tuple(instructions), totals=(*graph.totals, added), rehearsals=()
    )
    return replace(schedule, graph=whole, lists=tuple(lists))


def _rehearsal_places(
    schedule: Schedule, tasks: Sequence[int]
) -> Mapping[int, Sequence[Instruction]]:
    """Before which instructions of a list: for each kind in it the last ones that are waited in for
    long enough, before the first instruction of the detail path is over.
    """
    ops = [schedule.graph.instructions[task].op for task in tasks]
    known = [x for x in schedule.graph.rehearsals if x.op in ops]
    places: defaultdict[int, list[Instruction]] = defaultdict(list)
    if not known:
        return places
    end = min(ops.index(x.op) for x in known) + 1
    idle = {i: _idle(schedule, tasks[i]) for i in range(max(0, end - RECENT), end)}
    for template in known:
        need = REHEARSAL_US + COLD_US[template.op]
        place = max((i for i, left in idle.items() if left >= need), default=None)
        if place is not None:
            idle[place] -= need
            places[place].append(template)
    return places


def _idle(schedule: Schedule, task: int) -> float:
    """How long its CTA is expected to wait in an instruction, if its code must be fetched."""
    begin, end = schedule.expected[task]
    instruction = schedule.graph.instructions[task]
    fetch = COLD_US.get(instruction.op, 0.0)
    return end - begin - timing_of(instruction).alone - fetch
