"""The alternative memory, as a control: a second, clean pass per frame writes the cached keys and
values (as in Self Forcing, arXiv 2506.08009), and no own output enters as a channel.

It costs two passes per frame. Our own memory takes the keys and values of the one denoising pass,
which sees the previous own output as a channel (docs/architecture.md).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from everframe.arch.history import ClipMemory, History, key_bias
from everframe.arch.model import Tables
from everframe.arch.torch_net import Net
from everframe.arch.torch_ops import TorchOps
from everframe.diffusion.frame_step import StepInputs, denoise_step
from everframe.diffusion.rollout import Roller
from everframe.train.step import ClipInputs, codes_of, torch_step_features

CLEAN = 1.0
"""Signal level of the second pass."""


def estimate_second_pass(net: Net, inputs: ClipInputs, tables: Tables[Tensor]) -> Tensor:
    """Clean estimates of a clip whose frames see earlier ones as a second pass has cached them.

    Frame t of the first of two passes here holds the (damaged) own output t in place of the noisy
    frame; the second pass is the denoising of all frames, with that memory. A clip begins without
    cached frames.
    """
    codes = codes_of(net, inputs)
    frame = inputs.frame
    none = torch.zeros_like(frame.has_previous)
    remembered = frame.previous * frame.has_previous[..., None]
    shifted = torch.cat([remembered[:, 1:], remembered[:, -1:]], 1)  # the last one is seen by none
    clean = replace(frame, noisy=shifted, previous=torch.zeros_like(shifted), has_previous=none)
    level = torch_step_features(torch.full_like(inputs.tau, CLEAN), torch.zeros_like(inputs.tau))
    frames = frame.camera.shape[1]
    cached = ClipMemory(TorchOps(), frames, collect=True)
    net(clean, codes, level, tables, cached)
    first = replace(frame, previous=torch.zeros_like(shifted), has_previous=none)
    memory = ClipMemory(TorchOps(), frames, past=cached.collected)
    return net(first, codes, torch_step_features(inputs.tau, inputs.size), tables, memory)


class SecondPassRoller(Roller[Tensor]):
    """A `Roller` whose memory is written by a second pass over the finished frame."""

    def step(
        self, history: History[Tensor], camera: Tensor, noise: Tensor, steps: int
    ) -> tuple[Tensor, History[Tensor]]:
        """As `Roller.step`; `previous` is kept for the caller, the network does not see it."""
        blind = replace(history, has_previous=False)
        frame, _ = super().step(blind, camera, noise, steps)
        tokens = self.tables.rows * self.tables.cols
        flag = {True: self.scalar(1.0), False: self.scalar(0.0)}
        inputs = StepInputs(
            camera=camera,
            previous=torch.zeros_like(frame),
            anchor_output=history.anchor_output,
            anchor_camera=history.anchor_camera,
            has_previous=flag[False][0],
            has_anchor=flag[history.has_anchor][0],
            noisy=self.ops.from_uint8(frame),
            key_bias=self.array(key_bias(self.spec, tokens, history.filled)),
            slots=history.slots,
            keep=self.scalar(1.0),
            move=self.scalar(0.0),
        )
        cached = denoise_step(
            self.ops, self.params, self.spec, inputs, self.control(CLEAN, 0.0), self.tables
        )
        return frame, history.advance(frame=frame, slots=cached.slots)
