"""Which size the model works at: multiples of its patch, close to the shape of the source."""

import math
import re
from dataclasses import dataclass

from everframe.core.errors import UserError

SIZE_MULTIPLE = 16
"""Both sides are multiples of this (the model's patch), pixels."""
SIZE_MIN = 64
"""Shortest side the model takes, pixels."""
SIZE_MAX = 1280
"""Longest side the model takes, pixels."""
DEFAULT_AREA = 256 * 256
"""Pixels per frame that `choose_size` aims at: what a laptop restyles in real time."""

_SIZE = re.compile(r"(\d{1,6})\s*[xX*]\s*(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a picture, pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def even(self) -> "Size":
        """Return the size with odd sides cut by one pixel, as 4:2:0 video needs; at least 2x2."""
        return Size(max(2, self.width & ~1), max(2, self.height & ~1))


def choose_size(source: Size, area: int = DEFAULT_AREA) -> Size:
    """Return the model size for a source.

    The picture is resized whole, not cropped, so the sides are chosen to keep both its aspect and
    the area: of the multiples of 16 around the exact answer, the one with the least squared
    relative errors of the two. The aspect error stays below 6 % for sources up to 3:1.

    Args:
        source: size of the upright source, pixels, both sides > 0.
        area: pixels per frame to aim at.
    """
    aspect = source.width / source.height
    ideal_width = math.sqrt(area * aspect)
    candidates = [
        Size(width, height)
        for width in _multiples_around(ideal_width)
        for height in _multiples_around(ideal_width / aspect)
    ]
    return min(candidates, key=lambda size: _misfit(size, aspect, area))


def parse_size(text: str) -> Size:
    """Read `WxH`, such as `320x176`.

    Raises:
        UserError: not two numbers, or a side that is no multiple of 16 in 64..1280; the message
            names the nearest valid size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"size {text[:40]!r} is not WIDTHxHEIGHT; write for example 320x176")
    size = Size(int(match[1]), int(match[2]))
    nearest = Size(_nearest_side(size.width), _nearest_side(size.height))
    if size != nearest:
        raise UserError(
            f"size {size} does not suit the model: both sides must be multiples of {SIZE_MULTIPLE} "
            f"from {SIZE_MIN} to {SIZE_MAX}; the nearest is {nearest}"
        )
    return size


def _multiples_around(side: float) -> list[int]:
    below = math.floor(side / SIZE_MULTIPLE) * SIZE_MULTIPLE
    return sorted({_nearest_side(below), _nearest_side(below + SIZE_MULTIPLE)})


def _nearest_side(side: float) -> int:
    multiple = round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE
    return min(max(multiple, SIZE_MIN), SIZE_MAX)


def _misfit(size: Size, aspect: float, area: int) -> float:
    stretch = abs(math.log(size.width / size.height / aspect))
    return stretch**2 + math.log(size.width * size.height / area) ** 2
