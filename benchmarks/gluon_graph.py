"""The heavy parts of a shape's blocks as tasks of the Gluon experiment: memory map, dependencies,
static lists.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import gluon_words as words
import numpy as np

TOKENS, ROWS = 1296, 1408
"""Tokens of a frame; rows of a matrix, padded to whole tasks."""
BLOCKS = ROWS // words.ROWS_OF_TASK
KEY_TILES = 51
SMS = 132
LATE_TILE = 40
"""First key tile of this frame."""
FLOPS_PER_US = 800e6 / SMS
KINDS = ("qkv", "attend", "out", "up", "down")
EFFICIENCY = {"qkv": 0.85, "attend": 0.65, "out": 0.8, "up": 0.85, "down": 0.85}
"""Guess of the share of the matrix rate that a task reaches, for the lists."""
TASK_US = 0.5
"""Guess of what a task adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Width, head width, feed-forward channels, blocks of the real model, parts of attention."""

    width: int
    head_dim: int
    ffn: int
    blocks: int
    parts: int

    @property
    def heads(self) -> int:
        """Heads of a block."""
        return self.width // self.head_dim

    @property
    def flops(self) -> dict[str, float]:
        """Of a block, useful ones only."""
        d, f, keys = self.width, self.ffn, 5 * TOKENS + words.TAIL
        products = {"qkv": 3 * d * d, "out": d * d, "up": 2 * f * d, "down": f * d}
        work = {kind: 2.0 * TOKENS * size for kind, size in products.items()}
        return work | {"attend": 4.0 * TOKENS * keys * d}


SHAPES = {
    "C": Shape(width=768, head_dim=64, ffn=2048, blocks=12, parts=2),
    "D": Shape(width=1024, head_dim=128, ffn=2816, blocks=24, parts=3),
    "E": Shape(width=1536, head_dim=128, ffn=4096, blocks=28, parts=2),
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: lines of 64 numbers in `work` and `weights`, numbers in `sums` and
    `control`.
    """

    shape: Shape
    layers: int

    @property
    def panels(self) -> int:
        """Of a matrix as wide as the model."""
        return self.shape.width // words.PANEL

    @property
    def scaled(self) -> int:
        """Operand of the norms."""
        return 0

    @property
    def q(self) -> int:
        """Queries, head by head."""
        return self.panels * ROWS

    @property
    def o(self) -> int:
        """Result of attention."""
        return 2 * self.panels * ROWS

    @property
    def h(self) -> int:
        """Feed-forward channels."""
        return 3 * self.panels * ROWS

    def kv(self, layer: int, source: int) -> int:
        """Keys, then values, of a source: 0 prompt, 1 to 4 past frames, 5 this one."""
        start = self.h + self.shape.ffn // words.PANEL * ROWS
        return start + (layer * words.SOURCES + source) * 2 * self.panels * ROWS

    @property
    def work_lines(self) -> int:
        """All of `work`."""
        return self.kv(self.layers, 0)

    def weight(self, layer: int, kind: str) -> tuple[int, int, int]:
        """First line, lines of a panel, panels."""
        d, f = self.shape.width, self.shape.ffn
        sizes = {"qkv": (3 * d, d), "out": (d, d), "up": (2 * f, d), "down": (d, f)}
        lines = {name: n * k // words.PANEL for name, (n, k) in sizes.items()}
        before = list(sizes)[: list(sizes).index(kind)]
        start = layer * sum(lines.values()) + sum(lines[name] for name in before)
        return start, sizes[kind][0], sizes[kind][1] // words.PANEL

    @property
    def weight_lines(self) -> int:
        """All of `weights`."""
        return self.weight(self.layers, "qkv")[0]

    def vectors(self, layer: int, kind: str) -> int:
        """In `control`: shift of qkv and up; gate and scale of out and down."""
        d, f = self.shape.width, self.shape.ffn
        sizes = {"qkv": 3 * d, "out": 2 * d, "up": 2 * f, "down": 2 * d}
        before = list(sizes)[: list(sizes).index(kind)]
        start = words.PANEL * 2 + layer * sum(sizes.values())
        return start + sum(sizes[name] for name in before)

    @property
    def tiles(self) -> int:
        """Sums of squares of a row, padded to a power of two."""
        return 1 << (self.shape.width // words.NARROW - 1).bit_length()

    @property
    def squares(self) -> int:
        """In `sums`, after the tokens."""
        return ROWS * self.shape.width

    @property
    def partial(self) -> int:
        """In `sums`: parts of attention."""
        return self.squares + ROWS * self.tiles

    @property
    def partial_size(self) -> int:
        """Of one head: all parts, sums, maximum and denominator of each row."""
        return self.shape.parts * ROWS * (self.shape.head_dim + 2)

    @property
    def sums_size(self) -> int:
        """All of `sums`."""
        return self.partial + self.shape.heads * self.partial_size


@dataclass(slots=True)
class Task:
    """Kind, words, estimated time, and the counters as (first, count, target)."""

    kind: str
    row: int
    cost: float
    signal: int = 0
    words: dict[int, int] = field(default_factory=dict)
    waits: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def counter(self) -> int:
        """What it adds to: a part of attention to that of its parts."""
        part = self.words[words.OP] == words.ATTEND_PART
        return self.words[words.MERGED] if part else self.signal

    def encode(self) -> np.ndarray:
        """The row of the table."""
        out = np.zeros(words.WORDS, np.int32)
        for word, value in self.words.items():
            out[word] = value
        out[words.ROW], out[words.SIGNAL] = self.row, self.signal
        for at, wait in zip((words.WAIT, words.LATE), self.waits, strict=False):
            out[at : at + 3] = wait
        return out


class Graph:
    """Tasks of `layers` blocks, in an order in which they could be run one by one."""

    def __init__(self, shape: Shape, layers: int) -> None:
        self.shape, self.layers, self.places = shape, layers, Places(shape, layers)
        self.tasks: list[Task] = []
        self.counters = 0
        self.expected: dict[int, int] = defaultdict(int)
        done = None
        for layer in range(layers):
            done = self._block(layer, done)

    def _phase(self, count: int) -> int:
        self.counters += count
        return self.counters - count

    def _wait(self, first: int | None, count: int = 1) -> tuple[int, int, int]:
        """For all signals that the counters get."""
        if first is None:
            return (0, 0, 0)
        return (first, count, self.expected[first])

    def _add(self, task: Task) -> None:
        """Each of the two halves of a task's rows signals."""
        self.tasks.append(task)
        merged = task.words.get(words.OP) == words.ATTEND_PART
        if merged:
            for half in range(2):
                self.expected[task.words[words.MERGED] + half] += 1
        else:
            self.expected[task.signal] += 2

    def _product(self, layer: int, kind: str, m: int, n: int, op: int) -> Task:
        places = self.places
        start, pitch, panels = places.weight(layer, kind)
        source = {"out": places.o, "down": places.h}.get(kind, places.scaled)
        wide = words.NARROW if op == words.RESIDUAL else words.WIDE
        row = m * words.ROWS_OF_TASK
        cost = 2 * words.ROWS_OF_TASK * wide * panels * words.PANEL
        task = Task(kind, row, cost / FLOPS_PER_US / EFFICIENCY[kind] + TASK_US)
        task.words = {
            words.OP: op,
            words.SOURCE: source + row,
            words.WEIGHT: start + n * wide,
            words.PITCH: pitch,
            words.PANELS: panels,
            words.COLUMN: n * wide,
            words.CONTROL: places.vectors(layer, kind),
        }
        return task

    def _block(self, layer: int, ready: int | None) -> int:
        queries, keys = self._phase(BLOCKS), self._phase(BLOCKS)
        across = self.shape.width // words.WIDE
        for section in (1, 2, 0):
            for m in range(BLOCKS):
                for n in range(across):
                    self._qkv(layer, m, (section, n), (ready, queries, keys))
        attended = self._attention(layer, queries, keys)
        done = self._residual(layer, "out", attended)
        up = self._phase(BLOCKS)
        places = self.places
        for m in range(BLOCKS):
            for n in range(2 * self.shape.ffn // words.WIDE):
                task = self._product(layer, "up", m, n, words.UP)
                panel = n * words.NARROW // words.PANEL
                task.words[words.TARGET] = places.h + panel * ROWS + task.row
                task.waits, task.signal = [self._wait(done + m)], up + m
                self._add(task)
        return self._residual(layer, "down", up)

    def _qkv(
        self,
        layer: int,
        m: int,
        where: tuple[int, int],
        counters: tuple[int | None, int, int],
    ) -> None:
        (section, n), (ready, queries, keys) = where, counters
        across = self.shape.width // words.WIDE
        op = words.VALUE if section == 2 else words.QUERY_KEY
        task = self._product(layer, "qkv", m, section * across + n, op)
        start = self.places.q
        if section:
            start = self.places.kv(layer, words.SOURCES - 1)
            start += (section - 1) * self.places.panels * ROWS
        panel = n * words.WIDE // words.PANEL
        task.words[words.TARGET] = start + panel * ROWS + task.row
        task.waits = [self._wait(None if ready is None else ready + m)]
        task.signal = (keys if section else queries) + m
        self._add(task)

    def _attention(self, layer: int, queries: int, keys: int) -> int:
        shape, places = self.shape, self.places
        merged = self._phase(BLOCKS * shape.heads * 2)
        attended = self._phase(BLOCKS)
        cuts = [round(KEY_TILES * part / shape.parts) for part in range(shape.parts + 1)]
        each = 4 * words.ROWS_OF_TASK * words.KEYS_OF_TILE * shape.head_dim / FLOPS_PER_US
        for part in range(shape.parts):
            for m in range(BLOCKS):
                for head in range(shape.heads):
                    row = m * words.ROWS_OF_TASK
                    low, high = cuts[part], cuts[part + 1]
                    task = Task("attend", row, (high - low) * each / EFFICIENCY["attend"])
                    panel = head * shape.head_dim // words.PANEL * ROWS
                    own = part == shape.parts - 1
                    task.words = {
                        words.OP: words.ATTEND if own else words.ATTEND_PART,
                        words.SOURCE: places.q + panel + row,
                        words.TARGET: places.o + panel + row,
                        words.FIRST: low,
                        words.LAST: high,
                        words.KEYS: places.kv(layer, 0) + panel,
                        words.MERGED: merged + (m * shape.heads + head) * 2,
                        words.PART: part,
                        words.PARTS: shape.parts,
                        words.PARTIAL: (places.partial + head * places.partial_size) // words.PANEL,
                    }
                    task.waits = [self._wait(queries + m), self._wait(keys, BLOCKS)]
                    task.signal = attended + m
                    self._add(task)
        return attended

    def _residual(self, layer: int, kind: str, ready: int) -> int:
        done = self._phase(BLOCKS)
        for m in range(BLOCKS):
            for n in range(self.shape.width // words.NARROW):
                task = self._product(layer, kind, m, n, words.RESIDUAL)
                panel = n * words.NARROW // words.PANEL
                task.words[words.TARGET] = self.places.scaled + panel * ROWS + task.row
                task.waits, task.signal = [self._wait(ready + m)], done + m
                self._add(task)
        return done
