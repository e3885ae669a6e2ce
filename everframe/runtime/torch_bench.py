"""The engines of a GPU against each other and against the floor: time on the device for one frame.

Every sample is queued behind a short sleep of the device, so that the speed of Python does not
count; eager torch is also measured as it is used, bound by its launches.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.flops import flops
from everframe.arch.history import slot_shapes
from everframe.arch.program import Program, elements
from everframe.arch.spec import Spec
from everframe.core.errors import UserError
from everframe.diffusion.programs import step_program
from everframe.runtime.bench import commit, moving_frame
from everframe.runtime.engine import PreparedSteps
from everframe.runtime.engine_rows import AUTOTUNED, BASELINES, KERNEL, GpuRow
from everframe.runtime.megakernel.plan import UnsupportedError
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.tiles import GLUON, TRITON, Tiles, kernels_of
from everframe.runtime.megakernel.timeline import draw_timeline
from everframe.runtime.megakernel.torch_engine import (
    DEFAULT_KERNEL,
    KernelOptions,
    MegakernelEngine,
    disagreement,
    trusted,
)
from everframe.runtime.megakernel.tune import candidates, gluon_candidates, phase_lines, trace
from everframe.runtime.torch_engine import TorchEngine, torch_engine
from everframe.runtime.torch_shapes import Size, bundle_of, steps_of

SAMPLES = 200
EAGER_SAMPLES = 20
"""Of eager torch without a graph, whose time is that of Python."""
ENGINES = (KERNEL, *BASELINES, AUTOTUNED)
SLEEP_CYCLES = 1_000_000
"""About half a millisecond: longer than Python takes to queue a captured frame or one launch."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is measured of a shape.

    Args:
        engines: names of `ENGINES`.
        kernel: which mega kernel, one of `tiles.KERNELS`; None: the one that is opened by name.
        sweep: how many tile candidates of the mega kernel to try, at least 1.
        sweep_s: time limit of the candidates together.
        samples: timed frames of each engine; eager without a graph gets fewer.
        autotune_s: time limit of torch.compile's max-autotune mode.
        commit: of the code, where it is no checkout.
    """

    engines: frozenset[str]
    kernel: str | None = None
    sweep: int = 1
    sweep_s: float = 600
    samples: int = SAMPLES
    autotune_s: float = 300
    commit: str | None = None


@dataclass(slots=True, kw_only=True)
class ShapeResult:
    """Rows of a shape, and remarks (engine -> text): tiles, errors, what did not run."""

    rows: list[GpuRow] = field(default_factory=list[GpuRow])
    remarks: dict[str, str] = field(default_factory=dict[str, str])
    best: MegakernelEngine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What this device reaches: bfloat16 matrix rate and copy rate, measured."""

    flops_per_s: float
    bytes_per_s: float


def device_ms(frame: Callable[[], object], samples: int = SAMPLES) -> list[float]:
    """Milliseconds on the device of each of `samples` frames."""
    for _ in range(5):
        frame()
    pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    for _ in range(samples):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(SLEEP_CYCLES)  # pyright: ignore[reportPrivateUsage]
        begin.record()
        frame()
        end.record()
        pairs.append((begin, end))
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in pairs]


