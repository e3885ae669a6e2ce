"""Prune a network under a latency budget: score, choose several candidates, recover each briefly,
and take the one whose own rollouts are nearest to the truth.

A low loss right after the cut says little about what a network becomes when it is trained on
(arXiv 2412.01199), so the choice is made after recovery, and on rollouts, as a stream runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable, flop_table
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net
from everframe.arch.weights import parameter_count
from everframe.compress.importance import (
    BlockScores,
    Mix,
    calibration,
    measure,
    of_weights,
    values,
)
from everframe.compress.select import BlockValue, Kept, Only, choose, shape_of
from everframe.compress.slim import slim
from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng, stream_seed
from everframe.train.board import Board
from everframe.train.config import TrainConfig
from everframe.train.loop import Task, fit
from everframe.train.loss import clip_loss
from everframe.train.parallel import World
from everframe.train.rollouts import CHUNK, Draw, LongClips, from_u8, run_live
from everframe.train.state import STATE_FILE, new_state

Weights = Mapping[str, NDArray[np.float32]]
Scores = Literal["taylor", "magnitude", "random"]
CostKind = Literal["latency", "flops"]
SCORES: tuple[Scores, ...] = get_args(Scores)
COST_KINDS: tuple[CostKind, ...] = get_args(CostKind)
STREAMS = 16
"""Streams that calibration clips are cut from, at most."""
RUN_IN = 12
"""Own frames that a calibration stream may have behind it."""
VALIDATION = (8, 32)
"""Streams and frames of the rollouts that candidates are compared on."""
RECOVERY_RATE = 0.3
"""Learning rates of recovery as a share of the recipe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What to prune to, and how.

    budget_ms: for one denoising step, fixed part included; scores: `magnitude` and `random` are
    controls; cost_kind: `flops` is one, too; only: what may be cut; candidates: at most so many;
    recover: steps of training of each; clips: calibration clips.
    """

    budget_ms: float
    scores: Scores = "taylor"
    cost_kind: CostKind = "latency"
    only: Only = "both"
    candidates: int = 4
    recover: int = 300
    clips: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where the work is done: the recipe's `config`, its draws (`draw_long`: clips of any length),
    the folder of the run, the device, and who is told about progress.
    """

    config: TrainConfig
    draw: Draw
    draw_long: Draw
    folder: Path
    world: World
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that fits: how it was chosen and what is kept."""

    name: str
    kept: tuple[Kept, ...]
    spec: Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A recovered candidate. rollout_loss: equation (17) of its own rollouts."""

    candidate: Candidate
    weights: Weights
    rollout_loss: float


def fits(spec: Spec, table: CostTable, plan: PrunePlan) -> bool:
    """Whether the network is within the budget as it is, so that there is nothing to prune.

    Raises:
        UserError: the table does not fit the model, or the budget is below the smallest network.
    """
    costs = costs_of(spec, table, plan)
    if costs.total(spec) <= plan.budget_ms:
        return True
    worthless = [BlockValue(heads=np.zeros(b.heads), ffn=np.zeros(b.ffn)) for b in spec.blocks]
    choose(spec, worthless, costs, plan.budget_ms, plan.only)
    return False


def costs_of(spec: Spec, table: CostTable, plan: PrunePlan) -> CostTable:
    """The table that the choice is made by."""
    if plan.cost_kind == "latency":
        return table
    return flop_table(spec, *table.size, like=table)


def candidates(
    spec: Spec, scores: Sequence[BlockScores], costs: CostTable, plan: PrunePlan
) -> list[Candidate]:
    """Different networks within the budget, at most `plan.candidates`.

    Raises:
        UserError: the smallest network is above the budget.
    """
    found: list[Candidate] = []
    fault: UserError | None = None
    for mix, only, seed in _ways(plan):
        if len(found) == plan.candidates:
            break
        try:
            kept = choose(spec, values(spec, scores, mix, seed=seed), costs, plan.budget_ms, only)
        except UserError as error:
            fault = fault or error
            continue
        name = f"{mix}-{only}" + (f"-{seed}" if seed else "")
        if all(kept != other.kept for other in found):
            found.append(Candidate(name=name, kept=kept, spec=shape_of(spec, kept)))
    if not found and fault is not None:
        raise fault
    return found


def _ways(plan: PrunePlan) -> list[tuple[Mix, Only, int]]:
    """(mix of scores, what may be cut, seed), the most promising first."""
    if plan.scores == "random":
        return [("random", plan.only, seed) for seed in range(plan.candidates)]
    if plan.scores == "magnitude":
        return [("magnitude", plan.only, 0)]
    same: list[tuple[Mix, Only, int]] = [
        ("ablation", plan.only, 0),
        ("taylor", plan.only, 0),
        ("activation", plan.only, 0),
    ]
    if plan.only != "both":
        return same
    other: list[tuple[Mix, Only, int]] = [("ablation", "width", 0), ("ablation", "depth", 0)]
    return [*same[:2], *other, same[2], ("taylor", "width", 0), ("taylor", "depth", 0)]


