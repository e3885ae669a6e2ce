"""What the folder of a model says about it, without loading the model."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from everframe.arch.bundle import CARD_FILE, SCALE_SUFFIX, WEIGHTS_FILE

_HEADER_MAX_BYTES = 100_000_000
"""Longest header that the safetensors format allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """What a bundle's folder tells without loading it.

    Attributes:
        name: name of the model.
        folder: where it is.
        size_bytes: size on disk of all its files.
        parameters: number of weights, or None if it has no readable weight file.
        figures: `key: value` pairs at the head of its card.
        card: text of the card without that head; empty if there is none.
    """

    name: str
    folder: Path
    size_bytes: int
    parameters: int | None
    figures: dict[str, str]
    card: str


def read_facts(name: str, folder: Path) -> BundleFacts:
    """Read what a bundle's folder tells; a missing or damaged part is left empty."""
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    figures, body = split_card(text)
    return BundleFacts(
        name=name,
        folder=folder,
        size_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        parameters=count_parameters(folder / WEIGHTS_FILE),
        figures=figures,
        card=body,
    )


def split_card(text: str) -> tuple[dict[str, str], str]:
    """Split a card into the `key: value` lines between `---` at its head, and the rest."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (x.strip() for x in lines[1:]):
        return {}, text
    end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
    pairs = (line.split(":", 1) for line in lines[1:end] if ":" in line and line[0] not in " #-")
    figures = {key.strip(): value.strip().strip("\"'") for key, value in pairs if value.strip()}
    return figures, "\n".join(lines[end + 1 :]).strip() + "\n"


def count_parameters(weights: Path) -> int | None:
    """Count the weights of a safetensors file from its header; None if it is no such file.

    Scales of quantised tensors do not count. The header is a little-endian uint64 length and
    so much JSON: name -> {dtype, shape, ...}.
    """
    try:
        with weights.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_MAX_BYTES:
                return None
            header: object = json.loads(file.read(length))
    except (OSError, ValueError, struct.error):
        return None
    if not isinstance(header, dict):
        return None
    total = 0
    for name, entry in cast(dict[str, dict[str, object]], header).items():
        if name == "__metadata__" or name.endswith(SCALE_SUFFIX):
            continue
        count = 1
        for side in cast(list[int], entry["shape"]):
            count *= side
        total += count
    return total
