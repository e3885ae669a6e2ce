"""The parts of training, each against numbers computed by hand."""

from dataclasses import replace

import pytest
import torch

from everframe.arch.torch_net import table_tensors
from everframe.train import augment
from everframe.train.augment import AugmentConfig, apply_damage, corrupt
from everframe.train.config import TrainConfig
from everframe.train.loop import clip_shape, learning_rate
from everframe.train.loss import LossConfig, clip_loss
from everframe.train.noise import NoiseConfig, draw_levels, draw_noise, mix
from everframe.train.optim import Ema, Muon, orthogonalise
from everframe.train.step import prepare, with_own_history
from tests.nets import TINY
from tests.train.toy import CONFIG, toy_batch, toy_state

SHAPE = (1, 1, 3, 4, 4)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("tau", "weight"), [(0.0, 1.0), (0.5, 4.0), (0.95, 1 / 0.09)])
def test_the_loss_of_a_constant_error(tau: float, weight: float) -> None:
    clean = torch.full(SHAPE, 0.5)
    config = LossConfig(level_floor=0.3, absolute=0.5, gradient=0.5)
    loss, terms = clip_loss(clean, torch.zeros(SHAPE), torch.full((1, 1), tau), 2, config)
    assert float(terms["square"]) == pytest.approx(weight * 0.25)
    assert float(terms["absolute"]) == pytest.approx(0.5)
    assert float(terms["gradient"]) == 0
    assert float(loss) == pytest.approx(weight * 0.25 + 0.25)


@pytest.mark.parametrize(("column", "expected"), [(1, 1 / 3), (2, 2 / 3), (3, 1 / 3)])
@pytest.mark.parametrize("turned", [False, True])
def test_edges_across_patches_count_twice(column: int, expected: float, turned: bool) -> None:
    clean = torch.zeros(SHAPE)
    clean[..., column:] = 1
    clean = clean.mT if turned else clean
    _, terms = clip_loss(clean, torch.zeros(SHAPE), torch.zeros(1, 1), 2, LossConfig())
    assert float(terms["gradient"]) == pytest.approx(expected)


def test_the_loss_averages_levels_per_frame() -> None:
    clean = torch.zeros(1, 2, 3, 4, 4)
    clean[:, 0] = 1.0
    _, terms = clip_loss(
        clean, torch.zeros_like(clean), torch.tensor([[0.5, 0.0]]), 2, LossConfig()
    )
    assert float(terms["square"]) == pytest.approx(4 / 2)


def test_shares_of_the_noise_levels() -> None:
    config = NoiseConfig(
        pure_share=0.6,
        alone_pure_share=0.4,
        hidden_pure_share=0.2,
        uniform_share=0.1,
        mean=-0.8,
        deviation=0.8,
    )
    shown, hidden = torch.zeros(200, 1), torch.ones(200, 1)
    for kind, share in ((shown, 0.4), (hidden, 0.2)):
        lonely = draw_levels(torch.ones(200, 100), kind, config, generator())
        assert float((lonely == 0).float().mean()) == pytest.approx(share, abs=0.015)
    tau = draw_levels(torch.zeros(200, 100), hidden, config, generator())
    assert float(tau.min()) == 0
    assert float(tau.max()) < 1
    assert float((tau == 0).float().mean()) == pytest.approx(0.6, abs=0.015)
    rest = tau[tau > 0]
    # logit-normal beyond 0.8 is 0.34 %, uniform on 0..0.95 is 15.8 %
    expected = (0.1 * 0.15 / 0.95 + 0.3 * 0.0034) / 0.4
    assert float((rest > 0.8).float().mean()) == pytest.approx(expected, abs=0.01)


