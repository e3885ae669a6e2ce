"""The model shapes that GPU engines are measured on, by name."""

from __future__ import annotations

import numpy as np
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.presets import preset
from everframe.arch.spec import Spec
from everframe.arch.torch_net import initial_value
from everframe.arch.weights import Weight, weight_table
from everframe.core.errors import UserError

Size = tuple[int, int]
"""Height and width."""


def _shape(patch: int, width: int, head: int, depth: int, ffn: int, past: int) -> Spec:
    return Spec.uniform(
        patch=patch,
        width=width,
        head_dim=head,
        depth=depth,
        ffn=ffn,
        history_frames=past,
        history_every=1,
    )


SHAPES: dict[str, tuple[Spec, Size]] = {
    "A": (_shape(32, 256, 64, 8, 768, 8), (256, 256)),
    "B": (_shape(32, 512, 64, 12, 1408, 6), (512, 512)),
    "C": (_shape(16, 768, 64, 12, 2048, 4), (576, 576)),
    "D": (_shape(16, 1024, 128, 24, 2816, 4), (576, 576)),
    "E": (_shape(16, 1536, 128, 28, 4096, 4), (576, 576)),
    "broadcast": (preset("broadcast"), (704, 1280)),
    "cinema": (preset("cinema"), (1088, 1920)),
}
GROWTH: dict[str, tuple[Spec, Size]] = {
    **{
        f"B tokens {n * n}": (_shape(32, 512, 64, 12, 1408, 6), (32 * n, 32 * n))
        for n in (8, 24, 32)
    },
    **{f"B window {n}": (_shape(32, 512, 64, 12, 1408, n), (512, 512)) for n in (1, 3, 8)},
    **{f"B depth {n}": (_shape(32, 512, 64, n, 1408, 6), (512, 512)) for n in (6, 24)},
    **{f"B steps {n}": (_shape(32, 512, 64, 12, 1408, 6), (512, 512)) for n in (2, 4)},
}
"""How time grows: B, which has 256 tokens, window 6, depth 12 and one step, with one number
changed.
"""
STEPS = {f"B steps {n}": n for n in (2, 4)}
"""Denoising steps of a frame, where they are not 1."""
SHAPES.update(GROWTH)
"""Random weights; `pocket` and `studio` are measured with their own at 256x256."""
NOT_RANDOM = {"zeros": 0.3, "gates": 0.1, "identity": 0.1}
"""Initial values that are not drawn when training begins, and what is added to them here."""
SHIPPED = ("pocket", "studio")


def bundle_of(shape: str) -> tuple[Bundle, Size]:
    """Model and frame size of a shape.

    Raises:
        UserError: no such shape.
    """
    if shape in SHIPPED:
        return Bundle.from_pretrained(shape), (256, 256)
    if shape not in SHAPES:
        known = ", ".join((*SHIPPED, *SHAPES))
        raise UserError(f"unknown shape '{shape}'; choose from {known}")
    spec, size = SHAPES[shape]
    return drawn_bundle(spec), size


def drawn_bundle(spec: Spec) -> Bundle:
    """Random weights, none of them zero."""
    draw = torch.Generator().manual_seed(0)
    weights = {
        name: _drawn(weight, spec.width, draw).numpy()
        for name, weight in weight_table(spec).items()
    }
    return Bundle(spec=spec, weights=weights)


def _drawn(weight: Weight, width: int, draw: torch.Generator) -> torch.Tensor:
    """As training begins, but no weight is zero: the error of a frame shows an error anywhere."""
    value = initial_value(weight, width, draw)
    if weight.init in NOT_RANDOM:
        fan = float(np.prod(weight.shape[1:])) if len(weight.shape) in (2, 4) else 1.0
        scale = NOT_RANDOM[weight.init] * fan**-0.5
        value = value + scale * torch.randn(weight.shape, generator=draw)
    return value


def steps_of(shape: str) -> int:
    """Denoising steps of a frame of a shape."""
    return STEPS.get(shape, 1)
