"""Static lists of the Gluon experiment: which CTA runs which task, and in which order."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import gluon_words as words
import numpy as np
from gluon_graph import KEY_TILES, LATE_TILE, TOKENS, Graph, Task

SIGNAL_US = 1.5
"""Guess of the way from a result to who waits for it."""
MERGE_US = 0.5


@dataclass(frozen=True, slots=True)
class Needs:
    """Tasks that a task waits for: before it begins, before keys of this frame, before merging."""

    start: list[int]
    late: list[int]
    parts: list[int]


def needs_of(tasks: list[Task]) -> list[Needs]:
    """From the counters."""
    producers: dict[int, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        producers[task.counter].append(number)

    def of(task: Task, wait: int) -> list[int]:
        return [
            producer
            for first, count, _ in task.waits[wait : wait + 1]
            for counter in range(first, first + count)
            for producer in producers[counter]
        ]

    out = []
    for task in tasks:
        late = task.kind == "attend" and task.words[words.LAST] > LATE_TILE
        merges = task.words[words.OP] == words.ATTEND
        parts = producers[task.words[words.MERGED]] if merges else []
        out.append(Needs(of(task, 0), of(task, 1) if late else [], list(parts)))
    return out


def cost_of(task: Task) -> float:
    """Half a task's rows take half its time."""
    return task.cost * (0.5 if task.row + words.ROWS_OF_TASK // 2 >= TOKENS else 1.0)


def _end(task: Task, need: Needs, at: float, ends: list[float]) -> float:
    end, cost = at + cost_of(task), cost_of(task)
    if need.late:
        first, last = task.words[words.FIRST], task.words[words.LAST]
        share = (last - max(LATE_TILE, first)) / (last - first)
        end = max(end, max(ends[i] for i in need.late) + SIGNAL_US + share * cost)
    if need.parts:
        end = max(end, max(ends[i] for i in need.parts) + SIGNAL_US) + MERGE_US
    return end


def schedule(graph: Graph, ctas: int) -> tuple[list[list[Task]], float]:
    """A CTA that is free takes the earliest task, in the graph's order, whose operands are there.
    Returns the lists and the estimated end.

    The estimate runs the lists with all waits and ends, and whether lists end does not depend on
    how long tasks take: so they cannot deadlock.
    """
    tasks, needs = graph.tasks, needs_of(graph.tasks)
    users: dict[int, list[int]] = defaultdict(list)
    missing = [0] * len(tasks)
    for number, need in enumerate(needs):
        before = {*need.start, *need.late, *need.parts}
        missing[number] = len(before)
        for producer in before:
            users[producer].append(number)
    ends = [0.0] * len(tasks)
    coming = [(0.0, number) for number, count in enumerate(missing) if not count]
    ready: list[int] = []
    free = [(0.0, cta) for cta in range(ctas)]
    lists: list[list[Task]] = [[] for _ in range(ctas)]
    for _ in tasks:
        at, cta = heapq.heappop(free)
        while coming and coming[0][0] <= at:
            heapq.heappush(ready, heapq.heappop(coming)[1])
        if ready:
            number = heapq.heappop(ready)
        else:
            later, number = heapq.heappop(coming)
            at = max(at, later)
        ends[number] = _end(tasks[number], needs[number], at, ends)
        heapq.heappush(free, (ends[number], cta))
        lists[cta].append(tasks[number])
        for user in users[number]:
            missing[user] -= 1
            if not missing[user]:
                begin = max((ends[i] + SIGNAL_US for i in needs[user].start), default=0.0)
                heapq.heappush(coming, (begin, user))
    return lists, max(ends)


def alone(graph: Graph, kind: str, ctas: int, each: int) -> list[list[Task]]:
    """Full tasks of one kind that wait for nothing, the same number for every CTA."""
    full = [t for t in graph.tasks if t.kind == kind and t.row + words.ROWS_OF_TASK <= TOKENS]
    free = []
    for task in full:
        copy = Task(kind, task.row, task.cost, graph.counters, dict(task.words))
        if kind == "attend":
            if task.words[words.PART]:
                continue
            copy.words |= {words.OP: words.ATTEND, words.FIRST: 0, words.LAST: KEY_TILES}
            copy.words |= {words.PARTS: 1, words.MERGED: graph.counters}
        free.append(copy)
    return [[free[(i * ctas + cta) % len(free)] for i in range(each)] for cta in range(ctas)]


def table(lists: list[list[Task]]) -> tuple[np.ndarray, np.ndarray]:
    """Words of all tasks, list by list, and where each list begins."""
    rows = [task.encode() for tasks in lists for task in tasks]
    starts = np.cumsum([0, *(len(tasks) for tasks in lists)]).astype(np.int32)
    return np.stack(rows), starts
