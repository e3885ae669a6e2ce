"""The float64 reference of the GPU tests computes what the engines compute."""

import numpy as np
import torch

from everframe.runtime.torch_engine import torch_engine
from tests.exact import ExactEngine, in_float32, same_memory_errors
from tests.nets import HEIGHT, UNEVEN, WIDTH, random_bundle, random_frame, random_tokens


def test_float32_agrees_with_float64() -> None:
    bundle, size = random_bundle(UNEVEN), (HEIGHT, WIDTH)
    truth = ExactEngine(bundle, *size, torch.device("cpu"))
    engine = torch_engine(bundle, *size, "float32", compiled=False)
    code = truth.encode_prompt(*random_tokens(0))
    assert code.dtype == np.float64
    prepared = [each.prepare(code.astype(np.float32), 2) for each in (engine, truth)]
    noise = truth.to_engine(np.random.default_rng(1).standard_normal((3, *size)))
    history = truth.empty_history()
    for number in range(5):
        camera = truth.to_engine(random_frame(number, *size))
        made, _ = engine.step(in_float32(history), camera, noise.float(), prepared[0])
        right, history = truth.step(history, camera, noise, prepared[1])
        assert history.slots[0][0].dtype == torch.float64
        difference = made.int() - right.int()
        assert int(difference.abs().max()) <= 1
        assert float((difference != 0).float().mean()) < 0.01
        history = history.anchored(output=right, camera=camera)
    assert torch.get_default_dtype() == torch.float32


def test_errors_of_the_engines_that_gpu_tests_compare() -> None:
    """The same function, on the CPU: it can fail on a GPU for reasons of the GPU only."""
    bundle, size = random_bundle(UNEVEN), (HEIGHT, WIDTH)
    truth = ExactEngine(bundle, *size, torch.device("cpu"))
    single, half = (
        torch_engine(bundle, *size, precision, compiled=False)
        for precision in ("float32", "bfloat16")
    )
    for steps in (1, 4):
        errors = [same_memory_errors(each, truth, 5, steps) for each in (single, half)]
        assert errors[0] < 0.01
        assert errors[0] < errors[1] < 3
