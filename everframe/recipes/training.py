"""Assemble a run from its config: sources, network, loop, sample sheets, bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from everframe.arch.bundle import Bundle
from everframe.arch.presets import PRESETS, preset
from everframe.arch.spec import Spec
from everframe.arch.torch_net import Net
from everframe.core.config import Config, stable_hash, to_json
from everframe.core.errors import UserError
from everframe.data.catalogue import Catalogue
from everframe.data.clip_bank import ClipBank
from everframe.data.footage import Footage
from everframe.data.held_out import HeldOut, Streams, clip_path
from everframe.data.mixture import Mixture
from everframe.data.pairs import PairBank, open_pairs
from everframe.data.people.figures import figure_bank
from everframe.data.prompts import Encodes, PromptBook
from everframe.data.world_bank import WorldBank
from everframe.data.worlds.world import Worlds
from everframe.text.encoder import TextEncoder
from everframe.train.board import MISSING, Board
from everframe.train.config import TrainConfig
from everframe.train.grow import grown, with_blocks
from everframe.train.loop import Task, fit
from everframe.train.objective import Objective
from everframe.train.parallel import World, join_world, leave_world
from everframe.train.preview import figures, roll_out, sheet
from everframe.train.state import TrainState, new_state

SHEET_FRAMES = (0, 10, 100)
PREVIEW_CLIPS = 3
COMPILING = (
    "the first steps take minutes: every shape of block is compiled, for each frame size; "
    "compile=false begins at once and is slower"
)
LONG_WORLDS, LONG_WORLD_FRAMES = 32, 40
"""Rendered clips for own rollouts, and their frames (longer rollouts go to and fro)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that makes batches; `long`: clips of any length under one prompt each."""

    catalogue: Catalogue
    book: PromptBook
    mixture: Mixture
    long: Mixture


def build_sources(
    config: TrainConfig,
    device: torch.device,
    encoder: Encodes,
    *,
    full_strength: bool = False,
) -> Sources:
    """Decode footage, prepare the worlds, encode the prompts (`full_strength`: no weaker looks)."""
    footage_dir = Path(config.footage)
    if not footage_dir.is_dir():
        raise UserError(f"no footage folder '{footage_dir}'; give one with footage=DIR")
    pairs = open_bank(config, device)
    catalogue = Catalogue(own_prompts=pairs.prompts if pairs else ())
    lines = [x for x in catalogue.lines() if x.strength == 1.0 or not full_strength]
    book = PromptBook(lines, encoder, device)
    footage = Footage(footage_dir, config.held_out, device)
    bank = long_bank = None
    canvas = config.world_size if any(config.world_size) else config.size
    if config.worlds and config.mixture.world_share + config.mixture.world_camera_share > 0:
        worlds, every = Worlds(*canvas, device), config.refresh_every
        bank = WorldBank(
            worlds, canvas, config.worlds, seed=config.seed, device=device, every=every
        )
        if config.rollouts.share:
            long_bank = WorldBank(
                worlds,
                canvas,
                min(config.worlds, LONG_WORLDS),
                seed=config.seed + 1,
                device=device,
                every=every,
                length=LONG_WORLD_FRAMES,
            )
    mixture = Mixture(
        catalogue, book, footage, bank, config.mixture, seed=config.seed, device=device, pairs=pairs
    )
    mixture.leaves = ClipBank(seed=config.seed, device=device, canvas=canvas)
    mixture.figures = figure_bank(seed=config.seed, device=device, canvas=canvas)
    alone = replace(
        config.mixture,
        leaves_share=0.0,
        figure_share=0.0,  # drawn for one length only
        world_camera_share=0.0,
        fade_share=0.0,
        blend_share=0.0,
    )
    long = Mixture(catalogue, book, footage, long_bank, alone, seed=config.seed, device=device)
    return Sources(catalogue=catalogue, book=book, mixture=mixture, long=long)


def open_bank(config: TrainConfig, device: torch.device) -> PairBank | None:
    """The own pairs of a run, checked; None if it has none.

    Raises:
        UserError: a fault of the pairs, or a share that means nothing.
    """
    share = config.mixture.pairs_share
    if not 0 <= share <= 1:
        raise UserError(f"mixture.pairs_share is {share}; give a number from 0 to 1")
    if share and not config.pairs:
        raise UserError("mixture.pairs_share needs pairs; name their folder with pairs=PATH")
    return PairBank(open_pairs(Path(config.pairs)), device) if config.pairs else None


def save_bundle(
    state: TrainState, catalogue: Catalogue, folder: Path, meta: dict[str, object]
) -> None:
    """The averaged weights as a bundle."""
    looks = tuple(
        {"name": name, "kind": kind, "prompts": list(catalogue.prompts(label))}
        for label, (name, kind) in enumerate(zip(catalogue.names, catalogue.kinds, strict=True))
    )
    Bundle(spec=state.net.spec, weights=state.ema_arrays(), looks=looks, meta=meta).save_pretrained(
        folder
    )


def spec_of(name: str) -> Spec:
    """The spec of a preset, or of a bundle's folder (a pruned network has no preset).

    Raises:
        UserError: neither.
    """
    folder = name not in PRESETS and Path(name).is_dir()
    return Bundle.from_pretrained(name).spec if folder else preset(name)


def first_net(config: TrainConfig) -> Net:
    """Random weights, or those of the bundle `config.init` (a smaller detail path is grown)."""
    net = Net(spec_of(config.preset), seed=config.seed)
    if config.init:
        bundle = Bundle.from_pretrained(config.init)
        weights, spec = bundle.weights, bundle.spec
        if config.init_blocks:
            weights, spec = with_blocks(weights, spec, config.init_blocks)
        if spec != net.spec:
            fresh = {n: v.detach().numpy() for n, v in zip(net.names, net.values, strict=True)}
            try:
                weights = grown(weights, spec, net.spec, fresh)
            except UserError as error:
                raise UserError(
                    f"the bundle '{config.init}' is no '{config.preset}' ({error}); "
                    "give another init"
                ) from None
        net.load_arrays(weights)
    return net


class Preview:
    """Rolls the averaged network out on held-out clips and writes sheets and figures."""

    def __init__(self, names: Sequence[str], folder: Path, streams: Streams, board: Board) -> None:
        """`streams` are held-out; `names`: of the looks by label."""
        self.names, self.folder, self.streams, self.board = names, folder, streams, board

    def __call__(self, state: TrainState, frames: int = 110) -> None:
        """Write `sheet.jpg`, append to `figures.jsonl`, and add to the curves."""
        net = Net(state.net.spec).to(self.streams.camera.device)
        with torch.no_grad():
            for mine, value in zip(net.values, state.ema.values, strict=True):
                mine.copy_(value)
        result = roll_out(net, self.streams, frames=frames, steps=1, seeded=True, keep=SHEET_FRAMES)
        values = figures(result, self.streams, [t for t in (10, 100, 300) if t < frames])
        table = torch.stack(result.psnr).cpu().numpy()
        last = table[max(0, frames - 12) :].mean(0)
        per_look = {
            self.names[int(label)]: round(float(last[self.streams.labels == label].mean()), 1)
            for label in np.unique(self.streams.labels)
        }
        line = {"step": state.step, "elapsed_s": round(state.elapsed_s), **values}
        with (self.folder / "figures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "per_look": per_look}) + "\n")
        print(json.dumps(line), flush=True)
        self.board.write(state.step, "preview", values)
        self.board.write(state.step, "look", per_look)
        picture = sheet(result, self.streams, self.names)
        picture.save(self.folder / "sheet.jpg", quality=85)


def open_preview(
    config: TrainConfig, sources: Sources, folder: Path, encoder: TextEncoder, board: Board
) -> Preview | None:
    """The preview of a run; None if its footage holds no clip of `held_out`, as one's own may."""
    footage = Path(config.footage)
    clips = [name for name in config.held_out if clip_path(footage, name).is_file()]
    if not clips:
        return None
    held = HeldOut(footage, clips[:PREVIEW_CLIPS], sources.catalogue, sources.mixture.device)
    return Preview(sources.catalogue.names, folder, held.streams(config.size, encoder), board)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A network and what it is to minimise, where a run is more than a `TrainConfig`.

    config: the whole configuration, which is saved beside the run and tells it from others;
    aim(device): the objective; `meta`: goes into the card of the bundle.
    """

    net: Net
    aim: Callable[[torch.device], Objective]
    config: Config
    meta: dict[str, object]


def run_training(
    config: TrainConfig,
    folder: Path,
    *,
    stop_after_s: float = float("inf"),
    learner: Learner | None = None,
) -> bool:
    """Train (or go on training) into `folder`; returns whether the run is complete.

    `learner` is another network and objective than those that `config` says.
    """
    world: World = join_world()
    torch.set_float32_matmul_precision("high")
    folder.mkdir(parents=True, exist_ok=True)
    encoder = TextEncoder.load()
    sources = build_sources(config, world.device, encoder)
    net = (learner.net if learner else first_net(config)).to(world.device)
    state = new_state(net, config.lr_adamw, config.ema)
    whole = learner.config if learner else config
    if world.first:
        (folder / "config.json").write_text(to_json(whole), encoding="utf-8")
        print(sources.mixture.footage.describe(), f"{len(sources.book.lines)} prompts", flush=True)
        if sources.mixture.pairs:
            print("own pairs", sources.mixture.pairs.describe(), flush=True)
        if config.compile and world.device.type == "cuda":
            print(COMPILING, flush=True)
    resumed = state.load(folder, stable_hash(whole))
    if resumed and world.first:
        print(f"resumed at step {state.step}", flush=True)
    with Board(folder if world.first else None, step=state.step) as board:
        if world.first and not board.writes:
            print(MISSING, flush=True)
        looks = world.first and config.sheet_every > 0
        preview = open_preview(config, sources, folder, encoder, board) if looks else None
        task = Task(
            config=config,
            draw=sources.mixture.draw,
            draw_long=sources.long.draw,
            sheet=preview or (lambda _: None),
            folder=folder,
            world=world,
            board=board,
            objective=learner.aim(world.device) if learner else None,
            identity=stable_hash(whole),
        )
        done = fit(state, task, stop_after_s=stop_after_s)
    if world.first:
        meta: dict[str, object] = {
            "recipe": Path(config.preset).name,
            "step": state.step,
            "frames": state.frames,
            **(learner.meta if learner else {}),
        }
        save_bundle(state, sources.catalogue, folder / "bundle", meta)
    leave_world(world)
    return done
