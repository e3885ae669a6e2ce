"""What flows through the pump: pixels with their time, and the two ends they flow between."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everframe.stream.resize import Size

Pixels = NDArray[np.uint8]
"""One picture: uint8 [H, W, 3], RGB, C-contiguous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture and when it is shown.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        time: seconds since the start of the source, exact.
    """

    pixels: Pixels
    time: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a source before its frames are read.

    Attributes:
        name: short name for messages and for the default output name.
        size: upright size as displayed (rotation and pixel aspect applied), pixels.
        fps: average frames per second; a guess where the source does not tell.
        time_base: the unit of the frame times, seconds: every `Frame.time` is a multiple of it.
        frames: number of frames if known; often an estimate.
        start: time in the file, seconds, that became time zero.
        audio: file that holds sound to keep, or None.
        live: whether frames arrive in real time and without end.
        still: whether the source is one picture.
    """

    name: str
    size: Size
    fps: Fraction
    time_base: Fraction
    frames: int | None
    start: Fraction = Fraction(0)
    audio: Path | None = None
    live: bool = False
    still: bool = False


class Source(Protocol):
    """Where frames come from."""

    @property
    def info(self) -> SourceInfo:
        """What is known before reading."""
        ...

    @property
    def skipped(self) -> int:
        """Damaged pieces left out so far."""
        ...

    def frames(self, size: Size) -> Iterator[Frame]:
        """Yield the frames in order, resized to `size`; call it once."""
        ...

    def close(self) -> None:
        """Release the file or device; a second call does nothing."""
        ...


class Sink(Protocol):
    """Where frames go. Nothing stands under the final name before `finish`."""

    def write(self, frame: Frame) -> None:
        """Take the next frame; times must rise."""
        ...

    def finish(self, *, cut: bool) -> None:
        """Complete the output and give it its final name.

        Args:
            cut: whether frames of the source are missing at the end, so that its sound must end
                early too.
        """
        ...

    def discard(self) -> None:
        """Remove what was written; does nothing after `finish`."""
        ...
