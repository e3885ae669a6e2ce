"""The memory as a value: ring order, wrap-around, and which keys exist."""

import numpy as np

from everframe.arch.history import MASKED, History, key_bias, slot_shapes
from tests.nets import TINY, UNEVEN

EMPTY = History(
    previous="none",
    anchor_output="none",
    anchor_camera="none",
    slots=(("zero",),) * 3,
    filled=0,
    has_previous=False,
    has_anchor=False,
)


def test_the_ring_holds_the_last_frames_newest_first() -> None:
    history = EMPTY
    for t in range(5):
        history = history.advance(frame=f"frame {t}", slots=(f"kv {t}",))
        newest = [slot[0] for slot in history.slots]
        assert newest == [f"kv {t - age}" if age <= t else "zero" for age in range(3)]
        assert history.filled == min(t + 1, 3)
        assert history.previous == f"frame {t}"
        assert history.has_previous
    assert EMPTY.filled == 0  # a value: the old one is as it was
    assert EMPTY.previous == "none"


def test_an_anchor_comes_and_goes() -> None:
    history = EMPTY.advance(frame="a", slots=("kv",))
    assert not history.has_anchor
    anchored = history.anchored(output="a", camera="c")
    assert (anchored.anchor_output, anchored.anchor_camera) == ("a", "c")
    assert anchored.has_anchor
    assert anchored.advance(frame="b", slots=("kv 2",)).anchor_output == "a"
    assert not anchored.without_anchor().has_anchor


def test_keys_that_do_not_exist_are_masked() -> None:
    tokens, p = 6, TINY.prompt_tokens
    for filled in range(TINY.window + 1):
        bias = key_bias(TINY, tokens, filled)
        assert bias.shape == (1, p + tokens * (1 + TINY.window))
        real = p + tokens * (1 + filled)
        assert np.all(bias[0, :real] == 0)
        assert np.all(bias[0, real:] == MASKED)


def test_slots_have_the_heads_of_their_block() -> None:
    assert slot_shapes(UNEVEN, 6) == ((2, 2, 6, 16), (2, 3, 6, 16))
