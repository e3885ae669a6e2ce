"""A timed launch as a picture: a row per CTA, a colour per opcode; white is waiting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everframe.core.errors import UserError
from everframe.runtime.megakernel.isa import Opcode
from everframe.runtime.megakernel.schedule import Schedule


def draw_timeline(schedule: Schedule, stamps: NDArray[np.int64], path: Path, *, title: str) -> None:
    """Write a PNG.

    Args:
        schedule: what ran.
        stamps: nanoseconds at which each instruction began and ended, flat, by its number.
        path: of the PNG.
        title: above the picture.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # heavy, and only needed here
    except ImportError:
        raise UserError(
            "the timeline picture needs matplotlib: pip install 'everframe[evaluate]'"
        ) from None
    times = (stamps.reshape(-1, 2) - stamps.min()) / 1e3
    figure = Figure(figsize=(14, 7), layout="constrained")
    axis = figure.subplots()
    for op in Opcode:
        rows: list[int] = []
        tasks: list[int] = []
        for cta, own in enumerate(schedule.lists):
            mine = [task for task in own if schedule.graph.instructions[task].op == op]
            rows += [cta] * len(mine)
            tasks += mine
        if tasks:
            begin, end = times[tasks].T
            colour = f"C{int(op) % 10}"
            hatch = "////" if op >= 10 else None
            axis.barh(
                rows, end - begin, 0.9, begin, color=colour, label=op.name.lower(), hatch=hatch
            )
    axis.set_xlabel("microseconds; the time of an instruction includes its waiting")
    axis.set_ylabel("CTA")
    axis.set_ylim(len(schedule.lists) - 0.5, -0.5)
    axis.set_title(title)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=12, fontsize=8)
    figure.savefig(path, dpi=130)


def estimated_stamps(schedule: Schedule) -> NDArray[np.int64]:
    """Stamps as the schedule's own estimate expects them, to set beside measured ones."""
    stamps = np.zeros((len(schedule.graph.instructions), 2), np.int64)
    for task, (begin, end) in schedule.expected.items():
        stamps[task] = round(begin * 1e3), round(end * 1e3)
    return stamps.reshape(-1)
