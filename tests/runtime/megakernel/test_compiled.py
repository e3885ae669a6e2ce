# pyright: reportMissingImports=false
"""The machine code of the Triton kernel, compiled for `sm_90a` without a GPU: which loads, flags
and matrix instructions it uses. Runs where triton is installed (no `TRITON_INTERPRET`); minutes.
"""

import os
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from everframe.arch.bundle import Bundle
from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.tiles import SHARED_MEMORY, default_tiles
from everframe.runtime.torch_shapes import SHAPES

COMPILES = os.environ.get("TRITON_INTERPRET") != "1" and find_spec("triton") is not None
pytestmark = [
    pytest.mark.skipif(not COMPILES, reason="needs triton"),
    pytest.mark.timeout(300),
    pytest.mark.parametrize("shape", ["pocket", "studio", "A", "A, switched", "C", "D"]),
]
SWITCHED = {"merge_rows": 16, "finish_rows": 16, "embed_parts": 4, "rehearsed": 1}
"""Everything that has a switch."""
SHIPPED = (256, 256)
HALF, SINGLE, BYTE, INTEGER, LONG = "*bf16", "*fp32", "*u8", "*i32", "*i64"
TYPES = {
    **dict.fromkeys(("table", "starts", "counters", "error"), INTEGER),
    "stamps": LONG,
    **dict.fromkeys(("epoch", "filled", "has_previous", "has_anchor"), "i32"),
    "origin": LONG[1:],
    **dict.fromkeys(("sums", "fixed", "control", "noise"), SINGLE),
    **dict.fromkeys(("work", "weights", "convolutions", "prompt", "new_slot"), HALF),
    **dict.fromkeys((f"slot{age}" for age in range(1, 9)), HALF),
    **dict.fromkeys(("camera", "previous", "anchor_output", "anchor_camera", "out"), BYTE),
}


@dataclass(frozen=True)
class Code:
    """PTX, and bytes of shared memory."""

    ptx: str
    shared: int


@cache
def compiled(shape: str) -> Code:
    """A shape with its default tiles, or with all switches on."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from everframe.runtime.megakernel.torch_launch import compiled_for
    from everframe.runtime.megakernel.triton_kernel import frame_kernel

    name, _, switched = shape.partition(", ")
    spec, size = SHAPES[name] if name in SHAPES else (Bundle.from_pretrained(name).spec, SHIPPED)
    plan = plan_frame(step_program(spec, *size))
    tiles = replace(default_tiles(plan), **(SWITCHED if switched else {}))
    constants: dict[str, int] = compiled_for(Layout(plan=plan, tiles=tiles, steps=1), bounded=True)
    constants |= {"TIMED": 0, "DELAYED": 0, "LIMIT": 1000}
    kernel: Any = frame_kernel
    names: list[str] = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={name: TYPES.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(names)
            if TYPES.get(name, "").startswith("*")
        },
    )
    options = {"num_warps": tiles.warps, "launch_cooperative_grid": True}
    made: Any = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    return Code(made.asm["ptx"], made.metadata.shared)


def lines(shape: str, pattern: str) -> list[str]:
    """Instructions of the PTX that match."""
    return [
        x.strip()
        for x in compiled(shape).ptx.splitlines()
        if re.search(pattern, x) and "//" not in x
    ]


def test_no_load_may_see_what_an_earlier_launch_left_in_a_read_only_cache(shape: str) -> None:
    loads = lines(shape, r"\bld\.(global|volatile|relaxed|acquire|weak)")
    assert len(loads) > 50
    assert not [x for x in loads if ".nc" in x]
    assert not lines(shape, r"\bldu\.|\btex\.")


def test_flags_acquire_and_release_for_the_whole_gpu(shape: str) -> None:
    atomics = lines(shape, r"\b(atom|red)\.")
    adds = {re.search(r"(atom|red)\.\S+", x).group() for x in atomics if ".add." in x}  # type: ignore[union-attr]
    assert adds <= {"atom.global.gpu.release.add.u32", "atom.global.gpu.release.add.s32"}
    assert sum(".release.add" in x for x in atomics) == 1
    assert len(lines(shape, r"@first ld\.acquire\.gpu\.global\.u32")) > 8


def test_nothing_is_stored_between_the_barrier_and_the_release(shape: str) -> None:
    code = compiled(shape).ptx.splitlines()
    release = next(i for i, x in enumerate(code) if ".release.add" in x)
    barrier = max(i for i, x in enumerate(code[:release]) if "bar.sync" in x)
    between = code[barrier + 1 : release]
    assert not [x for x in between if re.search(r"\bst\.|\bcp\.async|^\$L__BB", x)]


def test_every_wait_ends_in_a_barrier_before_anything_is_loaded(shape: str) -> None:
    """The flags are seen by one warp; the others must not run ahead of it."""
    code = compiled(shape).ptx.splitlines()
    waits = [i for i, x in enumerate(code) if "ld.acquire" in x]
    for wait in waits:
        after = next(
            x for x in code[wait + 1 :] if re.search(r"bar\.|barrier\.|ld\.global|cp\.async", x)
        )
        assert "barrier.cta.red.and.pred" in after


def test_matrix_tiles_are_loaded_and_stored_16_bytes_at_a_time(shape: str) -> None:
    stores = [x for x in lines(shape, r"\bst\.global") if ".v4" in x]
    assert len(stores) > 60
    narrow = [
        x for x in lines(shape, r"cp\.async\.c[ag]\.shared") if not re.search(r"0x(8|10),", x)
    ]
    # biases of attention: two rows of a thread in three stages; in four stages the weights of the
    # last convolution, 16 x 32 numbers for eight warps
    assert len(narrow) <= 10


def test_matrix_products_use_wgmma_and_fit_the_multiprocessor(shape: str) -> None:
    assert lines(shape, r"wgmma\.mma_async")
    assert lines(shape, r"cp\.async")
    assert compiled(shape).shared <= SHARED_MEMORY
