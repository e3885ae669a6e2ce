"""Where the Gluon kernel breaks on a GPU: `PYTHONPATH=. python benchmarks/gluon_first_run.py
[--json FILE]`, at most 75 s. For the Triton kernel: `benchmarks/megakernel_first_run.py`.

Every rung has a process of its own. All start at once and compile side by side; then each holds the
GPU alone. A wait for a counter gives up by itself; an mbarrier whose count is wrong waits for ever:
so a rung looks whether its launch has ended, and if it has not in time, says which instructions had
begun and kills itself.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import torch
from megakernel_first_run import (
    Outcome,
    Rung,
    cut,
    frames_of,
    outcome_of,
    part_of,
    told,
    unfinished,
)

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.arch.spec import BlockSpec
from everframe.runtime.megakernel.tiles import GLUON
from everframe.runtime.megakernel.torch_engine import (
    KernelOptions,
    MegakernelEngine,
    megakernel_engine,
    trusted,
)
from everframe.runtime.megakernel.torch_launch import Kernel, KernelStuckError
from everframe.runtime.torch_shapes import SHAPES, drawn_bundle

POLLS = 200_000
LAUNCH_S = 3.0
"""Longest that a launch may take; the largest takes milliseconds."""
ALONE_S = 12
"""Longest that a rung may hold the GPU: its frames, and those of eager torch."""
SIGNALS = 2
"""Of an instruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GluonRung(Rung):
    """bounded: softmax without a running maximum, None: as the weights allow; delayed: partitions
    are held up at random; light: fences of global memory only.
    """

    bounded: bool | None = None
    delayed: bool = False
    light: bool = False


