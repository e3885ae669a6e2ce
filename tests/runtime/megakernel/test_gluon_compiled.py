# pyright: reportMissingImports=false
"""The machine code of the Gluon kernel, compiled for `sm_90a` without a GPU through Triton's own
launch path, which takes the arguments of a real launch. Runs where triton is installed (no
`TRITON_INTERPRET`); minutes.
"""

import os
import re
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.tiles import GLUON, SHARED_MEMORY, gluon_tiles
from everframe.runtime.torch_shapes import SHAPES, drawn_bundle

COMPILES = os.environ.get("TRITON_INTERPRET") != "1" and find_spec("triton") is not None
pytestmark = [
    pytest.mark.skipif(not COMPILES, reason="needs triton"),
    pytest.mark.timeout(900),
    pytest.mark.parametrize("shape", ["C", "D", "cinema", "E light"]),
]


@cache
def compiled(shape: str) -> Any:
    """What a launch would run."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver

    from everframe.runtime.megakernel import torch_gluon
    from everframe.runtime.megakernel.torch_engine import KernelOptions, MegakernelEngine

    name, _, light = shape.partition(" ")
    spec, size = SHAPES[name]
    spec = replace(spec, blocks=spec.blocks[:1])
    tiles = gluon_tiles(plan_frame(step_program(spec, *size)))
    tiles = replace(tiles, light_fences=int(bool(light)))
    options = KernelOptions(kernel=GLUON, ctas=132, tiles=tiles)
    engine = MegakernelEngine(drawn_bundle(spec), *size, torch.device("cpu"), options)
    kernel, made = engine.kernel(), list[Any]()

    def compile_only(*arguments: Any) -> None:
        given: dict[str, Any] = kernel.options
        launch = {"num_warps": kernel.warps, "launch_cooperative_grid": True}
        grid = (len(kernel.schedule.lists), 1, 1)
        made.append(kernel.function.warmup(*arguments, grid=grid, **given, **launch))

    code = np.zeros((spec.prompt_tokens + 1, spec.prompt_width), np.float32)
    prepared = engine.prepare(code, 1)
    camera, noise = torch.zeros((*size, 3), dtype=torch.uint8), torch.zeros((3, *size))

    class NoGpu:
        """A driver without a device."""

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, _device: int) -> int:
            return 0

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", 90, 32)

    def nowhere(*_: Any) -> list[int]:
        return [0] * 13

    before = driver._active
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_launch", compile_only)
        patch.setattr(torch_gluon, "origins", nowhere)  # CPU memory is not aligned
        driver.set_active(NoGpu())
        try:
            engine.step(engine.empty_history(), camera, noise, prepared)
        finally:
            driver._active = before
    return made[0]


def lines(shape: str, pattern: str) -> list[str]:
    """Instructions of the PTX that match."""
    return [
        x.strip()
        for x in compiled(shape).asm["ptx"].splitlines()
        if re.search(pattern, x) and "//" not in x
    ]


def test_it_fits_the_multiprocessor(shape: str) -> None:
    assert compiled(shape).metadata.shared <= SHARED_MEMORY
    assert lines(shape, r"wgmma\.mma_async")
    assert lines(shape, r"cp\.async\.bulk\.tensor")


def test_no_load_may_see_what_an_earlier_launch_left_in_a_read_only_cache(shape: str) -> None:
    loads = lines(shape, r"\bld\.global")
    assert len(loads) > 50
    assert not [x for x in loads if ".nc" in x]


def test_a_signal_comes_after_all_stores_are_in_memory(shape: str) -> None:
    code = compiled(shape).asm["ptx"].splitlines()
    signals = [i for i, x in enumerate(code) if "atom.global.gpu.release.add" in x]
    assert len(signals) == 2  # of the two storers
    for at in signals:
        before = "\n".join(code[at - 20 : at])
        settled = before.index("cp.async.bulk.wait_group 0")
        assert settled < before.index("fence.proxy.async") < before.index("bar.warp.sync")


def test_nothing_is_loaded_by_the_copy_engine_between_a_poll_and_its_fence(shape: str) -> None:
    code = compiled(shape).asm["ptx"].splitlines()
    polls = [i for i, x in enumerate(code) if "ld.acquire.gpu" in x]
    assert len(polls) > 8
    for at in polls:
        after = code[at + 1 : at + 12]
        fenced = next((i for i, x in enumerate(after) if "fence.proxy.async" in x), len(after))
        assert not any("cp.async.bulk" in x for x in after[:fenced])


def test_light_fences_are_of_global_memory_only(shape: str) -> None:
    whole = len(lines(shape, r"^\s*fence\.proxy\.async;"))
    light = len(lines(shape, r"^\s*fence\.proxy\.async\.global;"))
    own = 6  # of who stores for itself what TMA loads: two warpgroups, three kinds of instructions
    assert whole + light > own + 8
    assert whole == own if shape.endswith("light") else light == 0


def test_sums_are_read_and_written_16_bytes_at_a_time(shape: str) -> None:
    assert len(lines(shape, r"ld\.global\.cg\.v4")) > 50
    assert len(lines(shape, r"st\.global\.v4")) > 50
