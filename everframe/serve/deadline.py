"""What to do with a frame that may be late: fewer steps, then the last picture again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from everframe.stream.control import STEP_CHOICES

Kind = Literal["model", "reuse"]
SMOOTHING = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Run the model with so many steps, or send the last picture again."""

    kind: Kind
    steps: int


@dataclass(slots=True, kw_only=True)
class Deadline:
    """Chooses so that a picture is at most `limit_ms` old when it leaves, where that can be.

    A machine that is too slow for even one step shows a new picture every second time rather than
    none: nothing is repeated twice in a row.
    """

    limit_ms: float
    cost_ms: dict[int, float] = field(default_factory=dict[int, float])
    _repeated: bool = False

    def choose(self, age_ms: float, steps: int, *, can_reuse: bool) -> Choice:
        """For a frame that came `age_ms` ago and shall have `steps` steps."""
        for fewer in sorted((s for s in STEP_CHOICES if s <= steps), reverse=True):
            if age_ms + self.expected_ms(fewer) <= self.limit_ms:
                self._repeated = False
                return Choice(kind="model", steps=fewer)
        self._repeated = can_reuse and not self._repeated
        return Choice(kind="reuse" if self._repeated else "model", steps=1)

    def expected_ms(self, steps: int) -> float:
        """Of a frame with so many steps: as measured, or in proportion to what was."""
        if steps in self.cost_ms or not self.cost_ms:
            return self.cost_ms.get(steps, 0.0)
        known = min(self.cost_ms)
        return self.cost_ms[known] * steps / known

    def took(self, steps: int, ms: float) -> None:
        """Learn what a frame with `steps` steps took."""
        before = self.cost_ms.get(steps, ms)
        self.cost_ms[steps] = before + SMOOTHING * (ms - before)
