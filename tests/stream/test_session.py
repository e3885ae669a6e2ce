"""One live stream: what may be asked of it, and that asking has exact effects."""

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from everframe.core.errors import UserError
from everframe.stream.session import Session, blend_frames
from tests.nets import HEIGHT, TINY, WIDTH, random_bundle, random_frame

Frame = NDArray[np.uint8]
FRAMES = [random_frame(i) for i in range(8)]
MANY_STEPS = 2000
LEAK_BYTES = 200_000
"""Of 2,000 frames of 4.6 kB; the timings kept are bounded too."""


def open_session(
    model: Path,
    *,
    prompt: str | Sequence[tuple[str, float]] = "pencil sketch",
    engine: str = "torch",
    seed: int = 0,
    strength: float = 1.0,
    steps: int = 1,
    times: int = 1,
) -> Session:
    """Frames are `times` as high and as wide."""
    return Session.from_pretrained(
        model,
        prompt=prompt,
        height=times * HEIGHT,
        width=times * WIDTH,
        engine=engine,
        precision="float32",
        seed=seed,
        strength=strength,
        steps=steps,
        first_steps=2,
    )


def run(session: Session, frames: Sequence[Frame]) -> Frame:
    return np.stack(list(session.stream(frames)))


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_the_same_seed_gives_the_same_video(tiny_model: Path, engine: str) -> None:
    first = run(open_session(tiny_model, engine=engine), FRAMES[:3])
    assert np.array_equal(run(open_session(tiny_model, engine=engine), FRAMES[:3]), first)
    assert not np.array_equal(first, np.stack(FRAMES[:3]))


def test_another_seed_and_another_prompt_give_another_video(tiny_model: Path) -> None:
    first = run(open_session(tiny_model), FRAMES[:2])
    assert not np.array_equal(run(open_session(tiny_model, seed=1), FRAMES[:2]), first)
    other = run(open_session(tiny_model, prompt="oil painting"), FRAMES[:2])
    assert not np.array_equal(other, first)


def test_strength_zero_is_the_camera_and_a_half_lies_between(tiny_model: Path) -> None:
    assert np.array_equal(run(open_session(tiny_model, strength=0.0), FRAMES), np.stack(FRAMES))
    full = run(open_session(tiny_model), FRAMES[:2])
    half = run(open_session(tiny_model, strength=0.5), FRAMES[:2])
    middle = (full.astype(np.float32) + np.stack(FRAMES[:2])) / 2
    assert float(np.abs(half - middle).max()) <= 0.5


def test_blending_is_monotone_and_exact_at_the_ends() -> None:
    camera, made = FRAMES[0], FRAMES[1]
    assert np.array_equal(blend_frames(camera, made, 0), camera)
    assert np.array_equal(blend_frames(camera, made, 1), made)
    assert blend_frames(camera, made, 1) is not made
    same = blend_frames(camera, camera, 0.37)
    assert np.array_equal(same, camera)
    assert np.array_equal(blend_frames(camera, made, 1 - 1e-9), made)


