"""Shortcut distillation: where steps lead, what each term sees, and that a student learns it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from everframe.arch.model import Tables
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.compress.shortcut import (
    Shortcut,
    ShortcutConfig,
    deal,
    dealt,
    feature_loss,
    leads_to,
)
from everframe.core.errors import UserError
from everframe.train.loop import fit
from everframe.train.loss import LossConfig, clip_loss
from everframe.train.objective import Moment
from everframe.train.rollouts import RolloutConfig, empty_history, from_u8, make_roller, to_u8
from everframe.train.state import new_state
from everframe.train.step import ClipInputs, codes_of, estimate, prepare
from tests.nets import TINY, UNEVEN, random_weights
from tests.train.toy import CONFIG, toy_batch, toy_task

SHORT = replace(TINY, step_sizes=True)
SIZE = (32, 32)
CPU = torch.device("cpu")


def net_of(spec: Spec = TINY, seed: int = 0) -> Net:
    net = Net(spec)
    net.load_arrays(random_weights(spec, seed))
    return net


def mild_net(spec: Spec, seed: int) -> Net:
    """Near the camera, as a trained network is: what it says is not cut off as out of range."""
    net, g = Net(spec, seed=seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.values:
            value += 0.01 * torch.randn(value.shape, generator=g)
    return net


def clips(streams: int = 10, frames: int = 3) -> ClipInputs:
    generator = torch.Generator().manual_seed(0)
    batch = toy_batch(streams, frames, SIZE, generator)
    return prepare(batch, 16, CONFIG, generator)


def tables(net: Net) -> Tables[Tensor]:
    return table_tensors(net.spec, *SIZE, CPU)


def test_a_batch_is_dealt_by_its_size_and_self_rows_come_late() -> None:
    early, late = (deal(10, ShortcutConfig(), progress) for progress in (0.1, 0.9))
    assert (early.teacher, early.own, early.whole) == (4, 0, 2)
    assert (late.teacher, late.own) == (4, 2)
    assert late.sizes == (1.0, 1.0, 0.5, 0.25, 1.0, 0.5)
    assert deal(10, ShortcutConfig(teacher_share=0.0), 0.9).teacher == 0
    assert deal(1, ShortcutConfig(), 0.9).teacher == 1


def test_rows_stand_on_the_grid_of_their_step_size_and_keep_their_noise() -> None:
    inputs = clips()
    rows = dealt(inputs, deal(10, ShortcutConfig(), 0.9), torch.Generator().manual_seed(1))
    assert torch.equal(rows.size[:, 0], torch.tensor([1.0, 1, 0.5, 0.25, 1, 0.5, 0, 0, 0, 0]))
    grid = rows.size > 0
    steps = rows.tau[grid] / rows.size[grid]
    assert torch.equal(steps, steps.round())
    assert (rows.tau + rows.size <= 1).all()
    assert rows.tau[3].max() > 0  # not all at pure noise
    level = rows.tau[..., None, None, None]
    mixed = level * rows.target + (1 - level) * rows.noise
    torch.testing.assert_close(rows.frame.noisy, mixed)
    order = [int((inputs.target == row).all((1, 2, 3, 4)).nonzero()) for row in rows.target]
    assert sorted(order) == list(range(10))
    assert order != list(range(10))
    assert torch.equal(rows.frame.camera, inputs.frame.camera[order])
    assert torch.equal(rows.states, inputs.states[order])


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_from_noise_the_steps_lead_where_the_sampler_leads(steps: int) -> None:
    """One frame, nothing remembered: the readable sampler and the batched one agree."""
    net = net_of()
    inputs = clips(streams=2, frames=1)
    nothing = torch.zeros_like(inputs.frame.has_previous)
    frame = replace(
        inputs.frame,
        camera=from_u8(to_u8(inputs.frame.camera)),  # a live camera gives bytes
        noisy=inputs.noise,
        has_previous=nothing,
        has_anchor=nothing,
        anchor=inputs.frame.anchor * 0,
    )
    zero = torch.zeros_like(inputs.tau)
    inputs = replace(inputs, frame=frame, tau=zero, size=zero + 1)
    clean = leads_to(net, inputs, tables(net), steps)
    with torch.no_grad():
        roller = make_roller(net, codes_of(net, inputs)[:, 0], *SIZE)
        camera = to_u8(inputs.frame.camera[:, 0])
        history = empty_history(net, 2, *SIZE, CPU)
        sampled, _ = roller.step(history, camera, inputs.noise[:, 0], steps)
    difference = (to_u8(clean[:, 0]).int() - sampled.int()).abs()
    assert difference.max() <= 1  # a rounding


def test_one_substep_leads_to_the_estimate_itself() -> None:
    net = net_of()
    inputs = dealt(clips(), deal(10, ShortcutConfig(teacher_share=1.0), 0.0), torch.Generator())
    with torch.no_grad():
        own = estimate(net, replace(inputs, size=torch.zeros_like(inputs.size)), tables(net))
    torch.testing.assert_close(
        leads_to(net, inputs, tables(net), 1), own.clamp(-1.5, 1.5), atol=2e-4, rtol=0
    )


def moment_of(net: Net, progress: float = 0.9) -> Moment:
    return Moment(
        state=new_state(net, 1e-3, 0.9),
        progress=progress,
        generator=torch.Generator().manual_seed(5),
        loss=clip_loss,
    )


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_one_substep() -> None:
    """Equal weights, and step sizes that the network does not read."""
    weights = mild_net(TINY, 0).arrays()
    weights["condition.step_in"][:, 32:] = 0  # the features of the step size
    teacher, student = Net(TINY), Net(SHORT)
    teacher.load_arrays(weights)
    student.load_arrays(weights)
    config = ShortcutConfig(substeps=1, self_share=0.0)
    objective = Shortcut(teacher, student, config, LossConfig())
    _, terms = objective(clips(), tables(student), moment_of(student))
    assert terms["feature"] < 1e-9
    assert terms["teacher"] < 1e-4
    assert terms["end"] > 0.1
    other = Shortcut(mild_net(TINY, 7), student, config, LossConfig())
    _, terms = other(clips(), tables(student), moment_of(student))
    assert terms["feature"] > 1e-4
    assert terms["teacher"] > 0.01


def test_the_terms_add_up_and_only_the_student_gets_gradients() -> None:
    student, teacher = net_of(SHORT), net_of(replace(UNEVEN, patch=16), seed=2)
    config = ShortcutConfig()
    objective = Shortcut(teacher, student, config, LossConfig())
    total, terms = objective(clips(), tables(student), moment_of(student))
    expected = (
        terms["truth"]
        + config.teacher_weight * terms["teacher"]
        + config.end_weight * terms["end"]
        + config.self_weight * terms["own"]
        + config.feature_weight * terms["feature"]
    )
    torch.testing.assert_close(total, expected)
    total.backward()
    assert all(value.grad is None for value in teacher.values)
    assert all(value.grad is not None for value in student.values)
    assert student.parts.transformer_block is Net(SHORT).parts.transformer_block  # nothing records


def test_features_are_compared_at_the_same_depth() -> None:
    g = torch.Generator().manual_seed(0)
    deep = [torch.randn((1, 1, 6, 8), generator=g) for _ in range(4)]
    turned = torch.linalg.qr(torch.randn((8, 8), generator=g)).Q
    assert feature_loss([deep[1] @ turned * 3, deep[3] @ turned], deep) < 1e-10
    assert feature_loss([deep[0], deep[3]], deep) > 1e-3


def test_step_sizes_reach_the_network_in_a_shortcut_spec_only() -> None:
    plain, told = net_of(TINY), net_of(SHORT)
    history = empty_history(plain, 1, *SIZE, CPU)
    noise = torch.randn((1, 3, *SIZE), generator=torch.Generator().manual_seed(1))
    camera = torch.full((1, *SIZE, 3), 90, dtype=torch.uint8)
    codes = torch.randn((1, TINY.prompt_tokens + 1, TINY.prompt_width))
    outputs = []
    for net in (plain, told):
        with torch.no_grad():
            frame, _ = make_roller(net, codes, *SIZE).step(history, camera, noise, 1)
        outputs.append(frame)
    assert not torch.equal(*outputs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"teacher_share": 0.9, "self_share": 0.3}, "at most 1"),
        ({"sizes": (1.0, 0.3, 0.25)}, "one over n"),
        ({"sizes": (1.0,)}, "one number"),
        ({"substeps": 0}, "at least 1"),
    ],
)
def test_impossible_values_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Shortcut(net_of(), net_of(SHORT), ShortcutConfig(**change), LossConfig())  # pyright: ignore[reportArgumentType]


def test_networks_that_cannot_be_compared_are_refused() -> None:
    coarse = net_of(replace(TINY, patch=32))
    with pytest.raises(UserError, match="patches of 32 px"):
        Shortcut(coarse, net_of(SHORT), ShortcutConfig(), LossConfig())
    with pytest.raises(UserError, match="step_sizes"):
        Shortcut(net_of(), net_of(TINY), ShortcutConfig(), LossConfig())


def test_a_student_comes_nearer_to_its_teacher() -> None:
    student = Net(SHORT, seed=1)
    config = ShortcutConfig(teacher_share=1.0, self_share=0.0, end_weight=0.0)
    objective = Shortcut(mild_net(TINY, 3), student, config, LossConfig())
    optimiser = torch.optim.Adam(student.parameters(), 2e-3)
    inputs, losses = clips(streams=4), list[float]()
    for _ in range(25):
        loss, _ = objective(inputs, tables(student), moment_of(student))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_run_logs_all_terms_and_refuses_the_state_of_another(tmp_path: Path) -> None:
    rollouts = RolloutConfig(share=0.3, start=0.0, streams=3, lengths=(4,), uses=4)
    config = replace(CONFIG, streams=6, steps=8, own_start=0.0, rollouts=rollouts)
    state = new_state(Net(SHORT, seed=1), config.lr_adamw, config.ema)
    objective = Shortcut(mild_net(TINY, 3), state.net, ShortcutConfig(), config.loss)
    task = replace(toy_task(tmp_path, config=config), objective=objective, identity="student")
    assert fit(state, task)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"truth", "teacher", "own", "feature", "end"} <= set(rows[-1])
    again = new_state(Net(SHORT), config.lr_adamw, config.ema)
    with pytest.raises(UserError, match="another configuration"):
        again.load(tmp_path, "other")
    assert again.load(tmp_path, "student")


def test_bfloat16_as_on_a_gpu_gives_nearly_the_same_terms() -> None:
    student, teacher = mild_net(SHORT, 0), mild_net(replace(UNEVEN, patch=16), 2)
    objective = Shortcut(teacher, student, ShortcutConfig(), LossConfig())
    _, exact = objective(clips(), tables(student), moment_of(student))
    with torch.autocast("cpu", torch.bfloat16):
        total, terms = objective(clips(), tables(student), moment_of(student))
    total.backward()
    assert all(value.grad is not None for value in student.values)
    for name, term in terms.items():
        assert float(term.detach()) == pytest.approx(float(exact[name]), rel=0.1, abs=1e-2), name
