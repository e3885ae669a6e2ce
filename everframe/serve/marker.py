"""A number in the picture itself, for roads that carry no header: a strip of cells below it.

WebRTC gives neither end the time or the id of a frame, and either end may drop frames or change
their size. So the page draws a strip of `STRIP` rows under the camera frame, black and white cells:
24 bits of the frame id, most significant first, and 8 bits that check them. The server cuts it off,
and writes the same under the restyled picture. `static/transport_rtc.js` is the other side.
"""

from __future__ import annotations

import numpy as np

from everframe.serve.wire import Pixels

STRIP = 16
"""Rows below the picture."""
ID_BITS, CHECK_BITS = 24, 8
CELLS = ID_BITS + CHECK_BITS
_CHECK = 0xA5
"""So that neither black nor white alone is a number."""


def stamp(pixels: Pixels, number: int) -> Pixels:
    """The picture uint8 [H, W, 3] with the strip below it, [H + STRIP, W, 3]."""
    number &= (1 << ID_BITS) - 1
    word = number << CHECK_BITS | _check(number)
    width = pixels.shape[1]
    cell = np.arange(width) * CELLS // width
    row = ((word >> (CELLS - 1 - cell)) & 1).astype(np.uint8) * 255
    strip = np.broadcast_to(row[None, :, None], (STRIP, width, 3))
    return np.concatenate([pixels, strip])


def read(pixels: Pixels) -> tuple[Pixels, int | None]:
    """The picture without its strip, and its number; None if it cannot be read."""
    height, width = pixels.shape[0] - STRIP, pixels.shape[1]
    middle = (np.arange(CELLS) * 2 + 1) * width // (2 * CELLS)
    rows = pixels[height + STRIP // 2 - 2 : height + STRIP // 2 + 2]
    bits = rows[:, middle].mean(axis=(0, 2)) > 127
    word = int.from_bytes(np.packbits(bits).tobytes(), "big")
    number = word >> CHECK_BITS
    good = word & ((1 << CHECK_BITS) - 1) == _check(number)
    return pixels[:height], number if good else None


def _check(number: int) -> int:
    return _CHECK ^ (number & 255) ^ (number >> 8 & 255) ^ (number >> 16 & 255)
