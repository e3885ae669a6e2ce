"""One variant of the Gluon experiment on a GPU: arenas, reference in float32, times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gluon_words as words
import torch
from gluon_graph import KINDS, ROWS, TOKENS, Graph, Places, Shape, Task
from gluon_kernel import tiles_kernel
from gluon_lists import alone, cost_of, schedule, table
from torch import Tensor
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LIMIT = 500_000
"""Polls of one wait, about a quarter of a second; once it was too long no wait polls again."""
SCALE = 0.5
MATH_REGISTERS, OTHER_REGISTERS = 232, 40
Lists = list[list[Task]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """bounded: softmax without a running maximum; share: of so many exponentials one is taken by
    sums (0: none); ordered: the warpgroups issue products of attention in turn; lead: steps of a
    matrix product by which the first warpgroup goes ahead; timed: stamps are left.
    """

    bounded: bool = True
    share: int = 0
    ordered: bool = False
    lead: int = 0
    timed: bool = False


def constants(places: Places, options: Options) -> dict[str, int]:
    """What the kernel is compiled for."""
    shape = places.shape
    return {
        "N": TOKENS,
        "ROWS": ROWS,
        "D": shape.width,
        "HD": shape.head_dim,
        "HEADS": shape.heads,
        "X": 0,
        "SQUARES": places.squares,
        "TILES": places.tiles,
        "GAIN": 0,
        "BOUNDED": int(options.bounded),
        "SHARE": options.share,
        "ORDERED": int(options.ordered),
        "LEAD": options.lead,
        "TIMED": int(options.timed),
        "MATH_REGISTERS": MATH_REGISTERS,
        "OTHER_REGISTERS": OTHER_REGISTERS,
    }


@dataclass(slots=True)
class Data:
    """Plain matrices, as the reference takes them."""

    x: Tensor
    weights: list[dict[str, Tensor]]
    vectors: list[dict[str, Tensor]]
    gain: Tensor
    past: list[list[Tensor]]
    """Of each layer: [2, tokens, width] of each source but this frame."""


def draw(shape: Shape, layers: int) -> Data:
    """Fresh random data on the GPU."""
    d, f = shape.width, shape.ffn

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*size, device=DEVICE) * scale

    sizes = {"qkv": (3 * d, d), "out": (d, d), "up": (2 * f, d), "down": (d, f)}
    vectors = {"qkv": 3 * d, "out": 2 * d, "up": 2 * f, "down": 2 * d}
    counts = [words.TAIL, *(TOKENS for _ in range(words.SOURCES - 2))]
    return Data(
        x=normal(TOKENS, d),
        weights=[
            {kind: normal(n, k, scale=k**-0.5).bfloat16() for kind, (n, k) in sizes.items()}
            for _ in range(layers)
        ],
        vectors=[
            {kind: normal(n, scale=SCALE) for kind, n in vectors.items()} for _ in range(layers)
        ],
        gain=1 + normal(shape.head_dim, scale=0.1),
        past=[[normal(2, count, d).bfloat16() for count in counts] for _ in range(layers)],
    )


def panels(matrix: Tensor, rows: int) -> Tensor:
    """[K / 64, rows, 64] of [n, K], in lines, zeros below."""
    n, k = matrix.shape
    out = matrix.new_zeros(k // words.PANEL, rows, words.PANEL)
    out[:, :n] = matrix.view(n, k // words.PANEL, words.PANEL).transpose(0, 1)
    return out.view(-1, words.PANEL)


def plain(lines: Tensor, first: int, columns: int) -> Tensor:
    """[tokens, columns] of a matrix in panels."""
    count = columns // words.PANEL
    view = lines[first : first + count * ROWS].view(count, ROWS, words.PANEL)
    return view[:, :TOKENS].transpose(0, 1).reshape(TOKENS, columns)


class Arenas:
    """Memory of the kernel, filled from the data."""

    def __init__(self, shape: Shape, layers: int, data: Data) -> None:
        self.graph = Graph(shape, layers)
        self.places, self.data = self.graph.places, data
        places = self.places
        self.work = torch.zeros(places.work_lines, words.PANEL, device=DEVICE).bfloat16()
        self.weights = torch.cat(
            [
                panels(pairs(weight) if kind == "up" else weight, len(weight))
                for layer in data.weights
                for kind, weight in layer.items()
            ]
        )
        self.control = torch.cat(
            [torch.zeros(2 * words.PANEL, device=DEVICE)]
            + [
                pairs(vector[:, None])[:, 0] if kind == "up" else vector
                for layer in data.vectors
                for kind, vector in layer.items()
            ]
        )
        self.control[: shape.head_dim] = data.gain
        self.sums = torch.zeros(places.sums_size, device=DEVICE)
        self.counters = torch.zeros(self.graph.counters + 8, dtype=torch.int32, device=DEVICE)
        self.error = torch.zeros(1, dtype=torch.int32, device=DEVICE)
        self.fill()

    def fill(self) -> None:
        """Inputs; NaN wherever something must be written before it is read."""
        places, shape = self.places, self.places.shape
        d = shape.width
        nan = torch.full((TOKENS, max(d, shape.ffn)), float("nan"), device=DEVICE).bfloat16()
        self._put(places.q, nan[:, :d])
        self._put(places.o, nan[:, :d])
        self._put(places.h, nan[:, : shape.ffn])
        for layer, sources in enumerate(self.data.past):
            for source, pair in enumerate(sources):
                for part in range(2):
                    line = places.kv(layer, source) + part * places.panels * ROWS
                    self._put(line, pair[part])
            line = places.kv(layer, words.SOURCES - 1)
            self._put(line, nan[:, :d])
            self._put(line + places.panels * ROWS, nan[:, :d])
        x = self.data.x
        scaled = x * (1 + first_scale(self.data))
        self._put(places.scaled, scaled.bfloat16())
        self.sums.fill_(float("nan"))
        self.sums[: places.partial] = 0
        self.sums[: TOKENS * d] = x.reshape(-1)
        squares = self.sums[places.squares : places.partial].view(ROWS, places.tiles)
        of_tiles = (x * x).view(TOKENS, -1, words.NARROW).sum(2)
        squares[:TOKENS, : of_tiles.shape[1]] = of_tiles

    def _put(self, line: int, matrix: Tensor) -> None:
        count = matrix.shape[1] // words.PANEL
        view = self.work[line : line + count * ROWS].view(count, ROWS, words.PANEL)
        rows = matrix.view(len(matrix), count, words.PANEL).transpose(0, 1)
        view[:, : len(matrix)] = rows

    def launcher(self, lists: Lists, options: Options) -> tuple[Callable[[], None], Tensor]:
        """What launches lists once, and the stamps that it leaves."""
        rows, starts = table(lists)
        layout = NVMMASharedLayout(128, 16, rank=2)

        def tiles(memory: Tensor, height: int) -> TensorDescriptor:
            return TensorDescriptor.from_tensor(memory, [height, words.PANEL], layout)

        stamps = torch.zeros(2 * len(rows), dtype=torch.int64, device=DEVICE)
        device = [torch.from_numpy(array).to(DEVICE) for array in (rows, starts)]
        arguments = (*device, self.counters, self.error, stamps, self.sums, self.control)
        arguments += tuple(tiles(self.work, height) for height in (128, 64, 16))
        arguments += tuple(tiles(self.weights, height) for height in (words.WIDE, words.NARROW))
        fixed = constants(self.places, options)

        def launch() -> None:
            self.counters.zero_()
            tiles_kernel[(len(lists),)](
                *arguments, LIMIT, **fixed, num_warps=4, launch_cooperative_grid=True
            )

        return launch, stamps


def first_scale(data: Data) -> Tensor:
    """Scale of the first norm, which nothing in the chain leaves."""
    return data.vectors[-1]["down"][data.x.shape[1] :]


def pairs(matrix: Tensor) -> Tensor:
    """Gate rows, then value rows, in tiles of 128 gate and 128 value rows."""
    gate, value = matrix.view(2, -1, words.NARROW, matrix.shape[1])
    return torch.stack((gate, value), 1).reshape(matrix.shape)


def reference(shape: Shape, data: Data) -> dict[str, Tensor]:
    """The chain in float32; what is kept in bfloat16 is rounded. Results of the last block."""
    d, x = shape.width, data.x
    scaled = (x * (1 + first_scale(data))).bfloat16().float()
    found: dict[str, Tensor] = {}

    def heads(matrix: Tensor) -> Tensor:
        return matrix.view(len(matrix), shape.heads, shape.head_dim).transpose(0, 1)

    def normed(matrix: Tensor) -> Tensor:
        matrix = matrix.view(TOKENS, shape.heads, shape.head_dim)
        root = torch.rsqrt((matrix * matrix).mean(2, keepdim=True) + 1e-6)
        return (matrix * root * data.gain).view(TOKENS, d)

    for weights, vectors, past in zip(data.weights, data.vectors, data.past, strict=True):
        w = {kind: weight.float() for kind, weight in weights.items()}
        root = torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6)
        q, k, v = (scaled @ w["qkv"].T * root + vectors["qkv"]).split(d, 1)
        q, k, v = (part.bfloat16().float() for part in (normed(q), normed(k), v))
        keys, values = (
            torch.cat([*(heads(pair[i].float()) for pair in past), heads(own)], 1)
            for i, own in enumerate((k, v))
        )
        weight = torch.softmax(heads(q) @ keys.transpose(1, 2) * shape.head_dim**-0.5, 2)
        o = (weight @ values).transpose(0, 1).reshape(TOKENS, d).bfloat16().float()
        gate, scale = vectors["out"].split(d)
        x = x + gate * (o @ w["out"].T)
        scaled = (x * (1 + scale)).bfloat16().float()
        root = torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6)
        gates, value = (scaled @ w["up"].T * root + vectors["up"]).chunk(2, 1)
        h = (torch.nn.functional.silu(gates) * value).bfloat16().float()
        gate, scale = vectors["down"].split(d)
        x = x + gate * (h @ w["down"].T)
        scaled = (x * (1 + scale)).bfloat16().float()
        found = {"q": q, "k": k, "v": v, "o": o, "h": h, "x": x, "scaled": scaled}
    return found


def errors(arenas: Arenas) -> dict[str, float]:
    """Relative error of everything that the last block leaves."""
    places, shape = arenas.places, arenas.places.shape
    d = shape.width
    own = places.kv(places.layers - 1, words.SOURCES - 1)
    lines = {"q": places.q, "k": own, "v": own + places.panels * ROWS, "o": places.o}
    made = {name: plain(arenas.work, line, d).float() for name, line in lines.items()}
    made["h"] = plain(arenas.work, places.h, shape.ffn).float()
    made["scaled"] = plain(arenas.work, places.scaled, d).float()
    made["x"] = arenas.sums[: TOKENS * d].view(TOKENS, d)
    exact = reference(shape, arenas.data)
    return {
        name: float((made[name] - value).norm() / value.norm()) for name, value in exact.items()
    }


def milliseconds(launch: Callable[[], None], repeats: int = 20) -> float:
    """Median of graph replays, so that no host work is in it."""
    launch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def by_kind(lists: Lists, stamps: Tensor) -> dict[str, dict[str, float]]:
    """From a timed launch: microseconds of a full task, and when tasks of a kind ran."""
    tasks = [task for each in lists for task in each]
    times = stamps.view(-1, 2).cpu()
    start = int(times[:, 0].min())
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for task, (begin, end) in zip(tasks, times.tolist(), strict=True):
        if cost_of(task) == task.cost:
            found[task.kind].append(((begin - start) / 1e3, (end - start) / 1e3))
    return {
        kind: {
            "task_us": sum(end - begin for begin, end in spans) / len(spans),
            "first_us": min(begin for begin, _ in spans),
            "last_us": max(end for _, end in spans),
            "tasks": len(spans),
        }
        for kind, spans in found.items()
    }


def measure(shape: Shape, options: Options, *, layers: int, each: int) -> dict[str, Any]:
    """Errors of one block and of the chain, times of the chain and of each kind of task alone.
    `stuck`: 2 n + 1 (late: 2 n + 2) of row n of the table, -1 in a merge, 0 if nothing was.
    """
    ctas = torch.cuda.get_device_properties(0).multi_processor_count
    result: dict[str, Any] = {}
    one = Arenas(shape, 1, draw(shape, 1))
    launch, _ = one.launcher(schedule(one.graph, ctas)[0], options)
    launch()
    result["stuck"] = int(one.error.item())
    result["errors"] = errors(one)
    if result["stuck"]:
        return result
    arenas = Arenas(shape, layers, draw(shape, layers))
    lists, estimate = schedule(arenas.graph, ctas)
    launch, _ = arenas.launcher(lists, options)
    launch()
    result["chain_errors"] = errors(arenas)
    taken = milliseconds(launch) * 1e3 / layers
    result["chain"] = {
        "us_per_block": taken,
        "estimate_us_per_block": estimate / layers,
        "tflops": sum(shape.flops.values()) / taken / 1e6,
        "ms_per_frame": taken * shape.blocks / 1e3,
    }
    timed, stamps = arenas.launcher(lists, replace(options, timed=True))
    timed()
    result["tasks_in_chain"] = by_kind(lists, stamps)
    result["alone"] = {}
    for kind in KINDS:
        tasks = alone(one.graph, kind, ctas, each)
        launch, _ = one.launcher(tasks, options)
        taken = milliseconds(launch) * 1e3 / each
        result["alone"][kind] = {"us": taken, "tflops": _flops(tasks[0][0], shape, ctas) / taken}
    result["stuck"] = int(one.error.item()) + int(arenas.error.item())
    return result


def _flops(task: Task, shape: Shape, ctas: int) -> float:
    """1e6 operations of one task on every CTA (so that over microseconds it is TFLOP/s)."""
    if task.kind == "attend":
        keys = 5 * TOKENS + words.TAIL
        work = 4.0 * words.ROWS_OF_TASK * keys * shape.head_dim
    else:
        wide = words.NARROW if task.words[words.OP] == words.RESIDUAL else words.WIDE
        work = 2.0 * words.ROWS_OF_TASK * wide * task.words[words.PANELS] * words.PANEL
    return work * ctas / 1e6


def warm_up(shape: Shape, options: Options) -> None:
    """Compile into Triton's cache."""
    arenas = Arenas(shape, 1, draw(shape, 1))
    lists = schedule(arenas.graph, 2)[0]
    for timed in (False, True):
        arenas.launcher(lists, replace(options, timed=timed))[0]()
    torch.cuda.synchronize()
