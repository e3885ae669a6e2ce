import pytest
import torch
import torch.nn.functional as F

from everframe.evaluate.baselines import ColourMap
from everframe.evaluate.metrics import psnr
from tests.evaluate.toy import picture


def pictures(first: int) -> torch.Tensor:
    return torch.stack([picture(first + i) for i in range(3)])


def colour_look(x: torch.Tensor) -> torch.Tensor:
    """Channels turned round, a curve, a mix with grey."""
    return 0.7 * x.roll(1, 1) ** 1.6 + 0.3 * x.mean(1, keepdim=True)


def edge_look(x: torch.Tensor) -> torch.Tensor:
    """Strength of edges: what stands at a pixel does not tell."""
    grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), "replicate")
    right, down = (
        grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2],
        grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1],
    )
    return (4 * (right.abs() + down.abs())).clamp(0, 1).expand_as(x)


def test_a_colour_look_is_recovered_on_other_pictures() -> None:
    source, other = pictures(0), pictures(10)
    fitted = ColourMap.fit(source, colour_look(source))
    assert psnr(fitted.apply(other), colour_look(other)).min().item() > 40


def test_an_edge_look_is_not() -> None:
    source = pictures(0)
    fitted = ColourMap.fit(source, edge_look(source))
    assert psnr(fitted.apply(source), edge_look(source)).max().item() < 25


def test_the_identity_table_changes_nothing() -> None:
    axis = torch.linspace(0, 1, 5)
    table = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    x = pictures(20)
    assert torch.allclose(ColourMap(table=table).apply(x), x, atol=1e-5)


def test_black_and_white_reach_the_ends_of_the_table() -> None:
    table = torch.zeros(2, 2, 2, 3)
    table[1, 1, 1] = 0.5
    ends = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    assert ColourMap(table=table).apply(ends)[:, 0, 0, 0].tolist() == [0, 0.5]


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        ColourMap.fit(pictures(0), pictures(0)[:2])
