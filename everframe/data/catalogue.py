"""All that a prompt can ask for: 2-D looks, "leave as is", person looks and world dresses, with
labels.

Labels: [0, F) 2-D looks, F identity, then person looks, then dresses, then one's own pairs. They
are used by the data, the prompt book and the look classifier; the network itself only reads text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everframe.data.looks.catalogue import LOOKS
from everframe.data.looks.look import Look
from everframe.data.looks.strength import IDENTITY_HELD_OUT, IDENTITY_PROMPTS, STRENGTHS
from everframe.data.people.composite import PERSON_LOOKS, PersonLook
from everframe.data.prompts import PromptLine
from everframe.data.worlds.world import DRESSES, Dress

OWN_PAIRS = "own pairs"
STRENGTH_LINES = 4
"""Strength variants per look among the training prompts."""

TWINS = {
    "underwater": "underwater",
    "moonlit_night": "moonlight",
    "drafting_scene": "blueprint",
    "alien_planet": "alien_planet",
    "neon_night": "cyberpunk",
    "snowy_winter": "frost",
    "knitted_wool": "knitted",
    "crystal_realm": "crystal",
}
"""Dresses of rendered worlds, and the look that means the same for camera footage: there the look
is trained under the prompts of the dress, too, so that the source decides, not the wording.
"""


class Catalogue:
    """Looks by label."""

    def __init__(
        self,
        flat: Sequence[Look] = LOOKS,
        person: Sequence[PersonLook] = PERSON_LOOKS,
        dresses: Sequence[Dress] = DRESSES,
        own_prompts: Sequence[str] = (),
    ) -> None:
        """Take all looks, or a choice for a small run; `own_prompts` are those of own pairs."""
        self.flat, self.person, self.dresses = tuple(flat), tuple(person), tuple(dresses)
        self.identity = len(self.flat)
        self.first_person = self.identity + 1
        self.first_dress = self.first_person + len(self.person)
        self.own_pairs = self.first_dress + len(self.dresses)
        self._own_prompts = tuple(own_prompts)
        self.names = (
            *(look.name for look in self.flat),
            "identity",
            *(look.name for look in self.person),
            *(f"world_{dress.name}" for dress in self.dresses),
            *((OWN_PAIRS,) if own_prompts else ()),
        )
        self.kinds = (
            *(look.kind for look in self.flat),
            "plain",
            *("hidden" if look.hidden else "plain" for look in self.person),
            *("hidden" if dress.hidden else "plain" for dress in self.dresses),
            *(("plain",) if own_prompts else ()),
        )
        self.hidden = np.array([kind == "hidden" for kind in self.kinds], np.float32)

    def prompts(self, label: int, *, held_out: bool = False) -> tuple[str, ...]:
        """Texts that name a look."""
        if label == self.identity:
            return IDENTITY_HELD_OUT if held_out else IDENTITY_PROMPTS
        if label == self.own_pairs:
            return self._own_prompts
        owner = (*self.flat, None, *self.person, *self.dresses)[label]
        assert owner is not None
        return owner.held_out if held_out else owner.prompts

    def lines(self) -> list[PromptLine]:
        """All training prompts, with strength variants for the 2-D looks and those of `TWINS`."""
        lines: list[PromptLine] = []
        label_of = {look.name: label for label, look in enumerate(self.flat)}
        for dress in self.dresses:
            label = label_of.get(TWINS.get(dress.name, ""))
            if label is not None:
                lines += [PromptLine(text=text, label=label) for text in dress.prompts]
        for label in range(len(self.names)):
            texts = self.prompts(label)
            lines += [PromptLine(text=text, label=label) for text in texts]
            if label < self.identity:
                rng = np.random.default_rng(label)
                for template, strength in _pick(STRENGTHS, STRENGTH_LINES, rng):
                    text = template.format(p=texts[rng.integers(len(texts))])
                    lines.append(PromptLine(text=text, label=label, strength=strength))
        return lines


def _pick(
    table: Sequence[tuple[str, float]], count: int, rng: np.random.Generator
) -> list[tuple[str, float]]:
    return [table[i] for i in rng.permutation(len(table))[:count]]
