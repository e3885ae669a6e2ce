# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: pictures to matrix rows, and to the input of the detail path, by the math warpgroups."""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from everframe.runtime.megakernel.gluon_memory import (
    PANEL,
    start_of,
    stored,
    word,
)

CHUNK = gl.constexpr(2048)
"""Numbers that a warpgroup takes at a time: 16 of each thread are on their way."""


@gluon.jit
def picture_of(
    segment, camera, previous, anchor_output, anchor_camera, has_previous, has_anchor
):  # fmt: skip
    """Bytes of a picture, and 1.0 if it is there."""
    source = camera
    flag = 1.0
    if segment == 1:
        source = previous
        flag = has_previous * 1.0
    elif segment == 2:
        source = anchor_output
        flag = has_anchor * 1.0
    elif segment == 3:
        source = anchor_camera
        flag = has_anchor * 1.0
    return source, flag


@gluon.jit
def unpack_map(
    work, source, flag, band, channel,
    W: gl.constexpr, INPUT: gl.constexpr, COLS: gl.constexpr, PATCH: gl.constexpr,
):  # fmt: skip
    """A row of patches as input of the detail path."""
    WIDTH: gl.constexpr = COLS * PATCH
    layout: gl.constexpr = gl.BlockedLayout([4], [32], [4], [0])
    for chunk in range(W, (PATCH * WIDTH * 4 + CHUNK - 1) // CHUNK, 2):
        e = chunk * CHUNK + gl.arange(0, CHUNK, layout=layout)
        place = e // 16 + band * (PATCH * WIDTH // 4)
        colour = (e // 4) % 4
        real = (e < PATCH * WIDTH * 4) & (colour < 3)
        y = 2 * (place // (WIDTH // 2)) + (e // 2) % 2
        x = 2 * (place % (WIDTH // 2)) + e % 2
        byte = gl.load(source + (y * WIDTH + x) * 3 + colour, mask=real, other=0)
        value = (byte.to(gl.float32) - 127.5) * flag
        at = work + INPUT * PANEL + place * PANEL + channel + e % 16
        gl.store(at, value.to(work.dtype.element_ty), mask=real)


@gluon.jit
def unpack_rows(
    work, source, noise, flag, segment, band, line,
    W: gl.constexpr, COLS: gl.constexpr, PATCH: gl.constexpr, HEIGHT: gl.constexpr,
    ROWS: gl.constexpr,
):  # fmt: skip
    """A row of patches as rows of a matrix, in the order in which they are stored."""
    WIDTH: gl.constexpr = COLS * PATCH
    layout: gl.constexpr = gl.BlockedLayout([8], [32], [4], [0])
    for chunk in range(W, (PATCH * WIDTH * 3 + CHUNK - 1) // CHUNK, 2):
        e = chunk * CHUNK + gl.arange(0, CHUNK, layout=layout)
        real = e < PATCH * WIDTH * 3
        token = (e // PANEL) % COLS
        number = (e // (PANEL * COLS)) * PANEL + e % PANEL
        colour = number // (PATCH * PATCH)
        y = band * PATCH + (number // PATCH) % PATCH
        x = token * PATCH + number % PATCH
        if segment == 4:
            value = gl.load(noise + (colour * HEIGHT + y) * WIDTH + x, mask=real, other=0.0)
        else:
            byte = gl.load(source + (y * WIDTH + x) * 3 + colour, mask=real, other=0)
            value = (byte.to(gl.float32) - 127.5) * flag
        at = (e // (PANEL * COLS)) * (ROWS * PANEL) + (band * COLS + token) * PANEL + e % PANEL
        gl.store(work + start_of(line) + at, value.to(work.dtype.element_ty), mask=real)


@gluon.jit
def unpack(
    d, work, camera, previous, anchor_output, anchor_camera, noise, has_previous, has_anchor,
    output, used,
    W: gl.constexpr, INPUT: gl.constexpr, COLS: gl.constexpr, PATCH: gl.constexpr,
    HEIGHT: gl.constexpr, ROWS: gl.constexpr,
):  # fmt: skip
    """UNPACK: a row of patches of one picture; bytes are centred, their scale is in the weights.
    The warpgroups take its numbers by turns.
    """
    segment, band, line, channel = word(d, 0), word(d, 1), word(d, 2), word(d, 3)
    source, flag = picture_of(
        segment, camera, previous, anchor_output, anchor_camera, has_previous, has_anchor
    )
    if channel >= 0:
        channel = gl.multiple_of(channel, 4)
        unpack_map(work, source, flag, band, channel, W, INPUT, COLS, PATCH)
    else:
        unpack_rows(work, source, noise, flag, segment, band, line, W, COLS, PATCH, HEIGHT, ROWS)
    return stored(output, used)
