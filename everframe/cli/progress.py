"""How far a run is: a bar on a terminal, else one line every few seconds, on standard error."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from everframe.stream import pump

LINE_EVERY_S = 5.0
"""Seconds between lines where there is no terminal."""
BAR_EVERY_S = 0.1
"""Seconds between updates of the bar: drawing must not cost frames."""


class ProgressLine:
    """Shows frames, frames per second and the time left; a context manager.

    Args:
        total: frames to come, or None if unknown.
        quiet: show nothing.
    """

    def __init__(self, total: int | None, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._shown_s = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if not quiet and console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("frames  {task.fields[fps]:.1f} fps"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("restyle", total=total, fps=0.0)

    def update(self, progress: pump.Progress) -> None:
        """Take the state of the run; draws only now and then."""
        now_s = time.monotonic()
        every_s = LINE_EVERY_S if self._bar is None else BAR_EVERY_S
        if self._quiet or now_s - self._shown_s < every_s:
            return
        self._shown_s = now_s
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.frames, fps=progress.fps)
            return
        known = f" of {self._total}" if self._total is not None else ""
        print(f"{progress.frames}{known} frames, {progress.fps:.1f} fps", file=sys.stderr)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
