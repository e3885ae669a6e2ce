"""Operations counted on the trace, against those that torch counts while it computes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from everframe.arch.flops import clip_flops, flops
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net, table_tensors
from everframe.diffusion.programs import control_program, prompt_program, step_program
from everframe.train.step import estimate, loss_of, prepare
from everframe.train.throughput import PROMPTS, TRAINING_FORWARDS, stream_flops
from tests.nets import TINY, UNEVEN
from tests.train.toy import CONFIG, toy_batch

STREAMS, FRAMES, SIZE = 2, 3, (64, 96)


def counted_by_torch(spec: Spec, *, training: bool) -> int:
    """Of a batch; attention in plain products, as torch does not count its fused CPU kernel."""
    generator = torch.Generator().manual_seed(0)
    inputs = prepare(toy_batch(STREAMS, FRAMES, SIZE, generator), spec.patch, CONFIG, generator)
    net, tables = Net(spec), table_tensors(spec, *SIZE, torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        if training:
            loss_of(net, inputs, tables, CONFIG.loss)[0].backward()
        else:
            estimate(net, inputs, tables)
    return counter.get_total_flops()


@pytest.mark.parametrize("spec", [TINY, UNEVEN], ids=["tiny", "uneven"])
def test_a_forward_over_a_clip(spec: Spec) -> None:
    mine = STREAMS * stream_flops(spec, FRAMES, SIZE)
    assert mine == pytest.approx(counted_by_torch(spec, training=False), rel=1e-3)


def test_a_step_of_training_is_worth_three_forwards() -> None:
    """A little less: gradients of pixels and of the weights of `upsample` are not wanted."""
    mine = STREAMS * stream_flops(TINY, FRAMES, SIZE) * TRAINING_FORWARDS
    assert 1 < mine / counted_by_torch(TINY, training=True) < 1.07


def test_a_clip_of_one_frame_is_its_three_programs_without_the_past() -> None:
    alone = Spec.uniform(width=64, head_dim=32, depth=2, ffn=128, history_frames=0)
    programs = [prompt_program(alone), control_program(alone), step_program(alone, *SIZE)]
    height, width = SIZE
    assert clip_flops(alone, frames=1, height=height, width=width) == sum(map(flops, programs))


def test_prompts_are_counted_once_a_stream() -> None:
    one, two = (
        clip_flops(TINY, frames=4, height=32, width=32, prompts=n) for n in (PROMPTS - 1, PROMPTS)
    )
    assert two - one == flops(prompt_program(TINY))
