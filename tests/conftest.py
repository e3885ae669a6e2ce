"""What every test shares: GPU tests skip where there is no GPU, and torch stays on one core."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

# before NumPy is loaded: its threads wait actively, and where cores are shared small products take
# thirty times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _has_cuda() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where they cannot run."""
    marked = [item for item in items if item.get_closest_marker("gpu") is not None]
    if marked and not _has_cuda():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True, scope="session")
def one_core() -> None:
    """Keep torch on one thread: tiny tensors only lose time to more."""
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the tiny preset with random weights; seconds to nothing to run."""
    from tests.nets import random_bundle

    folder = tmp_path_factory.mktemp("models") / "tiny"
    return random_bundle().save_pretrained(folder, quantise=False)
