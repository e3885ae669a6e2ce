"""The training mixture: footage, dead leaves and worlds under looks, people looks and dresses, and
one's own pairs.

Everything is drawn on the device of the batch; nothing waits for the host except small index
arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from everframe.data.batch import ClipBatch
from everframe.data.catalogue import Catalogue
from everframe.data.clip_bank import ClipBank
from everframe.data.footage import Footage, photometric, recolour
from everframe.data.pairs import PairBank
from everframe.data.people.composite import swap_room
from everframe.data.people.figures import either, figure_bank, place
from everframe.data.prompts import PromptBook
from everframe.data.world_bank import WorldBank

DEFAULT_PAIRS_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureConfig:
    """Shares of streams (they need not add to one; the rest is footage under 2-D looks).

    room_share: of the person streams, how many are set into the rooms of other clips.
    figure_share: of the person streams, how many show rendered people in the rooms of clips; all,
        if no clip has masks; else none at sizes that their bank does not hold.
    foreign_share: of the footage and leaves streams, how many have their anchor in another scene,
        under the same look and hidden state: an anchor tells the look, not what is seen.
    wording_share: of the streams of one look, how many mix two of its paraphrases.
    pairs_share: own pairs (the other shares are then of the rest); 0 with pairs given: half.
    group: streams that share a look in one batch (fewer, larger operator calls).
    hard_looks: names of looks drawn `hard_factor` times as often.
    """

    leaves_share: float = 0.15
    person_share: float = 0.16
    room_share: float = 0.5
    figure_share: float = 0.0
    foreign_share: float = 0.2
    world_share: float = 0.18
    world_camera_share: float = 0.08
    identity_share: float = 0.05
    fade_share: float = 0.12
    blend_share: float = 0.08
    wording_share: float = 0.5
    pairs_share: float = 0.0
    group: int = 6
    hard_looks: tuple[str, ...] = field(default=())
    hard_factor: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Stream numbers of each kind."""

    leaves: int
    person: int
    world: int
    world_camera: int
    footage: int
    pairs: int