def test_a_new_prompt_holds_from_the_very_next_frame(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    run(session, FRAMES[:3])
    session.update(prompt="oil painting")
    fresh = open_session(tiny_model, prompt="oil painting")
    assert np.array_equal(run(session, FRAMES[3:6]), run(fresh, FRAMES[3:6]))


def test_reset_starts_the_stream_again(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    first = run(session, FRAMES[:3])
    assert not np.array_equal(run(session, FRAMES[:3]), first)  # the memory matters
    session.reset()
    assert np.array_equal(run(session, FRAMES[:3]), first)


def test_a_new_seed_and_strength_in_flight(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    run(session, FRAMES[:2])
    session.update(seed=9)
    assert np.array_equal(
        run(session, FRAMES[:2]), run(open_session(tiny_model, seed=9), FRAMES[:2])
    )
    session.update(strength=0.0)
    assert np.array_equal(session.step(FRAMES[4]), FRAMES[4])


def test_a_transition_fades_from_the_old_look_to_the_new(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    run(session, FRAMES[:2])
    old = session._present_code()
    session.update(prompt="oil painting", transition=4)
    new = open_session(tiny_model, prompt="oil painting")._present_code()
    shares: list[float] = []
    for frame in FRAMES[2:7]:
        session.step(frame)
        code = session._present_code()
        shares.append(float(np.vdot(code - old, new - old) / np.vdot(new - old, new - old)))
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 1, 1], atol=1e-5)
    assert np.array_equal(session._present_code(), new)


def test_a_transition_that_is_interrupted_goes_on_from_where_it_is(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    run(session, FRAMES[:1])
    session.update(prompt="oil painting", transition=4)
    run(session, FRAMES[1:3])
    code = session._present_code()
    session.update(prompt="watercolour", transition=2)
    assert np.array_equal(session._present_code(), code)


def test_a_transition_before_the_first_frame_is_a_switch(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    session.update(prompt="oil painting", transition=10)
    fresh = open_session(tiny_model, prompt="oil painting")
    assert np.array_equal(run(session, FRAMES[:2]), run(fresh, FRAMES[:2]))


def test_a_blend_of_a_prompt_with_itself_is_that_prompt(tiny_model: Path) -> None:
    blend = [("pencil sketch", 1.0), ("pencil sketch", 1.0)]
    first = run(open_session(tiny_model), FRAMES[:3])
    assert np.array_equal(run(open_session(tiny_model, prompt=blend), FRAMES[:3]), first)
    uneven = [("pencil sketch", 3.0), ("oil painting", 0.0)]
    assert np.array_equal(run(open_session(tiny_model, prompt=uneven), FRAMES[:3]), first)


@pytest.mark.parametrize("fading", [False, True])
def test_a_saved_session_goes_on_bit_for_bit(tiny_model: Path, fading: bool) -> None:
    session = open_session(tiny_model, seed=3)
    run(session, FRAMES[:3])
    if fading:
        session.update(prompt="oil painting", transition=3)
        session.step(FRAMES[3])
    state = session.state_dict()
    expected = run(session, FRAMES[4:])
    other = open_session(tiny_model, prompt="anime", strength=0.3)
    run(other, FRAMES[:1])
    other.load_state_dict(state)
    assert np.array_equal(run(other, FRAMES[4:]), expected)
    assert other.stats.frames == session.stats.frames
    session.load_state_dict(state)  # the state was not touched by those frames
    assert np.array_equal(run(session, FRAMES[4:]), expected)


def test_what_is_no_state_or_one_of_another_model_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    session = open_session(tiny_model)
    session.step(np.zeros((*session.size, 3), np.uint8))
    state = session.state_dict()
    with pytest.raises(UserError, match="no session state"):
        session.load_state_dict({})
    other = random_bundle(replace(TINY, head_dim=2 * TINY.head_dim)).save_pretrained(tmp_path / "o")
    with pytest.raises(UserError, match="of another model"):
        open_session(other).load_state_dict(state)


def test_keys_and_values_of_another_size_are_not_carried(tiny_model: Path) -> None:
    """Pictures are resampled, the ring fills anew."""
    small = open_session(tiny_model)
    run(small, [random_frame(n) for n in range(3)])
    assert small.state_dict()["filled"] == TINY.window
    large = open_session(tiny_model, times=2)
    large.load_state_dict(small.state_dict(), scale=True)
    assert large.state_dict()["filled"] == 0
    large.step(random_frame(3, 2 * HEIGHT, 2 * WIDTH))
    assert large.state_dict()["filled"] == 1


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_of_prompts_are_numbers_from_0_on(tiny_model: Path, weight: float) -> None:
    session = open_session(tiny_model)
    with pytest.raises(UserError, match="the weight of 'a'"):
        session.update(prompt=[("a", weight), ("b", 1.0)])


def test_a_state_of_another_size_or_version_is_refused(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    state = session.state_dict()
    with pytest.raises(UserError, match="open the session with that size"):
        session.load_state_dict({**state, "size": (64, 64)})
    with pytest.raises(UserError, match="update"):
        session.load_state_dict({**state, "version": 99})


GREY = np.zeros((HEIGHT, WIDTH), np.uint8)


@pytest.mark.parametrize(
    ("frame", "mend"),
    [
        (GREY, "numpy.repeat(frame[..., None], 3, axis=2)"),
        (np.zeros((HEIGHT, WIDTH, 4), np.uint8), "frame[..., :3]"),
        (np.zeros((HEIGHT, WIDTH, 3), np.float32), "(255 * frame).round().astype(numpy.uint8)"),
        (np.zeros((HEIGHT, WIDTH, 3), np.int64), "frame.astype(numpy.uint8)"),
        (np.zeros((WIDTH, HEIGHT, 3), np.uint8), "resize it, or open the session with another"),
        (None, "gave no picture"),
        (Image.fromarray(GREY), "a PIL.Image.Image; "),
        ([[0]], "a list; "),
    ],
    ids=["grey", "alpha", "float", "int", "turned", "none", "pil", "list"],
)
def test_a_wrong_frame_is_refused(tiny_model: Path, frame: object, mend: str) -> None:
    session, given = open_session(tiny_model), cast("Frame", frame)
    with pytest.raises(UserError, match=r"this session takes uint8 \(32, 48, 3\)") as found:
        session.step(given)
    assert mend in str(found.value)
    assert session.stats.frames == 0
    with pytest.raises(UserError, match="camera is"):
        session.seed_history(output=FRAMES[0], camera=given)


def test_a_refused_update_changes_nothing(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    run(session, FRAMES[:2])
    twin = open_session(tiny_model)
    run(twin, FRAMES[:2])
    for call in (
        lambda: session.update(prompt="anime", strength=2.0),
        lambda: session.update(prompt=" "),
        lambda: session.update(prompt="anime", seed=-1),
        lambda: session.update(prompt="anime", steps=3),
        lambda: session.update(prompt="anime", transition=-1),
        lambda: session.update(prompt=[("anime", -1.0)]),
        lambda: session.update(prompt=[("anime", 0.0)]),
    ):
        with pytest.raises(UserError):
            call()
    assert np.array_equal(run(session, FRAMES[2:4]), run(twin, FRAMES[2:4]))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_returned_and_given_arrays_belong_to_the_caller(
    tiny_model: Path, engine: str, strength: float
) -> None:
    expected = run(open_session(tiny_model, engine=engine, strength=strength), FRAMES[:5])
    session = open_session(tiny_model, engine=engine, strength=strength)
    for frame, wanted in zip(FRAMES, expected, strict=False):
        given = frame.copy()
        made = session.step(given)
        assert np.array_equal(made, wanted)
        made[:] = 0
        given[:] = 255


def test_frames_need_not_be_contiguous(tiny_model: Path) -> None:
    first = open_session(tiny_model).step(FRAMES[0])
    wide = np.repeat(FRAMES[0], 2, axis=1)[:, ::2]
    assert np.array_equal(open_session(tiny_model).step(wide), first)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_frames_may_be_read_only(tiny_model: Path, engine: str) -> None:
    """As pictures of PIL and buffers of others are in NumPy."""
    wanted = run(open_session(tiny_model, engine=engine), FRAMES[:2])
    kept = [np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape) for frame in FRAMES[:2]]
    assert not kept[0].flags.writeable
    session = open_session(tiny_model, engine=engine)
    assert np.array_equal(run(session, kept), wanted)
    session.seed_history(output=kept[0], camera=kept[1])
    session.step(kept[1])


def test_a_given_picture_seeds_the_memory(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    plain = session.step(FRAMES[1])
    session.seed_history(output=FRAMES[2], camera=FRAMES[0])
    assert not np.array_equal(session.step(FRAMES[1]), plain)


def test_stats_say_what_runs(tiny_model: Path) -> None:
    session = open_session(tiny_model)
    assert session.stats.frames == 0
    run(session, FRAMES)
    stats = session.stats
    assert (stats.frames, stats.width, stats.height) == (len(FRAMES), WIDTH, HEIGHT)
    assert stats.model == "tiny"
    assert stats.engine.startswith("torch")
    assert 0 < stats.model_ms_p50 <= stats.model_ms_p95 <= stats.model_ms_p99


def test_memory_stays_flat(tiny_model: Path) -> None:
    session = open_session(tiny_model, engine="openvino")
    for t in range(200):
        session.step(FRAMES[t % 8])
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for t in range(MANY_STEPS):
            session.step(FRAMES[t % 8])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < LEAK_BYTES
