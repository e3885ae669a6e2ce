"""What a run reports: one aligned console line and one JSON line per call, nothing else."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

Value = int | float | str

VALUE_COLUMNS = 10
"""Characters kept for a value, so that consecutive lines align."""


def format_line(step: int, values: dict[str, Value]) -> str:
    """Return `step 120  loss     0.1234  lr      3e-04`: the same columns for the same names."""
    cells = [f"{name} {_format(value):>{VALUE_COLUMNS}}" for name, value in values.items()]
    return "  ".join([f"step {step:>8,}", *cells])


class Report:
    """Writes values to a console stream, to a JSONL file, or to both.

    Args:
        console: where the aligned lines go, or None; give `sys.stdout` explicitly.
        path: JSONL file to append to, or None. A resumed run continues its file.

    Use it as a context manager, or call `close`. Each JSON line holds `step`, `elapsed_s` (seconds
    since this object was made) and the values.
    """

    def __init__(self, console: TextIO | None = None, path: Path | None = None) -> None:
        self._console = console
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        self._start_s = time.monotonic()

    def write(self, step: int, **values: Value) -> None:
        """Report the values of one step; the file is flushed, so that a crash loses nothing."""
        if self._console is not None:
            self._console.write(format_line(step, values) + "\n")
            self._console.flush()
        if self._file is not None:
            elapsed_s = round(time.monotonic() - self._start_s, 3)
            row: dict[str, Value] = {"step": step, "elapsed_s": elapsed_s, **values}
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; the console belongs to the caller."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _format(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value
