"""`fit`: the training loop. It knows the mixture and the loss by their functions, no method by
name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everframe.arch.model import PLAIN, Parts, Tables, head, transformer_block
from everframe.arch.torch_net import Net, table_tensors
from everframe.core.config import stable_hash
from everframe.core.report import Report
from everframe.core.rng import numpy_rng, stream_seed
from everframe.train.augment import Damage, apply_damage
from everframe.train.board import Board
from everframe.train.config import TrainConfig
from everframe.train.loss import clip_loss
from everframe.train.noise import draw_noise
from everframe.train.objective import Moment, Objective, truth_objective
from everframe.train.parallel import World, agree, average_gradients
from everframe.train.rollouts import Draw, RolloutBank
from everframe.train.state import TrainState
from everframe.train.step import (
    ClipInputs,
    prepare,
    prepare_rollout,
    with_own_history,
    with_told_levels,
)
from everframe.train.throughput import Throughput, forwards

RECOMPILE_LIMIT = 64
"""Graphs of one function: blocks with and without history, with and without gradient, anchors."""
OnSheet = Callable[[TrainState], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to fit: `draw` makes batches, `draw_long` long clips under one prompt for own rollouts,
    `sheet` draws samples, `board` shows the curves. `objective` is the distance to the truth if it
    is None; `identity` tells runs apart whose state must not be mixed up (by default the config).
    """

    config: TrainConfig
    draw: Draw
    draw_long: Draw
    sheet: OnSheet
    folder: Path
    world: World
    board: Board
    objective: Objective | None = None
    identity: str = ""

    @property
    def mark(self) -> str:
        """Of the saved state."""
        return self.identity or stable_hash(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """What `compiled` replaces by faster versions of the same functions; `own`: the parts of the
    forward that makes own one-step outputs, without gradients.
    """

    parts: Parts
    own: Parts
    damage: Damage
    loss: Callable[..., tuple[Tensor, dict[str, Tensor]]]


EAGER = Fused(parts=PLAIN, own=PLAIN, damage=apply_damage, loss=clip_loss)


def compiled() -> Fused:
    """Blocks, head, damage and loss, compiled.

    A graph takes about ten seconds to compile, once for each frame size, with and without
    gradients; the blocks' alone serve every size of as many patches. So the embedding, which has
    little to gain, and the head of forwards without gradients stay eager.
    """
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
    own = replace(PLAIN, transformer_block=torch.compile(transformer_block, dynamic=False))
    return Fused(
        parts=replace(own, head=torch.compile(head, dynamic=False)),
        own=own,
        damage=torch.compile(apply_damage, dynamic=False),
        loss=torch.compile(clip_loss, dynamic=False),
    )


def learning_rate(step: int, progress: float, config: TrainConfig) -> float:
    """Warm-up, plateau, linear cool-down: factor 0..1."""
    warm = min(1.0, (step + 1) / config.warmup)
    cool = min(1.0, (1 - progress) / max(config.cooldown, 1e-6) + 0.01)
    return max(0.0, warm * cool)


def clip_shape(step: int, progress: float, config: TrainConfig) -> tuple[int, int, tuple[int, int]]:
    """(streams, frames, size) of a step."""
    if progress < config.image_share:
        return config.streams * config.frames // 2, 1, config.size
    for sizes, every in (
        (config.rare_sizes, config.rare_every),
        (config.other_sizes, config.other_every),
    ):
        if sizes and step % every == every - 1:
            size = sizes[(step // every) % len(sizes)]
            ratio = config.size[0] * config.size[1] / (size[0] * size[1])
            return max(1, round(config.streams * ratio)), config.frames, size
    return config.streams, config.frames, config.size


def fit(state: TrainState, task: Task, *, stop_after_s: float = float("inf")) -> bool:
    """Train until the run is complete (True) or `stop_after_s` seconds of this part are over
    (False).
    """
    config, world = task.config, task.world
    trainer = _Trainer(state, task)
    begin = saved = time.monotonic()
    before_s = state.elapsed_s
    with Report(sys.stdout if world.first else None, task.folder / "log.jsonl") as report:
        while True:
            part_s = agree(time.monotonic() - begin, world)
            state.elapsed_s = before_s + part_s
            progress = trainer.progress()
            if progress >= 1 or part_s > stop_after_s:
                break
            trainer.step(progress)
            trainer.log(report, progress)
            if world.first and config.sheet_every and state.step % config.sheet_every == 0:
                task.sheet(state)
            if world.first and time.monotonic() - saved > config.save_every_s:
                state.save(task.folder, task.mark)
                saved = time.monotonic()
    if world.first:
        state.save(task.folder, task.mark)
        task.sheet(state)
    return trainer.progress() >= 1


class _Trainer:
    """One step at a time, with its running means."""

    def __init__(self, state: TrainState, task: Task) -> None:
        self.state, self.task = state, task
        self.tables: dict[tuple[int, int], Tables[Tensor]] = {}
        self.means: dict[str, Tensor] = {}
        self.start = (state.step, state.frames, time.monotonic())
        self.data_s: list[tuple[Any, Any, Any]] = []
        self.purpose = f"batch/{task.world.rank}"
        self.rollouts = RolloutBank(
            task.config.rollouts, task.draw_long, seed=task.config.seed, purpose=self.purpose
        )
        cuda = task.world.device.type == "cuda"
        self.fused = compiled() if cuda and task.config.compile else EAGER
        self.autocast = torch.autocast(task.world.device.type, torch.bfloat16, enabled=cuda)
        name = torch.cuda.get_device_name(task.world.device) if cuda else "cpu"
        self.objective = task.objective or truth_objective(task.config)
        self.throughput = Throughput(spec=state.net.spec, device=name)

    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        c, s = self.task.config, self.state
        by_steps = s.step / c.steps if c.steps else 0.0
        by_clock = s.elapsed_s / c.seconds if c.seconds else 0.0
        return max(by_steps, by_clock)

    def step(self, progress: float) -> None:
        """Draw, forward, backward, update."""
        c, s, world = self.task.config, self.state, self.task.world
        streams, frames, size = clip_shape(s.step, progress, c)
        generator = torch.Generator(world.device).manual_seed(
            stream_seed(c.seed, self.purpose + "/torch", s.step)
        )
        marks = self._marks()
        usual = frames == c.frames and size in (c.size, *c.other_sizes)
        fused = self.fused if usual else EAGER
        s.net.parts = fused.parts
        inputs = self._inputs(progress, generator, fused, marks)
        if c.known_share:
            inputs = with_told_levels(inputs, c.known_share, generator)
        with self.autocast:
            tables = self._tables(size, s.net)
            moment = Moment(state=s, progress=progress, generator=generator, loss=fused.loss)
            loss, terms = self.objective(inputs, tables, moment)
        loss.backward()
        average_gradients(s.params, world)
        norm = torch.nn.utils.clip_grad_norm_(s.params, c.clip_norm)
        factor = learning_rate(s.step, progress, c)
        for group in s.adamw.param_groups:
            group["lr"] = c.lr_adamw * factor
        s.adamw.step()
        s.muon.step(c.lr_muon * factor)
        s.net.zero_grad(set_to_none=True)
        s.ema.update(s.params, s.step)
        self._mark(marks, 2)
        s.step += 1
        s.frames += streams * frames * world.size
        self._mean({"loss": loss, "norm": norm, **terms})

    def _inputs(
        self, progress: float, generator: torch.Generator, fused: Fused, marks: list[Any] | None
    ) -> ClipInputs:
        """Draw the clips of this step: with own rollouts, own one-step outputs, or the damaged
        truth as history.
        """
        c, s = self.task.config, self.state
        shape = clip_shape(s.step, progress, c)
        streams, frames, size = shape
        rng = numpy_rng(c.seed, self.purpose, s.step)
        main = frames == c.frames and size == c.size
        if main and self.rollouts.due(s.step, progress):
            now = s.step, progress
            batch, s.rolled = self.rollouts.batch(s.net, s.rolled, now, shape, rng)
            self._mark(marks, 1)
            return prepare_rollout(batch, c, generator)
        batch = self.task.draw(s.step, streams, frames, size, rng, generator)
        self._mark(marks, 1)
        inputs = prepare(batch, s.net.spec.patch, c, generator, fused.damage)
        if frames > 1 and progress > c.own_start and rng.random() < c.own_share:
            noise = draw_noise(batch.target, c.noise, generator)
            tables = self._tables(size, s.net)
            s.net.parts = fused.own
            with self.autocast:
                inputs = with_own_history(s.net, inputs, noise, tables, c, generator)
            s.net.parts = fused.parts
        return inputs

    def _tables(self, size: tuple[int, int], net: Net) -> Tables[Tensor]:
        if size not in self.tables:
            self.tables[size] = table_tensors(net.spec, *size, self.task.world.device)
        return self.tables[size]

    def _marks(self) -> list[Any] | None:
        if self.task.world.device.type != "cuda" or self.state.step % 25 != 7:
            return None
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        marks[0].record()
        return marks

    def _mark(self, marks: list[Any] | None, index: int) -> None:
        if marks is not None:
            marks[index].record()
            if index == 2:
                self.data_s = [*self.data_s[-20:], (marks[0], marks[1], marks[2])]

    def _mean(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach()
            old = self.means.get(name)
            self.means[name] = value if old is None else old + 0.03 * (value - old)

    def data_share(self) -> float:
        """Share of the device time that making batches takes."""
        done = [(a.elapsed_time(b), a.elapsed_time(c)) for a, b, c in self.data_s[:-1]]
        return sum(d for d, _ in done) / max(sum(t for _, t in done), 1e-9)

    def log(self, report: Report, progress: float) -> None:
        """Count the step that was done at `progress`; report every `log_every` steps: losses,
        frames/s, use of the device, time left.
        """
        c, s = self.task.config, self.state
        streams, clip, size = clip_shape(s.step - 1, progress, c)
        self.throughput.add(streams, clip, size, forwards(clip, progress, c))
        if s.step % c.log_every or not self.task.world.first:
            return
        values = {name: float(v) for name, v in self.means.items()}
        if not np.isfinite(values["loss"]):
            raise FloatingPointError(f"the loss is {values['loss']} at step {s.step}")
        _, frames, start = self.start
        rate = (s.frames - frames) / max(time.monotonic() - start, 1e-9)
        done = max(self.progress(), 1e-6)
        left = s.elapsed_s / done - s.elapsed_s
        values |= {"frames_s": rate, **self.throughput.read(), "data": self.data_share()}
        values |= {"done": done, "left_s": left}
        report.write(s.step, **values)
        self.task.board.write(s.step, "train", values)
