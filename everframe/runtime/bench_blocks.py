"""What one more block costs in an engine, for every shape of block: the measured `CostTable`.

A shape is measured inside a stack: the model with some such blocks on top against the model itself,
divided by their number. Launches, memory traffic and the ring of keys and values are in it as they
are in a real network. Shapes take turns with the model in rounds of a few frames, and a shape's
cost is the median over rounds of the difference within a round, so that a busy machine hurts all
alike. The table is made to rise with the size (`rising`); flat steps stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.arch.spec import BlockSpec, Spec
from everframe.arch.weights import weight_table
from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng
from everframe.runtime.bench import Lane, commit, hardware, open_lane
from everframe.runtime.engine import open_engine

ROUND = 5
"""Frames of one network before the next has its turn."""
GROUP = 6
"""Networks open beside the model at a time."""
WARM_UP = 5
VERSIONED = ("openvino", "onnxruntime", "torch", "triton")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBench:
    """What to measure.

    engine, precision: as in `open_engine`; height, width: of the frame, pixels; ffn_step: between
    widths of the feed-forward part; copies: blocks on top of the model; frames: timed frames of
    each network.
    """

    engine: str = "auto"
    precision: str = "auto"
    height: int = 256
    width: int = 256
    ffn_step: int = 32
    copies: int = 4
    frames: int = 50


def measure_blocks(
    bundle: Bundle, bench: BlockBench, tell: Callable[[str], None] = lambda _: None
) -> CostTable:
    """Measure all shapes up to the largest block of a model; minutes.

    Args:
        bundle: the model; its weights do not matter for the times, its shape does.
        bench: what to measure.
        tell: gets a line about what is going on.

    Raises:
        UserError: unknown engine, missing package, impossible size, or an engine that falls back
            to another one for some shapes.
    """
    spec = bundle.spec
    grid = spec.grid(bench.height, bench.width)
    heads = tuple(range(max(block.heads for block in spec.blocks) + 1))
    widest = max(block.ffn for block in spec.blocks)
    ffn = tuple(sorted({0, widest, *range(bench.ffn_step, widest, bench.ffn_step)}))
    histories = sorted({0, *(block.history_frames for block in spec.blocks if block.heads)})
    shapes = [BlockSpec(heads=h, ffn=0, history_frames=a) for a in histories for h in heads[1:]]
    shapes += [BlockSpec(heads=0, ffn=f) for f in ffn[1:]]
    networks = [replace(spec, blocks=spec.blocks + (s,) * bench.copies) for s in shapes]
    tests = check_networks(spec)
    timed = _Timed(bundle, bench, tell)
    extra = timed.extra_ms([*networks, *tests])
    found = [x / bench.copies for x in extra[: len(shapes)]]
    cost = {s: max(0.0, x) for s, x in zip(shapes, found, strict=True)}
    table = CostTable(
        width=spec.width,
        head_dim=spec.head_dim,
        tokens=grid[0] * grid[1],
        size=(bench.height, bench.width),
        fixed_ms=0.0,
        heads=heads,
        attention_ms={
            a: (
                0.0,
                *rising([cost[BlockSpec(heads=h, ffn=0, history_frames=a)] for h in heads[1:]]),
            )
            for a in histories
        },
        ffn=ffn,
        ffn_ms=(0.0, *rising([cost[BlockSpec(heads=0, ffn=f)] for f in ffn[1:]])),
        engine=timed.base.engine.name,
    )
    whole = median(timed.base.times_ms)
    table = replace(table, fixed_ms=max(0.0, whole - table.total(spec)))
    checks = [
        _check(table, network, whole + difference)
        for network, difference in zip((spec, *tests), (0.0, *extra[len(shapes) :]), strict=True)
    ]
    measured = [{**asdict(s), "ms": round(x, 5)} for s, x in zip(shapes, found, strict=True)]
    return replace(table, about={**_about(bench), "checks": checks, "measured": measured})


def rising(values: Sequence[float]) -> list[float]:
    """The nearest numbers, in squares, that never fall: a larger shape that seems cheaper than a
    smaller one is noise, which a search for the best network would find and take.
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] >= mean:
            before, size = pools.pop()
            mean = (before * size + mean * count) / (size + count)
            count += size
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]


