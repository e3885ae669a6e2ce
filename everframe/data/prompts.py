"""All training prompts, encoded once: text -> which look, how strong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everframe.text.encoder import TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLine:
    """One text: `label` is the look it names, `strength` 0..1 how much of it is wanted."""

    text: str
    label: int
    strength: float = 1.0


class PromptBook:
    """Token states of many prompts on the device."""

    def __init__(
        self, lines: Sequence[PromptLine], encoder: TextEncoder, device: torch.device
    ) -> None:
        """Encode all lines (about 10 ms each)."""
        self.lines = tuple(lines)
        tokens = [encoder.encode(line.text) for line in self.lines]
        self.states = torch.from_numpy(np.stack([t.states for t in tokens])).to(device)
        self.mask = torch.from_numpy(np.stack([t.mask for t in tokens])).to(device)
        self._rows: dict[int, list[int]] = {}
        for row, line in enumerate(self.lines):
            self._rows.setdefault(line.label, []).append(row)

    def draw(self, labels: Iterable[int], rng: np.random.Generator) -> np.ndarray:
        """A random row for each label."""
        rows = [self._rows[label] for label in labels]
        return np.array([r[rng.integers(len(r))] for r in rows], np.int64)

    def strengths(self, rows: np.ndarray) -> np.ndarray:
        """Strength of each row."""
        return np.array([self.lines[row].strength for row in rows], np.float32)

    def tokens(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """States [n, 16, 384] and mask [n, 16] of rows."""
        index = torch.from_numpy(rows).to(self.states.device, non_blocking=True)
        return self.states[index], self.mask[index]
