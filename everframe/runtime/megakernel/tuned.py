"""Tiles that a sweep found fastest on this machine, kept by model, size, GPU and compiler."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from everframe.arch.spec import Spec
from everframe.runtime.megakernel.tiles import Tiles


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/everframe/tiles`, by default in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "everframe" / "tiles"


def tuning_key(spec: Spec, size: tuple[int, int], gpu: str, compiler: str) -> str:
    """Names a tuning.

    Args:
        spec: of the model; weights do not matter.
        size: height and width of the frame, pixels.
        gpu: name of the device.
        compiler: version of Triton.
    """
    text = json.dumps([asdict(spec), size, gpu, compiler], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def load_tiles(key: str) -> Tiles | None:
    """Tiles of an earlier sweep; None if there are none or the file does not fit this version."""
    try:
        stored = json.loads((cache_folder() / f"{key}.json").read_text(encoding="utf-8"))
        return Tiles(**stored)
    except (OSError, ValueError, TypeError):
        return None


def save_tiles(key: str, tiles: Tiles) -> None:
    """Keep tiles; a folder that cannot be written is no error, the next sweep finds them again."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{key}.{os.getpid()}"
        partial.write_text(json.dumps(asdict(tiles)) + "\n", encoding="utf-8")
        partial.replace(folder / f"{key}.json")
    except OSError:
        return
