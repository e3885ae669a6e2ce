"""Held-out streams, and every way in which the suite plays them through a session.

A stream is one clip under one look with one hidden state. The session is driven exactly as in live
use, one camera frame in and one frame out; nothing here computes a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from everframe.core.dims import FrameU8
from everframe.core.rng import numpy_rng, stream_seed
from everframe.data.looks.look import Look, State
from everframe.evaluate.metrics import to_frames, to_pictures

Frames = npt.NDArray[np.uint8]
"""A clip [T, H, W, 3], RGB, 0..255."""

RESTYLE_CHUNK = 8
"""Frames that a look renders at once: bounds the memory."""

SESSION_SEED_BITS = 31


class QualitySession(Protocol):
    """What the suite needs of `everframe.stream.session.Session`."""

    def step(self, frame: FrameU8, /) -> FrameU8:
        """Restyle one camera frame [H, W, 3]."""
        ...

    def update(self, *, prompt: str, seed: int) -> object:
        """Set the prompt and the seed of the stream's noise, from the next frame on."""
        ...

    def reset(self) -> None:
        """Forget every frame; keep prompt and seed."""
        ...

    def seed_history(self, *, output: FrameU8, camera: FrameU8) -> object:
        """Act as if `camera` had just been restyled to `output`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraClip:
    """Camera frames [T, H, W, 3] of one held-out clip, T >= 2."""

    name: str
    frames: Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One clip under one look: camera and target [P, H, W, 3] of the same P frames.

    `state` is the hidden state of the target, `other` another draw of the same look. `seed` is the
    session's.
    """

    look: Look
    clip: str
    camera: Frames
    target: Frames
    state: State
    other: State
    seed: int

    @property
    def hidden(self) -> bool:
        """Whether the state can be known from earlier frames alone."""
        return self.look.kind == "hidden"


def make_stream(look: Look, clip: CameraClip, *, frames: int, seed: int) -> Stream:
    """Draw the hidden state of (look, clip) and render the targets of the first frames + 1 frames.

    The same seed, look and clip give the same stream on every machine. Targets are rounded to 8
    bits, as the session's outputs are.
    """
    camera = clip.frames[: frames + 1]
    state, other = (
        draw_state(look, camera.shape[1:3], stream_seed(seed, f"{purpose} {look.name} {clip.name}"))
        for purpose in ("state", "other state")
    )
    session_seed = stream_seed(seed, f"session {look.name} {clip.name}") % 2**SESSION_SEED_BITS
    return Stream(
        look=look,
        clip=clip.name,
        camera=camera,
        target=restyle(look, camera, state),
        state=state,
        other=other,
        seed=session_seed,
    )


def draw_state(look: Look, size: tuple[int, ...], seed: int) -> State:
    """One hidden state of a look for frames of (height, width)."""
    height, width = size
    return look.draw(1, height, width, torch.Generator().manual_seed(seed))


@torch.inference_mode()
def restyle(look: Look, frames: Frames, state: State) -> Frames:
    """The true output for camera frames [T, H, W, 3]."""
    chunks = [
        to_frames(look.apply(to_pictures(frames[i : i + RESTYLE_CHUNK])[None], state)[0])
        for i in range(0, len(frames), RESTYLE_CHUNK)
    ]
    return np.concatenate(chunks)


def ping_pong(length: int, frames: int) -> list[int]:
    """Indices 0 .. length-1 .. 0 .. that play a clip to and fro without a cut, `frames` of them."""
    there_and_back = [*range(length), *range(length - 2, 0, -1)]
    return [there_and_back[t % len(there_and_back)] for t in range(frames)]


def playlist(stream: Stream, frames: int) -> list[int]:
    """CameraClip index of each of the rollout's frames; the clip's frame 0 is kept for seeding."""
    return ping_pong(len(stream.camera), frames + 1)[1:]


def begin(session: QualitySession, stream: Stream, *, prompt: str, seeded: bool) -> None:
    """Start a stream afresh: prompt, noise, empty history, and a true first frame if `seeded`."""
    session.update(prompt=prompt, seed=stream.seed)
    session.reset()
    if seeded:
        session.seed_history(output=stream.target[0], camera=stream.camera[0])


def rollout(session: QualitySession, stream: Stream, frames: int) -> Frames:
    """Play `frames` frames on the session's own outputs; hidden looks start from a true frame."""
    begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
    return np.stack([session.step(stream.camera[i]) for i in playlist(stream, frames)])


def without_memory(session: QualitySession, stream: Stream, indices: Sequence[int]) -> Frames:
    """Restyle the clip's frames `indices`, each with an empty history."""
    begin(session, stream, prompt=stream.look.prompts[0], seeded=False)
    outputs: list[FrameU8] = []
    for index in indices:
        session.reset()
        outputs.append(session.step(stream.camera[index]))
    return np.stack(outputs)


def held_still(session: QualitySession, stream: Stream, frames: int) -> Frames:
    """Play the clip's first frame `frames` times."""
    begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
    return np.stack([session.step(stream.camera[0]) for _ in range(frames)])


def after_history(
    session: QualitySession, stream: Stream, starts: Sequence[int], state: State
) -> Frames:
    """One step onto frame i + 1 for each start i, after a first frame i made with `state`."""
    first = restyle(stream.look, stream.camera[list(starts)], state)
    begin(session, stream, prompt=stream.look.prompts[0], seeded=False)
    outputs: list[FrameU8] = []
    for output, start in zip(first, starts, strict=True):
        session.reset()
        session.seed_history(output=output, camera=stream.camera[start])
        outputs.append(session.step(stream.camera[start + 1]))
    return np.stack(outputs)


def from_prompt(session: QualitySession, stream: Stream, prompt: str, frames: int) -> FrameU8:
    """The last of `frames` frames from a cold start with `prompt`: no true frame gives it away."""
    begin(session, stream, prompt=prompt, seeded=False)
    output = stream.camera[0]
    for index in playlist(stream, frames):
        output = session.step(stream.camera[index])
    return output


def paraphrases(stream: Stream, count: int) -> tuple[list[str], list[str]]:
    """Up to `count` prompts that training has seen, and up to `count` that it has not."""
    rng = numpy_rng(stream.seed, "paraphrases")
    seen = rng.permutation(len(stream.look.prompts))[:count]
    return [stream.look.prompts[int(i)] for i in seen], list(stream.look.held_out[:count])
