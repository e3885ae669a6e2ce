"""One slot: the newest wins. Why a slow model never builds a queue."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item until it is taken; counts those that were replaced. Thread-safe."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._item: T | None = None
        self.dropped = 0

    def put(self, item: T) -> T | None:
        """Replace what is there; the item that it replaced, if any."""
        with self._lock:
            replaced, self._item = self._item, item
            self.dropped += replaced is not None
            return replaced

    def take(self) -> T | None:
        """The newest item, or None."""
        with self._lock:
            item, self._item = self._item, None
            return item

    def __bool__(self) -> bool:
        return self._item is not None
