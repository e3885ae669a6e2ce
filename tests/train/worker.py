"""One of several processes that average their gradients: python -m tests.train.worker FILE."""

import sys

import torch
from torch import Tensor

from everframe.arch.torch_net import table_tensors
from everframe.train.parallel import agree, average_gradients, join_world, leave_world
from everframe.train.state import TrainState
from everframe.train.step import loss_of, prepare
from tests.nets import TINY
from tests.train.toy import CONFIG, toy_batch, toy_state


def backward(rank: int) -> TrainState:
    """A state with the gradients of the batch of a rank."""
    state = toy_state()
    g = torch.Generator().manual_seed(rank)
    inputs = prepare(toy_batch(2, 2, (32, 32), g), TINY.patch, CONFIG, g)
    tables = table_tensors(TINY, 32, 32, torch.device("cpu"))
    loss_of(state.net, inputs, tables, CONFIG.loss)[0].backward()
    return state


def gradients(rank: int) -> list[Tensor]:
    """Gradients of the batch of a rank, in the order of the weights."""
    return [p.grad.clone() for p in backward(rank).params if p.grad is not None]


def main() -> None:
    """Average, and save the result."""
    torch.set_num_threads(1)
    world = join_world()
    state = backward(world.rank)
    average_gradients(state.params, world)
    result = {
        "gradients": [p.grad for p in state.params if p.grad is not None],
        "agreed": agree(1.0 + world.rank, world),
    }
    torch.save(result, sys.argv[1])
    leave_world(world)


if __name__ == "__main__":
    main()
