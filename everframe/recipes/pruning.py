"""Assemble a pruning from a recipe: its data, its loss and its training, for an existing bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.arch.weights import parameter_count
from everframe.compress.prune import PrunePlan, Run, costs_of, fits, prune
from everframe.core.config import to_json
from everframe.core.errors import UserError
from everframe.recipes.training import build_sources
from everframe.text.encoder import TextEncoder
from everframe.train.config import TrainConfig
from everframe.train.parallel import join_world

REPORT_FILE = "prune.json"


def run_pruning(
    name: str, table: CostTable, plan: PrunePlan, config: TrainConfig, folder: Path
) -> Bundle:
    """Prune the bundle `name` into `folder` and say what was done.

    Raises:
        UserError: an unknown bundle, a table for another model, a budget below the smallest
            network, several processes, or no footage.
    """
    bundle = Bundle.from_pretrained(name)
    check_plan(plan)
    if fits(bundle.spec, table, plan):
        cost = costs_of(bundle.spec, table, plan).total(bundle.spec)
        print(f"{name} costs {cost:.3f} ms, within {plan.budget_ms:g} ms: nothing to prune")
        bundle.save_pretrained(folder, quantise=False)
        return bundle
    world = join_world()
    if world.size > 1:
        raise UserError("everframe prune runs in one process; start it without torchrun")
    torch.set_float32_matmul_precision("high")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(to_json(config), encoding="utf-8")
    still = replace(config, refresh_every=0)  # the same worlds for every candidate
    sources = build_sources(still, world.device, TextEncoder.load())
    if world.device.type == "cpu":
        print("no GPU: for a try give --recipe debug, or a smaller size= and fewer streams=")
    run = Run(
        config=config,
        draw=sources.mixture.draw,
        draw_long=sources.long.draw,
        folder=folder,
        world=world,
        tell=lambda line: print(line, flush=True),
    )
    pruned = prune(bundle, table, plan, run)
    how: dict[str, Any] = {"from": Path(name).name, **pruned.meta["pruned"]}
    pruned = replace(pruned, card=_card(name, how), meta={**pruned.meta, "pruned": how})
    pruned.save_pretrained(folder, quantise=False)
    (folder / REPORT_FILE).write_text(json.dumps(how, indent=1) + "\n", encoding="utf-8")
    print(describe(how, bundle, pruned))
    return pruned


def check_plan(plan: PrunePlan) -> None:
    """Raise `UserError` for numbers that mean nothing."""
    for option, value, least in (
        ("--candidates", plan.candidates, 1),
        ("--recover", plan.recover, 0),
        ("--clips", plan.clips, 1),
    ):
        if value < least:
            raise UserError(f"{option} is {value}; give at least {least}")
    if not plan.budget_ms > 0:
        raise UserError(f"--budget-ms is {plan.budget_ms:g}; give a positive number")


def describe(how: dict[str, Any], before: Bundle, after: Bundle) -> str:
    """The candidates and the choice as text for a terminal."""
    start = how["before"]
    lines = [f"{'':<20} {'ms':>8} {'rollout loss':>13}  heads x channels + past frames"]
    lines.append(_line("before", start, _shape(before.spec.to_dict()["blocks"])))
    lines += [_line(row["name"], row, _shape(row["blocks"])) for row in how["candidates"]]
    count = parameter_count(before.spec) / 1e6, parameter_count(after.spec) / 1e6
    lines.append(f"{how['chosen']}: {count[0]:.2f} M parameters -> {count[1]:.2f} M")
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any], shape: str) -> str:
    return f"{name:<20} {row['table_ms']:>8.3f} {row['rollout_loss']:>13.4f}  {shape}"


def _shape(blocks: list[dict[str, int]]) -> str:
    """Heads x channels of each block, and past frames where it sees any."""
    return " ".join(
        f"{block['heads']}x{block['ffn']}"
        + (f"+{past}" if (past := block["history_frames"]) else "")
        for block in blocks
    )


def _card(name: str, how: dict[str, Any]) -> str:
    """What the bundle may say of itself; figures of its parent are not its own."""
    shape = next(row for row in how["candidates"] if row["name"] == how["chosen"])
    return (
        f"# Pruned from {Path(name).name}\n\n"
        f"Cut to {shape['table_ms']:.3f} ms per step by the cost table of {how['engine']} at "
        f"{how['size'][1]}x{how['size'][0]} (before: {how['before']['table_ms']:.3f} ms) and "
        f"trained for {how['plan']['recover']} steps. Not evaluated: `everframe evaluate`.\n"
    )
