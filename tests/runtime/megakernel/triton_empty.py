# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""A tile of keys that do not exist, weighed."""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_attention import EMPTY, LOWEST, weigh


@triton.jit
def empty_tile(out, SCALE: tl.constexpr):
    """Denominator, maximum and sum of the weights of 16 rows to `out`."""
    rows = tl.arange(0, 16)
    s = tl.full((16, 16), EMPTY, tl.float32)
    top, total = tl.full((16,), LOWEST, tl.float32), tl.zeros((16,), tl.float32)
    acc = tl.zeros((16, 16), tl.float32)
    p, top, total, acc = weigh(s, top, total, acc, total, SCALE, False)
    tl.store(out + rows, total)
    tl.store(out + 16 + rows, top)
    tl.store(out + 32 + rows, tl.sum(p, 1))
