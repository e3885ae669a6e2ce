import numpy as np
import torch

from everframe.evaluate import streams
from everframe.evaluate.streams import make_stream, ping_pong
from tests.evaluate.toy import INVERTED, TINTED, Oracle, moving_clip

CLIP = moving_clip("moving", seed=1)


def test_ping_pong_has_no_cut_and_no_frame_twice() -> None:
    assert ping_pong(4, 10) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert ping_pong(2, 5) == [0, 1, 0, 1, 0]


def test_a_stream_is_the_same_again_and_another_clip_is_another_state() -> None:
    first, again = (make_stream(TINTED, CLIP, frames=6, seed=0) for _ in range(2))
    other = make_stream(TINTED, moving_clip("other", seed=1), frames=6, seed=0)
    assert len(first.camera) == len(first.target) == 7
    assert np.array_equal(first.target, again.target)
    assert first.seed == again.seed != other.seed
    assert not torch.equal(first.state["tint"], other.state["tint"])
    assert not torch.equal(first.state["tint"], first.other["tint"])


def test_restyling_in_chunks_equals_frame_by_frame() -> None:
    whole = streams.restyle(INVERTED, CLIP.frames, {})
    single = [streams.restyle(INVERTED, frame[None], {})[0] for frame in CLIP.frames]
    assert np.array_equal(whole, np.stack(single))
    assert np.array_equal(whole, 255 - CLIP.frames)


def test_a_rollout_follows_the_playlist_beyond_the_clip() -> None:
    stream = make_stream(TINTED, CLIP, frames=20, seed=0)
    outputs = streams.rollout(Oracle(), stream, 20)
    assert np.array_equal(outputs, stream.target[streams.playlist(stream, 20)])


def test_without_memory_and_after_foreign_history_the_state_is_lost() -> None:
    stream = make_stream(TINTED, CLIP, frames=6, seed=0)
    forgetful = streams.without_memory(Oracle(), stream, [1, 2])
    assert not np.array_equal(forgetful, stream.target[1:3])
    true = streams.after_history(Oracle(), stream, [0, 3], stream.state)
    foreign = streams.after_history(Oracle(), stream, [0, 3], stream.other)
    assert np.array_equal(true, stream.target[[1, 4]])
    assert np.array_equal(foreign, streams.restyle(TINTED, stream.camera[[1, 4]], stream.other))


def test_paraphrases_are_seen_and_unseen() -> None:
    stream = make_stream(TINTED, CLIP, frames=6, seed=0)
    seen, held_out = streams.paraphrases(stream, 3)
    assert sorted(seen) == sorted(TINTED.prompts)
    assert held_out == list(TINTED.held_out)
