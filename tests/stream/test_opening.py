"""How streams open: the look of a prompt, and exemplars as the first anchor."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everframe import Session
from everframe.arch.bundle import Bundle
from everframe.core.errors import UserError
from everframe.stream.opening import FOLDER, SIDE, Opening, Openings
from everframe.text.encoder import TextEncoder

ENCODER = TextEncoder.load()


def opening(prompt: str, seed: int = 0, folder: Path = FOLDER) -> Opening:
    openings = Openings.load(folder)
    return openings.of(openings.nearest(ENCODER.encode(prompt).pooled), seed, 64, 96)


def test_a_prompt_finds_its_look() -> None:
    assert opening("pencil sketch").look == "pencil"
    assert opening("a window of stained glass").look == "stained_glass"
    assert opening("leave the picture as it is").look == "identity"
    assert opening("x").look == ""


def test_every_look_of_the_shipped_models_is_known() -> None:
    names = {look["name"] for look in Bundle.from_pretrained("pocket").looks}
    found = {path.stem for path in FOLDER.glob("*.webp")} - {"cameras"}
    assert found <= names
    assert len(found) > 20


def test_only_hidden_looks_have_exemplars() -> None:
    glass = opening("stained glass window")
    assert glass.exemplar is not None
    assert glass.exemplar.output.shape == glass.exemplar.camera.shape == (64, 96, 3)
    assert glass.exemplar.output.dtype == np.uint8
    assert opening("pencil sketch").exemplar is None


def test_the_seed_chooses_among_exemplars() -> None:
    outputs = {
        found.output.tobytes()
        for seed in range(30)
        if (found := opening("stained glass window", seed).exemplar)
    }
    assert len(outputs) == 6  # three pictures and their mirror images
    again = opening("stained glass window", 7).exemplar
    first = opening("stained glass window", 7).exemplar
    assert again is not None
    assert first is not None
    assert np.array_equal(again.output, first.output)


def test_held_out_paraphrases_find_their_exemplar() -> None:
    from everframe.data.catalogue import TWINS, Catalogue

    catalogue = Catalogue()
    same = {f"world_{dress}": look for dress, look in TWINS.items()}
    right = wrong = total = 0
    for look in catalogue.flat:
        if look.kind == "hidden":
            for prompt in look.held_out:
                found = opening(prompt)
                is_own = same.get(found.look, found.look) == look.name
                right += is_own and found.exemplar is not None
                wrong += found.exemplar is not None and not is_own
                total += 1
    assert right / total > 0.95
    assert wrong / total < 0.01


def test_a_dress_of_worlds_opens_as_the_look_that_means_the_same() -> None:
    openings = Openings.load()
    dress, look = (openings.of(name, 3, 64, 96) for name in ("world_knitted_wool", "knitted"))
    assert dress.exemplar is not None
    assert look.exemplar is not None
    assert np.array_equal(dress.exemplar.output, look.exemplar.output)
    assert dress.kind == "hidden"
    assert openings.of("world_jungle", 0, 64, 96).exemplar is None


@pytest.mark.parametrize("name", ["looks.json", "codes.safetensors", "cameras.webp"])
def test_damage_is_one_clear_line(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "exemplars"
    shutil.copytree(FOLDER, folder)
    (folder / name).write_bytes(b"no")
    with pytest.raises(UserError, match="install everframe again"):
        opening("stained glass window", folder=folder)


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)


def stained(seed: int = 0, first_steps: int = 0) -> Session:
    return Session.from_pretrained(
        "pocket", prompt="stained glass", height=64, width=64, seed=seed, first_steps=first_steps
    )


def test_a_session_opens_with_the_exemplar_and_then_anchors_its_own_frame() -> None:
    camera = frames(2)
    session = stained()
    first = session.step(camera[0])
    state = session.state_dict()
    assert np.array_equal(state["anchor_output"], first)
    assert np.array_equal(state["anchor_camera"], camera[0])
    second = session.step(camera[1])
    session.reset()
    assert np.array_equal(session.step(camera[0]), first)
    resumed = stained()
    resumed.load_state_dict(state)
    assert np.array_equal(resumed.step(camera[1]), second)
    assert not np.array_equal(stained(first_steps=1).step(camera[0]), first)
    assert not np.array_equal(stained(seed=3).step(camera[0]), first)


def test_a_change_of_prompt_opens_anew() -> None:
    camera = frames(1)[0]
    session = Session.from_pretrained("pocket", prompt="pencil sketch", height=64, width=64)
    session.step(camera)
    session.update(prompt="stained glass")
    assert np.array_equal(session.step(camera), stained().step(camera))


def test_a_stream_goes_on_at_another_size() -> None:
    camera = frames(4)
    session = stained()
    small = [session.step(frame) for frame in camera][-1]

    def large(seed: int) -> Session:
        return Session.from_pretrained(
            "pocket", prompt="stained glass", height=96, width=96, seed=seed
        )

    def again(x: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(x).resize((96, 96), Image.Resampling.LANCZOS)
        return np.asarray(picture, np.uint8).copy()

    carried, anew = large(0), large(5)
    carried.load_state_dict(session.state_dict(), scale=True)
    state = carried.state_dict()
    assert np.array_equal(state["anchor_camera"], again(camera[0]))
    assert np.array_equal(state["previous"], again(small))
    next_frame = again(camera[3])
    apart = [
        float(np.square(s.step(next_frame).astype(float) - again(small)).mean())
        for s in (carried, anew)
    ]
    assert apart[0] < 0.5 * apart[1]  # the same glass, not another window
    back = stained(seed=9)
    back.load_state_dict(carried.state_dict(), scale=True)
    first = session.state_dict()["anchor_output"]
    assert np.array_equal(back.state_dict()["anchor_output"], first)  # not resampled twice
    carried.reset()
    carried.step(next_frame)  # another stream: its anchor is its own
    back.load_state_dict(carried.state_dict(), scale=True)
    assert not np.array_equal(back.state_dict()["anchor_output"], first)


def test_the_stored_pictures_are_whole() -> None:
    for path in FOLDER.glob("*.webp"):
        with Image.open(path) as sheet:
            assert sheet.height == SIDE
            assert sheet.width == 3 * SIDE


def test_an_unknown_wording_moves_to_the_nearest_look_and_a_known_one_stays() -> None:
    camera = frames(1)[0]

    def first(prompt: str, *, pull: bool) -> np.ndarray:
        session = Session.from_pretrained("pocket", prompt="x", height=64, width=64)
        if not pull:
            session = Session(session._engine, session.control)  # knows no looks
        session.update(prompt=prompt)
        session.reset()
        return session.step(camera)

    known, near = "pencil sketch", "a sketch drawn by pencil on white paper"
    target = first(known, pull=True).astype(float)
    with_pull, without = (
        np.abs(first(near, pull=pull).astype(float) - target).mean() for pull in (True, False)
    )
    assert with_pull < without
    assert with_pull > 0


def test_every_training_prompt_is_taken_for_its_own_look() -> None:
    session = Session.from_pretrained("pocket", prompt="x", height=64, width=64)
    looks = Bundle.from_pretrained("pocket").looks
    pairs = [(prompt, look["name"]) for look in looks for prompt in look["prompts"]]
    assert [p for p, name in pairs if session._look_of(p) != name] == []
    assert session._look_of("Golden Hour") == "golden_hour"  # nearest by meaning: a gold statue
