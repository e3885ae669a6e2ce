"""The source of the Gluon kernel on the CPU against eager torch (see `gluon_shim`). Runs where
triton is installed.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.arch.spec import BlockSpec, Spec
from everframe.cli.bench_engines import QUICK
from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.check import check_schedule
from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.plan import UnsupportedError
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_by_rank
from everframe.runtime.megakernel.tiles import PANEL, SHARED_MEMORY, Tiles, gluon_tiles, is_large
from everframe.runtime.megakernel.tune import gluon_candidates
from everframe.runtime.torch_engine import torch_engine
from everframe.runtime.torch_shapes import SHAPES
from tests.nets import TINY, random_bundle, random_frame, random_tokens
from tests.runtime.megakernel.launches import first_up, noise_of

if TYPE_CHECKING:
    from everframe.runtime.megakernel.torch_engine import MegakernelEngine

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="needs triton"),
    pytest.mark.timeout(600),
]


def _spec(head_dim: int, past: tuple[int, ...], patch: int = 8) -> Spec:
    heads = 256 // head_dim
    blocks = tuple(BlockSpec(heads=heads, ffn=160, history_frames=n) for n in past)
    return replace(TINY, width=128, head_dim=head_dim, patch=patch, blocks=blocks)


SIGNALS, LAST_EPOCH = 2, 1 << 20
"""As in `torch_gluon` and `torch_launch`, which need triton."""
KEYED = ("q", "kv", "slot", "new")
BROAD = {"model_cols": 128, "head_cols": 128}
WIDE, NARROW = _spec(128, (2, 0)), _spec(64, (1, 3))


def engine_of(
    spec: Spec,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    ctas: int,
    *,
    bounded: int = 1,
    **tiles: int,
) -> MegakernelEngine:
    """An engine whose Gluon kernel runs in the shim; not bounded: with a running maximum."""
    from everframe.runtime.megakernel import torch_engine as engines
    from everframe.runtime.megakernel import torch_gluon
    from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine
    from tests.runtime.megakernel import gluon_shim

    pool = gluon_shim.Pool(1 << 24)

    class ShimKernel(torch_gluon.GluonKernel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            c = self.constants
            self.work = pool.copy(self.work)
            self.constants = replace(
                c, weights=pool.copy(c.weights), convolutions=pool.copy(c.convolutions)
            )
            assert self.options["BOUNDED"]
            self.options |= {"TIMED": 0, "DELAYED": 0, "BOUNDED": bounded}

        def new_slot(self) -> Tensor:
            return pool.copy(super().new_slot().fill_(float("nan")))

        def tables(self, steps: Any) -> Any:
            made = super().tables(steps)
            return replace(made, prompt=pool.copy(made.prompt))

        def _launch(self, *arguments: Any) -> None:
            names = self.function.arg_names
            given = dict(zip(names, arguments, strict=False))
            given |= {name: self.options[name] for name in names[len(arguments) :]}
            gluon_shim.launch(self.function, ctas, given, pool, self.epoch)

    def shim_class(_tiles: Tiles) -> type[ShimKernel]:
        return ShimKernel

    def aligned(tensor: Tensor, dtype: torch.dtype, unit: int = 16) -> Tensor:
        tensor = tensor.to(dtype).contiguous()
        return tensor if unit == 16 or pool.holds(tensor) else pool.copy(tensor)

    monkeypatch.setattr(torch_gluon, "aligned", aligned)
    monkeypatch.setattr(engines, "kernel_class", shim_class)
    bundle = random_bundle(spec)
    chosen = replace(gluon_tiles(plan_frame(step_program(spec, *size)), ctas), **tiles)
    options = KernelOptions(tiles=chosen, ctas=ctas, interpreted=True)
    return MegakernelEngine(bundle, *size, torch.device("cpu"), options)


@pytest.mark.parametrize(
    ("spec", "size", "steps", "ctas", "tiles"),
    [
        (NARROW, (96, 96), 1, 1, BROAD | {"attend_parts": 1}),
        (NARROW, (96, 96), 1, 3, {"attend_parts": 2}),
        (WIDE, (80, 160), 2, 5, BROAD | {"attend_parts": 3, "down_parts": 2}),
        (WIDE, (128, 128), 1, 4, {"attend_parts": 2}),
        (NARROW, (96, 96), 1, 4, {"attend_parts": 4, "down_parts": 3}),
        (WIDE, (80, 160), 1, 3, {"attend_parts": 4, "bounded": 0}),
    ],
    ids=[
        "tail of 16",
        "tail of 16, parts",
        "tail of 72, parts, steps",
        "no tail",
        "four parts",
        "four parts, maximum",
    ],
)
def test_the_kernel_makes_the_frames_of_eager_torch(
    spec: Spec,
    size: tuple[int, int],
    steps: int,
    ctas: int,
    tiles: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = engine_of(spec, size, monkeypatch, ctas, **tiles)
    eager = torch_engine(random_bundle(spec), *size, "float32", compiled=False)
    code = eager.encode_prompt(*random_tokens(0))
    prepared = [e.prepare(code, steps) for e in (kernel, eager)]
    history, slots = eager.empty_history(), kernel.empty_history().slots
    for number in range(spec.window + 2):
        camera = torch.from_numpy(random_frame(number, *size))
        own = replace(history, slots=slots)
        kernel.kernel(steps).poison()
        made, after = kernel.step(own, camera, noise_of(size), prepared[0])
        truth, history = eager.step(history, camera, noise_of(size), prepared[1])
        error = np.abs(kernel.to_numpy(made).astype(int) - truth.numpy().astype(int))
        assert error.max() <= 1, number
        assert (error > 0).mean() < 1e-3
        slots = after.slots
        if not history.has_anchor:
            history = history.anchored(output=truth, camera=camera)


def test_a_stuck_instruction_is_named_and_the_launch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from everframe.runtime.megakernel.torch_launch import KernelStuckError

    size = (96, 96)
    engine = engine_of(NARROW, size, monkeypatch, 2, attend_parts=2)
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), 1)
    kernel, camera = engine.kernel(), torch.from_numpy(random_frame(0, *size))
    row = first_up(kernel)
    kernel.table[row, 3] += 1
    frame, _ = engine.step(engine.empty_history(), camera, noise_of(size), prepared)
    with pytest.raises(KernelStuckError, match=r"blocks\.0\.up.* wait stage 0"):
        engine.to_numpy(frame)


@pytest.mark.parametrize(("spec", "size"), [(NARROW, (96, 96)), (WIDE, (80, 160))], ids=str)
def test_counters_alone_order_everything(spec: Spec, size: tuple[int, int]) -> None:
    """The partitions run into the next task of a list before the last has ended, so the order of a
    list must not be needed: the checker gets a list for each instruction.
    """
    plan = plan_frame(step_program(spec, *size))
    tiles = replace(gluon_tiles(plan, 5), attend_parts=2, down_parts=2)
    made = schedule_by_rank(lower(plan, tiles, 2), 5)
    order = range(len(made.graph.instructions))
    check_schedule(replace(made, lists=tuple((task,) for task in order)))


@pytest.mark.parametrize("shape", ["C", "D", "E", "broadcast", "cinema"])
def test_large_shapes_fit(shape: str) -> None:
    spec, size = SHAPES[shape]
    plan = plan_frame(step_program(spec, *size))
    tiles = gluon_tiles(plan)
    assert is_large(plan)
    layout = Layout(plan=plan, tiles=tiles, steps=1)
    assert tiles.shared_memory(plan) <= SHARED_MEMORY
    per = layout.head_dim // PANEL  # queries, keys and ages are counted in rows of a head
    for arena in (layout.work, layout.slot, layout.prompt):
        assert not any(arena.at[name] % per for name in arena.at if name.partition(".")[0] in KEYED)
    assert not any(at % per for name, at in layout.weights.at.items() if name.startswith("ages"))
    most = max(lower(plan, tiles, 1).totals) * SIGNALS
    assert most * LAST_EPOCH < 1 << 31


@pytest.mark.parametrize(
    ("shape", "parts", "chained"), [("C", 1, 0), ("D", 2, 1), ("E", 1, 0), ("cinema", 1, 0)]
)
def test_attention_has_the_fewest_parts_that_fill_the_multiprocessors(
    shape: str, parts: int, chained: int
) -> None:
    spec, size = SHAPES[shape]
    plan = plan_frame(step_program(spec, *size))
    tiles = gluon_tiles(plan)
    assert (tiles.attend_parts, tiles.chained, tiles.light_fences) == (parts, chained, 0)
    tried = list(gluon_candidates(plan))
    assert tried[0] == tiles
    assert replace(tiles, light_fences=1) in tried[:QUICK]
    assert replace(tiles, attend_parts=parts + 1, chained=1 - chained) in tried[:QUICK]


def test_what_it_cannot_run_is_refused() -> None:
    plan = plan_frame(step_program(WIDE, 64, 72))
    with pytest.raises(UnsupportedError, match="beyond whole tiles"):
        gluon_tiles(replace(plan, rows=7))
    with pytest.raises(UnsupportedError, match="heads"):
        gluon_tiles(plan_frame(step_program(TINY, 64, 64)))