def ceilings() -> Ceilings:
    """Measure a large matrix product and a large copy.

    Raises:
        UserError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("bench engines needs an NVIDIA GPU; on this machine run: everframe bench")
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    product = float(np.median(device_ms(lambda: a @ a, 20)))
    source = torch.empty(1 << 29, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    copy = float(np.median(device_ms(lambda: target.copy_(source), 20)))
    return Ceilings(
        flops_per_s=2 * 8192**3 / product * 1e3, bytes_per_s=2 * source.numel() / copy * 1e3
    )


def floor_ms(spec: Spec, size: Size, ceiling: Ceilings, steps: int = 1) -> float:
    """The larger of the time for the arithmetic and for reading weights and memory once a step."""
    program = step_program(spec, *size)
    weights = sum(elements(value.shape) for value in program.named("weight").values())
    rows, cols = spec.grid(*size)
    memory = sum(elements(s) for s in slot_shapes(spec, rows * cols)) * (spec.window + 1)
    pixels = size[0] * size[1] * 3 * (4 + 4 + 1)
    moved = 2 * (weights + memory) + pixels
    return 1e3 * steps * max(flops(program) / ceiling.flops_per_s, moved / ceiling.bytes_per_s)


@dataclass(slots=True)
class BenchStream:
    """An engine in the middle of a stream: every frame costs the same."""

    engine: TorchEngine
    prepared: PreparedSteps[Tensor]
    camera: Tensor
    noise: Tensor
    history: Any

    def frame(self) -> object:
        """One frame; the memory stays as it is."""
        return self.engine.step(self.history, self.camera, self.noise, self.prepared)


def bench_stream(engine: TorchEngine, steps: int = 1) -> BenchStream:
    """A stream whose memory is full, with random prompt and noise."""
    spec, size = engine.spec, (engine.height, engine.width)
    rng = np.random.default_rng(0)
    code = rng.standard_normal((spec.prompt_tokens + 1, spec.prompt_width)).astype(np.float32)
    noise = engine.to_engine(rng.standard_normal((3, *size)).astype(np.float32))
    camera = engine.to_engine(moving_frame(0, *size))
    prepared = engine.prepare(code, steps)
    if not isinstance(engine, MegakernelEngine):
        # a strong baseline: autocast would convert all matrices again in every frame
        engine.params = {n: v.bfloat16() if v.ndim > 1 else v for n, v in engine.params.items()}
    history = engine.empty_history()
    for _ in range(spec.window + 1):
        made, history = engine.step(history, camera, noise, prepared)
        history = history.anchored(output=made, camera=camera)
    torch.cuda.synchronize()
    return BenchStream(engine, prepared, camera, noise, history)


def captured(stream: BenchStream) -> Callable[[], object]:
    """The frame as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            stream.frame()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream.frame()
    return graph.replay


def autotuned_ms(shape: str, limit_s: float) -> list[float]:
    """Times of torch.compile's max-autotune mode with a CUDA graph, from a process that can be
    stopped.

    Raises:
        RuntimeError: it failed or ran out of time.
    """
    command = [sys.executable, "-m", "everframe.runtime.torch_autotune", shape]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            printed, _ = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # its compiler's workers too
            raise RuntimeError(f"did not end within {limit_s:.0f} s") from None
    if child.returncode:
        raise RuntimeError(f"ended with code {child.returncode}")
    return [float(x) for x in json.loads(printed.strip().splitlines()[-1])]


def measure_shape(
    shape: str, ceiling: Ceilings, wanted: Wanted, *, keep: Callable[[GpuRow], None], tell: Tell
) -> ShapeResult:
    """Engines of a shape, one after the other, on the current device.

    Args:
        shape: a name of `SHAPES` or a shipped model.
        ceiling: from `ceilings`.
        wanted: which engines, and how thoroughly.
        keep: gets each row as soon as it is there.
        tell: gets a line about what is going on.

    Raises:
        UserError: no such shape.
    """
    bundle, size = bundle_of(shape)
    result = ShapeResult()
    steps = steps_of(shape)
    floor = floor_ms(bundle.spec, size, ceiling, steps)
    here = wanted.commit or commit(Path(__file__).parent)

    def add(engine: str, times: Sequence[float]) -> None:
        p50, p95 = (round(float(x), 4) for x in np.percentile(times, [50, 95]))
        tell(f"{shape:10} {engine:16} p50 {p50:9.4f} ms  p95 {p95:9.4f} ms  floor {floor:.4f} ms")
        row = GpuRow(
            shape=shape,
            engine=engine,
            ms_p50=p50,
            ms_p95=p95,
            floor_ms=round(floor, 4),
            commit=here,
            date=datetime.now(UTC).date().isoformat(),
        )
        result.rows.append(row)
        keep(row)

    if KERNEL in wanted.engines:
        result.best = _best_kernel(shape, result, wanted, tell)
    if result.best is not None:
        name = f"{KERNEL}, {wanted.kernel}" if wanted.kernel else KERNEL
        add(name, device_ms(bench_stream(result.best, steps).frame, wanted.samples))
        result.best.kernel(steps).check()
    others = _baselines(bundle, size, steps, wanted.samples)
    if wanted.autotune_s and steps == 1:
        others[AUTOTUNED] = lambda: autotuned_ms(shape, wanted.autotune_s)
    for name, times in others.items():
        if name not in wanted.engines:
            continue
        tell(f"{shape:10} {name}: opening")
        try:
            add(name, times())
        except RuntimeError as error:
            result.remarks[name] = str(error).strip().splitlines()[0]
            tell(f"{shape:10} {name}: {result.remarks[name]}")
    return result