def check_networks(spec: Spec) -> list[Spec]:
    """Half as wide, half as deep: their measured times show whether costs add up."""
    narrow = tuple(
        replace(block, heads=-(-block.heads // 2), ffn=-(-block.ffn // 2)) for block in spec.blocks
    )
    kept = [block for i, block in enumerate(spec.blocks) if i % 2 or not block.heads]
    short = tuple(kept) or spec.blocks[:1]
    return [replace(spec, blocks=narrow), replace(spec, blocks=short)]


def _check(table: CostTable, spec: Spec, measured_ms: float) -> dict[str, object]:
    return {
        "blocks": [asdict(block) for block in spec.blocks],
        "table_ms": round(table.total(spec), 4),
        "measured_ms": round(measured_ms, 4),
    }


class _Timed:
    """The model, always open, and networks in groups beside it."""

    def __init__(self, bundle: Bundle, bench: BlockBench, tell: Callable[[str], None]) -> None:
        self._bundle, self._bench, self._tell = bundle, bench, tell
        self._weights = dict(bundle.weights)
        self.base = self._open(bundle.spec)
        self._name = self.base.engine.name

    def extra_ms(self, networks: Sequence[Spec]) -> list[float]:
        """Time of each network beyond that of the model (negative for smaller ones), ms."""
        extra: list[float] = []
        for first in range(0, len(networks), GROUP):
            group = networks[first : first + GROUP]
            self._tell(f"shapes {first + 1} to {first + len(group)} of {len(networks)}")
            lanes = [self._open(network) for network in group]
            other = {lane.engine.name for lane in lanes} - {self._name}
            if other:  # an engine that fell back for some shapes would compare unlike things
                raise UserError(
                    f"{self._name} runs the model, but {other.pop()} some shapes of its blocks; "
                    "measure an engine that runs all with --engine"
                )
            extra += self._group(lanes)
        return extra

    def _group(self, lanes: Sequence[Lane]) -> list[float]:
        for lane in (self.base, *lanes):
            for _ in range(WARM_UP):
                lane.step()
        differences: list[list[float]] = [[] for _ in lanes]
        for _ in range(-(-self._bench.frames // ROUND)):
            base = [self.base.step() for _ in range(ROUND)]
            self.base.times_ms += base
            for lane, found in zip(lanes, differences, strict=True):
                found.append(median(lane.step() for _ in range(ROUND)) - median(base))
        return [median(found) for found in differences]

    def _open(self, spec: Spec) -> Lane:
        bench = self._bench
        bundle = Bundle(spec=spec, weights=self._filled(spec))
        return open_lane(
            bench.engine,
            lambda name: open_engine(
                name, bundle, height=bench.height, width=bench.width, precision=bench.precision
            ),
        )

    def _filled(self, spec: Spec) -> dict[str, np.ndarray]:
        """The model's weights where they fit, random ones elsewhere."""
        rng = numpy_rng(0, "bench blocks")
        weights: dict[str, np.ndarray] = {}
        for name, weight in weight_table(spec).items():
            own = self._weights.get(name)
            if own is None or own.shape != weight.shape:
                own = rng.standard_normal(weight.shape, np.float32)
                own *= np.float32(np.prod(weight.shape[1:]) ** -0.5)
            weights[name] = own
        return weights


def _about(bench: BlockBench) -> dict[str, object]:
    versions: dict[str, str] = {}
    for name in VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "commit": commit(Path(__file__).parent),
        "hardware": hardware(),
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
        "method": asdict(bench),
    }