def test_noise_is_fixed_along_most_streams_and_mixed_linearly() -> None:
    target = torch.zeros(400, 3, 3, 2, 2)
    eps = draw_noise(target, NoiseConfig(fixed_share=0.75), generator())
    fixed = (eps == eps[:, :1]).all(1).flatten(1).all(1)
    assert float(fixed.float().mean()) == pytest.approx(0.75, abs=0.06)
    tau = torch.tensor([[0.0, 0.25, 1.0]]).expand(400, 3)
    z = mix(target + 2, eps, tau)
    assert torch.equal(z[:, 0], eps[:, 0])
    assert torch.allclose(z[:, 1], 0.5 + 0.75 * eps[:, 1])
    assert torch.equal(z[:, 2], target[:, 2] + 2)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_share_of_the_remembered_frames_stays_clean(share: float) -> None:
    frames = torch.rand((20, 10, 3, 32, 32), generator=generator()) * 2 - 1
    before = frames.clone()
    config = AugmentConfig(clean_share=share, noise_share=1.0)
    out = corrupt(frames, 16, config, generator(1))
    assert out.shape == frames.shape
    assert torch.equal(frames, before)
    clean = (out == frames).flatten(2).all(2)
    assert float(clean.float().mean()) == pytest.approx(share, abs=0.11)
    if share == 1.0:
        assert torch.equal(out, frames)


def test_every_operator_does_what_its_name_says() -> None:
    x = torch.rand((2, 3, 3, 32, 48), generator=generator()) * 1.6 - 0.8
    one, gray = torch.ones(2, 3, 1, 1, 1), torch.tensor(augment.LUMA).view(3, 1, 1)

    def luma(y: torch.Tensor) -> torch.Tensor:
        return (y * gray).sum(2)

    for soft in (augment.resample(x, one), augment.blur(x, one)):
        assert float(soft.diff(dim=-1).abs().mean()) < 0.5 * float(x.diff(dim=-1).abs().mean())
        assert float(soft.mean()) == pytest.approx(float(x.mean()), abs=0.02)
    torch.testing.assert_close(augment.blur(x, 0 * one), x)
    full = augment.saturate(x, one, 0.4)
    torch.testing.assert_close(luma(full), luma(x))
    torch.testing.assert_close(full - luma(full)[:, :, None], 1.4 * (x - luma(x)[:, :, None]))
    bright = augment.expose(x, torch.stack([one, one, one / 2, 0 * one]), 0.3)
    torch.testing.assert_close(bright[:, :, 0], 1.3 * x[:, :, 0] + 0.1)
    torch.testing.assert_close(bright[:, :, 1], 1.3 * x[:, :, 1])
    torch.testing.assert_close(bright[:, :, 2], 1.3 * x[:, :, 2] - 0.1)
    cells = torch.randn((2, 3, 3, 2, 3), generator=generator())
    offset = augment.seams(cells, x.shape[-2:])
    assert torch.equal(offset[..., :16, 16:32], cells[..., :1, 1:2].expand(-1, -1, -1, 16, 16))
    lost = AugmentConfig(swap_share=0.5, repeat_share=0.5)
    assert torch.equal(augment.misplace(x, 0.2 * one, lost), x.roll(1, 0))
    assert torch.equal(augment.misplace(x, 0.7 * one, lost)[:, 1:], x[:, :-1])


@pytest.mark.parametrize(
    "share",
    ["resample", "blur", "saturation", "exposure", "offset", "noise", "swap", "repeat"],
)
def test_every_operator_has_its_own_share(share: str) -> None:
    frames = torch.rand((6, 4, 3, 32, 32), generator=generator()) * 2 - 1
    names = ("resample", "blur", "saturation", "exposure", "offset", "noise", "swap", "repeat")
    none = {f"{name}_share": 0.0 for name in names}
    quiet = AugmentConfig(clean_share=0.0, **none)
    assert torch.equal(corrupt(frames, 16, quiet, generator(1)), frames)
    loud = AugmentConfig(clean_share=0.0, **{**none, f"{share}_share": 1.0})
    changed = (corrupt(frames, 16, loud, generator(1)) != frames).flatten(2).any(2)
    expected = 18 / 24 if share == "repeat" else 1.0  # the first frame has none before it
    assert float(changed.float().mean()) == expected


