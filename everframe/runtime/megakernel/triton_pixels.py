# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: pictures to matrix rows, the convolutions of the detail path, bytes out."""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import (
    PANEL,
    first_row,
    served,
    silu,
    start_of,
    wait_of,
    word,
)

CHUNK = tl.constexpr(2048)
ROUND = tl.constexpr(12582912.0)
"""1.5 * 2^23: adding and subtracting it rounds a float32 to an integer, halves to even."""


@triton.jit
def patch_place(y, x, colour, COLS: tl.constexpr, PATCH: tl.constexpr, ROWS: tl.constexpr):
    """Offset of a pixel in a matrix of patches stored in panels."""
    token = (y // PATCH) * COLS + x // PATCH
    channel = (colour * PATCH + y % PATCH) * PATCH + x % PATCH
    return ((channel // PANEL) * ROWS + token) * PANEL + channel % PANEL


@triton.jit
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


@triton.jit
def unpack(
    work, camera, previous, anchor_output, anchor_camera, noise, d, has_previous, has_anchor,
    INPUT: tl.constexpr, COLS: tl.constexpr, PATCH: tl.constexpr,
    HEIGHT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """UNPACK: a row of patches of one picture; bytes are centred, their scale is in the weights.
    Numbers are taken in the order in which they are stored, 8 or 16 bytes at a time.
    """
    WIDTH: tl.constexpr = COLS * PATCH
    segment, band, channel = word(d, 0), word(d, 1), word(d, 3)
    target = work + start_of(word(d, 2))
    kind = work.dtype.element_ty
    source, flag = picture_of(
        segment, camera, previous, anchor_output, anchor_camera, has_previous, has_anchor
    )
    if channel >= 0:
        channel = tl.multiple_of(channel, 4)
        for chunk in range(0, (PATCH * WIDTH * 4 + CHUNK - 1) // CHUNK):
            e = chunk * CHUNK + tl.arange(0, CHUNK)
            place = e // 16 + band * (PATCH * WIDTH // 4)
            colour = (e // 4) % 4
            real = (e < PATCH * WIDTH * 4) & (colour < 3)
            y = 2 * (place // (WIDTH // 2)) + (e // 2) % 2
            x = 2 * (place % (WIDTH // 2)) + e % 2
            byte = tl.load(source + (y * WIDTH + x) * 3 + colour, mask=real, other=0)
            value = (byte.to(tl.float32) - 127.5) * flag
            at = place * PANEL + channel + e % 16
            tl.store(work + INPUT * PANEL + at, value.to(kind), mask=real)
    else:
        for chunk in range(0, (PATCH * WIDTH * 3 + CHUNK - 1) // CHUNK):
            e = chunk * CHUNK + tl.arange(0, CHUNK)
            real = e < PATCH * WIDTH * 3
            token = (e // PANEL) % COLS
            number = (e // (PANEL * COLS)) * PANEL + e % PANEL
            colour = number // (PATCH * PATCH)
            y = band * PATCH + (number // PATCH) % PATCH
            x = token * PATCH + number % PATCH
            if segment == 4:
                value = tl.load(noise + (colour * HEIGHT + y) * WIDTH + x, mask=real, other=0.0)
            else:
                byte = tl.load(source + (y * WIDTH + x) * 3 + colour, mask=real, other=0)
                value = (byte.to(tl.float32) - 127.5) * flag
            at = (e // (PANEL * COLS)) * (ROWS * PANEL) + (band * COLS + token) * PANEL + e % PANEL
            tl.store(target + at, value.to(kind), mask=real)


@triton.jit
def convolve(
    source, kernel, m0, live,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, BM: tl.constexpr,
    CIN: tl.constexpr, COUT: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """[BM, COUT]: 3x3 convolution of a map [positions, CIN] with [9, COUT, CIN], zero padding.
    Nothing of the map is read unless it is `live`.
    """
    places = m0 + tl.arange(0, BM)
    y = places // MAP_COLS
    x = places % MAP_COLS
    inner = tl.arange(0, CIN)
    outer = tl.arange(0, COUT)
    acc = tl.zeros((BM, COUT), tl.float32)
    for tap in tl.range(0, 9, num_stages=STAGES):
        ty = y + tap // 3 - 1
        tx = x + tap % 3 - 1
        inside = (ty >= 0) & (ty < MAP_ROWS) & (tx >= 0) & (tx < MAP_COLS) & live
        at = (ty * MAP_COLS + tx)[:, None] * CIN + inner[None, :]
        a = tl.load(source + at, mask=inside[:, None], other=0.0)
        b = tl.load(kernel + tap * (COUT * CIN) + outer[None, :] * CIN + inner[:, None])
        acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def side(place, SIZE: tl.constexpr, FACTOR: tl.constexpr):
    """Nearest samples below and above, and the share of the latter, of a bilinear upsampling."""
    at = (place.to(tl.float32) + 0.5) / FACTOR - 0.5
    at = tl.minimum(tl.maximum(at, 0.0), SIZE - 1.0)
    low = at.to(tl.int32)
    return low, tl.minimum(low + 1, SIZE - 1), at - low.to(tl.float32)


@triton.jit
def local_value(table, row, col, cols, live, TOKEN_COLS: tl.constexpr, LOCAL_COLUMNS: tl.constexpr):
    """Columns of the float map at a token of each position."""
    at = table + (row * TOKEN_COLS + col)[:, None] * LOCAL_COLUMNS + cols[None, :]
    return tl.load(at, mask=live, other=0.0)


@triton.jit
def local_gains(
    table, cols, m0, live,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """[BM, len(cols)]: columns of the float map, interpolated from patches to positions."""
    COLS: tl.constexpr = MAP_COLS // CELLS
    places = tl.minimum(m0 + tl.arange(0, BM), MAP_ROWS * MAP_COLS - 1)
    y0, y1, wy = side(places // MAP_COLS, MAP_ROWS // CELLS, CELLS)
    x0, x1, wx = side(places % MAP_COLS, COLS, CELLS)
    a = local_value(table, y0, x0, cols, live, COLS, LOCAL_COLUMNS) * ((1 - wy) * (1 - wx))[:, None]
    a += local_value(table, y0, x1, cols, live, COLS, LOCAL_COLUMNS) * ((1 - wy) * wx)[:, None]
    a += local_value(table, y1, x0, cols, live, COLS, LOCAL_COLUMNS) * (wy * (1 - wx))[:, None]
    a += local_value(table, y1, x1, cols, live, COLS, LOCAL_COLUMNS) * (wy * wx)[:, None]
    return a


@triton.jit
def is_live(d, INDEX: tl.constexpr, REHEARSED: tl.constexpr):
    """False for an instruction that only fetches its own code, see `schedule.rehearse`."""
    live = True
    if REHEARSED:
        live = word(d, INDEX) == 0
    return live


@triton.jit
def conv_in(
    work, sums, convolutions, control, counters, error, d, epoch,
    INPUT: tl.constexpr, LOCAL: tl.constexpr, LOCAL_COLUMNS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    C: tl.constexpr, CP: tl.constexpr, BM: tl.constexpr, STAGES: tl.constexpr,
    LIMIT: tl.constexpr, REHEARSED: tl.constexpr,
):  # fmt: skip
    """CONV_IN."""
    live = is_live(d, 4, REHEARSED)
    m0, start, late = first_row(d), wait_of(d, epoch, 0), wait_of(d, epoch, 1)
    kernel, target = convolutions + start_of(word(d, 0)), work + start_of(word(d, 1))
    channels = tl.arange(0, CP)
    gains = 1.0 + tl.load(control + start_of(word(d, 2)) + channels)
    shifts = tl.load(control + start_of(word(d, 3)) + channels)
    table = sums + LOCAL * PANEL
    own = 48 + channels
    if C < CP:
        own = 48 + tl.minimum(channels, C - 1)
    ok = served(counters, error, d, start, 0, LIMIT)
    ok = ok * served(counters, error, d, late, 1, LIMIT)
    u = convolve(work + INPUT * PANEL, kernel, m0, live, MAP_ROWS, MAP_COLS, BM, 64, CP, STAGES)
    gain = local_gains(table, own, m0, live, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS, BM)
    shift = local_gains(table, own + C, m0, live, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS, BM)
    u = u * (gain + gains[None, :]) + (shift + shifts[None, :])
    u = tl.where((channels < C)[None, :], silu(u), 0.0)
    at = (m0 + tl.arange(0, BM))[:, None] * CP + channels[None, :]
    tl.store(target + at, u.to(work.dtype.element_ty), mask=live)
    return ok


@triton.jit
def conv(
    work, convolutions, control, counters, error, d, epoch,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, C: tl.constexpr, CP: tl.constexpr,
    BM: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr, REHEARSED: tl.constexpr,
):  # fmt: skip
    """CONV."""
    live = is_live(d, 6, REHEARSED)
    m0, start = first_row(d), wait_of(d, epoch, 0)
    kernel, target = convolutions + start_of(word(d, 0)), work + start_of(word(d, 1))
    channels = tl.arange(0, CP)
    gain = 1.0 + tl.load(control + start_of(word(d, 2)) + channels)
    shift = tl.load(control + start_of(word(d, 3)) + channels)
    source, residual = work + start_of(word(d, 4)), word(d, 5)
    ok = served(counters, error, d, start, 0, LIMIT)
    at = (m0 + tl.arange(0, BM))[:, None] * CP + channels[None, :]
    before = tl.load(source + at, mask=(residual == 1) & live, other=0.0)
    u = convolve(source, kernel, m0, live, MAP_ROWS, MAP_COLS, BM, CP, CP, STAGES)
    u = u * gain[None, :] + shift[None, :]
    u = tl.where((channels < C)[None, :], silu(u), 0.0)
    tl.store(target + at, (u + before.to(tl.float32)).to(work.dtype.element_ty), mask=live)
    return ok


@triton.jit
def colour_maps(
    table, bias, m0, live,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """[BM, 16]: the colour map of each position (12 numbers: result colour, then source colour or
    constant), interpolated from a lattice of two per patch side.
    """
    HALF: tl.constexpr = CELLS // 2
    entry = tl.minimum(tl.arange(0, 16), 11)
    places = tl.minimum(m0 + tl.arange(0, BM), MAP_ROWS * MAP_COLS - 1)
    y0, y1, wy = side(places // MAP_COLS, MAP_ROWS // HALF, HALF)
    x0, x1, wx = side(places % MAP_COLS, MAP_COLS // HALF, HALF)
    a = tl.zeros((BM, 16), tl.float32) + tl.load(bias + entry)[None, :]
    for corner in tl.static_range(4):
        y, sy = y0, 1 - wy
        x, sx = x0, 1 - wx
        if corner // 2 == 1:
            y, sy = y1, wy
        if corner % 2 == 1:
            x, sx = x1, wx
        token = (y // 2) * (MAP_COLS // CELLS) + x // 2
        sub = (y % 2) * 2 + x % 2
        at = token[:, None] * LOCAL_COLUMNS + entry[None, :] * 4 + sub[:, None]
        a += tl.load(table + at, mask=live, other=0.0) * (sy * sx)[:, None]
    return a


@triton.jit
def colours(
    sums, fixed, camera, m0, live,
    LOCAL: tl.constexpr, LOCAL_COLUMNS: tl.constexpr, AFFINE_BIAS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """[BM, 16]: the camera through the local colour maps; column = colour * 4 + sub-pixel."""
    places = tl.minimum(m0 + tl.arange(0, BM), MAP_ROWS * MAP_COLS - 1)
    y, x = places // MAP_COLS, places % MAP_COLS
    column = tl.arange(0, 16)
    sub, source = column // 4, column % 4
    pixel = (2 * y[:, None] + (sub // 2)[None, :]) * (2 * MAP_COLS) + 2 * x[:, None]
    pixel += (sub % 2)[None, :]
    byte = tl.load(camera + pixel * 3 + tl.minimum(source, 2)[None, :]).to(tl.float32)
    value = tl.where((source < 3)[None, :], (byte - 127.5) * (2 / 255), 1.0)
    maps = colour_maps(
        sums + LOCAL * PANEL, fixed + AFFINE_BIAS * PANEL, m0, live,
        MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS, BM,
    )  # fmt: skip
    by_colour = tl.reshape(maps, (BM, 4, 1, 4))
    by_pixel = tl.reshape(value, (BM, 1, 4, 4))
    return tl.reshape(tl.sum(by_colour * by_pixel, 3), (BM, 16))


@triton.jit
def conv_out(
    work, sums, convolutions, fixed, control, camera, noise, out, counters, error, d, epoch,
    NOISY: tl.constexpr, Z: tl.constexpr, COARSE: tl.constexpr, LOCAL: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, AFFINE_BIAS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr, CP: tl.constexpr,
    ROWS: tl.constexpr, BM: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
    REHEARSED: tl.constexpr,
):  # fmt: skip
    """CONV_OUT: bytes in the last step, else the noisy target of the next."""
    m0, start, late = first_row(d), wait_of(d, epoch, 0), wait_of(d, epoch, 1)
    kernel, source = convolutions + start_of(word(d, 0)), work + start_of(word(d, 1))
    euler, last, first = control + start_of(word(d, 2)), word(d, 3), word(d, 4)
    places = m0 + tl.arange(0, BM)
    column = tl.arange(0, 16)
    at = places[:, None] * 16 + column[None, :]
    live = is_live(d, 5, REHEARSED)
    real = (places < MAP_ROWS * MAP_COLS)[:, None] & (column < 12)[None, :] & live
    ok = served(counters, error, d, start, 0, LIMIT)
    clean = tl.load(sums + COARSE * PANEL + at, mask=real, other=0.0)
    clean += colours(
        sums, fixed, camera, m0, live, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS, MAP_COLS,
        CELLS, BM,
    )  # fmt: skip
    ok = ok * served(counters, error, d, late, 1, LIMIT)
    clean += convolve(source, kernel, m0, live, MAP_ROWS, MAP_COLS, BM, CP, 16, STAGES)
    y = 2 * (places // MAP_COLS)[:, None] + ((column % 4) // 2)[None, :]
    x = 2 * (places % MAP_COLS)[:, None] + (column % 2)[None, :]
    colour = (column // 4)[None, :]
    if last == 1:
        level = (tl.minimum(tl.maximum(clean, -1.0), 1.0) + 1.0) * 127.5
        level = (level + ROUND) - ROUND
        tl.store(out + (y * (2 * MAP_COLS) + x) * 3 + colour, level.to(tl.uint8), mask=real)
    else:
        if first == 1:
            before = noise + (colour * (2 * MAP_ROWS) + y) * (2 * MAP_COLS) + x
            noisy = tl.load(before, mask=real, other=0.0)
        else:
            noisy = tl.load(sums + Z * PANEL + at, mask=real, other=0.0)
        noisy = noisy * tl.load(euler) + clean * tl.load(euler + 1)
        tl.store(sums + Z * PANEL + at, noisy, mask=real)
        place = patch_place(y, x, colour, MAP_COLS // CELLS, 2 * CELLS, ROWS)
        tl.store(work + NOISY * PANEL + place, noisy.to(work.dtype.element_ty), mask=real)
    return ok
