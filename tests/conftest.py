"""What every test shares: GPU tests skip where there is no GPU, and torch stays on one core."""

from importlib.util import find_spec

import pytest


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