class Mixture:
    """Draws `ClipBatch`es."""

    def __init__(
        self,
        catalogue: Catalogue,
        book: PromptBook,
        footage: Footage,
        worlds: WorldBank | None,
        config: MixtureConfig,
        *,
        seed: int,
        device: torch.device,
        pairs: PairBank | None = None,
    ) -> None:
        """Combine sources; None leaves worlds or pairs out. `leaves` and `figures` may be set to
        other banks.
        """
        self.catalogue, self.book, self.footage = catalogue, book, footage
        self.pairs = pairs
        self.worlds, self.config, self.device = worlds, config, device
        self.leaves = ClipBank(seed=seed, device=device)
        self.figures = figure_bank(seed=seed, device=device)
        names = [look.name for look in catalogue.flat]
        weights = np.array([config.hard_factor if n in config.hard_looks else 1.0 for n in names])
        self._look_weights = weights / weights.sum()

    def draw(
        self,
        step: int,
        streams: int,
        frames: int,
        size: tuple[int, int],
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> ClipBatch:
        """`streams` clips of `frames` frames at `size` (height, width) for a step of the run."""
        if self.worlds:
            self.worlds.renew(step)
        plan = self._plan(streams, size)
        camera, mask = self._cameras(step, plan, frames, size, rng, generator)
        self._foreign_anchors(camera, plan.footage + plan.leaves, rng)
        labels = self._labels(plan, streams, rng)
        target = camera.clone()
        if plan.world and self.worlds:
            source, dressed, dress = self.worlds.draw(plan.world, frames, size, rng)
            camera = torch.cat([camera, source])
            target = torch.cat([target, dressed])
            labels = np.concatenate([labels, self.catalogue.first_dress + dress])
        own = np.zeros(0, np.int64)
        if plan.pairs and self.pairs:
            source, paired, own = self.pairs.draw(plan.pairs, frames, size, rng)
            camera, target = torch.cat([camera, source]), torch.cat([target, paired])
            labels = np.append(labels, np.full(plan.pairs, self.catalogue.own_pairs))
        everyone = np.arange(streams)
        self._apply(target, camera, mask, labels, everyone, generator)
        rows = self.book.draw(labels, rng)
        if plan.pairs:
            rows[-plan.pairs :] = self.book.rows_of(self.catalogue.own_pairs)[own]
        target = self._fade(camera, target, self._to(self.book.strengths(rows)))
        limit = streams - plan.world - plan.pairs
        blend, second = self._second_looks(labels, limit, frames, rng)
        rows_b = self.book.draw(second, rng)
        moving = np.nonzero(blend.any(1))[0]
        if len(moving):
            other = camera[self._to(moving)]
            restyled = torch.zeros_like(camera)
            self._apply(restyled, camera, mask, second[moving], moving, generator)
            strength = self._to(self.book.strengths(rows_b[moving]))
            restyled = self._fade(other, restyled[self._to(moving)], strength)
            weight = self._to(blend[moving])[:, :, None, None, None]
            before = target[self._to(moving)]
            target[self._to(moving)] = before + weight * (restyled - before)
        one_look = (labels == second) & (labels != self.catalogue.own_pairs)
        wording = self._mixed_wordings(blend, rows, rows_b, one_look, rng)
        return self._batch(camera, target, (labels, second), (rows, rows_b), wording)

    def _batch(
        self,
        camera: Tensor,
        target: Tensor,
        looks: tuple[np.ndarray, np.ndarray],
        prompts: tuple[np.ndarray, np.ndarray],
        blend: np.ndarray,
    ) -> ClipBatch:
        (labels, second), (rows, rows_b) = looks, prompts
        hidden = self.catalogue.hidden
        states_a, mask_a = self.book.tokens(rows)
        states_b, mask_b = self.book.tokens(rows_b)
        target, camera = target * 2 - 1, camera * 2 - 1
        return ClipBatch(
            camera=camera[:, 1:-1],
            target=target[:, 1:-1],
            before=target[:, :-2],
            anchor_output=target[:, -1],
            anchor_camera=camera[:, -1],
            states=torch.stack([states_a, states_b], 1),
            mask=torch.stack([mask_a, mask_b], 1),
            blend=self._to(blend[:, 1:-1]),
            label=self._to(labels),
            hidden=self._to(np.maximum(hidden[labels], hidden[second])),
        )

    def _to(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)

    @staticmethod
    def _fade(camera: Tensor, target: Tensor, strength: Tensor) -> Tensor:
        return camera + strength[:, None, None, None, None] * (target - camera)

    def _plan(self, streams: int, size: tuple[int, int]) -> _Plan:
        c = self.config
        pairs = round(streams * (c.pairs_share or DEFAULT_PAIRS_SHARE)) if self.pairs else 0
        pairs = min(pairs, streams - 1)  # one stream of footage is always drawn
        streams -= pairs
        fits = self.worlds is not None and self.worlds.holds(size)
        world = round(streams * c.world_share) if fits else 0
        world_camera = round(streams * c.world_camera_share) if fits else 0
        leaves = round(streams * c.leaves_share)
        able = self.footage.has_masks or c.figure_share > 0
        person = round(streams * c.person_share) if able else 0
        footage = max(1, streams - world - world_camera - leaves - person)
        return _Plan(
            footage=footage,
            leaves=leaves,
            person=person,
            world_camera=world_camera,
            world=world,
            pairs=pairs,
        )

    def _cameras(
        self,
        step: int,
        plan: _Plan,
        frames: int,
        size: tuple[int, int],
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Camera frames and person masks in the order footage, leaves, person, world cameras."""
        c = self.config
        footage = self.footage.draw(plan.footage, frames, size, rng)
        parts = [footage[:, :, :3]]
        if plan.leaves:
            parts.append(self.leaves.draw(step, plan.leaves, frames, size, rng))
        mask = footage.new_zeros(plan.footage + plan.leaves, frames + 2, 1, *size)
        figures = self._figure_streams(plan.person, size)
        filmed = plan.person - figures
        if filmed:
            masked = self.footage.draw(filmed, frames, size, rng, masked=True)
            people = masked[:, :, :3]
            moved = int(filmed * c.room_share)
            if moved:  # few rooms are filmed; the network shall learn people, not those rooms
                rooms = self._rooms(step, moved, frames, size, rng)
                dressed = recolour(people[:moved], generator)  # nor those clothes
                swapped = swap_room(dressed, masked[:moved, :, 3:], rooms[:, :, :3])
                people = torch.cat([swapped, people[moved:]])
                masked[:moved, :, 3:] = either(masked[:moved, :, 3:], rooms[:, :, 3:])
            parts.append(people)
            mask = torch.cat([mask, masked[:, :, 3:]])
        if figures:
            drawn = self.figures.draw(step, figures, frames, size, rng)
            rooms = self._rooms(step, figures, frames, size, rng)
            parts.append(place(drawn, rooms[:, :, :3]))
            mask = torch.cat([mask, either(drawn[:, :, 3:], rooms[:, :, 3:])])
        if self.worlds and plan.world_camera:
            parts.append(self.worlds.draw(plan.world_camera, frames, size, rng)[1])
        return photometric(torch.cat(parts), generator), mask

    def _rooms(
        self,
        step: int,
        streams: int,
        frames: int,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> Tensor:
        """Backgrounds [B, T, 4, H, W] with the masks of whoever is in them: clips with masks, since
        in others there may be people whom no mask tells, worlds, and dead leaves.
        """
        fits = self.worlds is not None and self.worlds.holds(size)
        worlds = streams // 3 if fits else 0
        leaves = streams // 3 if self.config.leaves_share else 0
        filmed = streams - worlds - leaves
        if not self.footage.has_masks:
            leaves, filmed = leaves + filmed, 0
        empty: list[Tensor] = []
        if worlds and self.worlds:
            empty.append(self.worlds.draw(worlds, frames, size, rng)[1])
        if leaves:
            empty.append(self.leaves.draw(step, leaves, frames, size, rng))
        parts = [torch.cat([room, torch.zeros_like(room[:, :, :1])], 2) for room in empty]
        if filmed:
            parts.append(self.footage.draw(filmed, frames, size, rng, masked=True))
        return torch.cat(parts)[self._to(rng.permutation(streams))]

    def _figure_streams(self, person: int, size: tuple[int, int]) -> int:
        if not self.footage.has_masks:
            return person
        if not self.figures.holds(size):  # a bank for a rare size costs more than it gives
            return 0
        return round(person * self.config.figure_share)

    def _foreign_anchors(self, camera: Tensor, able: int, rng: np.random.Generator) -> None:
        """Give some of the first `able` streams the anchor frame of the next such stream."""
        chosen = np.nonzero(rng.random(able) < self.config.foreign_share)[0]
        if len(chosen):
            camera[self._to(chosen), -1] = camera[self._to((chosen + 1) % able), -1]

    def _labels(self, plan: _Plan, streams: int, rng: np.random.Generator) -> np.ndarray:
        """A look for each stream but those of worlds and pairs, in groups of equal looks."""
        c, cat = self.config, self.catalogue
        n = streams - plan.world - plan.pairs
        flat = rng.choice(len(cat.flat), -(-n // c.group), p=self._look_weights)
        labels = rng.permutation(np.repeat(flat, c.group)[:n])
        labels[rng.random(n) < c.identity_share] = cat.identity
        if plan.person:
            start = plan.footage + plan.leaves
            groups = -(-plan.person // c.group)
            looks = rng.integers(cat.first_person, cat.first_dress, groups)
            labels[start : start + plan.person] = np.repeat(looks, c.group)[: plan.person]
        return labels

    def _apply(
        self,
        target: Tensor,
        camera: Tensor,
        mask: Tensor,
        labels: np.ndarray,
        streams: np.ndarray,
        generator: torch.Generator,
    ) -> None:
        """Write the restyled frames of `streams` (labels[i] belongs to streams[i]) to `target`."""
        cat = self.catalogue
        height, width = camera.shape[-2:]
        for label in np.unique(labels):
            if label >= cat.first_dress:
                continue
            where = streams[labels == label]
            index = self._to(where)
            frames = camera[index]
            if label == cat.identity:
                target[index] = frames
            elif label >= cat.first_person:
                person = cat.person[label - cat.first_person]
                state = person.draw(len(where), height, width, generator)
                target[index] = person.apply(frames, mask[index], state).to(target.dtype)
            else:
                look = cat.flat[label]
                state = look.draw(len(where), height, width, generator)
                target[index] = look.apply(frames, state).to(target.dtype)

    def _mixed_wordings(
        self,
        blend: np.ndarray,
        rows: np.ndarray,
        rows_b: np.ndarray,
        one_look: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """`blend` with any mixture of two paraphrases where both mean the same, so that codes
        between known wordings mean the look, too.
        """
        same = one_look & (self.book.strengths(rows) == self.book.strengths(rows_b))
        same &= ~blend.any(1) & (rng.random(len(rows)) < self.config.wording_share)
        weight = rng.random((len(rows), 1)).astype(np.float32)
        return np.where(same[:, None], weight, blend)

    def _second_looks(
        self, labels: np.ndarray, limit: int, frames: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weight [B, T + 2] of a second look, and its label; only the first `limit` 2-D streams."""
        c, cat = self.config, self.catalogue
        blend = np.zeros((len(labels), frames + 2), np.float32)
        second = labels.copy()
        present = np.unique(labels[labels < len(cat.flat)])
        able = (np.arange(len(labels)) < limit) & (labels < len(cat.flat))
        kind = rng.random(len(labels))
        for i in np.nonzero(able & (kind < c.fade_share + c.blend_share))[0]:
            second[i] = rng.choice(present)
            if second[i] == labels[i]:
                continue
            if kind[i] < c.blend_share:
                blend[i] = rng.uniform(0.2, 0.8)
                continue
            length = int(rng.choice([0, 0, 2, 4, 8]))
            begin = rng.integers(1, frames + 1)
            ramp = (np.arange(frames + 2) - begin + 1) / max(length, 1)
            blend[i] = np.clip(ramp, 0, 1)
        return blend, second
