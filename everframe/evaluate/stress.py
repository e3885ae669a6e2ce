"""Stress for a stream: what is done to it, and how many frames until it is itself again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch.nn.functional as F

from everframe.core.dims import FrameU8
from everframe.core.rng import numpy_rng
from everframe.evaluate.drift import WARM_UP, DriftSession, psnr_u8, square_error
from everframe.evaluate.metrics import to_frames, to_pictures
from everframe.evaluate.streams import (
    Frames,
    QualitySession,
    Stream,
    begin,
    ping_pong,
    playlist,
)

HOLD = 10
"""A stream has recovered when the mean of so many frames is near enough."""
NEAR_DB = 0.5

Disturbance = Callable[[DriftSession], None]
"""What is done to a session after `WARM_UP` frames."""


def showing(cameras: Sequence[FrameU8]) -> Disturbance:
    """Camera frames that are shown instead of the clip's."""

    def play_all(session: DriftSession) -> None:
        for camera in cameras:
            session.step(camera)

    return play_all


def resized(other: DriftSession, size: tuple[int, int], frames: Frames) -> Disturbance:
    """The stream goes on in `other`, a session of another frame `size`, and comes back."""
    pictures = F.interpolate(to_pictures(frames), size, mode="area")
    cameras = list(to_frames(pictures))

    def there_and_back(session: DriftSession) -> None:
        other.load_state_dict(session.state_dict(), scale=True)
        for camera in cameras:
            other.step(camera)
        session.load_state_dict(other.state_dict(), scale=True)

    return there_and_back


def stresses(stream: Stream, other: Frames) -> dict[str, Disturbance]:
    """Black for 30 and 300 frames, a cut to another scene and back, a frozen and a noisy camera."""
    frame = stream.camera[0]
    rng = numpy_rng(stream.seed, "stress")
    snow = rng.integers(0, 256, (30, *frame.shape), dtype=np.uint8)
    elsewhere = [other[i] for i in ping_pong(len(other), 60)]
    return {
        "black 30": showing([np.zeros_like(frame)] * 30),
        "black 300": showing([np.zeros_like(frame)] * 300),
        "cut": showing(elsewhere),
        "frozen": showing([frame] * 100),
        "noise": showing(list(snow)),
    }


def recovery(
    session: DriftSession, stream: Stream, disturbance: Disturbance, follow: int = 100
) -> dict[str, float]:
    """Frames after the disturbance until `HOLD` frames are within `NEAR_DB` of the undisturbed run
    (`follow`: they never are), and the PSNR lost by the last `HOLD` of them.
    """
    order = playlist(stream, WARM_UP + follow)

    def run(disturb: Disturbance) -> np.ndarray:
        begin(session, stream, prompt=stream.look.prompts[0], seeded=stream.hidden)
        for index in order[:WARM_UP]:
            session.step(stream.camera[index])
        disturb(session)
        outputs = (session.step(stream.camera[i]) for i in order[WARM_UP:])
        truth = (stream.target[i] for i in order[WARM_UP:])
        return np.array([psnr_u8(a, b) for a, b in zip(outputs, truth, strict=True)])

    lost = run(showing(())) - run(disturbance)
    means = np.convolve(lost, np.full(HOLD, 1 / HOLD), "valid")
    near = np.nonzero(means <= NEAR_DB)[0]
    frames = float(near[0]) if len(near) else float(follow)
    return {"frames": frames, "lost_db": float(means[-1])}


def switching(
    session: QualitySession, stream: Stream, others: Sequence[str], gap: int = 25
) -> dict[str, float]:
    """Prompt switches in one stream, then back to its own: what of them is left.

    leak_percent: mean squared difference from the stream that always had the prompt, 100 frames
    after the last switch, over the difference of the look before it from that stream.
    """
    order = playlist(stream, gap * len(others) + 100)
    begin(session, stream, prompt=stream.look.prompts[0], seeded=False)
    own = [session.step(stream.camera[i]) for i in order[-100:]]
    begin(session, stream, prompt=others[0], seeded=False)
    last = stream.camera[0]
    for number, index in enumerate(order[:-100]):
        if number % gap == 0:
            session.update(prompt=others[number // gap], seed=stream.seed)
        last = session.step(stream.camera[index])
    session.update(prompt=stream.look.prompts[0], seed=stream.seed)
    after = [session.step(stream.camera[i]) for i in order[-100:]]
    apart = max(square_error(last, own[0]), 1e-9)
    leak = [square_error(a, b) for a, b in zip(after, own, strict=True)]
    return {
        "first_percent": 100 * leak[0] / apart,
        "leak_percent": 100 * float(np.mean(leak[-HOLD:])) / apart,
    }
