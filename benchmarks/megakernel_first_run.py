"""Where the mega kernel breaks on a new GPU, driver or Triton: `PYTHONPATH=. python
benchmarks/megakernel_first_run.py [--json FILE]`.

A ladder from an empty launch to the largest shipped model. Every rung runs in a process of its own
with a time limit, so that a hang or a broken context ends one rung only, and prints one line: PASS
or FAIL, the error against float32 in levels of 255 beside that of eager bfloat16, and the
instruction that got stuck. Large shapes have random weights, none of them zero. The rungs in the
middle run the whole machinery on fewer kinds of instructions or fewer CTAs at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.diffusion.programs import step_program
from everframe.runtime.bench import moving_frame
from everframe.runtime.engine import open_engine
from everframe.runtime.megakernel.isa import Opcode
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.tiles import default_tiles
from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine, trusted
from everframe.runtime.megakernel.torch_launch import Kernel, KernelStuckError
from everframe.runtime.torch_engine import torch_engine
from everframe.runtime.torch_shapes import SHAPES, drawn_bundle

SMALL, LARGE = (64, 96), (256, 256)
POLLS = 200_000
"""Of a wait, about a fifth of a second: a hang should cost seconds."""
SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder: a model, how many frames, CTAs (None: one per multiprocessor), steps;
    `first`: how much of the program (None: all), `opened`: by name, as a user does; `bulk`: tiles
    come through the copy engine.
    """

    bundle: Callable[[], Bundle]
    size: tuple[int, int] = LARGE
    frames: int = 1
    steps: int = 1
    ctas: int | None = None
    first: str | None = None
    opened: bool = False
    bulk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rung gave; errors in levels of 255, `usual`: of eager bfloat16; `note` for people."""

    rung: str
    passed: bool
    error_mean: float | None = None
    error_max: float | None = None
    usual: float | None = None
    ms: float | None = None
    seconds: float = 0.0
    note: str = ""


def _tiny(blocks: int | None = None) -> Bundle:
    spec = preset("tiny")
    return drawn_bundle(replace(spec, blocks=spec.blocks[:blocks]))


def part_of(shape: str) -> Callable[[], Bundle]:
    """The first blocks of a shape."""
    spec = SHAPES[shape][0]
    return lambda: drawn_bundle(replace(spec, blocks=spec.blocks[:4]))


def _shipped(name: str) -> Callable[[], Bundle]:
    return lambda: Bundle.from_pretrained(name)


LADDER: dict[str, Rung] = {
    "empty program": Rung(bundle=_tiny, size=SMALL, first="nothing"),
    "pictures in": Rung(bundle=_tiny, size=SMALL, ctas=1, first="unpack"),
    "one block, 1 CTA": Rung(bundle=lambda: _tiny(1), size=SMALL, ctas=1),
    "one block, 2 CTAs": Rung(bundle=lambda: _tiny(1), size=SMALL, ctas=2),
    "tiny, all CTAs": Rung(bundle=_tiny, size=SMALL),
    "pocket, 1 CTA": Rung(bundle=_shipped("pocket"), ctas=1),
    "pocket, 8 CTAs": Rung(bundle=_shipped("pocket"), ctas=8),
    "pocket, first frame": Rung(bundle=_shipped("pocket")),
    "pocket, second frame": Rung(bundle=_shipped("pocket"), frames=2),
    "pocket, 4 steps": Rung(bundle=_shipped("pocket"), frames=3, steps=4),
    "studio": Rung(bundle=_shipped("studio"), frames=3),
    "control, ring wrapped": Rung(bundle=lambda: drawn_bundle(preset("control")), frames=12),
    "A": Rung(bundle=part_of("A"), size=SHAPES["A"][1], frames=12),
    "C, 4 blocks": Rung(bundle=part_of("C"), size=SHAPES["C"][1], frames=7),
    "D, 4 blocks": Rung(bundle=part_of("D"), size=SHAPES["D"][1], frames=7),
    "C, copy engine": Rung(bundle=part_of("C"), size=SHAPES["C"][1], frames=7, bulk=True),
    "D, copy engine": Rung(bundle=part_of("D"), size=SHAPES["D"][1], frames=7, bulk=True),
    "pocket, opened by name": Rung(bundle=_shipped("pocket"), opened=True),
}


def climb(name: str) -> Outcome:
    """Run one rung in this process: on the GPU, or in Triton's interpreter where there is none."""
    rung, begin = LADDER[name], time.monotonic()
    bundle, gpu = rung.bundle(), torch.cuda.is_available()
    if rung.opened:
        opened = open_engine("megakernel", bundle, height=rung.size[0], width=rung.size[1])
        return outcome_of(name, begin, passed="instead" not in opened.name, note=opened.name)
    tiles = default_tiles(plan_frame(step_program(bundle.spec, *rung.size)))
    tiles = replace(tiles, bulk=int(rung.bulk))
    options = KernelOptions(tiles=tiles, ctas=rung.ctas, timed=gpu, interpreted=not gpu)
    device = torch.device("cuda" if gpu else "cpu")
    engine = MegakernelEngine(bundle, *rung.size, device, options)
    kernel = engine.kernel(rung.steps)
    kernel.recompile(LIMIT=POLLS)
    shape = f"{len(kernel.schedule.lists)} CTAs, {len(kernel.table)} instructions"
    rows = cut(kernel, rung.first) if rung.first is not None else None
    try:
        mean, worst, usual, ms = frames_of(engine, bundle, rung)
    except KernelStuckError as error:
        note = f"{error}; {shape}; {unfinished(kernel)}"
        return outcome_of(name, begin, passed=False, note=note)
    if rows is not None:
        signals = int(kernel.counters.sum())
        note = f"{signals} of {rows} instructions signalled"
        return outcome_of(name, begin, passed=signals == rows, note=note)
    done = replace(
        outcome_of(name, begin, passed=trusted(mean, usual), note=shape), error_max=worst
    )
    return replace(done, error_mean=round(mean, 4), usual=round(usual, 4), ms=round(ms, 4))


