"""Small networks with random weights, so that every input of a frame matters, and random inputs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History, key_bias, slot_shapes
from everframe.arch.model import Control, prepare_control
from everframe.arch.positions import position_features, rope_angles, step_features
from everframe.arch.presets import PRESETS
from everframe.arch.spec import TEXT_TOKENS, TEXT_WIDTH, BlockSpec, Spec
from everframe.arch.torch_ops import TorchOps
from everframe.arch.weights import weight_table
from everframe.diffusion.frame_step import StepInputs
from everframe.diffusion.process import euler_coefficients
from everframe.diffusion.programs import flatten_control, slot_name

TINY = PRESETS["tiny"]
UNEVEN = Spec(
    width=48,
    head_dim=16,
    blocks=(
        BlockSpec(heads=2, ffn=40, history_frames=3),
        BlockSpec(heads=1, ffn=64),
        BlockSpec(heads=3, ffn=24, history_frames=1),
    ),
    prompt_tokens=4,
    prompt_width=32,
    condition_width=24,
    noisy_rank=8,
    anchor_rank=8,
    detail_channels=8,
    detail_depth=3,
)
"""Heads, feed-forward width and history differ from block to block; a deep detail path."""
HALVES = replace(
    UNEVEN,
    blocks=(
        BlockSpec(heads=0, ffn=40),
        BlockSpec(heads=2, ffn=0, history_frames=2),
        BlockSpec(heads=0, ffn=24),
        BlockSpec(heads=1, ffn=32),
        BlockSpec(heads=3, ffn=0),
    ),
)
"""Blocks without attention and blocks without a feed-forward part, as pruning leaves them."""
ALONE = replace(UNEVEN, blocks=tuple(replace(block, history_frames=0) for block in UNEVEN.blocks))
"""No block sees past frames: what is remembered is the previous output and the anchor."""
HEIGHT, WIDTH = 32, 48


def random_weights(spec: Spec, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """All weights drawn, also those that training starts at zero."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, weight in weight_table(spec).items():
        draw = rng.standard_normal(weight.shape, np.float32)
        if len(weight.shape) == 1:
            value = draw * 0.1 + (1 if weight.init == "ones" else 0)
        else:
            value = draw * np.prod(weight.shape[1:]) ** -0.5
        if weight.init == "gates":
            value = value + 0.3
        if weight.init == "identity":
            value = draw * 0.1
            value[[0, 5, 10]] += 0.6
        weights[name] = value.astype(np.float32)
    return weights


def random_bundle(spec: Spec = TINY, seed: int = 0) -> Bundle:
    """A bundle that nobody trained."""
    return Bundle(spec=spec, weights=random_weights(spec, seed))


def as_tensors(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Weights for torch."""
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def random_frame(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A smooth random picture, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 8, width // 8, 3), np.float32)
    fine = rng.random((height, width, 3), np.float32)
    mixed = 0.8 * coarse.repeat(8, 0).repeat(8, 1) + 0.2 * fine
    return (mixed * 255).astype(np.uint8)


def random_tokens(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Token states [16, 384] and mask of a prompt of seven tokens."""
    mask = np.arange(TEXT_TOKENS) < 7
    states = np.random.default_rng(seed).standard_normal((TEXT_TOKENS, TEXT_WIDTH), np.float32)
    return states * mask[:, None], mask


def random_control(spec: Spec, params: Mapping[str, Tensor], tau: float = 0.0) -> Control[Tensor]:
    """The control of a random prompt code."""
    code = torch.randn(
        (spec.prompt_tokens + 1, spec.prompt_width), generator=torch.Generator().manual_seed(3)
    )
    features = torch.from_numpy(step_features(tau, 0.0))
    return prepare_control(TorchOps(), params, spec, code, features)


def random_history(spec: Spec, tokens: int, filled: int, seed: int = 5) -> History[Tensor]:
    """A memory with everything present and `filled` slots."""
    g = torch.Generator().manual_seed(seed)
    slots = tuple(
        tuple(
            torch.randn(shape, generator=g) * float(age < filled)
            for shape in slot_shapes(spec, tokens)
        )
        for age in range(spec.window)
    )
    frames = [torch.from_numpy(random_frame(seed + i)) for i in range(3)]
    return History(
        previous=frames[0],
        anchor_output=frames[1],
        anchor_camera=frames[2],
        slots=slots,
        filled=filled,
        has_previous=True,
        has_anchor=True,
    )


def random_inputs(spec: Spec, filled: int, steps: int = 2) -> StepInputs[Tensor]:
    """Inputs of the first of `steps` denoising steps."""
    rows, cols = spec.grid(HEIGHT, WIDTH)
    history = random_history(spec, rows * cols, filled)
    keep, move = euler_coefficients(0.0, 1 / steps)
    noise = torch.randn((3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1))
    return StepInputs(
        camera=torch.from_numpy(random_frame(2)),
        previous=history.previous,
        anchor_output=history.anchor_output,
        anchor_camera=history.anchor_camera,
        has_previous=torch.ones(1, 1),
        has_anchor=torch.ones(1, 1),
        noisy=noise,
        key_bias=torch.from_numpy(key_bias(spec, rows * cols, filled)),
        slots=history.slots,
        keep=torch.full((1, 1, 1), keep),
        move=torch.full((1, 1, 1), move),
    )


def bound_values(
    spec: Spec, params: Mapping[str, Tensor], inputs: StepInputs[Tensor], control: Control[Tensor]
) -> dict[str, Tensor]:
    """Everything that the step program reads, by name."""
    rows, cols = spec.grid(HEIGHT, WIDTH)
    cos, sin = rope_angles(spec, rows, cols)
    tables = {"cos": cos, "sin": sin, "position": position_features(rows, cols)}
    bound = {**params, **as_tensors(tables), **flatten_control(control)}
    bound |= {"camera": inputs.camera, "previous": inputs.previous, "noisy": inputs.noisy}
    bound |= {"anchor_output": inputs.anchor_output, "anchor_camera": inputs.anchor_camera}
    bound |= {"has_previous": inputs.has_previous, "has_anchor": inputs.has_anchor}
    bound |= {"key_bias": inputs.key_bias, "keep": inputs.keep, "move": inputs.move}
    for age, slot in enumerate(inputs.slots, 1):
        bound |= {slot_name(age, j): value for j, value in enumerate(slot)}
    return bound
