"""Emulated launches and the eager frames that they must equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.diffusion.programs import step_program
from everframe.runtime.engine import PreparedSteps
from everframe.runtime.megakernel.check import check_schedule
from everframe.runtime.megakernel.emulate import Result, emulate
from everframe.runtime.megakernel.encode import OP, TASK
from everframe.runtime.megakernel.isa import Opcode
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.machine import Launch, Machine
from everframe.runtime.megakernel.operands import operands, step_control
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import Schedule, schedule_tasks
from everframe.runtime.megakernel.tiles import Tiles, default_tiles
from everframe.runtime.torch_engine import TorchEngine, torch_engine
from tests.nets import random_tokens

if TYPE_CHECKING:
    from everframe.runtime.megakernel.torch_launch import Kernel


@dataclass(frozen=True)
class Stream:
    """A model with the eager engine as the truth, and a schedule of its frame."""

    engine: TorchEngine
    prepared: PreparedSteps[Tensor]
    schedule: Schedule
    machine: Machine

    def emulate(self, history: History[Tensor], camera: Tensor, noise: Tensor, seed: int) -> Result:
        """The frame as the schedule makes it."""
        names = ("camera", "previous", "anchor_output", "anchor_camera")
        frames = (camera, history.previous, history.anchor_output, history.anchor_camera)
        slots = {
            f"slot.{age}.{j}": value.numpy()
            for age, slot in enumerate(history.slots, 1)
            for j, value in enumerate(slot)
        }
        self.machine.launch = Launch(
            pictures={n: f.numpy() for n, f in zip(names, frames, strict=True)},
            noise=noise.numpy(),
            slots=slots,
            filled=history.filled,
            has_previous=history.has_previous,
            has_anchor=history.has_anchor,
        )
        return emulate(self.schedule, self.machine, seed)


def stream(
    bundle: Bundle,
    size: tuple[int, int],
    *,
    steps: int = 1,
    tiles: Tiles | None = None,
    sms: int = 132,
) -> Stream:
    """Lower, schedule and check a bundle at a size."""
    height, width = size
    engine = torch_engine(bundle, height, width, "float32", compiled=False)
    prepared = engine.prepare(engine.encode_prompt(*random_tokens(0)), steps)
    plan = plan_frame(step_program(bundle.spec, height, width))
    tiles = tiles or default_tiles(plan, sms)
    schedule = schedule_tasks(lower(plan, tiles, steps), sms)
    check_schedule(schedule)
    fixed = operands(bundle.spec, plan, bundle.weights)
    controls = tuple(
        step_control(plan, fixed, arrays(table), pair)
        for table, pair in zip(prepared.controls, prepared.coefficients, strict=True)
    )
    empty = Launch(
        pictures={},
        noise=np.zeros(0, np.float32),
        slots={},
        filled=0,
        has_previous=False,
        has_anchor=False,
    )
    machine = Machine(plan=plan, tiles=tiles, fixed=fixed, steps=controls, launch=empty)
    return Stream(engine, prepared, schedule, machine)


def arrays(table: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Tensors as arrays."""
    return {name: value.numpy() for name, value in table.items()}


def noise_of(size: tuple[int, int], seed: int = 1) -> Tensor:
    """Noise [3, H, W]."""
    return torch.randn((3, *size), generator=torch.Generator().manual_seed(seed))


def first_up(kernel: Kernel) -> int:
    """Row of the table of the first UP in the order of the program, wherever it is scheduled."""
    rows = (kernel.table[:, OP] == Opcode.UP).nonzero()[:, 0]
    return int(rows[kernel.table[rows, TASK].argmin()])