def outcome_of(name: str, begin: float, *, passed: bool, note: str) -> Outcome:
    """What a rung gave that has no errors."""
    seconds = round(time.monotonic() - begin, 1)
    return Outcome(rung=name, passed=passed, seconds=seconds, note=note)


def cut(kernel: Kernel, first: str) -> int:
    """Let the first list end early and the others be empty; returns how many instructions stay."""
    kinds = kernel.table[:, 0].tolist()
    unpacks = next(i for i, op in enumerate(kinds) if op != Opcode.UNPACK)
    rows = unpacks if first == "unpack" else 0
    kernel.starts[1:] = 0
    kernel.starts[1] = rows
    return rows


def frames_of(
    engine: MegakernelEngine,
    bundle: Bundle,
    rung: Rung,
    launched: Callable[[], None] = lambda: None,
) -> tuple[float, float, float, float]:
    """Worst mean and largest error of frames that follow those of float32; worst mean error of
    eager bfloat16; milliseconds of the last, copies and waiting of the host included. `launched` is
    called after each launch.
    """
    truth, half = (
        torch_engine(bundle, *rung.size, precision, compiled=False)
        for precision in ("float32", "bfloat16")
    )
    rng = np.random.default_rng(0)
    spec, size = engine.spec, rung.size
    code = rng.standard_normal((spec.prompt_tokens + 1, spec.prompt_width)).astype(np.float32)
    prepared = [each.prepare(code, rung.steps) for each in (engine, truth, half)]
    noise = truth.to_engine(rng.standard_normal((3, *size)).astype(np.float32))
    history, slots = truth.empty_history(), engine.empty_history().slots
    mean, worst, usual, ms = 0.0, 0.0, 0.0, 0.0
    for number in range(rung.frames):
        camera = truth.to_engine(moving_frame(number, *size))
        begin = time.perf_counter()
        made, after = engine.step(replace(history, slots=slots), camera, noise, prepared[0])
        launched()
        pixels = engine.to_numpy(made).astype(np.float64)
        ms = (time.perf_counter() - begin) * 1e3
        rough, _ = half.step(history, camera, noise, prepared[2])
        exact, history = truth.step(history, camera, noise, prepared[1])
        right = truth.to_numpy(exact).astype(np.float64)
        usual = max(usual, float(np.abs(half.to_numpy(rough) - right).mean()))
        difference = np.abs(pixels - right)
        mean, worst = max(mean, float(difference.mean())), max(worst, float(difference.max()))
        slots = after.slots
        if not history.has_anchor:
            history = history.anchored(output=exact, camera=camera)
    return mean, worst, usual, ms


def unfinished(kernel: Kernel) -> str:
    """Instructions that began and did not end, oldest first, and how many never began."""
    times = kernel.stamps.cpu().numpy().reshape(-1, 2)
    open_ = np.flatnonzero((times[:, 0] > 0) & (times[:, 1] < times[:, 0]))
    oldest = sorted(open_, key=lambda task: int(times[task, 0]))[:SHOWN]
    names = ", ".join(kernel.schedule.graph.instructions[task].name for task in oldest)
    missing = int((times[:, 0] == 0).sum())
    return f"unfinished: {names or 'none'}; never begun: {missing} of {len(times)}"


def _apart(name: str, limit_s: float) -> Outcome:
    """Run one rung in a process of its own."""
    command = [sys.executable, __file__, "--rung", name]
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(rung=name, passed=False, seconds=limit_s, note="ran out of time")
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return Outcome(**json.loads(lines[-1]))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Outcome(
        rung=name, passed=False, seconds=round(time.monotonic() - begin, 1), note=last[:400]
    )


def line_of(outcome: Outcome) -> str:
    """For people."""
    mark = "PASS" if outcome.passed else "FAIL"
    error = "" if outcome.error_max is None else f"max error {outcome.error_max:.0f} levels, "
    error += "" if outcome.error_mean is None else f"mean {outcome.error_mean:.3f} "
    error += "" if outcome.usual is None else f"(bfloat16: {outcome.usual:.3f}), "
    return f"{mark} {outcome.rung:22} {error}{outcome.seconds:.0f} s; {outcome.note}"


def told(outcomes: Iterable[Outcome], path: str | None) -> int:
    """A line for each outcome as it comes, all so far in a file, JSON last; the exit status."""
    seen: list[Outcome] = []
    for outcome in outcomes:
        seen.append(outcome)
        print(line_of(outcome), flush=True)
        if path is not None:
            rows = [asdict(each) for each in seen]
            Path(path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({each.rung: each.passed for each in seen}))
    return 0 if all(each.passed for each in seen) else 1


def main() -> int:
    """Climb all rungs; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", help="run only this one, in this process, and print JSON")
    parser.add_argument("--json", metavar="FILE", help="write the outcomes to a file")
    parser.add_argument("--limit", type=float, default=90, metavar="S", help="of a rung, seconds")
    args = parser.parse_args()
    if args.rung is not None:
        print(json.dumps(asdict(climb(args.rung))))
        return 0
    return told((_apart(name, args.limit) for name in LADDER), args.json)


if __name__ == "__main__":
    sys.exit(main())
