# pyright: basic, reportMissingImports=false
"""What the Gluon experiment is measured against: the mega kernel's own Triton bodies, each kind of
task alone on all multiprocessors, and torch (cuBLAS, and the best attention that torch has).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gluon_words as words
import torch
import triton
import triton.language as tl
from gluon_graph import ROWS, TOKENS, Places, Shape
from gluon_run import LIMIT, milliseconds
from torch import Tensor

from everframe.runtime.megakernel.encode import ARGUMENTS, COL, ROW, SIGNAL
from everframe.runtime.megakernel.encode import WORDS as KERNEL_WORDS
from everframe.runtime.megakernel.triton_attention import attend
from everframe.runtime.megakernel.triton_memory import WORDS, signal
from everframe.runtime.megakernel.triton_tokens import residual, up

Call = tuple[Any, ...]
TILES: dict[str, list[dict[str, int]]] = {
    "up": [
        {"BM": 128, "BN": 256, "STAGES": 3, "num_warps": 8},
        {"BM": 128, "BN": 128, "STAGES": 4, "num_warps": 8},
    ],
    "out": [
        {"BM": 128, "BN": 128, "STAGES": 4, "num_warps": 8},
        {"BM": 128, "BN": 128, "STAGES": 3, "num_warps": 4},
    ],
    "attend": [
        {"BM": 128, "BN": 64, "STAGES": 3, "num_warps": 8},
        {"BM": 128, "BN": 128, "STAGES": 2, "num_warps": 8},
    ],
}
"""Tiles of the bodies; BN of attention is the keys of a tile."""


@triton.jit
def bodies(
    table, starts, counters, error, work, sums, weights, fixed, control, prompt,
    slot0, slot1, slot2, slot3, slot4,
    KIND: tl.constexpr, N: tl.constexpr, D: tl.constexpr, HD: tl.constexpr, HEADS: tl.constexpr,
    ROWS: tl.constexpr, SCALED: tl.constexpr, H: tl.constexpr, X: tl.constexpr,
    SQUARES: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, STAGES: tl.constexpr,
    BOUNDED: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """Each CTA walks its list, as the mega kernel does, with one kind of body."""
    at = tl.load(starts + tl.program_id(0))
    end = tl.load(starts + tl.program_id(0) + 1)
    while at < end:
        d = table + at.to(tl.int64) * WORDS
        if KIND == 0:
            up(
                work, sums, weights, control, counters, error, d, 1,
                H, SCALED, SQUARES, D // 128, D, ROWS, BM, BN, STAGES, LIMIT, 1,
            )  # fmt: skip
        elif KIND == 1:
            residual(
                work, sums, weights, control, counters, error, d, 1,
                SCALED, X, SQUARES, ROWS, D, BM, BN, STAGES, LIMIT, 1,
            )  # fmt: skip
        else:
            attend(
                work, sums, fixed, prompt, slot0,
                slot1, slot2, slot3, slot4, slot4, slot4, slot4, slot4,
                counters, error, d, 1, 4,
                N, 16, HD, HD, HEADS, ROWS, BM, BN, BOUNDED, STAGES, LIMIT,
            )  # fmt: skip
        signal(counters, d)
        at += 1


def _arguments(places: Places, kind: str, tiles: dict[str, int], cell: tuple[int, int]) -> Call:
    """Row, column and own words of the mega kernel's instruction for a cell (row block, column)."""
    shape = places.shape
    m, n = cell
    row = m * words.ROWS_OF_TASK
    start, pitch, count = places.weight(0, "out" if kind == "out" else "up")
    if kind == "up":
        return (row, n * tiles["BN"] // 2, [start, pitch, count, 0])
    if kind == "out":
        return (row, n * tiles["BN"], [places.o, start, pitch, 0, count, 0, 0, 0, 0])
    panel = n * shape.head_dim // words.PANEL * ROWS
    last = 1 + 5 * -(-TOKENS // tiles["BN"])
    prompt = n * shape.head_dim // words.PANEL * tiles["BN"]
    own = [places.q + panel, places.o + panel, prompt, panel, panel, shape.heads, 4, 0, last, 1]
    return (row, n, [*own, 0, 0, 0, 1])


def _table(places: Places, kind: str, tiles: dict[str, int], ctas: int, each: int) -> Tensor:
    shape = places.shape
    across = {
        "up": 2 * shape.ffn // tiles["BN"],
        "out": shape.width // tiles["BN"],
        "attend": shape.heads,
    }
    cells = [(m, n) for m in range(10) for n in range(across[kind])]
    table = torch.zeros(ctas, each, KERNEL_WORDS, dtype=torch.int32)
    for cta in range(ctas):
        for i in range(each):
            cell = cells[(i * ctas + cta) % len(cells)]
            row, column, own = _arguments(places, kind, tiles, cell)
            table[cta, i, ROW], table[cta, i, COL], table[cta, i, SIGNAL] = row, column, 0
            table[cta, i, ARGUMENTS : ARGUMENTS + len(own)] = torch.tensor(own, dtype=torch.int32)
    return table.view(-1, KERNEL_WORDS).cuda()


def launcher(
    shape: Shape, kind: str, option: int, *, bounded: bool, each: int
) -> Callable[[], None]:
    """What launches `each` tasks of a kind on every CTA, with the mega kernel's body."""
    places, tiles = Places(shape, 1), TILES[kind][option]
    ctas = torch.cuda.get_device_properties(0).multi_processor_count
    slot_lines = 2 * places.panels * ROWS

    def numbers(size: int) -> Tensor:
        return torch.randn(size, device="cuda") * 0.1

    work = numbers(places.kv(0, 0) * words.PANEL).bfloat16()
    weights = numbers(places.weight_lines * words.PANEL).bfloat16()
    slots = [numbers(slot_lines * words.PANEL).bfloat16() for _ in range(5)]
    prompt = numbers(2 * places.panels * tiles["BN"] * words.PANEL).bfloat16()
    sums, control = numbers(ROWS * (shape.width + 64)).abs(), numbers(8 * shape.ffn)
    ints = torch.zeros(8, dtype=torch.int32, device="cuda")
    starts = torch.arange(ctas + 1, dtype=torch.int32, device="cuda") * each
    table = _table(places, kind, tiles, ctas, each)

    def launch() -> None:
        bodies[(ctas,)](
            table, starts, ints, ints[4:], work, sums, weights, control, control, prompt, *slots,
            KIND=list(TILES).index(kind), N=TOKENS, D=shape.width, HD=shape.head_dim,
            HEADS=shape.heads, ROWS=ROWS, SCALED=places.scaled, H=places.h, X=0,
            SQUARES=places.squares // words.PANEL, BOUNDED=int(bounded), LIMIT=LIMIT, **tiles,
        )  # fmt: skip

    return launch


def measure(shape: Shape, *, bounded: bool, each: int) -> dict[str, Any]:
    """Times of one task on every CTA, best tiles."""
    ctas = torch.cuda.get_device_properties(0).multi_processor_count
    out: dict[str, Any] = {}
    for kind, options in TILES.items():
        for option, tiles in enumerate(options):
            try:
                launch = launcher(shape, kind, option, bounded=bounded, each=each)
                taken = milliseconds(launch) * 1e3 / each
            except triton.TritonError as error:
                out[f"{kind} {option}"] = {"failed": str(error)[:200]}
                continue
            deep = shape.width
            work = 2.0 * tiles["BM"] * tiles["BN"] * deep
            if kind == "attend":
                work = 4.0 * tiles["BM"] * (5 * TOKENS + words.TAIL) * shape.head_dim
            out[f"{kind} {option}"] = {
                "us": taken,
                "tflops": work * ctas / taken / 1e6,
                "tiles": tiles,
            }
    return out


def ceiling() -> float:
    """TFLOP/s of a large product."""
    a = torch.randn(8192, 8192, device="cuda").bfloat16()
    return 2 * 8192**3 / milliseconds(partial(torch.mm, a, a)) / 1e9


def torch_times(shape: Shape) -> dict[str, Any]:
    """Whole matrices by cuBLAS, and attention over all keys by torch, each a launch of its own."""
    d, f = shape.width, shape.ffn
    sizes = {"qkv": (3 * d, d), "out": (d, d), "up": (2 * f, d), "down": (d, f)}
    out: dict[str, Any] = {}
    for kind, (n, k) in sizes.items():
        a = torch.randn(TOKENS, k, device="cuda").bfloat16()
        w = torch.randn(n, k, device="cuda").bfloat16()
        out[kind] = milliseconds(partial(torch.mm, a, w.T)) * 1e3
    keys = 5 * TOKENS + words.TAIL
    q = torch.randn(1, shape.heads, TOKENS, shape.head_dim, device="cuda").bfloat16()
    k, v = (
        torch.randn(1, shape.heads, keys, shape.head_dim, device="cuda").bfloat16()
        for _ in range(2)
    )
    attention = torch.nn.functional.scaled_dot_product_attention
    for backend in ("FLASH_ATTENTION", "CUDNN_ATTENTION"):
        kernel = getattr(torch.nn.attention.SDPBackend, backend)
        with torch.nn.attention.sdpa_kernel(kernel):
            try:
                out[backend.lower()] = milliseconds(partial(attention, q, k, v)) * 1e3
            except RuntimeError as error:
                out[backend.lower()] = str(error)[:100]
    return {
        kind: {"us": us, "tflops": shape.flops["attend" if "att" in kind else kind] / us / 1e6}
        if isinstance(us, float)
        else us
        for kind, us in out.items()
    }


def warm_up(shape: Shape, *, bounded: bool) -> None:
    """Compile all tiles into Triton's cache."""
    for kind, options in TILES.items():
        for option in range(len(options)):
            try:
                launcher(shape, kind, option, bounded=bounded, each=1)()
            except triton.TritonError:
                continue
    torch.cuda.synchronize()
