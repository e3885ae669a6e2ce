"""Curves for tensorboard: event files beside the log of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

MISSING = 'no curves for tensorboard, which is optional: pip install "everframe[train]"'
FLUSH_S = 20


class Board:
    """Writes scalars of one run, or nothing where tensorboard is not installed (`writes` tells).

    Use it as a context manager, or call `close`.
    """

    def __init__(self, folder: Path | None = None, *, step: int = 0) -> None:
        """Write into `folder` (None: nowhere) what follows `step`: later points that a part of the
        run left there before it crashed are taken back.
        """
        self._writer = _writer(folder, step) if folder else None

    @property
    def writes(self) -> bool:
        """Whether values go anywhere."""
        return self._writer is not None

    def write(self, step: int, group: str, values: Mapping[str, float]) -> None:
        """Add a point to the curve `group/name` of each value."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _writer(folder: Path, step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter  # of the extra `train`
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1, flush_secs=FLUSH_S)
