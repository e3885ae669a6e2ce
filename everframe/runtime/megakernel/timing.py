"""How long an instruction takes, as the timeline of `pocket` on an H200 shows: alone, and from each
of its later waits to its end. What a schedule by readiness (`Tiles.order`) goes by; the costs in
`isa` choose tile sizes and are what graph order goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from everframe.runtime.megakernel.isa import Instruction, Opcode

LESS_US: Mapping[Opcode, float] = {
    Opcode.RESIDUAL: 1.4,
    Opcode.PART: 1.0,
    Opcode.CONV_IN: 0.4,
    Opcode.CONV: 0.4,
    Opcode.CONV_OUT: 0.4,
}
"""How much less than its cost an instruction takes; all others:"""
OTHERS_LESS_US = 0.7
UNPACK_US, UNPACK_SHARE = 0.4, 0.5
"""Of UNPACK: a fixed time, and the share of its cost that is measured."""
COLD_US: Mapping[Opcode, float] = {
    Opcode.PART: 0.3,
    Opcode.EMBED: 1.0,
    Opcode.QKV: 0.3,
    Opcode.ATTEND_PART: 1.8,
    Opcode.ATTEND: 1.8,
    Opcode.RESIDUAL: 1.8,
    Opcode.UP: 0.7,
    Opcode.HEAD: 0.6,
    Opcode.CONV_IN: 4.0,
    Opcode.CONV: 1.7,
    Opcode.CONV_OUT: 2.6,
}
"""The first instruction of a kind in a frame fetches its code: a CTA takes longer for it."""
LATE_US = 1.2
"""From a late wait to the end, beside half of the cost."""
SUM_US, SUMMED_PER_US = 0.9, 6300.0
"""Adding partial sums: a fixed time, and how many numbers an instruction adds, one part after
another.
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds: alone; from the end of its late wait to its own; of its wait for sums."""

    alone: float
    late: float
    merge: float


def timing_of(instruction: Instruction) -> Timing:
    """Estimated, with its code at hand."""
    op, cost = instruction.op, instruction.cost
    alone = max(0.5, cost - LESS_US.get(op, OTHERS_LESS_US))
    if op == Opcode.UNPACK:
        alone = UNPACK_US + UNPACK_SHARE * cost
    late = 0.5 * cost + LATE_US
    if op == Opcode.CONV_IN:  # it does nothing before
        late = alone
    elif op == Opcode.CONV_OUT:
        late = 0.5 * cost
    parts = max((w.target * w.count for w in instruction.waits if w.stage == 2), default=0)
    merge = SUM_US + parts * instruction.writes[0].area / SUMMED_PER_US
    return Timing(alone, late, merge)
