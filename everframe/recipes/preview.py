"""What the mixture really draws, as a contact sheet: `everframe data preview`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng, stream_seed
from everframe.data.batch import ClipBatch
from everframe.data.catalogue import Catalogue
from everframe.data.clip_bank import ClipBank
from everframe.data.footage import Footage
from everframe.data.mixture import Mixture, MixtureConfig
from everframe.data.pairs import PairBank, open_pairs
from everframe.data.people.figures import figure_bank
from everframe.data.prompts import PromptBook
from everframe.data.world_bank import WorldBank
from everframe.data.worlds.world import Worlds
from everframe.text.encoder import MAX_TOKENS, WIDTH, PromptTokens

SIZE = (160, 160)
"""Height and width of what is drawn, pixels; a CPU takes ten seconds at this size already."""
FRAMES = 6
STREAMS = 12
"""Streams per draw."""
TRIES = 12
"""Draws before a rare look is given up."""
WORLD_CLIPS, LEAVES_CLIPS, FIGURE_CLIPS = 2, 2, 2
"""Clips made; streams are cut from them."""
ONLY = 1e9
"""How much more often than the others a chosen look is drawn."""
COLUMNS = ("camera, first", "target, first", "camera, last", "target, last", "anchor")
TEXT_PX, GAP_PX = 30, 6
PAPER, INK = (24, 24, 28), (235, 235, 235)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRequest:
    """What to draw: `rows` streams from `footage` and perhaps own `pairs`, all looks or `looks`."""

    footage: Path = Path("examples")
    pairs: str = ""
    looks: tuple[str, ...] = ()
    rows: int = 12
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """One stream: its look, its prompt as trained, and a picture uint8 [H, W, 3] per column."""

    look: str
    prompt: str
    pictures: tuple[NDArray[np.uint8], ...]


@dataclass(slots=True)
class Numbering:
    """Stands for the text encoder: writes into the token states which text it was, so that a batch
    tells its prompts.
    """

    texts: list[str] = field(default_factory=list[str])

    def encode(self, prompt: str) -> PromptTokens:
        """Number a text."""
        states = np.full((MAX_TOKENS, WIDTH), len(self.texts), np.float32)
        self.texts.append(prompt)
        return PromptTokens(states=states, mask=np.ones(MAX_TOKENS, np.bool_))

    def read(self, states: Tensor) -> str:
        """The text of token states [16, 384]."""
        return self.texts[int(states[0, 0])]


def draw_rows(request: PreviewRequest) -> list[PreviewRow]:
    """Draw from the mixture of the recipes; chosen looks in turn, the rest as they come.

    Raises:
        UserError: unknown look, no footage, faulty pairs, or a look that this footage cannot show.
    """
    device = torch.device("cpu")
    pairs = PairBank(open_pairs(Path(request.pairs)), device) if request.pairs else None
    catalogue = Catalogue(own_prompts=pairs.prompts if pairs else ())
    chosen = [_known(name, catalogue) for name in request.looks]
    numbering = Numbering()
    book = PromptBook(catalogue.lines(), numbering, device)
    footage = Footage(request.footage, (), device)
    config = _config(chosen, catalogue)
    dresses = [
        catalogue.dresses[n - catalogue.first_dress].name for n in _worlds(chosen, catalogue)
    ]
    bank = WorldBank(
        Worlds(*SIZE, device),
        SIZE,
        max(WORLD_CLIPS, len(dresses)),
        seed=request.seed,
        device=device,
        every=1,
        dresses=dresses or None,
        length=FRAMES + 2,
    )
    mixture = Mixture(
        catalogue,
        book,
        footage,
        bank if config.world_share + config.world_camera_share > 0 else None,
        config,
        seed=request.seed,
        device=device,
        pairs=pairs,
    )
    mixture.leaves = ClipBank(seed=request.seed, device=device, clips=LEAVES_CLIPS)
    mixture.figures = figure_bank(seed=request.seed, device=device, clips=FIGURE_CLIPS)
    return _collected(mixture, chosen, numbering, request)


def _known(name: str, catalogue: Catalogue) -> int:
    if name in catalogue.names:
        return catalogue.names.index(name)
    close = get_close_matches(name, catalogue.names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "see everframe prompts"
    raise UserError(f"unknown look '{name}'; {hint}")


def _worlds(chosen: Sequence[int], catalogue: Catalogue) -> list[int]:
    return [n for n in chosen if catalogue.first_dress <= n < catalogue.own_pairs]


def _config(chosen: Sequence[int], catalogue: Catalogue) -> MixtureConfig:
    """The mixture of the recipes, one look per stream; with `chosen` looks, turned to them."""
    config = MixtureConfig(group=1, figure_share=0.5)
    if not chosen:
        return config
    person = any(catalogue.first_person <= n < catalogue.first_dress for n in chosen)
    flat = tuple(catalogue.names[n] for n in chosen if n < catalogue.identity)
    return replace(
        config,
        hard_looks=flat,
        hard_factor=ONLY,
        identity_share=0.5 if catalogue.identity in chosen else 0.0,
        person_share=0.4 if person else 0.0,
        world_share=0.3 if _worlds(chosen, catalogue) else 0.0,
        world_camera_share=0.0,
        leaves_share=config.leaves_share if flat or catalogue.identity in chosen else 0.0,
    )


def _collected(
    mixture: Mixture, chosen: Sequence[int], numbering: Numbering, request: PreviewRequest
) -> list[PreviewRow]:
    names = mixture.catalogue.names
    most = -(-request.rows // len(chosen)) if chosen else request.rows
    kept: dict[int, list[PreviewRow]] = {label: [] for label in chosen}
    for step in range(TRIES):
        rng = numpy_rng(request.seed, "preview", step)
        generator = torch.Generator().manual_seed(stream_seed(request.seed, "preview/torch", step))
        batch = mixture.draw(step, STREAMS, FRAMES, SIZE, rng, generator)
        for i, label in enumerate(batch.label.tolist()):
            rows = kept.get(label) if chosen else kept.setdefault(label, [])
            if rows is not None and len(rows) < most:
                rows.append(_row(batch, i, names[label], numbering))
        if sum(map(len, kept.values())) >= request.rows:
            break
    missing = [names[label] for label, rows in kept.items() if not rows]
    if missing:
        raise UserError(f"'{missing[0]}' was not drawn; try another --seed or fewer --looks")
    return [row for label in sorted(kept) for row in kept[label]][: request.rows]


def _row(batch: ClipBatch, i: int, look: str, numbering: Numbering) -> PreviewRow:
    prompt = numbering.read(batch.states[i, 0])
    blend = batch.blend[i]
    if bool((blend > 0).any()):
        shares = (
            f"{blend[0]:.0%} to {blend[-1]:.0%}" if blend[0] != blend[-1] else f"{blend[0]:.0%}"
        )
        prompt += f"  + {shares}: {numbering.read(batch.states[i, 1])}"
    frames = (
        batch.camera[i, 0],
        batch.target[i, 0],
        batch.camera[i, -1],
        batch.target[i, -1],
        batch.anchor_output[i],
    )
    return PreviewRow(look=look, prompt=prompt, pictures=tuple(_pixels(x) for x in frames))


def _pixels(x: Tensor) -> NDArray[np.uint8]:
    """[3, H, W] in -1..1 -> uint8 [H, W, 3]."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(0, -1).numpy()