def test_compiled_damage_is_the_damage() -> None:
    """Random numbers are drawn outside of what is compiled, so they are the same ones."""
    frames = torch.rand((6, 4, 3, 32, 48), generator=generator()) * 2 - 1
    config = AugmentConfig(clean_share=0.1, swap_share=0.2, repeat_share=0.2)
    fast = torch.compile(apply_damage, backend="aot_eager", dynamic=False)
    eager = corrupt(frames, 16, config, generator(1))
    assert not torch.allclose(eager, frames, atol=0.1)
    torch.testing.assert_close(corrupt(frames, 16, config, generator(1), fast), eager)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 192, 64), (1, 64, 256)], ids=str)
def test_muon_makes_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=generator())).float())
    assert float(values.median()) == pytest.approx(1, abs=0.3)
    assert float(values.max()) < 1.35


def test_muon_goes_down_the_slope() -> None:
    weight = torch.nn.Parameter(torch.randn((16, 16), generator=generator()))
    muon = Muon([weight])
    start = float(weight.detach().square().sum())
    for _ in range(30):
        weight.grad = weight.detach() * 2
        muon.step(0.03)
    assert float(weight.detach().square().sum()) < 0.8 * start


def test_the_average_warms_up_and_then_decays() -> None:
    ema = Ema([torch.zeros(2)], decay=0.5)
    ema.update([torch.ones(2)], 0)  # weight 1 - 1/10
    assert ema.values[0].tolist() == pytest.approx([0.9, 0.9])
    ema.update([torch.zeros(2)], 10_000)  # weight 1 - 0.5
    assert ema.values[0].tolist() == pytest.approx([0.45, 0.45])


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    config = TrainConfig(warmup=10, cooldown=0.3)
    factors = [learning_rate(s, p, config) for s, p in ((0, 0), (4, 0), (9, 0), (500, 0.7))]
    assert factors == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert learning_rate(900, 0.85, config) == pytest.approx(0.51)
    assert learning_rate(999, 1.0, config) == pytest.approx(0.01)


def test_shapes_of_the_steps_of_a_run() -> None:
    config = TrainConfig(
        streams=8,
        frames=4,
        size=(64, 64),
        image_share=0.1,
        other_sizes=((64, 128), (32, 32)),
        other_every=2,
        rare_sizes=((96, 96),),
        rare_every=10,
    )
    assert clip_shape(0, 0.0, config) == (16, 1, (64, 64))
    assert clip_shape(4, 0.5, config) == (8, 4, (64, 64))
    assert clip_shape(1, 0.5, config) == (4, 4, (64, 128))
    assert clip_shape(3, 0.5, config) == (32, 4, (32, 32))
    assert clip_shape(9, 0.5, config) == (4, 4, (96, 96))
    assert clip_shape(12, 0.9, config) == (8, 4, (64, 64))


def test_what_the_network_sees_of_a_batch() -> None:
    g = generator()
    batch = toy_batch(200, 3, (16, 16), g)
    inputs = prepare(batch, 16, CONFIG, g)
    previous, anchor = inputs.frame.has_previous[..., 0, 0], inputs.frame.has_anchor[..., 0, 0]
    keep = 1 - CONFIG.no_previous_share
    first = float(previous[:, 0].mean())
    assert first == pytest.approx(keep * (1 - CONFIG.cold_share), abs=0.08)
    assert float(previous[:, 1:].mean()) == pytest.approx(keep, abs=0.05)
    cold = (anchor[:, 0] == 0) & (anchor[:, 1] == 1)  # the first frame of a cold stream has none
    assert float(cold.float().mean()) == pytest.approx(
        CONFIG.cold_share * (1 - CONFIG.no_anchor_share), abs=0.08
    )
    assert bool((previous[cold, 0] == 0).all())
    # its anchor is its own first frame
    assert torch.equal(inputs.frame.anchor[cold, 1, 3:], batch.camera[cold, 0])
    absent = anchor == 0
    assert float(inputs.frame.anchor[absent].abs().max()) == 0
    assert torch.equal(inputs.target, batch.target)


