"""Where does the mega kernel break? Small steps on a GPU, each in its own process and with a limit.

    python benchmarks/megakernel_steps.py --out steps.json

From one frame of a tiny network on one CTA to streams of the shipped models on the whole device.
A step that fails is tried again in simpler ways (no prefetch, no pipelining, Triton's own dispatch
at each launch, one CTA), so that the first failure says what kind it is. Prints a line a step and,
last, one JSON line; ends with status 1 if a step failed as it is meant to run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 150
"""Limit of a step, compilation included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stream of `frames` frames of `model` at (height, width), against eager float32.

    ctas 0: the device's; repeat: how often the last frame is made again and must be the same bits.
    """

    model: str
    size: tuple[int, int]
    frames: int = 1
    steps: int = 1
    ctas: int = 0
    repeat: int = 0
    delayed: bool = False


STEPS: dict[str, Step] = {
    "tiny, one CTA, frame 1": Step(model="tiny", size=(64, 96), ctas=1),
    "tiny, one CTA, frames 1 to 6": Step(model="tiny", size=(64, 96), ctas=1, frames=6),
    "tiny, all CTAs": Step(model="tiny", size=(64, 96), frames=6),
    "pocket, one CTA, frame 1": Step(model="pocket", size=(256, 256), ctas=1),
    "pocket, frame 1": Step(model="pocket", size=(256, 256)),
    "pocket, frames 1 to 6": Step(model="pocket", size=(256, 256), frames=6),
    "pocket, ragged size": Step(model="pocket", size=(224, 288), frames=6),
    "pocket, four steps": Step(model="pocket", size=(256, 256), frames=3, steps=4),
    "pocket, 2,000 times the same bits": Step(
        model="pocket", size=(256, 256), frames=2, repeat=2000
    ),
    "pocket, with delays": Step(
        model="pocket", size=(256, 256), frames=2, repeat=200, delayed=True
    ),
    "studio, frames 1 to 6": Step(model="studio", size=(256, 256), frames=6),
    "studio, 768x432": Step(model="studio", size=(432, 768), frames=3),
}
SIMPLER: dict[str, dict[str, int]] = {
    "no prefetch": {"AHEAD": 0},
    "no pipelining": {"STAGES": 1},
    "a running maximum": {"BOUNDED": 0},
    "its own dispatch": {},
    "one CTA": {},
}


def run_step(step: Step, simpler: str) -> dict[str, Any]:
    """Errors in levels of 255 per frame, ms per launch; to be called in a process of its own."""
    import torch

    from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine
    from everframe.runtime.torch_engine import torch_engine

    if simpler == "one CTA":
        step = replace(step, ctas=1)
    bundle = _bundle(step.model)
    truth = torch_engine(bundle, *step.size, "float32", compiled=False)
    options = KernelOptions(ctas=step.ctas or None, delayed=step.delayed)
    begin = time.monotonic()
    engine = MegakernelEngine(bundle, *step.size, torch.device("cuda"), options)
    kernel = engine.kernel(step.steps)
    if simpler and SIMPLER[simpler]:
        kernel.recompile(**SIMPLER[simpler])
    rng = np.random.default_rng(0)
    code = rng.standard_normal((engine.spec.prompt_tokens + 1, engine.spec.prompt_width))
    prepared = [e.prepare(code.astype(np.float32), step.steps) for e in (engine, truth)]
    noise = truth.to_engine(rng.standard_normal((3, *step.size)).astype(np.float32))
    history, errors = truth.empty_history(), list[float]()
    last: Any = None
    for number in range(step.frames):
        pixels = np.random.default_rng(number).integers(0, 256, (*step.size, 3), np.uint8)
        camera = truth.to_engine(pixels)
        if simpler == "its own dispatch":
            kernel.recompile()
        last = engine, history, camera, noise, prepared[0]
        made, _ = engine.step(history, camera, noise, prepared[0])
        exact, history = truth.step(history, camera, noise, prepared[1])
        history = history.anchored(output=exact, camera=camera)
        difference = engine.to_numpy(made).astype(np.float64) - truth.to_numpy(exact)
        errors.append(round(float(np.abs(difference).mean()), 3))
    result: dict[str, Any] = {"errors": errors, "ctas": engine.ctas}
    result["open_s"] = round(time.monotonic() - begin, 1)
    if step.repeat:
        result |= _again(*last, step.repeat)
    kernel.check()
    return result


def _again(
    engine: Any,  # noqa: ANN401 - a MegakernelEngine; torch is imported in the process of a step
    history: Any,  # noqa: ANN401
    camera: Any,  # noqa: ANN401
    noise: Any,  # noqa: ANN401
    prepared: Any,  # noqa: ANN401
    times: int,
) -> dict[str, Any]:
    import torch

    first, _ = engine.step(history, camera, noise, prepared)
    torch.cuda.synchronize()
    begin, different = time.monotonic(), 0
    for _ in range(times):
        again, _ = engine.step(history, camera, noise, prepared)
        different += int((again != first).any())
    torch.cuda.synchronize()
    return {"different": different, "ms": round(1e3 * (time.monotonic() - begin) / times, 3)}


def _bundle(name: str) -> Any:  # noqa: ANN401
    from everframe.arch.bundle import Bundle
    from everframe.arch.presets import preset
    from everframe.arch.torch_net import Net

    if name in ("pocket", "studio"):
        return Bundle.from_pretrained(name)
    net = Net(preset(name), seed=1)
    rng = np.random.default_rng(1)
    weights = {
        n: v + 0.02 * rng.standard_normal(v.shape, np.float32) for n, v in net.arrays().items()
    }
    return Bundle(spec=net.spec, weights=weights)


def good(result: dict[str, Any]) -> bool:
    """Near the truth in every frame, and the same bits each time."""
    errors = result.get("errors", [])
    near = bool(errors) and all(np.isfinite(e) and e < 2.0 for e in errors)
    return near and not result.get("different")


def in_process(name: str, simpler: str = "") -> dict[str, Any]:
    """Run a step in a process of its own; a fault or the limit is a result, too."""
    command = [sys.executable, __file__, "--step", name, "--simpler", simpler]
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"fault": f"not done after {SECONDS} s"}
    seconds = round(time.monotonic() - begin, 1)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"fault": lines[-1][:300], "trace": lines[-25:], "seconds": seconds}
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"seconds": seconds}


def told(result: dict[str, Any]) -> str:
    """A result in a line."""
    verdict = "pass" if good(result) else "FAIL"
    rest = {k: v for k, v in result.items() if k != "trace"}
    return f"{verdict}  {json.dumps(rest)}"


def ladder(say: Callable[[str], None], until_s: float) -> list[dict[str, Any]]:
    """All steps; a failing one again in simpler ways."""
    rows: list[dict[str, Any]] = []
    begin = time.monotonic()
    for name in STEPS:
        if time.monotonic() - begin > until_s:
            say(f"{name:<36} left out: time is over")
            continue
        result = in_process(name)
        rows.append({"step": name, "good": good(result), **result})
        say(f"{name:<36} {told(result)}")
        if good(result):
            continue
        for simpler in SIMPLER:
            other = in_process(name, simpler)
            rows.append({"step": name, "simpler": simpler, "good": good(other), **other})
            say(f"    {simpler:<32} {told(other)}")
    return rows


def main() -> None:
    """Read the command line, climb, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="rows as JSON")
    parser.add_argument("--until", type=float, default=540, metavar="S", help="begin no step later")
    parser.add_argument("--step", choices=list(STEPS), help="one step, in this process")
    parser.add_argument("--simpler", choices=["", *SIMPLER], default="")
    args = parser.parse_args()
    if args.step:
        print(json.dumps(run_step(STEPS[args.step], args.simpler)))
        return

    def say(line: str) -> None:
        print(line, flush=True)

    rows = ladder(say, args.until)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    failed = [row["step"] for row in rows if not row["good"] and "simpler" not in row]
    print(json.dumps({"failed": failed, "steps": len(STEPS)}))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
