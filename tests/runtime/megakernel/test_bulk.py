# pyright: basic, reportMissingImports=false
"""Tiles loaded through descriptors, in Triton's interpreter: the places that the copy engine is
told to read. Runs as `test_interpreter`.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from everframe.arch.spec import Spec
from everframe.runtime.megakernel.tiles import PANEL, Tiles
from tests.runtime.megakernel import test_interpreter
from tests.runtime.megakernel.test_interpreter import FINE, FINE_HEADS, INTERPRETED, SIZE, SPLIT

pytestmark = [
    pytest.mark.skipif(not INTERPRETED, reason="needs triton and TRITON_INTERPRET=1"),
    pytest.mark.timeout(400),
]
BOUNDARY = 512
"""Bytes that divide the addresses of a GPU's allocations."""


def room(count: int, dtype: torch.dtype) -> Tensor:
    """Unwritten numbers at such an address."""
    whole = torch.full((count + BOUNDARY,), float("nan"), dtype=dtype)
    first = (-whole.data_ptr() % BOUNDARY) // whole.element_size()
    return whole[first : first + count]


@pytest.mark.parametrize(
    ("spec", "tiles"),
    [
        (FINE_HEADS, replace(SPLIT, down_parts=1, bulk=1)),
        (FINE, replace(SPLIT, bulk=1)),
    ],
    ids=["head 128", "uneven"],
)
def test_descriptors_read_what_pointers_read(
    spec: Spec, tiles: Tiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from everframe.runtime.megakernel import torch_launch

    kernel = torch_launch.Kernel
    build = kernel.__init__

    def built(self: torch_launch.Kernel, *arguments: object, **options: object) -> None:
        build(self, *arguments, **options)  # type: ignore[arg-type]
        self.work = room(self.work.numel(), self.dtype).zero_()
        self._matrices = self._descriptors()

    def aligned(tensor: Tensor, dtype: torch.dtype, unit: int = 16) -> Tensor:
        tensor = tensor.to(dtype).contiguous()
        if tensor.data_ptr() % unit:
            tensor = room(tensor.numel(), dtype).view(tensor.shape).copy_(tensor)
        return tensor

    monkeypatch.setattr(kernel, "__init__", built)
    monkeypatch.setattr(
        kernel, "new_slot", lambda self: room(self.layout.slot.lines * PANEL, self.dtype)
    )
    monkeypatch.setattr(torch_launch, "aligned", aligned)
    test_interpreter.test_the_kernel_makes_the_frames_of_eager_torch(spec, 1, tiles, 1, SIZE)
