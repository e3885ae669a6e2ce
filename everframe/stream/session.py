"""`Session`: one live stream. Synchronous; no sockets, threads or clock decide anything in it.

File processing, evaluation and live serving all drive this class.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.core.errors import UserError
from everframe.core.rng import numpy_rng
from everframe.diffusion.rollout import FIRST_STEPS
from everframe.runtime.engine import Engine, PreparedSteps, open_engine
from everframe.stream import saved
from everframe.stream.control import Control, WeightedPrompts, weighted_prompts
from everframe.stream.given import check_picture
from everframe.stream.opening import Opening, Openings
from everframe.text.encoder import TextEncoder

Frame = NDArray[np.uint8]
Array = NDArray[Any]
TIMINGS_KEPT = 4096
STATE_VERSION = 1
LINE = 256
PULL = 0.7
"""How far the code of a prompt that the model was not trained on moves to the nearest look's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """Figures of a session: model times over the last 4,096 frames, in milliseconds."""

    engine: str
    model: str
    width: int
    height: int
    frames: int
    model_ms_p50: float
    model_ms_p95: float
    model_ms_p99: float


@dataclass(slots=True, kw_only=True)
class _Fade:
    """A running cross-fade of prompt codes."""

    source: Array
    frames: int
    done: int = 0


