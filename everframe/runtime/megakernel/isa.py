"""The tile instruction set, written once: what each instruction is called, which numbers it
carries, what it computes, and what it costs.

An instruction works on a rectangle of rows and columns, reads and writes rectangles of named
buffers, waits for counters and adds one to a counter when it is done. The lowering makes them, the
checker proves a schedule of them, the emulator and the Triton kernel run them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

STAGES = ("start", "late", "merge")
"""When a wait is served: before anything; before the keys of this frame; before partial sums are
added. What does not depend on a later stage overlaps with the waiting."""
SIGNAL_US = 0.8
"""From the end of an instruction to the start of one that waits for it."""
GLUON_SIGNAL_US = 3.0
"""The same in the Gluon kernel, where a result goes through TMA, another warp, and TMA again: with
it the estimate for the chains of the experiment (docs/megakernel.md) is what was measured.
"""
MERGE_US = 3.0
"""From the last of the partial sums to the end of who adds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What instructions cost on one multiprocessor when all work.

    task_us: beside loads, products and stores; flops_per_us: bfloat16; load_bytes_per_us: operands
    from the L2 cache; side_bytes_per_us: what the start and the end of an instruction read and
    write; scores_per_us: exponentials and sums of attention; key_tile_us: the least that a tile of
    keys takes; attention_us: what attention takes beside its tiles of keys; attention_flops_per_us:
    of its products, if it is another rate; added_us: to add another part of attention of 128 rows
    and 128 channels; swiglu_bytes: what UP writes for each number of its product.
    """

    task_us: float
    flops_per_us: float
    load_bytes_per_us: float
    side_bytes_per_us: float
    scores_per_us: float
    key_tile_us: float
    attention_us: float
    attention_flops_per_us: float | None = None
    added_us: float = 0.0
    swiglu_bytes: int = 2


TRITON_RATES = Rates(
    task_us=1.6,
    flops_per_us=4.3e6,
    load_bytes_per_us=65e3,
    side_bytes_per_us=30e3,
    scores_per_us=35e3,
    key_tile_us=0.7,
    attention_us=3.5,
)
"""Fit the timelines of `pocket`, C and D on an H200 within about 20 %."""
GLUON_RATES = Rates(
    task_us=0.9,
    flops_per_us=5.8e6,
    load_bytes_per_us=95e3,
    side_bytes_per_us=23e3,
    scores_per_us=float("inf"),  # hidden behind the products, or the products behind them
    key_tile_us=1.08,
    attention_us=3.0,
)
"""Fit tasks of C, D and E that run alone on an H200 within 5 % (`gluon_h200.json`)."""
GLUON_CHAIN_RATES = replace(
    GLUON_RATES,
    task_us=1.15,  # a quarter of a microsecond from one task to the next
    flops_per_us=6.1e6,
    key_tile_us=1.17,
    attention_us=3.5,
    attention_flops_per_us=5.4e6,
    added_us=1.2,  # 4.0 when the parts were loaded one after the other
    swiglu_bytes=1,
)
"""Fit tasks within a frame of D within 5 % (`gluon_kernel_h200.json`), less what has been taken
away since then, which is a guess; so are all tasks of C and E. Lists made with them have not run
yet.
"""


class Opcode(IntEnum):
    """Numbers of the instructions, as the kernel sees them."""

    UNPACK = 0
    PART = 1
    EMBED = 2
    QKV = 3
    ATTEND_PART = 4
    ATTEND = 5
    RESIDUAL = 6
    UP = 7
    HEAD = 8
    CONV_IN = 9
    CONV = 10
    CONV_OUT = 11
    MERGE = 12
    FINISH = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Documentation of an opcode: its fields and what it computes."""

    fields: tuple[str, ...]
    computes: str


INSTRUCTIONS: dict[Opcode, Meaning] = {
    Opcode.UNPACK: Meaning(
        fields=("segment", "map"),
        computes="one row of patches of an input picture, as matrix rows or for the detail path",
    ),
    Opcode.PART: Meaning(
        fields=("weight", "block", "part", "share", "shares"),
        computes="partial sums, by their number, of a share of the inner axis of a matrix product",
    ),
    Opcode.EMBED: Meaning(
        fields=("parts",), computes="tokens of the noisy target, plus partial sums and positions"
    ),
    Opcode.QKV: Meaning(
        fields=("block", "section", "last"),
        computes="norm, modulation, projection, qk-norm and RoPE of heads; section 0 q, 1 k, 2 v",
    ),
    Opcode.ATTEND_PART: Meaning(
        fields=("block", "head", "part", "parts", "first_tile", "last_tile", "last"),
        computes="attention of a head over some of its key tiles: sums, maximum and denominator",
    ),
    Opcode.ATTEND: Meaning(
        fields=("block", "head", "part", "parts", "first_tile", "last_tile", "last"),
        computes="attention over the remaining key tiles (this frame last), merged with the parts",
    ),
    Opcode.RESIDUAL: Meaning(
        fields=("weight", "block", "part", "parts", "share", "shares"),
        computes="gated matrix product added to the tokens; the next norm's operand and squares",
    ),
    Opcode.UP: Meaning(fields=("block",), computes="norm, modulation, projection and SwiGLU"),
    Opcode.HEAD: Meaning(
        fields=(), computes="norm, modulation and the three projections to pixels of the head"
    ),
    Opcode.CONV_IN: Meaning(
        fields=(), computes="first 3x3 convolution of the detail path, with local gains"
    ),
    Opcode.CONV: Meaning(
        fields=("layer",), computes="a 3x3 convolution of the detail path, residual from 1 on"
    ),
    Opcode.CONV_OUT: Meaning(
        fields=("last",), computes="last convolution, colour maps, Euler update, bytes"
    ),
    Opcode.MERGE: Meaning(
        fields=("block", "head", "parts"),
        computes="some rows of the attention of a head from all its parts",
    ),
    Opcode.FINISH: Meaning(
        fields=("weight", "block", "parts"),
        computes="some rows of a RESIDUAL or EMBED from all its partial sums",
    ),
}


