"""A stream's memory as plain arrays: to be kept, or carried over to another frame size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everframe.arch.history import History
from everframe.core.errors import UserError
from everframe.runtime.engine import Engine

ANCHOR = ("anchor_output", "anchor_camera")
PICTURES = ("previous", *ANCHOR)
PARTS = (
    "version", "size", "control", "frames", "fade", "slots", "filled", "has_previous", "has_anchor",
    *PICTURES,
)  # fmt: skip


def check(state: dict[str, Any], engine: Engine[Any], *, version: int) -> None:
    """Refuse what is no state of a session, or one of another model.

    Raises:
        UserError: parts are missing, the version is newer, or the cached values do not fit.
    """
    missing = [name for name in PARTS if name not in state]
    if missing:
        raise UserError(
            f"this is no session state ({missing[0]} is missing); see Session.state_dict"
        )
    if state["version"] > version:
        raise UserError("this session state was saved by a newer everframe; update this one")
    if state["slots"] is None:
        return

    def shapes(slots: Iterable[Iterable[NDArray[Any]]]) -> list[list[tuple[int, ...]]]:
        """Of each block's keys and values, but for the number of patches."""
        return [[(*v.shape[:2], *v.shape[3:]) for v in slot] for slot in slots]

    wanted = [[engine.to_numpy(v) for v in slot] for slot in engine.empty_history().slots]
    if shapes(state["slots"]) != shapes(wanted):
        raise UserError(
            "this session state is of another model; open the session with the model that it was "
            "saved with"
        )


def pack(history: History[Any], engine: Engine[Any]) -> dict[str, Any]:
    """Copies of all values of a memory."""
    slots = [[engine.to_numpy(v).copy() for v in slot] for slot in history.slots]
    pictures = (history.previous, history.anchor_output, history.anchor_camera)
    return {
        **{n: engine.to_numpy(v).copy() for n, v in zip(PICTURES, pictures, strict=True)},
        "slots": slots,
        "filled": history.filled,
        "has_previous": history.has_previous,
        "has_anchor": history.has_anchor,
    }


def unpack(saved: dict[str, Any], engine: Engine[Any]) -> History[Any]:
    """Inverse of `pack` for the same frame size; `slots` None: nothing is cached."""
    put, slots = engine.to_engine, saved["slots"]
    cached = engine.empty_history().slots
    if slots is not None:
        cached = tuple(tuple(put(v) for v in slot) for slot in slots)
    return History(
        previous=put(saved["previous"]),
        anchor_output=put(saved["anchor_output"]),
        anchor_camera=put(saved["anchor_camera"]),
        slots=cached,
        filled=saved["filled"],
        has_previous=saved["has_previous"],
        has_anchor=saved["has_anchor"],
    )


def scaled(saved: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """The same memory at another frame size: pictures are resampled, cached keys and values (which
    belong to patches) are dropped; the ring fills again within a few frames. The anchors of the
    sizes before are kept in `anchors`: a stream that comes back has its own again, not blurred.
    """
    anchors = {**saved["anchors"], tuple(saved["size"]): tuple(saved[name] for name in ANCHOR)}
    pictures = {name: _scaled(saved[name], height, width) for name in PICTURES}
    if (height, width) in anchors:
        pictures |= dict(zip(ANCHOR, anchors[height, width], strict=True))
    changed = {"size": (height, width), "slots": None, "filled": 0, "anchors": anchors}
    return {**saved, **pictures, **changed}


def _scaled(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).copy()
