"""What the lowering of all parts shares: the instructions so far, counters and row blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from everframe.runtime.megakernel.isa import (
    GLUON_CHAIN_RATES,
    GLUON_RATES,
    TRITON_RATES,
    Instruction,
    Opcode,
    Rates,
    Read,
    Region,
    Wait,
    matrix_cost,
)
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.tiles import Tiles, ceil_to

PIXELS = 12
"""Numbers of a position: 2x2 pixels of three colours."""
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """Counters [first, first + count), one per block of rows."""

    first: int
    count: int


@dataclass(slots=True)
class Lowering:
    """State of one lowering: what has been emitted, and the counters."""

    plan: FramePlan
    tiles: Tiles
    steps: int
    instructions: list[Instruction] = field(default_factory=list[Instruction])
    totals: list[int] = field(default_factory=list[int])

    def phase(self, count: int) -> Phase:
        """New counters."""
        first = len(self.totals)
        self.totals += [0] * count
        return Phase(first, count)

    def wait(self, phase: Phase, blocks: Span, stage: int = 0) -> Wait:
        """Wait for the counters of `blocks` of a phase that has been emitted wholly."""
        targets = {self.totals[phase.first + i] for i in range(*blocks)}
        assert len(targets) == 1, (phase, blocks, targets)
        return Wait(stage, phase.first + blocks[0], blocks[1] - blocks[0], targets.pop())

    def emit(
        self,
        op: Opcode,
        name: str,
        where: tuple[int, Span, Span],
        *,
        fields: dict[str, int],
        access: tuple[Sequence[Read], Sequence[Region]],
        waits: Iterable[Wait],
        signal: int,
        cost: float,
    ) -> None:
        """Append an instruction; `where` is (step, rows, columns)."""
        step, rows, cols = where
        self.totals[signal] += 1
        self.instructions.append(
            Instruction(
                op=op,
                name=f"{step}.{name}[{rows[0]}, {cols[0]}]",
                step=step,
                rows=rows,
                cols=cols,
                fields=fields,
                reads=tuple(access[0]),
                writes=tuple(access[1]),
                waits=tuple(waits),
                signal=signal,
                cost=cost,
            )
        )

    @property
    def rates(self) -> Rates:
        """Of the kernel that these tiles are made for."""
        if not self.tiles.gluon:
            return TRITON_RATES
        return GLUON_CHAIN_RATES if self.tiles.chained else GLUON_RATES

    def matrix_cost(self, rows: Span, cols: int, inner: int, side: int = 2) -> float:
        """See `isa.matrix_cost`. The Gluon kernel leaves out a half of a tile without tokens."""
        height = self.tiles.rows
        if self.tiles.gluon:
            height = ceil_to(rows[1] - rows[0], self.tiles.rows // 2)
        return matrix_cost(height, cols, inner, side, self.rates)

    def row_blocks(self) -> list[Span]:
        """Blocks of tokens."""
        return spans(self.plan.tokens, self.tiles.rows)

    def slices(self, rows: Span, size: int) -> list[Span]:
        """A block of tokens cut into pieces of `size` tokens."""
        return [(rows[0] + low, rows[0] + high) for low, high in spans(rows[1] - rows[0], size)]

    def blocks_of(self, rows: Span) -> Span:
        """The token blocks that hold these tokens."""
        return rows[0] // self.tiles.rows, (rows[1] - 1) // self.tiles.rows + 1

    def bands_of(self, rows: Span) -> Span:
        """The rows of patches that hold these tokens."""
        return rows[0] // self.plan.cols, (rows[1] - 1) // self.plan.cols + 1

    def band_tokens(self, bands: Span) -> Span:
        """Tokens of rows of patches."""
        return bands[0] * self.plan.cols, bands[1] * self.plan.cols

    def band_positions(self, bands: Span) -> Span:
        """Positions of the detail path in rows of patches."""
        size = self.plan.cells * self.plan.map_cols
        return bands[0] * size, bands[1] * size

    def near_bands(self, positions: Span) -> Span:
        """Rows of patches that a convolution or an interpolation at these positions looks at."""
        size = self.plan.cells * self.plan.map_cols
        low, high = positions[0] // size - 1, (positions[1] - 1) // size + 2
        return max(0, low), min(self.plan.rows, high)

    def near_positions(self, positions: Span) -> Span:
        """Positions that a 3x3 convolution looks at."""
        border = self.plan.map_cols + 1
        end = self.plan.map_rows * self.plan.map_cols
        return max(0, positions[0] - border), min(end, positions[1] + border)


def spans(total: int, size: int) -> list[Span]:
    """[0, total) cut into pieces of `size`, the last one shorter."""
    return [(at, min(at + size, total)) for at in range(0, total, size)]


def shares(total: int, parts: int) -> list[Span]:
    """[0, total) cut into `parts` nearly equal pieces."""
    return [(i * total // parts, (i + 1) * total // parts) for i in range(parts)]


def region(buffer: str, rows: Span, cols: Span) -> Region:
    """A region from two spans."""
    return Region(buffer, *rows, *cols)
