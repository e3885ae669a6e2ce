"""Any number of GPUs under torchrun: one process each, gradients averaged. One process works the
same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Place of this process: rank, number of processes, device."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process reports and saves."""
        return self.rank == 0


def join_world() -> World:
    """Read torchrun's environment and join the process group; a single process joins nothing."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return World(rank=rank, size=size, device=device)


def leave_world(world: World) -> None:
    """Leave the process group."""
    if world.size > 1:
        dist.destroy_process_group()


def average_gradients(params: Sequence[Tensor], world: World) -> None:
    """Mean of the gradients over all processes, in one flat all-reduce."""
    if world.size == 1:
        return
    grads = [p.grad for p in params if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= world.size
    start = 0
    for g in grads:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()


def agree(value: float, world: World) -> float:
    """The value of the first process, so that all take the same decisions (wall clock)."""
    if world.size == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device=world.device)
    dist.broadcast(box, 0)
    return float(box.item())
