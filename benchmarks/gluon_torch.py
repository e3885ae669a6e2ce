"""What torch's own kernels take for the tasks of the Gluon experiment: products and attention.

The mega kernel's own bodies are timed by `everframe bench engines --timeline`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gluon_words as words
import torch
from gluon_graph import TOKENS, Shape
from gluon_run import milliseconds


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
    backends = torch.nn.attention.SDPBackend
    for kernel in (backends.FLASH_ATTENTION, backends.CUDNN_ATTENTION):
        backend = kernel.name
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
