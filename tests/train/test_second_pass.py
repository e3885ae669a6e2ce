"""The memory written by a second pass: a clip in parallel equals the stream frame by frame."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from everframe.arch.torch_net import Net, table_tensors
from everframe.train.rollouts import empty_history, from_u8, make_roller, to_u8
from everframe.train.second_pass import SecondPassRoller, estimate_second_pass
from everframe.train.step import prepare_rollout
from tests.nets import TINY, random_weights
from tests.train.toy import CONFIG, toy_batch

SIZE = (32, 48)
FRAMES = 5


def test_parallel_equals_frame_by_frame_and_the_cache_matters() -> None:
    net = Net(TINY)
    net.load_arrays(random_weights(TINY, 0))
    g = torch.Generator().manual_seed(2)
    batch = toy_batch(2, FRAMES, SIZE, g)
    batch = replace(batch, camera=from_u8(to_u8(batch.camera)))
    noise = torch.randn((2, 3, *SIZE), generator=g)
    with torch.no_grad():
        codes = net.prompt_codes(batch.states, batch.mask)[:, 0]
        roller = make_roller(net, codes, *SIZE, SecondPassRoller)
        history = empty_history(net, 2, *SIZE, torch.device("cpu"))
        anchor = to_u8(batch.anchor_output), to_u8(batch.anchor_camera)
        history = history.anchored(output=anchor[0], camera=anchor[1])
        made: list[torch.Tensor] = []
        for t in range(FRAMES):
            frame, history = roller.step(history, to_u8(batch.camera[:, t]), noise, 1)
            made.append(frame)
        own = from_u8(torch.stack(made, 1))
        inputs = prepare_rollout(
            replace(
                batch,
                blend=torch.zeros_like(batch.blend),
                before=torch.cat([torch.zeros_like(own[:, :1]), own[:, :-1]], 1),
                anchor_output=from_u8(anchor[0]),
                anchor_camera=from_u8(anchor[1]),
            ),
            CONFIG,
            g,
        )
        pure = replace(
            inputs,
            tau=torch.zeros_like(inputs.tau),
            frame=replace(inputs.frame, noisy=noise[:, None].expand(-1, FRAMES, -1, -1, -1)),
        )
        tables = table_tensors(net.spec, *SIZE, torch.device("cpu"))
        run = partial(estimate_second_pass, net, tables=tables)
        clip = run(pure).clamp(-1, 1)
        other = run(replace(pure, frame=replace(pure.frame, previous=-pure.frame.previous)))
    assert float((clip - own).abs().max()) < 3 / 255  # the stream rounds to whole levels
    moved = (other.clamp(-1, 1) - clip).abs().mean((2, 3, 4))
    assert float(moved[:, 0].max()) == 0
    assert float(moved[:, 1:].min()) > 1e-3
