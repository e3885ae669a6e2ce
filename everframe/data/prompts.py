"""All training prompts, each encoded once: text -> which look, how strong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from everframe.arch.spec import TEXT_TOKENS, TEXT_WIDTH
from everframe.text.encoder import PromptTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLine:
    """One text: `label` is the look it names, `strength` 0..1 how much of it is wanted."""

    text: str
    label: int
    strength: float = 1.0


class Encodes(Protocol):
    """What makes token states of texts, as `TextEncoder` does."""

    def encode(self, prompt: str) -> PromptTokens:
        """Encode one text."""
        ...


class PromptBook:
    """Token states of many prompts on the device."""

    def __init__(self, lines: Sequence[PromptLine], encoder: Encodes, device: torch.device) -> None:
        """Encode all lines (about 10 ms each): now for a GPU, which must not wait later, else when
        first drawn, so that a small run on a CPU starts at once.
        """
        self.lines = tuple(lines)
        self._encoder = encoder
        shape = (len(self.lines), TEXT_TOKENS)
        self._states = torch.zeros((*shape, TEXT_WIDTH), device=device)
        self._mask = torch.zeros(shape, dtype=torch.bool, device=device)
        self._known = np.zeros(len(self.lines), np.bool_)
        if device.type == "cuda":
            self._encode(np.arange(len(self.lines)))
        self._rows: dict[int, list[int]] = {}
        for row, line in enumerate(self.lines):
            self._rows.setdefault(line.label, []).append(row)

    def draw(self, labels: Iterable[int], rng: np.random.Generator) -> np.ndarray:
        """A random row for each label."""
        rows = [self._rows[label] for label in labels]
        return np.array([r[rng.integers(len(r))] for r in rows], np.int64)

    def rows_of(self, label: int) -> np.ndarray:
        """All rows of a label, in the order of the lines."""
        return np.array(self._rows[label], np.int64)

    def strengths(self, rows: np.ndarray) -> np.ndarray:
        """Strength of each row."""
        return np.array([self.lines[row].strength for row in rows], np.float32)

    def tokens(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """States [n, 16, 384] and mask [n, 16] of rows."""
        self._encode(np.unique(rows[~self._known[rows]]))
        index = torch.from_numpy(rows).to(self._states.device, non_blocking=True)
        return self._states[index], self._mask[index]

    def _encode(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        tokens = [self._encoder.encode(self.lines[row].text) for row in rows]
        index = torch.from_numpy(rows).to(self._states.device)
        self._states[index] = torch.from_numpy(np.stack([t.states for t in tokens])).to(
            index.device
        )
        self._mask[index] = torch.from_numpy(np.stack([t.mask for t in tokens])).to(index.device)
        self._known[rows] = True