def _small(head_dim: int, *past: int) -> Callable[[], Bundle]:
    """Blocks of one head group, patches of 8 pixels."""
    blocks = tuple(BlockSpec(heads=256 // head_dim, ffn=160, history_frames=n) for n in past)
    spec = replace(preset("tiny"), width=128, head_dim=head_dim, patch=8, blocks=blocks)
    return lambda: drawn_bundle(spec)


TAIL_16, TAIL_72, NO_TAIL = (96, 96), (80, 160), (128, 128)
C, D = (SHAPES[name][1] for name in "CD")
LADDER: dict[str, GluonRung] = {
    "empty program": GluonRung(bundle=_small(64, 0), size=TAIL_16, first="nothing"),
    "pictures in": GluonRung(bundle=_small(64, 0), size=TAIL_16, ctas=1, first="unpack"),
    "one block, 1 CTA": GluonRung(bundle=_small(64, 0), size=TAIL_16, ctas=1),
    "one block, all CTAs": GluonRung(bundle=_small(64, 1), size=TAIL_16, frames=3),
    "head 128, no tail": GluonRung(bundle=_small(128, 1, 0), size=NO_TAIL, frames=3),
    "tails of 72, wrapped": GluonRung(bundle=_small(128, 2, 1), size=TAIL_72, frames=7),
    "two steps": GluonRung(bundle=_small(64, 3), size=TAIL_72, frames=5, steps=2),
    "running maximum": GluonRung(bundle=_small(128, 2), size=TAIL_72, frames=4, bounded=False),
    "delays": GluonRung(bundle=_small(64, 2, 1), size=TAIL_16, frames=7, delayed=True),
    "delays, light": GluonRung(
        bundle=_small(64, 2, 1), size=TAIL_16, frames=7, delayed=True, light=True
    ),
    "C, 4 blocks": GluonRung(bundle=part_of("C"), size=C, frames=7),
    "D, 4 blocks": GluonRung(bundle=part_of("D"), size=D, frames=7),
    "D, light": GluonRung(bundle=part_of("D"), size=D, frames=7, light=True),
    "C, opened": GluonRung(bundle=part_of("C"), size=C, opened=True),
}


def climb(name: str, lock: IO[str]) -> Outcome:
    """Run one rung in this process, on the GPU."""
    rung, begin = LADDER[name], time.monotonic()
    bundle = rung.bundle()
    device = torch.device("cuda")
    if rung.opened:
        _build(MegakernelEngine(bundle, *rung.size, device, KernelOptions(kernel=GLUON)), rung)
        _alone(lock)
        opened = megakernel_engine(bundle, *rung.size, "auto", GLUON)
        return outcome_of(name, begin, passed="instead" not in opened.name, note=opened.name)
    options = KernelOptions(kernel=GLUON, ctas=rung.ctas, timed=True, delayed=rung.delayed)
    engine = MegakernelEngine(bundle, *rung.size, device, options)
    kernel = engine.kernel(rung.steps)
    changed = {} if rung.bounded is None else {"BOUNDED": int(rung.bounded)}
    kernel.recompile(LIMIT=POLLS, LIGHT=int(rung.light), **changed)
    _build(engine, rung)
    compiled = time.monotonic() - begin
    shape = f"{len(kernel.schedule.lists)} CTAs, {len(kernel.table)} instructions"
    shape += f", ready after {compiled:.0f} s"
    rows = cut(kernel, rung.first) if rung.first is not None else None
    _alone(lock)
    try:
        mean, worst, usual, ms = frames_of(engine, bundle, rung, lambda: _ended(kernel, name))
    except KernelStuckError as error:
        note = f"{error}; {shape}; {unfinished(kernel)}"
        return outcome_of(name, begin, passed=False, note=note)
    if rows is not None:
        signals = int(kernel.counters.sum())
        note = f"{signals} signals of {rows} instructions; {shape}"
        return outcome_of(name, begin, passed=signals == SIGNALS * rows, note=note)
    done = replace(
        outcome_of(name, begin, passed=trusted(mean, usual), note=shape), error_max=worst
    )
    return replace(done, error_mean=round(mean, 4), usual=round(usual, 4), ms=round(ms, 4))


def _build(engine: MegakernelEngine, rung: Rung) -> None:
    """Compile into Triton's cache without a launch."""
    kernel = engine.kernel(rung.steps)
    spec, size = engine.spec, rung.size
    code = np.zeros((spec.prompt_tokens + 1, spec.prompt_width), np.float32)
    camera = engine.to_engine(np.zeros((*size, 3), np.uint8))
    noise = engine.to_engine(np.zeros((3, *size), np.float32))

    def compile_only(*arguments: object) -> None:
        kernel.function.warmup(
            *arguments,
            **kernel.options,
            grid=(len(kernel.schedule.lists), 1, 1),
            num_warps=kernel.warps,
            launch_cooperative_grid=True,
        )

    kernel._launch = compile_only  # shadows the method of this one kernel
    engine.step(engine.empty_history(), camera, noise, engine.prepare(code, rung.steps))
    del kernel._launch
    kernel.epoch = 0


def _alone(lock: IO[str]) -> None:
    """Wait for the GPU; who holds it too long is killed."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.alarm(ALONE_S)


def _ended(kernel: Kernel, name: str) -> None:
    """Wait for a launch, or say how far it came and give up."""
    ended, begin = torch.cuda.Event(), time.monotonic()
    ended.record()
    while not ended.query():
        if time.monotonic() - begin > LAUNCH_S:
            with torch.cuda.stream(torch.cuda.Stream()):  # beside the launch that hangs
                kernel.stamps = kernel.stamps.to("cpu")
            print(
                json.dumps(asdict(outcome_of(name, begin, passed=False, note=unfinished(kernel))))
            )
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1e-4)


@dataclass(frozen=True, slots=True)
class Climbing:
    """A rung in its process."""

    name: str
    child: subprocess.Popen[str]
    out: IO[str]
    said: IO[str]


def _started(name: str, lock: str, out: IO[str], said: IO[str]) -> Climbing:
    command = [sys.executable, __file__, "--rung", name, lock]
    child = subprocess.Popen(command, stdout=out, stderr=said, text=True)
    return Climbing(name, child, out, said)


def _result(rung: Climbing, seconds: float) -> Outcome:
    """What a rung printed, or how it ended."""
    failed = Outcome(rung=rung.name, passed=False, note="no time was left")
    try:
        code = rung.child.wait(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        rung.child.kill()
        return failed
    rung.out.seek(0)
    rung.said.seek(0)
    lines, errors = (file.read().strip().splitlines() for file in (rung.out, rung.said))
    if lines and lines[-1].startswith("{"):
        return Outcome(**json.loads(lines[-1]))
    if code == -signal.SIGALRM:
        return replace(failed, note=f"held the GPU for more than {ALONE_S} s")
    return replace(failed, note=(errors or ["no message"])[-1][:400])


def main() -> int:
    """Climb all rungs; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", nargs=2, metavar=("NAME", "LOCK"), help="in this process")
    parser.add_argument("--only", nargs="*", default=list(LADDER), choices=list(LADDER))
    parser.add_argument("--json", metavar="FILE", help="write the outcomes to a file")
    parser.add_argument("--budget", type=float, default=75, metavar="S", help="of everything")
    args = parser.parse_args()
    if args.rung:
        with Path(args.rung[1]).open("w") as lock:
            print(json.dumps(asdict(climb(args.rung[0], lock))))
        return 0
    end = time.monotonic() + args.budget
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # files, because a full pipe would hold up a child that others wait for
        files = [
            [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)] for _ in args.only
        ]
        lock = str(Path(folder, "lock"))
        rungs = [_started(n, lock, *own) for n, own in zip(args.only, files, strict=True)]
        return told((_result(rung, end - time.monotonic()) for rung in rungs), args.json)


if __name__ == "__main__":
    sys.exit(main())