def _baselines(
    bundle: Bundle, size: Size, steps: int, samples: int
) -> dict[str, Callable[[], list[float]]]:
    """What the mega kernel is compared with: name -> measurement."""

    def timed(*, compiled: bool, graph: bool) -> list[float]:
        engine = torch_engine(bundle, *size, "bfloat16", compiled=compiled)
        stream = bench_stream(engine, steps)
        frame = captured(stream) if graph else stream.frame
        return device_ms(frame, samples if graph else min(samples, EAGER_SAMPLES))

    return {
        "eager": lambda: timed(compiled=False, graph=False),
        "eager+graph": lambda: timed(compiled=False, graph=True),
        "compiled+graph": lambda: timed(compiled=True, graph=True),
    }


def _best_kernel(
    shape: str, result: ShapeResult, wanted: Wanted, tell: Tell
) -> MegakernelEngine | None:
    """The fastest of some tiles that agrees with eager torch; notes what each gave."""
    from everframe.runtime.torch_sweep import best_tiles  # it measures with functions of this file

    bundle, size = bundle_of(shape)
    kernel, tiles = _tiles(step_program(bundle.spec, *size), wanted.kernel)
    if not tiles:
        result.remarks[KERNEL] = "the mega kernel cannot run this model"
        return None
    if min(wanted.sweep, len(tiles)) > 1:
        tiles = tiles[: wanted.sweep]
        best, remarks = best_tiles(shape, tiles, limit_s=wanted.sweep_s, tell=tell)
        result.remarks |= remarks
        if best is None:
            return None
        options = KernelOptions(kernel=kernel, tiles=best)
        engine = MegakernelEngine(bundle, *size, torch.device("cuda"), options)
        engine.keep_tiles()
        return engine
    exact = torch_engine(bundle, *size, "float32", compiled=False)
    usual = disagreement(torch_engine(bundle, *size, "bfloat16", compiled=False), exact)
    try:
        options = KernelOptions(kernel=kernel)
        engine = MegakernelEngine(bundle, *size, torch.device("cuda"), options)
        error = disagreement(engine, exact)
    except (UserError, RuntimeError) as problem:
        result.remarks[KERNEL] = str(problem).strip().splitlines()[0]
        tell(f"{shape:10} {KERNEL}: {result.remarks[KERNEL]}")
        return None
    said = f"{error:.3f} levels from float32 (eager bfloat16: {usual:.3f})"
    result.remarks[KERNEL] = said
    tell(f"{shape:10} {KERNEL}: {said}")
    return engine if trusted(error, usual) else None


def _tiles(program: Program, kernel: str | None) -> tuple[str, list[Tiles]]:
    """The kernel, and its candidates; with None the kernel that the engine would choose."""
    try:
        plan = plan_frame(program)
        kernel = kernel or kernels_of(plan, DEFAULT_KERNEL)[0]
        return kernel, list((gluon_candidates if kernel == GLUON else candidates)(plan))
    except UnsupportedError:
        return TRITON, []


def timeline(
    engine: MegakernelEngine, bundle: Bundle, picture: Path
) -> tuple[dict[str, object], list[str]]:
    """One frame of an engine's schedule with times: (trace, lines about the phases); the picture
    goes to a PNG.
    """
    options = KernelOptions(tiles=engine.tiles, timed=True)
    timed = MegakernelEngine(bundle, engine.height, engine.width, engine.device, options)
    stream = bench_stream(timed)
    for _ in range(5):
        stream.frame()
    torch.cuda.synchronize()
    kernel = timed.kernel()
    kernel.check()
    stamps = kernel.stamps.cpu().numpy()
    us = (stamps.max() - stamps.min()) / 1e3
    title = f"{us:.1f} us, {kernel.schedule.estimate_us:.1f} estimated"
    draw_timeline(kernel.schedule, stamps, picture, title=title)
    return trace(kernel.schedule, stamps), phase_lines(kernel.schedule, stamps)
