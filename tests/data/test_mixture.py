"""The catalogue, the prompts, and batches of the mixture: what training relies on."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from everframe.data.batch import ClipBatch
from everframe.data.catalogue import Catalogue
from everframe.data.footage import Footage
from everframe.data.looks.look import Look, State
from everframe.data.mixture import Mixture, MixtureConfig
from everframe.data.people.figures import figure_bank
from everframe.data.prompts import PromptBook, PromptLine
from everframe.data.source import write_clip
from everframe.data.world_bank import WorldBank
from everframe.data.worlds.world import Worlds
from everframe.text.encoder import PromptTokens

CPU = torch.device("cpu")
SIZE = (32, 48)
CATALOGUE = Catalogue()


class LengthEncoder:
    """Says how long a text is, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def encode(self, prompt: str) -> PromptTokens:
        self.asked[prompt] += 1
        states = np.full((16, 384), len(prompt), np.float32)
        return PromptTokens(states=states, mask=np.arange(16) < 1 + len(prompt) % 15)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("footage")
    (folder / "clips").mkdir()
    (folder / "masks").mkdir()
    picture = np.random.default_rng(0).integers(40, 210, (4, 6, 3)).repeat(16, 0).repeat(16, 1)
    frames = np.stack([np.roll(picture, t, 1) for t in range(12)]).astype(np.uint8)
    write_clip(folder / "clips" / "a.mp4", frames)
    mask = np.zeros_like(frames)
    mask[:, 16:, 32:64] = 255
    write_clip(folder / "masks" / "a.mask.mp4", mask)
    book = PromptBook(CATALOGUE.lines(), LengthEncoder(), CPU)
    worlds = WorldBank(Worlds(*SIZE, CPU), SIZE, 1, seed=0, device=CPU, every=100)
    config = MixtureConfig(
        leaves_share=0.2,
        person_share=0.2,
        world_share=0.2,
        world_camera_share=0.1,
        fade_share=0.4,
        blend_share=0.3,
        wording_share=0.0,
        group=2,
    )
    return Mixture(CATALOGUE, book, Footage(folder, (), CPU), worlds, config, seed=0, device=CPU)


def draw(mixture: Mixture, seed: int = 0, streams: int = 10) -> ClipBatch:
    return mixture.draw(
        0, streams, 3, SIZE, np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    )


def test_every_label_has_one_name() -> None:
    names = CATALOGUE.names
    assert len(set(names)) == len(names)
    assert {"underwater", "world_underwater", "alien_planet", "world_alien_planet"} <= set(names)
    assert names[CATALOGUE.identity] == "identity"
    assert len(CATALOGUE.kinds) == len(CATALOGUE.hidden) == len(names)


def test_a_text_names_one_look() -> None:
    owners: dict[str, set[str]] = {}
    for label, name in enumerate(CATALOGUE.names):
        for held_out in (False, True):
            for text in CATALOGUE.prompts(label, held_out=held_out):
                owners.setdefault(text.strip().lower(), set()).add(f"{name} {held_out}")
    assert {text: names for text, names in owners.items() if len(names) > 1} == {}


def test_training_lines_carry_strengths_of_two_dimensional_looks_only() -> None:
    lines = CATALOGUE.lines()
    assert {line.label for line in lines} == set(range(len(CATALOGUE.names)))
    weaker = {line.label for line in lines if line.strength != 1.0}
    assert weaker
    assert max(weaker) < CATALOGUE.identity
    held_out = {t for i in range(len(CATALOGUE.names)) for t in CATALOGUE.prompts(i, held_out=True)}
    assert not held_out & {line.text for line in lines}


def test_the_prompt_book_encodes_each_text_once() -> None:
    lines = [
        PromptLine(text="a", label=0),
        PromptLine(text="bb", label=1, strength=0.5),
        PromptLine(text="ccc", label=0),
    ]
    encoder = LengthEncoder()
    book = PromptBook(lines, encoder, CPU)
    rows = book.draw([0, 1, 0, 0, 0, 0, 1], np.random.default_rng(0))
    assert [lines[row].label for row in rows] == [0, 1, 0, 0, 0, 0, 1]
    assert set(rows) == {0, 1, 2}
    assert book.strengths(rows)[[1, 6]].tolist() == [0.5, 0.5]
    for _ in range(2):
        states, mask = book.tokens(rows)
        assert states[:, 0, 0].tolist() == [row + 1 for row in rows]
        assert mask.sum(1).tolist() == [row + 2 for row in rows]
    assert max(encoder.asked.values()) == 1


def test_a_batch_has_the_stated_shapes_and_ranges(mixture: Mixture) -> None:
    batch = draw(mixture)
    for pixels in (batch.camera, batch.target, batch.before):
        assert pixels.shape == (10, 3, 3, *SIZE)
        assert float(pixels.min()) >= -1.001
        assert float(pixels.max()) <= 1.001
    assert batch.anchor_output.shape == batch.anchor_camera.shape == (10, 3, *SIZE)
    assert batch.states.shape == (10, 2, 16, 384)
    assert batch.mask.shape == (10, 2, 16)
    assert batch.mask.dtype == torch.bool
    assert batch.blend.shape == (10, 3)
    assert batch.hidden.shape == (10,)