class Session:
    """Restyle a stream frame by frame.

    >>> session = Session.from_pretrained("pocket", prompt="pencil sketch")
    >>> out = session.step(frame)          # uint8 [H, W, 3] RGB in and out
    """

    def __init__(
        self,
        engine: Engine[Any],
        control: Control,
        *,
        model: str = "",
        looks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Start a stream on an open engine; `looks`: training prompts of each, plainest first."""
        self._engine, self._control, self._model = engine, control, model
        self._looks = dict(looks or {})
        self._wordings = {p.lower(): look for look, known in self._looks.items() for p in known}
        self._encoder = TextEncoder.load()
        self._codes: dict[str, Array] = {}
        self._code = self._code_of(control.prompts)
        self._fade: _Fade | None = None
        self._history: History[Any] = engine.empty_history()
        self._anchors: dict[tuple[int, int], Any] = {}  # of this stream at other frame sizes
        self._noise = self._draw_noise(control.seed)
        self._prepared: dict[int, PreparedSteps[Any]] = {}
        self._frames = 0
        self._times_ms: list[float] = []

    @classmethod
    def from_pretrained(  # noqa: PLR0913 - the settings of a stream
        cls,
        model: str | Path = "pocket",
        *,
        prompt: str | Sequence[tuple[str, float]],
        height: int = 256,
        width: int = 256,
        engine: str = "auto",
        precision: str = "auto",
        strength: float = 1.0,
        seed: int = 0,
        steps: int = 1,
        first_steps: int = 0,
        fresh_noise: bool = False,
    ) -> Self:
        """Open a bundled model or a bundle folder.

        Args:
            model: name (`everframe models`) or folder.
            prompt: text, or (text, weight) pairs for a blend.
            height, width: frame size, multiples of the patch (16).
            engine: `auto` or an engine name.
            precision: `auto` (the fastest), `float32`, `bfloat16` or `int8`.
            strength: 0 (camera) to 1.
            seed: noise of the stream; same seed and input, same output.
            steps: 1, 2, 4 or 8 denoising steps per frame.
            first_steps: of the first frame and the first after a prompt change; 0: as the look
                needs (`stream.opening`).
            fresh_noise: draw new noise for each frame; looks steadier without.

        Raises:
            UserError: anything of this is not possible; the message names the fix.
        """
        control = Control(
            prompts=weighted_prompts(prompt),
            strength=strength,
            seed=seed,
            steps=steps,
            first_steps=first_steps and max(first_steps, steps),
            fresh_noise=fresh_noise,
        )
        bundle = Bundle.from_pretrained(model)
        opened = open_engine(engine, bundle, height=height, width=width, precision=precision)
        looks = {str(look["name"]): list(look["prompts"]) for look in bundle.looks}
        return cls(opened, control, model=Path(model).name, looks=looks)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self._engine.height, self._engine.width

    @property
    def control(self) -> Control:
        """The present settings."""
        return self._control

    def step(self, frame: Frame) -> Frame:
        """Restyle one frame: uint8 [H, W, 3] RGB -> the same.

        Raises:
            UserError: wrong shape or type.
        """
        check_picture(frame, self.size)
        begin = time.perf_counter()
        engine = self._engine
        camera = engine.to_engine(frame)
        before, steps, begun = self._history, self._control.steps, self._history.has_anchor
        if not before.has_previous:
            before, steps = self._opened(before)
        prepared = self._tables(steps)
        noise = self._noise
        if self._control.fresh_noise:
            noise = self._draw_noise(self._control.seed, self._frames)
        made, history = engine.step(before, camera, noise, prepared)
        if not begun and self._fade is None:
            # a copy: the caller may fill the array of `frame` again
            history = history.anchored(output=made, camera=engine.to_engine(frame.copy()))
            self._anchors = {}
        self._history = history
        out = engine.to_numpy(made)
        self._times_ms.append((time.perf_counter() - begin) * 1e3)
        if len(self._times_ms) > 2 * TIMINGS_KEPT:
            del self._times_ms[:TIMINGS_KEPT]
        self._frames += 1
        return blend_frames(frame, out, self._control.strength)

    def stream(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """`step` over an iterable."""
        for frame in frames:
            yield self.step(frame)

    def update(
        self,
        *,
        prompt: str | Sequence[tuple[str, float]] | None = None,
        strength: float | None = None,
        transition: int = 0,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        """Change settings; they hold from the very next frame.

        Args:
            prompt: new text, or (text, weight) pairs.
            strength: 0..1.
            transition: frames over which the old prompt fades into the new one; 0 switches at once
                and starts the memory afresh, so that nothing of the old look can come back.
            seed: new noise; also starts the memory afresh.
            steps: denoising steps per frame.

        Raises:
            UserError: a value is out of range; nothing is changed then.
        """
        if transition < 0:
            raise UserError(f"transition is {transition} frames; it must not be negative")
        now = self._control
        control = replace(
            now,
            prompts=now.prompts if prompt is None else weighted_prompts(prompt),
            strength=now.strength if strength is None else strength,
            seed=now.seed if seed is None else seed,
            steps=now.steps if steps is None else steps,
            first_steps=now.first_steps and max(now.first_steps, steps or 1),
        )
        if control.prompts != now.prompts:
            code = self._code_of(control.prompts)
            if transition and self._history.has_previous:
                self._fade = _Fade(source=self._present_code(), frames=transition)
                self._history = self._history.without_anchor()
            else:
                self._fade = None
                self._history = self._engine.empty_history()
            self._code = code
            self._prepared = {}
        if control.seed != now.seed:
            self._noise = self._draw_noise(control.seed)
            self._history = self._engine.empty_history()
        self._control = control

    def reset(self) -> None:
        """Forget the past: the next frame starts a new stream with the same settings."""
        self._fade = None
        self._prepared = {}
        self._history = self._engine.empty_history()

    def seed_history(self, *, output: Frame, camera: Frame) -> None:
        """Start from a given picture: `output` is taken as the own previous frame and anchor of
        `camera`.
        """
        check_picture(output, self.size, "output")
        check_picture(camera, self.size, "camera")
        history = self._engine.empty_history()
        made = self._engine.to_engine(output.copy())
        history = replace(history, previous=made, has_previous=True)
        self._history = history.anchored(output=made, camera=self._engine.to_engine(camera.copy()))
        self._anchors = {}

    @property
    def stats(self) -> SessionStats:
        """Figures so far."""
        times = np.array(self._times_ms[-TIMINGS_KEPT:] or [0.0])
        p50, p95, p99 = (float(x) for x in np.percentile(times, [50, 95, 99]))
        return SessionStats(
            engine=self._engine.name,
            model=self._model,
            width=self._engine.width,
            height=self._engine.height,
            frames=self._frames,
            model_ms_p50=p50,
            model_ms_p95=p95,
            model_ms_p99=p99,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that a session of the same model, size and engine needs to go on bit for bit."""
        fade = self._fade
        return {
            "version": STATE_VERSION,
            "size": self.size,
            "control": self._control,
            "frames": self._frames,
            **saved.pack(self._history, self._engine),
            "anchors": dict(self._anchors),
            "fade": None if fade is None else (fade.source.copy(), fade.frames, fade.done),
        }

    def load_state_dict(self, state: dict[str, Any], *, scale: bool = False) -> None:
        """Inverse of `state_dict`. `scale`: a stream of another frame size goes on here; its
        pictures are resampled.

        Raises:
            UserError: it is no state, or one of another frame size, model or newer everframe.
        """
        saved.check(state, self._engine, version=STATE_VERSION)
        state = {"anchors": {}, **state}  # older states have none
        if scale and tuple(state["size"]) != self.size:
            state = saved.scaled(state, *self.size)
        if tuple(state["size"]) != self.size:
            raise UserError(
                f"this session state is of size {state['size']}, the session has {self.size};"
                " open the session with that size, or load it with scale=True"
            )
        self._control = state["control"]
        self._code = self._code_of(self._control.prompts)
        self._noise = self._draw_noise(self._control.seed)
        self._prepared = {}
        self._frames = state["frames"]
        fade = state["fade"]
        self._fade = None if fade is None else _Fade(source=fade[0], frames=fade[1], done=fade[2])
        self._history = saved.unpack(state, self._engine)
        self._anchors = dict(state["anchors"])

    def _code_of(self, prompts: WeightedPrompts) -> Array:
        code: Array | None = None
        for text, weight in prompts:
            part = self._code_of_text(text) * np.float32(weight)
            code = part if code is None else code + part
        assert code is not None
        return code

    def _code_of_text(self, text: str) -> Array:
        if text not in self._codes:
            tokens = self._encoder.encode(text)
            code = self._engine.encode_prompt(tokens.states, tokens.mask)
            known = self._looks.get(self._look_of(text), ())
            if known and text.lower() not in self._wordings:
                plain = self._encoder.encode(known[0])
                near = self._engine.encode_prompt(plain.states, plain.mask)
                code = code + np.float32(PULL) * (near - code)
            if len(self._codes) >= LINE:
                self._codes.clear()
            self._codes[text] = code
        return self._codes[text]

    def _look_of(self, text: str) -> str:
        """The look that was trained under these very words, or else the nearest one that the model
        knows; empty if none is near.
        """
        exact = self._wordings.get(text.lower())
        if exact or not self._looks:
            return exact or ""
        look = Openings.load().nearest(self._encoder.encode(text).pooled)
        return look if look in self._looks else ""

    def _present_code(self) -> Array:
        fade = self._fade
        if fade is None:
            return self._code
        share = np.float32(fade.done / fade.frames)
        return fade.source + share * (self._code - fade.source)

    def _opened(self, history: History[Any]) -> tuple[History[Any], int]:
        """Memory and steps of a first frame: the exemplar of its look as anchor, if it has one."""
        control, opening = self._control, Opening()
        if len(control.prompts) == 1 and not control.first_steps:
            look = self._look_of(control.prompts[0][0])
            opening = Openings.load().of(look, control.seed, *self.size)
        if not opening.look:
            return history, control.first_steps or max(FIRST_STEPS, control.steps)
        if opening.exemplar is not None and not history.has_anchor:
            to_engine, pair = self._engine.to_engine, opening.exemplar
            history = history.anchored(output=to_engine(pair.output), camera=to_engine(pair.camera))
        elif opening.kind == "hidden":
            return history, max(FIRST_STEPS, control.steps)
        return history, control.steps

    def _tables(self, steps: int) -> PreparedSteps[Any]:
        fade = self._fade
        if fade is not None:
            fade.done += 1
            code = self._present_code()
            if fade.done >= fade.frames:
                self._fade = None
            return self._engine.prepare(code, steps)
        if steps not in self._prepared:
            self._prepared[steps] = self._engine.prepare(self._code, steps)
        return self._prepared[steps]

    def _draw_noise(self, seed: int, frame: int = 0) -> Any:  # noqa: ANN401 - the engine's tensor type
        shape = (3, self._engine.height, self._engine.width)
        noise = numpy_rng(seed, "stream noise", frame).standard_normal(shape, np.float32)
        return self._engine.to_engine(noise)


def blend_frames(camera: Frame, made: Frame, strength: float) -> Frame:
    """`strength` of the restyled frame over the camera; 1 and 0 return the frames themselves,
    exactly.
    """
    if strength >= 1:
        return made.copy()
    if strength <= 0:
        return camera.copy()
    weight = round(strength * 256)
    mixed = camera.astype(np.uint16) * (256 - weight) + made.astype(np.uint16) * weight + 128
    return (mixed >> 8).astype(np.uint8)