class Matrix(IntEnum):
    """Which matrix a PART or RESIDUAL multiplies with."""

    CAMERA = 0
    PREVIOUS = 1
    ANCHOR_OUTPUT = 2
    ANCHOR_CAMERA = 3
    OUT = 4
    DOWN = 5
    NOISY = 6


SEGMENTS = ("camera", "previous", "anchor_output", "anchor_camera", "noisy")
"""Pictures that are embedded, by their number in UNPACK; the first four are `Matrix` numbers."""


@dataclass(frozen=True, slots=True)
class Region:
    """Rows [row0, row1) and columns [col0, col1) of a buffer."""

    buffer: str
    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def area(self) -> int:
        """Numbers in it."""
        return max(0, self.row1 - self.row0) * max(0, self.col1 - self.col0)

    def meet(self, other: Region) -> Region | None:
        """The common part of two regions of one buffer, if any."""
        row0, row1 = max(self.row0, other.row0), min(self.row1, other.row1)
        col0, col1 = max(self.col0, other.col0), min(self.col1, other.col1)
        if row0 >= row1 or col0 >= col1:
            return None
        return Region(self.buffer, row0, row1, col0, col1)

    def minus(self, other: Region) -> list[Region]:
        """This region without the other, as disjoint rectangles."""
        common = self.meet(other)
        if common is None:
            return [self]
        b, pieces = self.buffer, list[Region]()
        pieces.append(Region(b, self.row0, common.row0, self.col0, self.col1))
        pieces.append(Region(b, common.row1, self.row1, self.col0, self.col1))
        pieces.append(Region(b, common.row0, common.row1, self.col0, common.col0))
        pieces.append(Region(b, common.row0, common.row1, common.col1, self.col1))
        return [piece for piece in pieces if piece.area]

    def __str__(self) -> str:
        return f"{self.buffer}[{self.row0}:{self.row1}, {self.col0}:{self.col1}]"


@dataclass(frozen=True, slots=True)
class Read:
    """A region, and after which wait stage (index of `STAGES`) it is read."""

    region: Region
    stage: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Counters [first, first + count) must each have reached `target`."""

    stage: int
    first: int
    count: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One tile of work. `fields` as named by `INSTRUCTIONS`; `cost` in microseconds, estimated."""

    op: Opcode
    name: str
    step: int
    rows: tuple[int, int]
    cols: tuple[int, int]
    fields: Mapping[str, int]
    reads: tuple[Read, ...]
    writes: tuple[Region, ...]
    waits: tuple[Wait, ...]
    signal: int
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGraph:
    """Instructions in an order in which they could run one by one.

    buffers: rows and columns by name; external: those that exist before the launch; counters: how
    many; totals: signals that each counter gets; order: how to schedule it, see `schedule.ORDERS`;
    rehearsals: one instruction of each kind that a CTA may run for nothing, see
    `schedule.rehearse`.
    """

    instructions: tuple[Instruction, ...]
    buffers: Mapping[str, tuple[int, int]]
    external: frozenset[str]
    totals: tuple[int, ...]
    order: int = 0
    rehearsals: tuple[Instruction, ...] = ()


def matrix_cost(
    rows: int, cols: int, inner: int, side: int = 2, rates: Rates = TRITON_RATES
) -> float:
    """Estimated microseconds of a matrix product; `side`: bytes that its start and end read and
    write for each number of the result.
    """
    product = max(
        2 * rows * cols * inner / rates.flops_per_us,
        2 * (rows + cols) * inner / rates.load_bytes_per_us,
    )
    return rates.task_us + product + rows * cols * side / rates.side_bytes_per_us


def sum_cost(rows: int, cols: int, parts: int, rates: Rates = TRITON_RATES) -> float:
    """Estimated microseconds of adding partial sums, all of them loaded at once."""
    return rates.task_us + rows * cols * parts * 4 / rates.side_bytes_per_us


def attention_cost(
    tile: tuple[int, int], count: float, head_dim: int, rates: Rates = TRITON_RATES
) -> float:
    """Estimated microseconds of `count` tiles of (queries, keys)."""
    scores = tile[0] * tile[1]
    products = 4 * scores * head_dim / (rates.attention_flops_per_us or rates.flops_per_us)
    each = max(rates.key_tile_us, products + scores / rates.scores_per_us)
    return rates.attention_us + count * each