def test_streams_that_fade_have_no_anchor() -> None:
    batch = toy_batch(20, 3, (16, 16), generator())
    batch.blend[:, 2] = 1
    assert float(prepare(batch, 16, CONFIG, generator()).frame.has_anchor.max()) == 0


def test_own_history_replaces_remembered_frames_by_own_ones() -> None:
    state, g = toy_state(), generator()
    batch = toy_batch(2, 3, (32, 32), g)
    inputs = prepare(batch, 16, CONFIG, g)
    tables = table_tensors(TINY, 32, 32, torch.device("cpu"))
    noise = torch.randn(batch.target.shape, generator=g)
    every = replace(CONFIG, own_frames=1.0, own_alone_share=0.0)
    own = with_own_history(state.net, inputs, noise, tables, every, g)
    assert torch.equal(own.frame.previous[:, 0], inputs.frame.previous[:, 0])
    # a new network gives the camera back
    expected = batch.camera[:, :-1].clamp(-1, 1)
    torch.testing.assert_close(own.frame.previous[:, 1:], expected, atol=1e-4, rtol=1e-4)
    none = with_own_history(state.net, inputs, noise, tables, replace(every, own_frames=0.0), g)
    assert torch.equal(none.frame.previous, inputs.frame.previous)


def test_streams_that_begin_alone_remember_only_what_was_made_without_memory() -> None:
    state, g = toy_state(), generator()
    batch = toy_batch(4, 3, (32, 32), g)
    batch.hidden[:2] = 1  # their state could not be told without memory: they keep the truth
    batch.hidden[2:] = 0
    inputs = prepare(batch, 16, replace(CONFIG, cold_share=0.0, no_anchor_share=0.0), g)
    tables = table_tensors(TINY, 32, 32, torch.device("cpu"))
    noise = torch.randn(batch.target.shape, generator=g)
    config = replace(CONFIG, own_frames=0.0, own_alone_share=1.0)
    own = with_own_history(state.net, inputs, noise, tables, config, g).frame
    assert torch.equal(own.previous[:2], inputs.frame.previous[:2])
    assert torch.equal(own.anchor[:2], inputs.frame.anchor[:2])
    camera = batch.camera.clamp(-1, 1)  # what a new network returns
    torch.testing.assert_close(own.previous[2:, 1:], camera[2:, :-1], atol=1e-4, rtol=1e-4)
    first = torch.cat([camera[2:, 0], batch.camera[2:, 0]], 1)
    torch.testing.assert_close(own.anchor[2:, 1], first, atol=1e-4, rtol=1e-4)
    assert float(own.has_previous[2:, 0].max()) == float(own.has_anchor[2:, 0].max()) == 0
    assert torch.equal(own.has_previous[:, 1:], inputs.frame.has_previous[:, 1:])


def test_what_begins_alone_does_not_see_the_true_anchor() -> None:
    state, g = toy_state(), generator()
    with torch.no_grad():  # weights that read every input
        for value in state.net.values:
            value.add_(torch.randn(value.shape, generator=g) * 0.1)
    batch = toy_batch(4, 3, (32, 32), g)
    batch.hidden[:2], batch.hidden[2:] = 1, 0
    inputs = prepare(batch, 16, replace(CONFIG, cold_share=0.0, no_anchor_share=0.0), g)
    other = replace(inputs, frame=replace(inputs.frame, anchor=inputs.frame.anchor.flip(-1)))
    tables = table_tensors(TINY, 32, 32, torch.device("cpu"))
    noise = torch.randn(batch.target.shape, generator=g)
    config = replace(CONFIG, own_frames=1.0, own_alone_share=1.0)
    one, two = (
        with_own_history(state.net, x, noise, tables, config, generator()).frame
        for x in (inputs, other)
    )
    assert torch.equal(one.previous[2:, 1:], two.previous[2:, 1:])
    assert torch.equal(one.anchor[2:], two.anchor[2:])
    assert not torch.equal(one.previous[:2, 1:], two.previous[:2, 1:])