def test_before_is_the_target_of_the_frame_before(mixture: Mixture) -> None:
    for seed in range(3):
        batch = draw(mixture, seed)
        assert torch.equal(batch.before[:, 1:], batch.target[:, :-1])


def test_a_batch_depends_on_its_seeds_only(mixture: Mixture) -> None:
    first = draw(mixture)
    draw(mixture, 5)
    again = draw(mixture)
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.states, again.states)
    assert not torch.equal(draw(mixture, 1).target, first.target)


def test_kinds_of_streams_lie_where_the_plan_says(mixture: Mixture) -> None:
    batch = draw(mixture)
    labels = batch.label.numpy()
    dressed = labels >= CATALOGUE.first_dress
    person = (labels >= CATALOGUE.first_person) & ~dressed
    assert dressed.tolist() == [False] * 8 + [True] * 2
    assert int(person.sum()) == 2

    def of_size(size: tuple[int, int]) -> ClipBatch:
        chance = np.random.default_rng(0), torch.Generator().manual_seed(0)
        return mixture.draw(0, 4, 2, size, *chance)

    assert int(of_size((32, 32)).label.max()) >= CATALOGUE.first_dress  # a window of the worlds
    assert int(of_size((32, 96)).label.max()) < CATALOGUE.first_dress  # larger than the worlds


def test_identity_streams_keep_the_camera(mixture: Mixture) -> None:
    config = replace(mixture.config, identity_share=1.0, world_share=0.0, person_share=0.0)
    plain = Mixture(CATALOGUE, mixture.book, mixture.footage, None, config, seed=0, device=CPU)
    batch = draw(plain)
    assert batch.label.tolist() == [CATALOGUE.identity] * 10
    assert torch.equal(batch.target, batch.camera)
    assert float(batch.blend.max()) == 0


def test_blends_are_weights_and_only_of_two_looks(mixture: Mixture) -> None:
    moved = constant = 0
    for seed in range(8):
        batch = draw(mixture, seed)
        assert float(batch.blend.min()) >= 0
        assert float(batch.blend.max()) <= 1
        flat = batch.label < CATALOGUE.identity
        assert float(batch.blend[~flat].sum()) == 0
        steps = batch.blend.diff(dim=1)
        assert bool((steps >= 0).all())  # a fade goes to the second look, never back
        moved += int((steps > 0).any(1).sum())
        constant += int(((batch.blend[:, 0] > 0) & (steps == 0).all(1)).sum())
    assert moved > 0
    assert constant > 0


def invert(x: Tensor, _state: State) -> Tensor:
    return 1 - x


def black(x: Tensor, _state: State) -> Tensor:
    return torch.zeros_like(x)


def nothing(_b: int, _h: int, _w: int, _g: torch.Generator) -> State:
    return {}


INVERT = replace(CATALOGUE.flat[0], name="invert", kind="plain", apply=invert, draw=nothing)
BLACK = replace(CATALOGUE.flat[1], name="black", kind="plain", apply=black, draw=nothing)


def mixture_of(looks: list[Look], footage: Footage, config: MixtureConfig) -> Mixture:
    """Of these looks only, at full strength."""
    catalogue = Catalogue(looks)
    lines = [line for line in catalogue.lines() if line.strength == 1.0]
    book = PromptBook(lines, LengthEncoder(), CPU)
    return Mixture(catalogue, book, footage, None, config, seed=0, device=CPU)


ONLY_BLENDS = MixtureConfig(
    leaves_share=0.0,
    person_share=0.0,
    identity_share=0.0,
    blend_share=1.0,
    wording_share=0.0,
    group=1,
)


def test_a_blend_lies_between_its_looks(mixture: Mixture) -> None:
    """With weight 1 the target is the second look; the first one's frames are gone."""
    batch = draw(mixture_of([INVERT, BLACK], mixture.footage, ONLY_BLENDS), streams=12)
    looks = {0: -batch.camera, 1: -torch.ones_like(batch.camera)}
    weight = batch.blend[:, :, None, None, None]
    blended = 0
    for i, label in enumerate(batch.label.tolist()):
        other = looks[1 - label][i]
        expected = looks[label][i] + weight[i] * (other - looks[label][i])
        torch.testing.assert_close(batch.target[i], expected, atol=1e-5, rtol=1e-5)
        blended += int(float(weight[i].max()) > 0)
    assert blended >= 2


def test_hidden_tells_whether_one_of_the_two_looks_has_a_state(mixture: Mixture) -> None:
    looks = [INVERT, replace(BLACK, kind="hidden")]
    batch = draw(mixture_of(looks, mixture.footage, ONLY_BLENDS), streams=24)
    blended = batch.blend.amax(1) > 0
    assert batch.hidden.tolist() == ((batch.label == 1) | blended).tolist()
    kinds = set(zip(batch.label.tolist(), batch.hidden.tolist(), strict=True))
    assert kinds == {(0, 0), (0, 1), (1, 1)}


