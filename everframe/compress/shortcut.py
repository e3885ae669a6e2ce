"""Shortcut distillation: a student learns to do in one step what a teacher does in several
(docs/model.md, section 10; after arXiv 2410.12557).

The streams of a batch are dealt out. *Truth* rows train as ever, at any level, for step size 0.
*Teacher* rows are told a step size, and aim at where several smaller steps of the teacher lead from
the same noise, with the same history. *Self* rows do the same with two half steps of the student's
own average. What the histories are is the business of the loop: damaged truth, own one-step
outputs, and rollouts of the student.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from everframe.arch.model import FrameInputs, Parts, Tables
from everframe.arch.torch_net import Net, table_tensors
from everframe.core.errors import UserError
from everframe.train.loss import LossConfig
from everframe.train.noise import mix
from everframe.train.objective import Moment
from everframe.train.step import ClipInputs, estimate

LIMIT = 1.5
"""Targets made by steps of a network are kept within this distance of grey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutConfig:
    """Shares of the streams, step sizes, and weights of the terms.

    Attributes:
        teacher_share, self_share: of the streams; the others are truth rows.
        self_start: progress (0..1) from which self rows are drawn; before, they are truth rows.
        sizes: step sizes that the student is taught, one of each per number of steps, falling.
        size_shares: of the teacher rows; the first size takes what is left over by rounding.
        substeps: steps of the teacher over one step of the student.
        teacher_weight, self_weight, feature_weight: of the terms beside the truth rows'.
        end_weight: of the distance to the truth of the rows that take the whole way in one step.
    """

    teacher_share: float = 0.4
    self_share: float = 0.2
    self_start: float = 0.3
    sizes: tuple[float, ...] = (1.0, 0.5, 0.25)
    size_shares: tuple[float, ...] = (0.5, 0.3, 0.2)
    substeps: int = 2
    teacher_weight: float = 2.0
    self_weight: float = 1.0
    feature_weight: float = 0.5
    end_weight: float = 0.5

    def check(self) -> None:
        """Raise what is impossible.

        Raises:
            UserError: shares, sizes or substeps that mean nothing.
        """
        if min(self.teacher_share, self.self_share) < 0 or self.teacher_share + self.self_share > 1:
            raise UserError(
                f"shortcut.teacher_share {self.teacher_share} and self_share {self.self_share} "
                "must be shares whose sum is at most 1"
            )
        if len(self.sizes) != len(self.size_shares) or not self.sizes:
            raise UserError("shortcut.sizes and size_shares need one number per step size each")
        if any(not 0 < d <= 1 or round(1 / d) != 1 / d for d in self.sizes):
            raise UserError(f"shortcut.sizes are {self.sizes}; use 1, 0.5, 0.25 ... (one over n)")
        if self.substeps < 1:
            raise UserError(f"shortcut.substeps is {self.substeps}; it must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """How many streams are teacher and self rows, in this order, and the step size of each."""

    teacher: int
    own: int
    sizes: tuple[float, ...]

    @property
    def whole(self) -> int:
        """Teacher rows that take the whole way in one step; they come first."""
        return sum(size == 1.0 for size in self.sizes[: self.teacher])


def deal(streams: int, config: ShortcutConfig, progress: float) -> Deal:
    """Split a batch: the numbers depend on its size only, so that few graphs are compiled."""
    teacher = min(streams, max(1, round(streams * config.teacher_share)))
    teacher = teacher if config.teacher_share else 0
    on = config.self_share > 0 and progress >= config.self_start
    own = min(streams - teacher, round(streams * config.self_share)) if on else 0
    counts = [round(teacher * share) for share in config.size_shares]
    counts[0] += teacher - sum(counts)
    sizes = [d for d, count in zip(config.sizes, counts, strict=True) for _ in range(count)]
    halved = [d for d in config.sizes if d > min(config.sizes)] or list(config.sizes)
    sizes += [halved[i % len(halved)] for i in range(own)]
    return Deal(teacher=teacher, own=own, sizes=tuple(sizes))


def pick(inputs: ClipInputs, index: Tensor | slice) -> ClipInputs:
    """Some streams of a batch."""
    f = inputs.frame
    return ClipInputs(
        frame=FrameInputs(
            noisy=f.noisy[index],
            camera=f.camera[index],
            previous=f.previous[index],
            anchor=f.anchor[index],
            has_previous=f.has_previous[index],
            has_anchor=f.has_anchor[index],
        ),
        tau=inputs.tau[index],
        size=inputs.size[index],
        noise=inputs.noise[index],
        target=inputs.target[index],
        states=inputs.states[index],
        mask=inputs.mask[index],
        blend=inputs.blend[index],
        hidden=inputs.hidden[index],
    )


def dealt(inputs: ClipInputs, cards: Deal, generator: torch.Generator) -> ClipInputs:
    """Shuffle the streams, and put the teacher and self rows on the grids of their step sizes."""
    b, t = inputs.tau.shape
    device = inputs.tau.device
    inputs = pick(inputs, torch.randperm(b, device=device, generator=generator))
    size = torch.zeros(b, 1, device=device)
    size[: len(cards.sizes), 0] = torch.tensor(cards.sizes, device=device)
    on_grid = size > 0
    drawn = torch.rand((b, t), device=device, generator=generator)
    grid = torch.floor(drawn / size.clamp(min=1e-3)) * size
    tau = torch.where(on_grid, grid.minimum(1 - size), inputs.tau)
    noisy = mix(inputs.target, inputs.noise, tau)
    return replace(
        inputs, tau=tau, size=size.expand(b, t), frame=replace(inputs.frame, noisy=noisy)
    )


@torch.no_grad()
def leads_to(net: Net, inputs: ClipInputs, tables: Tables[Tensor], steps: int) -> Tensor:
    """The clean estimate that `steps` Euler steps over one step size amount to (equation 23):
    from z at tau to z' at tau + d along the mean velocity, and on to level 1. [B, T, 3, H, W].
    """
    part = inputs.size / steps
    told = part if net.spec.step_sizes else torch.zeros_like(part)
    start = z = inputs.frame.noisy
    tau = inputs.tau
    for _ in range(steps):
        now = replace(inputs, frame=replace(inputs.frame, noisy=z), tau=tau, size=told)
        clean = estimate(net, now, tables).float()
        z = z + _wide(part / (1 - tau).clamp(min=part)) * (clean - z)
        tau = tau + part
    rest = (1 - inputs.tau) / inputs.size
    return (start + _wide(rest) * (z - start)).clamp(-LIMIT, LIMIT)


def _wide(x: Tensor) -> Tensor:
    return x[..., None, None, None]


def recording(parts: Parts, kept: list[Tensor]) -> Parts:
    """The same parts; tokens [B, T, N, D] after each block go to `kept`."""

    def block(*args: Any) -> Tensor:
        tokens = parts.transformer_block(*args)
        kept.append(tokens)
        return tokens

    return replace(parts, transformer_block=block)


def feature_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """How differently two networks relate the patches of a frame: mean squared difference of the
    cosines between their centred tokens, block by block at the same relative depth (equation 25;
    arXiv 1907.09682). Widths and depths may differ; nothing has to be learnt for the comparison.
    """
    total = torch.zeros((), device=student[0].device)
    for i, tokens in enumerate(student):
        other = teacher[-(-(i + 1) * len(teacher) // len(student)) - 1]
        total = total + (_cosines(tokens) - _cosines(other)).square().mean()
    return total / len(student)


def _cosines(tokens: Tensor) -> Tensor:
    centred = tokens.float() - tokens.float().mean(-2, keepdim=True)
    unit = functional.normalize(centred, dim=-1)
    return (unit @ unit.mT).float()


class Shortcut:
    """The objective: truth, teacher, self, feature and end terms (equation 26)."""

    def __init__(
        self, teacher: Net, student: Net, config: ShortcutConfig, loss: LossConfig
    ) -> None:
        """`teacher` is frozen here; `student` tells the shape only.

        Raises:
            UserError: the two cannot be compared, or the config is impossible.
        """
        config.check()
        if teacher.spec.patch != student.spec.patch:
            raise UserError(
                f"the teacher has patches of {teacher.spec.patch} px, the student of "
                f"{student.spec.patch}; they must be equal"
            )
        if not student.spec.step_sizes:
            raise UserError("the student's spec does not take step sizes; set step_sizes")
        self._config, self._loss = config, loss
        self._teacher = teacher.requires_grad_(False)
        self._tables: dict[tuple[int, int], Tables[Tensor]] = {}
        self._average = Net(student.spec).to(student.values[0].device).requires_grad_(False)

    def __call__(
        self, inputs: ClipInputs, tables: Tables[Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `train.objective.Objective`."""
        c, net = self._config, moment.state.net
        cards = deal(len(inputs.tau), c, moment.progress)
        inputs = dealt(inputs, cards, moment.generator)
        n = cards.teacher
        aims, theirs = self._teach(pick(inputs, slice(0, n)), net.parts)
        mine: list[Tensor] = []
        plain = net.parts
        if theirs:
            net.parts = recording(plain, mine)
        clean = estimate(net, inputs, tables)
        net.parts = plain

        def distance(rows: slice, target: Tensor, tau: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return moment.loss(clean[rows], target, tau, net.spec.patch, self._loss)

        rest = slice(len(cards.sizes), None)
        total, terms = torch.zeros((), device=clean.device), dict[str, Tensor]()
        if len(inputs.tau) > len(cards.sizes):
            total, terms = distance(rest, inputs.target[rest], inputs.tau[rest])
            terms["truth"] = total
        if n:
            level = torch.zeros_like(inputs.tau)  # all of these count alike, whatever their level
            terms["teacher"], _ = distance(slice(0, n), aims, level[:n])
            total = total + c.teacher_weight * terms["teacher"]
            ends = slice(0, cards.whole)
            if cards.whole and c.end_weight:
                terms["end"], _ = distance(ends, inputs.target[ends], level[ends])
                total = total + c.end_weight * terms["end"]
        if cards.own:
            rows = slice(n, n + cards.own)
            self._follow(moment.state.ema.values, plain)
            own = leads_to(self._average, pick(inputs, rows), tables, 2)
            terms["own"], _ = distance(rows, own, torch.zeros_like(inputs.tau[rows]))
            total = total + c.self_weight * terms["own"]
        if theirs:
            terms["feature"] = feature_loss([tokens[:n] for tokens in mine], theirs)
            total = total + c.feature_weight * terms["feature"]
        return total, terms

    def _teach(self, inputs: ClipInputs, parts: Parts) -> tuple[Tensor, list[Tensor]]:
        """Where the teacher's steps lead, and its tokens at the first of them."""
        kept: list[Tensor] = []
        if not len(inputs.tau):
            return inputs.target, kept
        teacher, c = self._teacher, self._config
        teacher.parts = recording(parts, kept) if c.feature_weight else parts
        size = inputs.target.shape[-2], inputs.target.shape[-1]
        if size not in self._tables:  # its heads may be of another width than the student's
            self._tables[size] = table_tensors(teacher.spec, *size, inputs.target.device)
        aims = leads_to(teacher, inputs, self._tables[size], c.substeps)
        return aims, kept[: len(teacher.spec.blocks)]

    @torch.no_grad()
    def _follow(self, values: list[Tensor], parts: Parts) -> None:
        self._average.parts = parts
        for mine, value in zip(self._average.values, values, strict=True):
            mine.copy_(value)