def compose(rows: Sequence[PreviewRow]) -> Image.Image:
    """The sheet: two streams side by side, look and prompt under each."""
    height, width = rows[0].pictures[0].shape[:2]
    cell_width = len(COLUMNS) * width + GAP_PX
    cell_height = height + TEXT_PX + GAP_PX
    lines = -(-len(rows) // 2)
    sheet = Image.new("RGB", (2 * cell_width, TEXT_PX // 2 + lines * cell_height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (left, top) in zip(
        range(2 * lines), _corners(cell_width, cell_height), strict=False
    ):
        if number < 2:
            for column, title in enumerate(COLUMNS):
                pen.text((left + column * width + 3, 2), title, fill=INK)
        if number >= len(rows):
            break
        row = rows[number]
        for column, picture in enumerate(row.pictures):
            sheet.paste(Image.fromarray(picture), (left + column * width, top))
        text = textwrap.shorten(row.prompt, cell_width // 7, placeholder="...")
        pen.text((left + 3, top + height + 2), f"{row.look}\n{text}", fill=INK, spacing=1)
    return sheet


def _corners(cell_width: int, cell_height: int) -> Iterator[tuple[int, int]]:
    top = TEXT_PX // 2
    while True:
        yield 0, top
        yield cell_width, top
        top += cell_height