def prune(bundle: Bundle, table: CostTable, plan: PrunePlan, run: Run) -> Bundle:
    """The pruned bundle, float32; `meta["pruned"]` says how it came about.

    Raises:
        UserError: the table does not fit the model, or the budget is below the smallest network.
    """
    spec = bundle.spec
    if fits(spec, table, plan):
        return bundle
    costs = costs_of(spec, table, plan)
    net = _net(spec, bundle.weights, run.world)
    chosen = candidates(spec, _scored(net, plan, run), costs, plan)
    truth = draw_clips(run, "validation", *VALIDATION)
    before = rollout_loss(net, truth, run.config)
    outcomes = [_recovered(bundle, one, truth, plan, run) for one in chosen]
    best = min(outcomes, key=lambda outcome: outcome.rollout_loss)
    rows = [
        {
            "name": o.candidate.name,
            "table_ms": table.total(o.candidate.spec),
            "cost": costs.total(o.candidate.spec),
            "parameters": parameter_count(o.candidate.spec),
            "rollout_loss": o.rollout_loss,
            "blocks": [asdict(block) for block in o.candidate.spec.blocks],
        }
        for o in outcomes
    ]
    how: dict[str, Any] = {
        "plan": asdict(plan),
        "engine": table.engine,
        "size": list(table.size),
        "before": {"table_ms": table.total(spec), "rollout_loss": before},
        "candidates": rows,
        "chosen": best.candidate.name,
    }
    recipe = {name: value for name, value in bundle.meta.items() if name == "recipe"}
    return Bundle(
        spec=best.candidate.spec,
        weights=best.weights,
        looks=bundle.looks,
        meta={**recipe, "pruned": how},
    )


def _net(spec: Spec, weights: Weights, world: World) -> Net:
    net = Net(spec)
    net.load_arrays(weights)
    return net.to(world.device)


def _scored(net: Net, plan: PrunePlan, run: Run) -> tuple[BlockScores, ...]:
    """The scores that `plan` chooses by; those that see no data need no clips."""
    if plan.scores != "taylor":
        return of_weights(net)
    run.tell("own rollouts for calibration")
    streams = min(plan.clips, STREAMS)
    clips = draw_clips(run, "calibration", streams, run.config.frames + RUN_IN)
    batches = calibration(net, clips, run.config, plan.clips, run.config.frames)
    return measure(net, batches, run.config, run.tell)


def draw_clips(run: Run, purpose: str, streams: int, frames: int) -> LongClips:
    """Long clips of the recipe's training mixture; the purpose decides which."""
    device, seed = run.world.device, run.config.seed
    rng = numpy_rng(seed, f"prune/{purpose}")
    generator = torch.Generator(device).manual_seed(stream_seed(seed, f"prune/{purpose}"))
    parts: list[LongClips] = []
    for first in range(0, streams, CHUNK):
        count = min(CHUNK, streams - first)
        drawn = run.draw_long(0, count, frames, run.config.size, rng, generator)
        parts.append(LongClips.of(drawn))
    return LongClips.join(parts)


def rollout_loss(net: Net, clips: LongClips, config: TrainConfig) -> float:
    """Equation (17), at tau = 0, of the frames that the network makes live on `clips`."""
    device = net.values[0].device
    generator = torch.Generator(device).manual_seed(stream_seed(config.seed, "prune/rollout"))
    own = run_live(net, clips, generator)
    losses: list[Tensor] = []
    for made, target in zip(own, clips.target, strict=True):
        tau = torch.zeros(1, len(made), device=device)
        pair = from_u8(made)[None], from_u8(target)[None]
        losses.append(clip_loss(*pair, tau, net.spec.patch, config.loss)[0])
    return float(torch.stack(losses).mean())


def _recovered(
    bundle: Bundle, candidate: Candidate, truth: LongClips, plan: PrunePlan, run: Run
) -> Outcome:
    """Cut, train for `plan.recover` steps, roll out."""
    weights, spec = slim(bundle.weights, bundle.spec, candidate.kept)
    net = _net(spec, weights, run.world)
    if plan.recover:
        run.tell(f"{candidate.name}: {plan.recover} steps of recovery")
        weights = _trained(net, candidate.name, plan, run)
        net.load_arrays(weights)
    loss = rollout_loss(net, truth, run.config)
    run.tell(f"{candidate.name}: rollout loss {loss:.4f}")
    return Outcome(candidate=candidate, weights=weights, rollout_loss=loss)


def _trained(net: Net, name: str, plan: PrunePlan, run: Run) -> Weights:
    """Averaged weights after the recovery: the recipe at its main size and a lower rate."""
    torch.compiler.reset()  # else the graphs of all candidates count against one limit
    config = replace(
        run.config,
        steps=plan.recover,
        seconds=0.0,
        other_sizes=(),
        rare_sizes=(),
        image_share=0.0,
        own_start=0.0,
        warmup=max(1, min(run.config.warmup, plan.recover // 10)),
        lr_muon=run.config.lr_muon * RECOVERY_RATE,
        lr_adamw=run.config.lr_adamw * RECOVERY_RATE,
        sheet_every=0,
        save_every_s=1e9,
    )
    folder = run.folder / "candidates" / name
    state = new_state(net, config.lr_adamw, config.ema)
    with Board(None) as board:
        task = Task(
            config=config,
            draw=run.draw,
            draw_long=run.draw_long,
            sheet=lambda _: None,
            folder=folder,
            world=run.world,
            board=board,
        )
        fit(state, task)
    (folder / STATE_FILE).unlink(missing_ok=True)
    return state.ema_arrays()
