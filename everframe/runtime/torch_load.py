"""Live streams of the mega kernel side by side on one GPU, each on few multiprocessors.

CUDA gives its streams 8 hardware queues unless CUDA_DEVICE_MAX_CONNECTIONS, up to 32, is set before
CUDA starts; streams that share a queue wait for one another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.runtime.bench import moving_frame
from everframe.runtime.engine import PreparedSteps
from everframe.runtime.live_load import Load, latencies, most_streams
from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine
from everframe.runtime.torch_bench import bench_stream

FRAMES = 60
"""Of each stream: 2.4 seconds, and more where the GPU cannot follow."""
MOST = 256
"""Streams that are tried: more find nothing new and take long."""


class StreamLane:
    """`live_load.Lane`: an engine that shares everything but its scratch with others, on a CUDA
    stream of its own, feeding on its own output.
    """

    def __init__(self, engine: MegakernelEngine, prepared: PreparedSteps[torch.Tensor]) -> None:
        """Before the first frame, with its memory empty."""
        self.engine, self.prepared = engine, prepared
        self.history: History[torch.Tensor] = engine.empty_history()
        size = (engine.height, engine.width)
        self.camera = engine.to_engine(moving_frame(0, *size))
        self.noise = torch.randn((3, *size), device=engine.device)
        self.stream, self.ended = torch.cuda.Stream(), torch.cuda.Event()

    def submit(self) -> None:
        """See `Lane`."""
        with torch.cuda.stream(self.stream):
            frame, history = self.engine.step(self.history, self.camera, self.noise, self.prepared)
            if not history.has_anchor:
                history = history.anchored(output=frame, camera=self.camera)
            self.history = history
            self.ended.record()

    def done(self) -> bool:
        """See `Lane`."""
        return self.ended.query()


def streams_on_gpu(
    bundle: Bundle, size: tuple[int, int], ctas: int, tell: Callable[[str], None]
) -> Load | None:
    """The most streams at 25 fps within 40 ms p99, with kernels of `ctas` CTAs; `tell` gets a line
    for each number of streams that was tried.

    Raises:
        UserError, RuntimeError: the kernel does not run.
    """
    options = KernelOptions(ctas=ctas)
    first = MegakernelEngine(bundle, *size, torch.device("cuda"), options)
    prepared = bench_stream(first).prepared
    first.kernel().check()
    lanes: list[StreamLane] = []

    def measure(streams: int) -> Load:
        while len(lanes) < streams:
            lanes.append(StreamLane(first.beside(), prepared))
            lanes[-1].submit()  # the first launch sets things up
        torch.cuda.synchronize()
        load = latencies(lanes[:streams], frames=FRAMES)
        for lane in lanes:
            lane.engine.kernel().check()
        tell(
            f"{streams:4} streams of {ctas} CTAs: p50 {load.ms_p50:.2f} p95 {load.ms_p95:.2f} "
            f"p99 {load.ms_p99:.2f} ms"
        )
        return load

    return most_streams(measure, limit=MOST)
