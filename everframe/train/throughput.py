"""How much of a device training uses: operations of the steps over the time that they took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache

from everframe.arch.flops import clip_flops
from everframe.arch.spec import Spec
from everframe.train.config import TrainConfig

PROMPTS = 2
"""Prompts of a stream (`ClipBatch.states`)."""
TRAINING_FORWARDS = 3
"""A forward and a backward, which takes twice as many operations."""
PEAK_TFLOPS = {"NVIDIA H100 80GB HBM3": 989.0, "NVIDIA H200": 989.0}
"""Dense bfloat16 peak (NVIDIA H100 and H200 data sheets, SXM) by the name that torch gives."""


def forwards(frames: int, progress: float, config: TrainConfig) -> float:
    """Forwards that a step is worth, on average: with its share of own-history passes."""
    own = config.own_share if frames > 1 and progress > config.own_start else 0.0
    return TRAINING_FORWARDS + own


@cache
def stream_flops(spec: Spec, frames: int, size: tuple[int, int]) -> int:
    """One forward over a clip of one stream as training runs it; over `frames`: of a frame."""
    return clip_flops(spec, frames=frames, height=size[0], width=size[1], prompts=PROMPTS)


@dataclass(slots=True, kw_only=True)
class Throughput:
    """Operations on one device since they were last read.

    device: its name as `torch.cuda.get_device_name` gives it; others have no `mfu`.
    """

    spec: Spec
    device: str
    flops: float = 0.0
    since_s: float = field(default_factory=time.monotonic)

    def add(self, streams: int, frames: int, size: tuple[int, int], worth: float) -> None:
        """Count a step of `streams` clips that is `worth` so many forwards."""
        self.flops += streams * stream_flops(self.spec, frames, size) * worth

    def read(self) -> dict[str, float]:
        """`tflops` per second and, where the peak is known, `mfu`: its share of it, 0..1."""
        now = time.monotonic()
        tflops = self.flops / max(now - self.since_s, 1e-9) / 1e12
        self.flops, self.since_s = 0.0, now
        peak = PEAK_TFLOPS.get(self.device)
        return {"tflops": tflops} if peak is None else {"tflops": tflops, "mfu": tflops / peak}
