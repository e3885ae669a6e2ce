"""From noise to a frame: the coefficients, several steps, and a rollout against a session."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.arch.model import Control, prepare_control
from everframe.arch.positions import step_features
from everframe.arch.torch_net import table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.core.rng import numpy_rng
from everframe.diffusion.frame_step import denoise_step, frame_step
from everframe.diffusion.process import STEP_CHOICES, euler_coefficients, levels
from everframe.diffusion.rollout import FIRST_STEPS, Roller
from everframe.runtime.torch_engine import torch_engine
from everframe.stream.control import Control as StreamControl
from everframe.stream.session import Session
from everframe.text.encoder import TextEncoder
from tests.nets import (
    HEIGHT,
    TINY,
    UNEVEN,
    WIDTH,
    as_tensors,
    random_bundle,
    random_control,
    random_frame,
    random_inputs,
    random_weights,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("steps", STEP_CHOICES)
def test_the_last_euler_step_ends_at_the_estimate(steps: int) -> None:
    taus = levels(steps)
    assert taus[0] == 0
    assert len(taus) == steps
    keep, move = euler_coefficients(taus[-1], 1 / steps)
    assert keep == pytest.approx(0, abs=1e-12)
    assert move == pytest.approx(1)


@pytest.mark.parametrize("steps", STEP_CHOICES)
def test_a_perfect_estimate_walks_the_straight_line(steps: int) -> None:
    """With x known, z stays on z = tau x + (1 - tau) eps."""
    x, eps = 0.7, -1.3
    z = eps
    for tau in levels(steps):
        assert z == pytest.approx(tau * x + (1 - tau) * eps)
        keep, move = euler_coefficients(tau, 1 / steps)
        z = keep * z + move * x
    assert math.isclose(z, x)


@torch.no_grad()
def test_a_frame_of_two_steps_is_two_denoising_steps() -> None:
    spec, ops = UNEVEN, TorchOps()
    params = as_tensors(random_weights(spec))
    tables = table_tensors(spec, HEIGHT, WIDTH, CPU)
    first = random_inputs(spec, 1, steps=2)
    keep, move = (torch.full((1, 1, 1), x) for x in euler_coefficients(0.5, 0.5))
    controls = [random_control(spec, params, tau) for tau in (0.0, 0.5)]
    mid = denoise_step(ops, params, spec, first, controls[0], tables)
    second = replace(first, noisy=mid.noisy, keep=keep, move=move)
    end = denoise_step(ops, params, spec, second, controls[1], tables)
    ignored = replace(second, noisy=torch.zeros_like(first.noisy))
    both = frame_step(ops, params, spec, [first, ignored], controls, tables)
    assert torch.equal(both.frame, end.frame)
    assert torch.equal(both.noisy, end.noisy)
    for mine, theirs in zip(both.slots, end.slots, strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(mid.frame, end.frame)


@torch.no_grad()
def test_a_rollout_is_a_session_over_the_same_frames() -> None:
    bundle, prompt, seed = random_bundle(TINY), "pencil sketch", 4
    engine = torch_engine(bundle, HEIGHT, WIDTH, "float32", compiled=False)
    control = StreamControl(prompts=((prompt, 1.0),), seed=seed, steps=2, first_steps=FIRST_STEPS)
    session = Session(engine, control)
    frames = [random_frame(i) for i in range(5)]
    made = [session.step(frame) for frame in frames]

    tokens = TextEncoder.load().encode(prompt)
    code = torch.from_numpy(engine.encode_prompt(tokens.states, tokens.mask))
    noise = numpy_rng(seed, "stream noise").standard_normal((3, HEIGHT, WIDTH), np.float32)
    ops, params = TorchOps(), as_tensors(bundle.weights)

    def control_of(tau: float, size: float) -> Control[Tensor]:
        features = torch.from_numpy(step_features(tau, size))
        return prepare_control(ops, params, TINY, code, features)

    roller = Roller(
        ops=ops,
        params=params,
        spec=TINY,
        tables=table_tensors(TINY, HEIGHT, WIDTH, CPU),
        scalar=lambda x: torch.full((1, 1, 1), x),
        array=lambda a: torch.as_tensor(a),
        control=control_of,
    )
    cameras = (torch.from_numpy(frame) for frame in frames)
    rolled = roller.run(
        engine.empty_history(),
        cameras,
        torch.from_numpy(noise),
        steps=2,
        first_steps=FIRST_STEPS,
    )
    for mine, theirs in zip(rolled, made, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)
