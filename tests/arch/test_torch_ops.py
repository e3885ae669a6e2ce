"""Primitives that are not one call of torch, against that call."""

import pytest
import torch
import torch.nn.functional as F

from everframe.arch.torch_ops import TorchOps


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [(4, 6), (1, 5), (3, 1)], ids=str)
def test_upsampling_is_bilinear_interpolation(size: tuple[int, int], factor: int) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 4, *size), generator=g, requires_grad=True)
    up = TorchOps().upsample(x, factor)
    expected = F.interpolate(
        x.flatten(0, 1), scale_factor=factor, mode="bilinear", align_corners=False
    ).view_as(up)
    torch.testing.assert_close(up, expected)
    push = torch.randn(up.shape, generator=g)
    gradient, reference = (torch.autograd.grad(y, x, push)[0] for y in (up, expected))
    torch.testing.assert_close(gradient, reference)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_upsampling_weights_are_exact_in_bfloat16(factor: int) -> None:
    """For the powers of two that the heads use: a constant map stays constant to the bit."""
    ones = torch.ones((1, 5, 7), dtype=torch.bfloat16)
    up = TorchOps().upsample(ones, factor)
    assert up.dtype == torch.bfloat16
    assert torch.equal(up, torch.ones_like(up))
