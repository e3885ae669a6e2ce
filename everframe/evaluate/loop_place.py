"""Where a long loop stands, on disk: a loop of 100,000 frames that was stopped goes on there."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from everframe.stream.saved import PICTURES

FLAGS = ("frames", "filled", "has_previous", "has_anchor")


class Remembering(Protocol):
    """A session whose memory can be read and replaced, see `stream.Session`."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on from here."""
        ...

    def load_state_dict(self, state: dict[str, Any], /, *, scale: bool = False) -> None:
        """Inverse of `state_dict`; `scale`: of a session of another frame size."""
        ...


@dataclass(slots=True, kw_only=True)
class Measured:
    """Values so far: of the frames `at` (counted from 1) PSNR in dB and a row of statistics."""

    at: list[int] = field(default_factory=list[int])
    psnr: list[float] = field(default_factory=list[float])
    rows: list[np.ndarray] = field(default_factory=list[np.ndarray])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlace:
    """The file in which a loop of a session keeps how far it is."""

    path: Path
    session: Remembering

    def save(self, done: int, measured: Measured) -> None:
        """Write frames done, values and the session's memory; what was there before stays until all
        is written.
        """
        state = self.session.state_dict()
        slots = state["slots"]
        arrays = {f"slot {i} {j}": v for i, slot in enumerate(slots) for j, v in enumerate(slot)}
        arrays |= {name: state[name] for name in (*PICTURES, *FLAGS)}
        arrays |= {"done": done, "counts": [len(slot) for slot in slots]}
        arrays |= {"at": measured.at, "psnr": measured.psnr, "rows": np.stack(measured.rows)}
        partial = self.path.with_name(f"{self.path.stem}.part.npz")
        np.savez(partial, **arrays)
        os.replace(partial, self.path)

    def load(self) -> tuple[int, Measured]:
        """Frames done and their values; the session, in which the stream has just begun, remembers
        them afterwards. Without a file, or with a damaged one, the loop begins at its first frame.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                kept = {name: file[name] for name in file.files}
        except (OSError, ValueError, BadZipFile):
            return 0, Measured()
        state = self.session.state_dict()
        state |= {name: kept[name] for name in PICTURES}
        state |= {name: kept[name].item() for name in FLAGS}
        state["slots"] = [
            [kept[f"slot {i} {j}"] for j in range(count)] for i, count in enumerate(kept["counts"])
        ]
        self.session.load_state_dict(state)
        at, psnr, rows = (kept[name] for name in ("at", "psnr", "rows"))
        return int(kept["done"]), Measured(at=at.tolist(), psnr=psnr.tolist(), rows=list(rows))
