"""Every look: shape, range, determinism, hidden state, prompts, and calm under sensor noise."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from everframe.data.looks import LOOKS, Look, look_by_name
from everframe.data.looks.filters import blur, kuwahara
from everframe.data.looks.strength import IDENTITY_HELD_OUT, IDENTITY_PROMPTS, STRENGTHS
from everframe.data.looks.texture import cells

SIZES = ((64, 96), (72, 56))
SENSOR_NOISE = 2 / 255

each_look = pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(batch: int, frames: int, height: int, width: int, *, shift: float = 0.0) -> Tensor:
    """A smooth coloured scene with a bright disc and a dark box, no random numbers."""
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(0, 1, width)[None, :].expand(height, width)
    disc = torch.sigmoid(((y - 0.4) ** 2 + (x - 0.4 - shift) ** 2 - 0.06) * -120)
    box = torch.sigmoid((x - 0.7) * 60) * torch.sigmoid((y - 0.5) * 60)
    base = torch.stack([0.3 + 0.4 * x, 0.35 + 0.3 * y, 0.6 - 0.3 * x])
    face = torch.tensor([0.85, 0.65, 0.5]).view(3, 1, 1)
    scene = (base + disc * (face - base)) * (1 - 0.8 * box)
    return scene.expand(batch, frames, 3, height, width).clone()


@each_look
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shape_range_and_determinism(look: Look, size: tuple[int, int]) -> None:
    frames = picture(2, 2, *size)
    before = frames.clone()
    state = look.draw(2, *size, generator(0))
    out = look.apply(frames, state)
    assert out.shape == frames.shape
    assert out.dtype == torch.float32
    assert bool(torch.isfinite(out).all())
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    again = look.apply(frames, look.draw(2, *size, generator(0)))
    assert torch.equal(out, again)
    assert torch.equal(frames, before)


@each_look
def test_extreme_frames_stay_in_range(look: Look) -> None:
    levels = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 64, 96)
    noise = torch.rand(1, 1, 3, 64, 96, generator=generator(9)).round()
    frames = torch.cat([levels, noise], 1)
    out = look.apply(frames, look.draw(1, 64, 96, generator(1)))
    assert bool(torch.isfinite(out).all())
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1


@each_look
def test_frames_are_treated_alone(look: Look) -> None:
    frames = torch.cat([picture(2, 1, 64, 96), picture(2, 1, 64, 96, shift=0.1)], 1)
    state = look.draw(2, 64, 96, generator(2))
    out = look.apply(frames, state)
    torch.testing.assert_close(out[:, 1:], look.apply(frames[:, 1:], state), atol=1e-5, rtol=0)
    own = {name: value[1:] for name, value in state.items()}
    torch.testing.assert_close(out[1:], look.apply(frames[1:], own), atol=1e-5, rtol=0)


@each_look
def test_hidden_state_decides_only_hidden_looks(look: Look) -> None:
    frames = picture(4, 1, 64, 96)
    state = look.draw(4, 64, 96, generator(3))
    if look.kind != "hidden":
        assert state == {}
        return
    assert all(value.shape[0] == 4 for value in state.values())
    out = look.apply(frames, state)
    other = look.apply(frames, look.draw(4, 64, 96, generator(4)))
    assert torch.equal(out, look.apply(frames, state))
    assert float((out - other).abs().mean()) > 0.05
    streams = [float((out[i] - out[j]).abs().mean()) for i, j in combinations(range(4), 2)]
    assert sum(streams) / len(streams) > 0.05


@each_look
def test_look_changes_the_picture(look: Look) -> None:
    frames = picture(2, 1, 64, 96)
    out = look.apply(frames, look.draw(2, 64, 96, generator(5)))
    assert float((out - frames).abs().mean()) > 0.03


@each_look
def test_calm_under_sensor_noise(look: Look) -> None:
    frames = picture(1, 1, 64, 96)
    noise = SENSOR_NOISE * torch.randn(frames.shape, generator=generator(6))
    state = look.draw(1, 64, 96, generator(7))
    change = look.apply((frames + noise).clamp(0, 1), state) - look.apply(frames, state)
    assert float(change.abs().mean()) < 1.6 * float(noise.abs().mean())


def test_plain_looks_differ_from_each_other() -> None:
    frames = picture(1, 1, 64, 96)
    done = {k.name: k.apply(frames, {}) for k in LOOKS if k.kind != "hidden"}
    close = [
        (a, b) for a, b in combinations(done, 2) if float((done[a] - done[b]).abs().mean()) < 0.04
    ]
    assert close == []


def test_catalogue_counts() -> None:
    names = [look.name for look in LOOKS]
    hidden = [look for look in LOOKS if look.kind == "hidden"]
    assert len(LOOKS) >= 46
    assert len(set(names)) == len(names)
    assert len(hidden) >= 18
    assert len(hidden) * 3 >= len(LOOKS)
    assert look_by_name("pencil").name == "pencil"
    with pytest.raises(KeyError, match="no look 'pencl'"):
        look_by_name("pencl")


def test_prompts_are_enough_and_unique() -> None:
    seen: dict[str, str] = {}
    for look in LOOKS:
        assert len(look.prompts) >= 12, look.name
        assert len(look.held_out) == 3, look.name
        for prompt in look.prompts + look.held_out:
            assert prompt == prompt.strip().lower()
            assert len(prompt.split()) <= 8, prompt
            assert prompt not in seen, (prompt, look.name, seen.get(prompt))
            seen[prompt] = look.name
    identity = IDENTITY_PROMPTS + IDENTITY_HELD_OUT
    assert len(IDENTITY_PROMPTS) >= 12
    assert len(IDENTITY_HELD_OUT) >= 3
    assert len(set(identity)) == len(identity)
    assert not set(identity) & set(seen)


def test_strengths_name_the_look_and_blend() -> None:
    assert all(s.template.count("{p}") == 1 and 0 < s.alpha <= 1 for s in STRENGTHS)
    assert len({s.template for s in STRENGTHS}) == len(STRENGTHS)
    assert any(s.alpha < 0.5 for s in STRENGTHS)
    assert any(s.alpha == 1 for s in STRENGTHS)


def test_blur_and_kuwahara_keep_flat_colour_and_edges() -> None:
    flat = torch.full((1, 1, 3, 24, 40), 0.3)
    torch.testing.assert_close(blur(flat, 3.0), flat, atol=1e-5, rtol=0)
    torch.testing.assert_close(kuwahara(flat, 3), flat, atol=1e-5, rtol=0)
    step = torch.zeros(1, 1, 3, 24, 40)
    step[..., 20:] = 1
    assert float((kuwahara(step, 4) - step).abs().max()) < 0.02
    assert float((blur(step, 2.0) - step).abs().max()) > 0.3


def test_cells_hold_their_middle_and_every_stream_differs() -> None:
    site, edge, ident = cells(2, 48, 80, 12, generator(8))
    assert int(site.min()) >= 0
    assert int(site.max()) < 48 * 80
    assert float(edge.min()) >= 0
    assert not torch.equal(site[0], site[1])
    inside = edge[0, 0, 0] > 2
    # Away from the frame's border a cell's middle pixel belongs to the cell itself.
    margin = torch.zeros_like(inside)
    margin[16:-16, 16:-16] = True
    keep = inside & margin
    assert torch.equal(ident[0].flatten()[site[0][keep]], ident[0][keep])
