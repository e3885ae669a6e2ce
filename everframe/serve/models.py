"""The models of a server: opened once for each size, shared by all sessions of that size."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from everframe.arch.bundle import Bundle, find_bundle
from everframe.core.errors import UserError
from everframe.runtime.engine import Engine, open_engine
from everframe.serve.wire import Pixels
from everframe.stream.control import Control
from everframe.stream.session import Session

IDENTITY = "identity"
"""The engine that returns the camera: what is left is the cost of the way. `identity:50` takes
50 ms for it, as a slow model does."""
ENGINES_KEPT = 4
"""Sizes that stay open; the one used longest ago goes first."""


class Restyler(Protocol):
    """What a seat drives: a `Session`, or the camera itself."""

    def step(self, frame: Pixels, /) -> Pixels:
        """Restyle one frame, uint8 [H, W, 3]."""
        ...

    def update(
        self,
        *,
        prompt: list[tuple[str, float]] | None = None,
        strength: float | None = None,
        transition: int = 0,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        """Change settings from the next frame on."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...

    @property
    def control(self) -> Control:
        """The present settings."""
        ...


class Camera:
    """Returns the frames as they are, for measuring the transport alone."""

    def __init__(self, control: Control, delay_s: float = 0.0) -> None:
        """Keep the settings, which change nothing; a frame takes `delay_s`."""
        self._control, self._delay_s = control, delay_s

    @property
    def control(self) -> Control:
        """The settings it was given."""
        return self._control

    def step(self, frame: Pixels, /) -> Pixels:
        """The frame."""
        if self._delay_s:
            time.sleep(self._delay_s)
        return frame

    def update(self, **_: Any) -> None:
        """Nothing changes."""

    def reset(self) -> None:
        """There is no past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look that a model knows: name, one prompt, and its picture if it has one."""

    name: str
    prompt: str
    hidden: bool
    thumbnail: Path | None


class Models:
    """Opens engines and remembers them. Thread-safe; opening takes a second or two."""

    def __init__(
        self, model: str = "pocket", engine: str = "auto", precision: str = "auto"
    ) -> None:
        """Read the default model, so that a wrong name is told at once.

        Raises:
            UserError: no such model, or a delay that is no number.
        """
        self.model, self.engine, self.precision = model, engine, precision
        self._delay_s = delay_of(engine)
        self._folder = find_bundle(model)
        self._bundles: dict[str, Bundle] = {model: Bundle.from_pretrained(model)}
        self._engines: OrderedDict[tuple[str, int, int], Engine[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, model: str, width: int, height: int) -> Engine[Any] | None:
        """The engine of a model at a size; None for the identity.

        Raises:
            UserError: no such model or engine.
        """
        if self._delay_s is not None:
            return None
        with self._lock:
            key = model, width, height
            if key not in self._engines:
                if model not in self._bundles:
                    self._bundles[model] = Bundle.from_pretrained(model)
                self._engines[key] = open_engine(
                    self.engine,
                    self._bundles[model],
                    height=height,
                    width=width,
                    precision=self.precision,
                )
            self._engines.move_to_end(key)
            while len(self._engines) > ENGINES_KEPT:
                self._engines.popitem(last=False)
            return self._engines[key]

    def warm(self, width: int, height: int) -> None:
        """Open the default model and run it once, so that the first visitor does not wait."""
        engine = self.open(self.model, width, height)
        if engine is not None:
            session = self.begin(self.model, engine, Control(prompts=(("pencil sketch", 1.0),)))
            session.step(np.zeros((height, width, 3), np.uint8))

    def begin(self, model: str, engine: Engine[Any] | None, control: Control) -> Restyler:
        """A new stream; to be called by the thread that will step it."""
        if engine is None:
            return Camera(control, self._delay_s or 0.0)
        known = {str(look["name"]): list(look["prompts"]) for look in self._bundles[model].looks}
        return Session(engine, control, model=Path(model).name, looks=known)

    def looks(self) -> list[Look]:
        """The looks of the default model."""
        found: list[Look] = []
        for look in self._bundles[self.model].looks:
            name = str(look["name"])
            picture = self._folder / "thumbnails" / f"{name}.webp"
            found.append(
                Look(
                    name=name,
                    prompt=str(look["prompts"][0]),
                    hidden=look.get("kind") == "hidden",
                    thumbnail=picture if picture.is_file() else None,
                )
            )
        return found

    def check(self, model: str) -> str:
        """A model that a visitor may choose: the server's own one or another that is bundled.

        Raises:
            UserError: any other: a visitor must not make the server read a folder.
        """
        if model != self.model and ("/" in model or "\\" in model or model.startswith(".")):
            raise UserError(f"model '{model}' is no bundled model; leave it out for {self.model}")
        return model


def delay_of(engine: str) -> float | None:
    """Seconds that the identity engine takes for a frame; None: another engine.

    Raises:
        UserError: the delay is no number of ms.
    """
    name, _, delay_ms = engine.partition(":")
    if name != IDENTITY:
        return None
    if delay_ms and not delay_ms.isdigit():
        raise UserError(f"engine {engine}: name the delay in whole ms, as in {IDENTITY}:50")
    return int(delay_ms or 0) / 1e3
