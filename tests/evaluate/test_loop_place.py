"""A long loop that was stopped goes on as if it had not been."""

from pathlib import Path

import pytest

from everframe import Session
from everframe.evaluate import drift
from everframe.evaluate.drift import Curve
from everframe.evaluate.loop_place import LoopPlace
from everframe.evaluate.streams import Stream, make_stream
from tests.evaluate.toy import TINTED, moving_clip

FRAMES, STOPPED = 14, 12


class StoppedError(Exception):
    """The machine went."""


def stream() -> Stream:
    return make_stream(TINTED, moving_clip("a", 1), frames=6, seed=0)


def play(model: Path, *, fresh: bool, place: Path | None, last: int = FRAMES) -> tuple[Curve, int]:
    """The curve, and how many frames were made for it."""
    made: list[int] = []

    def tick(done: int) -> None:
        made.append(done)
        if done == last < FRAMES:
            raise StoppedError

    session = Session.from_pretrained(
        model,
        prompt="a",
        height=64,
        width=64,
        engine="torch",
        precision="float32",
        fresh_noise=fresh,
    )
    kept = None if place is None else LoopPlace(path=place, session=session)
    return drift.loop(session, stream(), FRAMES, 1, tick, kept), len(made)


@pytest.mark.parametrize("fresh", [False, True], ids=["fixed", "fresh"])
def test_a_stopped_loop_goes_on_bit_for_bit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    monkeypatch.setattr(drift, "KEPT_EVERY", 5)
    place = tmp_path / "loop.npz"
    whole, _ = play(tiny_model, fresh=fresh, place=None)
    with pytest.raises(StoppedError):
        play(tiny_model, fresh=fresh, place=place, last=STOPPED)
    again, made = play(tiny_model, fresh=fresh, place=place)
    assert made == FRAMES - 10  # the place was kept after ten frames
    assert again == whole


def test_a_damaged_place_is_a_new_beginning(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "KEPT_EVERY", 5)
    place = tmp_path / "loop.npz"
    whole, _ = play(tiny_model, fresh=False, place=place)
    place.write_bytes(place.read_bytes()[:200])
    again, made = play(tiny_model, fresh=False, place=place)
    assert (again, made) == (whole, FRAMES)