def test_foreign_anchors_show_another_scene_under_the_same_look_and_state(
    mixture: Mixture,
) -> None:
    states: list[State] = []

    def gain(b: int, _h: int, _w: int, g: torch.Generator) -> State:
        states.append({"gain": torch.rand((b, 1, 1, 1, 1), generator=g)})
        return states[-1]

    def dim(x: Tensor, state: State) -> Tensor:
        return x * state["gain"]

    look = replace(BLACK, kind="hidden", draw=gain, apply=dim)
    config = MixtureConfig(
        leaves_share=0.4, person_share=0.0, identity_share=0.0, fade_share=0.0, blend_share=0.0
    )
    own, foreign = (
        draw(mixture_of([look], mixture.footage, replace(config, foreign_share=share)))
        for share in (0.0, 1.0)
    )
    assert torch.equal(states[0]["gain"], states[1]["gain"])
    assert torch.equal(own.camera, foreign.camera)
    assert torch.equal(own.target, foreign.target)
    assert torch.equal(own.before, foreign.before)
    assert torch.equal(foreign.anchor_camera, own.anchor_camera.roll(-1, 0))
    apart = (foreign.anchor_camera - own.anchor_camera).abs().flatten(1).mean(1)
    assert float(apart.min()) > 0.05
    for batch in (own, foreign):  # 0..1 inside the looks, -1..1 in the batch
        expected = dim((batch.anchor_camera[:, None] + 1) / 2, states[0])[:, 0] * 2 - 1
        torch.testing.assert_close(batch.anchor_output, expected)


def test_people_and_worlds_keep_their_own_anchors(mixture: Mixture) -> None:
    own, foreign = (
        draw(
            Mixture(
                CATALOGUE,
                mixture.book,
                mixture.footage,
                mixture.worlds,
                replace(mixture.config, foreign_share=share),
                seed=0,
                device=CPU,
            )
        )
        for share in (0.0, 1.0)
    )
    moved = (own.anchor_camera != foreign.anchor_camera).flatten(1).any(1)
    # of ten: three of footage and two of leaves, then two people, a world camera, two worlds
    assert moved.tolist() == [True] * 5 + [False] * 5
    assert torch.equal(own.camera, foreign.camera)


def test_paraphrases_of_one_look_are_mixed_and_the_target_stays(mixture: Mixture) -> None:
    config = replace(mixture.config, fade_share=0.0, blend_share=0.0)
    parts = (CATALOGUE, mixture.book, mixture.footage, mixture.worlds)
    one, mixed = (
        draw(Mixture(*parts, replace(config, wording_share=share), seed=0, device=CPU), streams=40)
        for share in (0.0, 1.0)
    )
    assert torch.equal(one.target, mixed.target)
    assert torch.equal(one.states, mixed.states)
    assert not one.blend.any()
    share = (mixed.blend > 0).any(1).float().mean()
    assert 0.3 < float(share) < 1  # those of unequal strength are left alone
    assert torch.equal(mixed.blend, mixed.blend[:, :1].expand_as(mixed.blend))


def test_rendered_people_need_no_masks_and_nobody_is_left_unmasked(mixture: Mixture) -> None:
    config = replace(mixture.config, figure_share=0.5, person_share=0.4, leaves_share=0.0)
    footage = mixture.footage
    some = Mixture(CATALOGUE, mixture.book, footage, None, config, seed=0, device=CPU)
    some.figures = figure_bank(seed=0, device=CPU, clips=1)
    masks = rooms_of(some, streams=4)
    assert 0 < float(masks.mean()) < 1  # the people of the rooms are known
    people = [c.name for c in footage.clips if c.masked]
    assert people  # all clips of this footage have masks, so none may be drawn without
    batch = some.draw(0, 10, 2, SIZE, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert batch.camera.shape == (10, 2, 3, *SIZE)
    assert (batch.label >= CATALOGUE.first_person).sum() == 4


def rooms_of(mixture: Mixture, *, streams: int) -> Tensor:
    return mixture._rooms(0, streams, 2, SIZE, np.random.default_rng(0))[:, :, 3]


def test_footage_without_masks_lends_no_rooms(
    mixture: Mixture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bare")
    write_clip(folder / "a.mp4", np.full((6, 32, 48, 3), 250, np.uint8))
    bare, none = Footage(folder, (), CPU), replace(mixture.config, figure_share=0.0)
    without = Mixture(CATALOGUE, mixture.book, bare, None, none, seed=0, device=CPU)
    generator = torch.Generator().manual_seed(0)
    batch = without.draw(0, 10, 2, SIZE, np.random.default_rng(0), generator)
    assert (batch.label < CATALOGUE.first_person).all()  # no masks and no figures: no people
    with_figures = replace(none, figure_share=0.1, person_share=0.3)
    drawn = Mixture(CATALOGUE, mixture.book, bare, None, with_figures, seed=0, device=CPU)
    drawn.figures = figure_bank(seed=0, device=CPU, clips=1)
    assert float(rooms_of(drawn, streams=2).max()) == 0
    batch = drawn.draw(0, 10, 2, SIZE, np.random.default_rng(0), generator)
    assert (batch.label >= CATALOGUE.first_person).sum() == 3
