"""Rendered people: whole, masked, moving, each another one."""

import pytest
import torch
from torch import Tensor

from everframe.data.people.figures import (
    COMPANY_SHARES,
    FAR_FRAMES,
    before,
    draw_figures,
    either,
    place,
)

SIZE = (48, 64)
FRAMES = 3


@pytest.fixture(scope="module")
def figures() -> Tensor:
    return draw_figures(6, FRAMES, SIZE, torch.Generator().manual_seed(1))


def test_shape_range_and_repeatability(figures: Tensor) -> None:
    assert figures.shape == (6, FRAMES + 2, 4, *SIZE)
    assert torch.isfinite(figures).all()
    assert 0 <= float(figures.min()) <= float(figures.max()) <= 1
    again = draw_figures(6, FRAMES, SIZE, torch.Generator().manual_seed(1))
    assert torch.equal(again, figures)
    other = draw_figures(6, FRAMES, SIZE, torch.Generator().manual_seed(2))
    assert not torch.equal(other, figures)


def test_a_person_is_in_every_frame_and_never_fills_it(figures: Tensor) -> None:
    share = figures[:, :, 3].mean((-1, -2))
    assert float(share.min()) > 0.005
    assert float(share.max()) < 0.8
    whole = ((figures[:, :, 3] < 0.02) | (figures[:, :, 3] > 0.98)).float().mean()
    assert whole > 0.9  # a mask with thin soft edges


def test_people_differ_and_are_shaded(figures: Tensor) -> None:
    mask = figures[:, 0, 3:]
    inside = (figures[:, 0, :3] * mask).sum((-1, -2)) / mask.sum((-1, -2))
    assert float((inside[:, None] - inside[None]).abs().amax(-1).fill_diagonal_(1).min()) > 0.02
    for person, where in zip(figures[:, 0, :3], mask[:, 0] > 0.9, strict=True):
        assert float(person[:, where].std(1).mean()) > 0.02


def test_motion_is_smooth_and_the_anchor_is_another_moment(figures: Tensor) -> None:
    mask = figures[:, :, 3]
    step = (mask[:, 1 : FRAMES + 1] - mask[:, :FRAMES]).abs().mean((1, 2, 3))
    far = (mask[:, -1] - mask[:, 0]).abs().mean((1, 2))
    assert float(step.max()) < 0.05
    assert float(far.mean()) > 2 * float(step.mean())
    assert FAR_FRAMES[0] > FRAMES


def test_some_have_company(figures: Tensor) -> None:
    """The first streams; people at the edges, so on both sides more of the picture is person."""
    several = round(COMPANY_SHARES[0] * len(figures))
    assert 0 < several < len(figures)
    many = draw_figures(24, 1, SIZE, torch.Generator().manual_seed(3))[:, 0, 3]
    sides = torch.cat([many[:, :, : SIZE[1] // 5], many[:, :, -SIZE[1] // 5 :]], 2).mean((1, 2))
    together = round(COMPANY_SHARES[0] * len(many))
    assert float(sides[:together].mean()) > 1.3 * float(sides[together:].mean())


def test_those_behind_are_hidden_by_those_before(figures: Tensor) -> None:
    front, behind = figures[:3], figures[3:]
    both = before(front, behind)
    torch.testing.assert_close(both[:, :, 3:], either(front[:, :, 3:], behind[:, :, 3:]))
    own = (front[:, :, 3:] == 1).expand_as(front[:, :, :3])
    torch.testing.assert_close(both[:, :, :3][own], front[:, :, :3][own])
    other = (front[:, :, 3:] == 0).expand_as(own)
    torch.testing.assert_close(both[:, :, :3][other], behind[:, :, :3][other])


def test_placed_before_a_background(figures: Tensor) -> None:
    background = torch.full_like(figures[:, :, :3], 0.25)
    placed = place(figures, background)
    outside = (figures[:, :, 3:] == 0).expand_as(placed)
    assert torch.equal(placed[outside], background[outside])
    whole = (figures[:, :, 3:] == 1).expand_as(placed)
    torch.testing.assert_close(placed[whole], figures[:, :, :3][whole])


def test_either_of_two_masks() -> None:
    a, b = torch.tensor([0.0, 1.0, 0.0, 0.5]), torch.tensor([0.0, 0.0, 1.0, 0.5])
    assert either(a, b).tolist() == [0.0, 1.0, 1.0, 0.75]
