"""Tiles that a sweep found fastest: on this machine, kept by model, size, GPU and compiler, and on
ours, which come with the package (`tuned.json`).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from everframe.arch.spec import Spec
from everframe.runtime.megakernel.tiles import Tiles

SHIPPED = Path(__file__).with_name("tuned.json")
"""Key of model and size -> name, size, milliseconds, tiles."""


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


def shipped_tiles(spec: Spec, size: tuple[int, int]) -> Tiles | None:
    """What `benchmarks/megakernel_small.py --ship` found for a whole GPU of 132 multiprocessors."""
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    found = shipped.get(tuning_key(spec, size, "", ""))
    return None if found is None else Tiles(**found["tiles"])


def ship_tiles(name: str, spec: Spec, size: tuple[int, int], tiles: Tiles, ms: float) -> None:
    """Write tiles that took `ms` a frame into the package's file: what differs from `Tiles`."""
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    plain = asdict(Tiles())
    changed = {key: value for key, value in asdict(tiles).items() if value != plain[key]}
    key = tuning_key(spec, size, "", "")
    shipped[key] = {"name": name, "size": size, "ms": ms, "tiles": changed}
    SHIPPED.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")


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
