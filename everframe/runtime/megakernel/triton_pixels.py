# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Triton: pictures to matrix rows, the convolutions of the detail path, bytes out."""

import triton
import triton.language as tl

from everframe.runtime.megakernel.triton_memory import ARGUMENTS, PANEL, first_row, served, start_of

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
def unpack(
    work, camera, previous, anchor_output, anchor_camera, noise, d, has_previous, has_anchor,
    INPUT: tl.constexpr, COLS: tl.constexpr, PATCH: tl.constexpr,
    HEIGHT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """UNPACK: a row of patches of one picture; bytes are centred, their scale is in the weights."""
    WIDTH: tl.constexpr = COLS * PATCH
    segment, band, channel = (
        tl.load(d + ARGUMENTS),
        tl.load(d + ARGUMENTS + 1),
        tl.load(d + ARGUMENTS + 3),
    )
    target = work + start_of(tl.load(d + ARGUMENTS + 2))
    kind = work.dtype.element_ty
    for chunk in range(0, (PATCH * WIDTH * 3 + CHUNK - 1) // CHUNK):
        e = chunk * CHUNK + tl.arange(0, CHUNK)
        real = e < PATCH * WIDTH * 3
        if segment == 4:
            colour = e // (PATCH * WIDTH)
            y = band * PATCH + (e // WIDTH) % PATCH
            x = e % WIDTH
            noisy = tl.load(noise + (colour * HEIGHT + y) * WIDTH + x, mask=real, other=0.0)
            tl.store(target + patch_place(y, x, colour, COLS, PATCH, ROWS), noisy.to(kind), real)
        else:
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
            colour = e % 3
            y = band * PATCH + e // (WIDTH * 3)
            x = (e // 3) % WIDTH
            byte = tl.load(source + band * (PATCH * WIDTH * 3) + e, mask=real, other=0)
            value = ((byte.to(tl.float32) - 127.5) * flag).to(kind)
            tl.store(target + patch_place(y, x, colour, COLS, PATCH, ROWS), value, real)
            place = (y // 2) * (WIDTH // 2) + x // 2
            number = channel + colour * 4 + (y % 2) * 2 + x % 2
            tl.store(work + INPUT * PANEL + place * PANEL + number, value, real & (channel >= 0))


@triton.jit
def convolve(
    source, kernel, m0,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, BM: tl.constexpr,
    CIN: tl.constexpr, COUT: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """[BM, COUT]: 3x3 convolution of a map [positions, CIN] with [9, COUT, CIN], zero padding."""
    places = m0 + tl.arange(0, BM)
    y = places // MAP_COLS
    x = places % MAP_COLS
    inner = tl.arange(0, CIN)
    outer = tl.arange(0, COUT)
    acc = tl.zeros((BM, COUT), tl.float32)
    for tap in tl.range(0, 9, num_stages=STAGES):
        ty = y + tap // 3 - 1
        tx = x + tap % 3 - 1
        inside = (ty >= 0) & (ty < MAP_ROWS) & (tx >= 0) & (tx < MAP_COLS)
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
def local_value(table, row, col, cols, TOKEN_COLS: tl.constexpr, LOCAL_COLUMNS: tl.constexpr):
    """Columns of the float map at a token of each position."""
    return tl.load(table + (row * TOKEN_COLS + col)[:, None] * LOCAL_COLUMNS + cols[None, :])


@triton.jit
def local_gains(
    table, cols, m0,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """[BM, len(cols)]: columns of the float map, interpolated from patches to positions."""
    COLS: tl.constexpr = MAP_COLS // CELLS
    places = tl.minimum(m0 + tl.arange(0, BM), MAP_ROWS * MAP_COLS - 1)
    y0, y1, wy = side(places // MAP_COLS, MAP_ROWS // CELLS, CELLS)
    x0, x1, wx = side(places % MAP_COLS, COLS, CELLS)
    a = local_value(table, y0, x0, cols, COLS, LOCAL_COLUMNS) * ((1 - wy) * (1 - wx))[:, None]
    a += local_value(table, y0, x1, cols, COLS, LOCAL_COLUMNS) * ((1 - wy) * wx)[:, None]
    a += local_value(table, y1, x0, cols, COLS, LOCAL_COLUMNS) * (wy * (1 - wx))[:, None]
    a += local_value(table, y1, x1, cols, COLS, LOCAL_COLUMNS) * (wy * wx)[:, None]
    return a


@triton.jit
def conv_in(
    work, sums, convolutions, control, counters, error, d, epoch,
    INPUT: tl.constexpr, LOCAL: tl.constexpr, LOCAL_COLUMNS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr,
    C: tl.constexpr, CP: tl.constexpr, BM: tl.constexpr, STAGES: tl.constexpr,
    LIMIT: tl.constexpr,
):  # fmt: skip
    """CONV_IN."""
    m0 = first_row(d)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    kernel = convolutions + start_of(tl.load(d + ARGUMENTS))
    u = convolve(work + INPUT * PANEL, kernel, m0, MAP_ROWS, MAP_COLS, BM, 64, CP, STAGES)
    channels = tl.arange(0, CP)
    table = sums + LOCAL * PANEL
    own = 48 + channels
    if C < CP:
        own = 48 + tl.minimum(channels, C - 1)
    gain = local_gains(table, own, m0, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS, BM)
    shift = local_gains(table, own + C, m0, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS, BM)
    gain += 1.0 + tl.load(control + start_of(tl.load(d + ARGUMENTS + 2)) + channels)[None, :]
    shift += tl.load(control + start_of(tl.load(d + ARGUMENTS + 3)) + channels)[None, :]
    u = u * gain + shift
    u = tl.where((channels < C)[None, :], u / (1.0 + tl.exp(-u)), 0.0)
    at = (m0 + tl.arange(0, BM))[:, None] * CP + channels[None, :]
    tl.store(work + start_of(tl.load(d + ARGUMENTS + 1)) + at, u.to(work.dtype.element_ty))
    return ok


@triton.jit
def conv(
    work, convolutions, control, counters, error, d, epoch,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, C: tl.constexpr, CP: tl.constexpr,
    BM: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """CONV."""
    m0 = first_row(d)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    source = work + start_of(tl.load(d + ARGUMENTS + 4))
    kernel = convolutions + start_of(tl.load(d + ARGUMENTS))
    u = convolve(source, kernel, m0, MAP_ROWS, MAP_COLS, BM, CP, CP, STAGES)
    channels = tl.arange(0, CP)
    u *= (1.0 + tl.load(control + start_of(tl.load(d + ARGUMENTS + 2)) + channels))[None, :]
    u += tl.load(control + start_of(tl.load(d + ARGUMENTS + 3)) + channels)[None, :]
    u = tl.where((channels < C)[None, :], u / (1.0 + tl.exp(-u)), 0.0)
    at = (m0 + tl.arange(0, BM))[:, None] * CP + channels[None, :]
    if tl.load(d + ARGUMENTS + 5) == 1:
        u += tl.load(source + at).to(tl.float32)
    tl.store(work + start_of(tl.load(d + ARGUMENTS + 1)) + at, u.to(work.dtype.element_ty))
    return ok


@triton.jit
def colour_map(
    table, bias, entry, y0, y1, wy, x0, x1, wx,
    COLS: tl.constexpr, LOCAL_COLUMNS: tl.constexpr,
):  # fmt: skip
    """[BM, 16]: an entry (by column) of the colour maps, from a lattice of two per patch side."""
    a = tl.load(bias + entry)[None, :]
    for corner in tl.static_range(4):
        y, sy = y0, 1 - wy
        x, sx = x0, 1 - wx
        if corner // 2 == 1:
            y, sy = y1, wy
        if corner % 2 == 1:
            x, sx = x1, wx
        token = (y // 2) * COLS + x // 2
        sub = (y % 2) * 2 + x % 2
        at = token[:, None] * LOCAL_COLUMNS + entry[None, :] * 4 + sub[:, None]
        a += tl.load(table + at) * (sy * sx)[:, None]
    return a


@triton.jit
def colours(
    sums, fixed, camera, m0,
    LOCAL: tl.constexpr, LOCAL_COLUMNS: tl.constexpr, AFFINE_BIAS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """[BM, 16]: the camera through the local colour maps; column = colour * 4 + sub-pixel."""
    places = tl.minimum(m0 + tl.arange(0, BM), MAP_ROWS * MAP_COLS - 1)
    column = tl.minimum(tl.arange(0, 16), 11)
    y, x = places // MAP_COLS, places % MAP_COLS
    half: tl.constexpr = CELLS // 2
    y0, y1, wy = side(y, MAP_ROWS // half, half)
    x0, x1, wx = side(x, MAP_COLS // half, half)
    table = sums + LOCAL * PANEL
    bias = fixed + AFFINE_BIAS * PANEL
    row = (column // 4) * 4
    sub = column % 4
    pixel = (2 * y[:, None] + (sub // 2)[None, :]) * (2 * MAP_COLS) + 2 * x[:, None]
    pixel += (sub % 2)[None, :]
    total = colour_map(
        table, bias, row + 3, y0, y1, wy, x0, x1, wx, MAP_COLS // CELLS, LOCAL_COLUMNS
    )
    for source in tl.static_range(3):
        byte = tl.load(camera + pixel * 3 + source).to(tl.float32)
        factor = colour_map(
            table, bias, row + source, y0, y1, wy, x0, x1, wx, MAP_COLS // CELLS, LOCAL_COLUMNS
        )
        total += factor * ((byte - 127.5) * (2 / 255))
    return total


@triton.jit
def conv_out(
    work, sums, convolutions, fixed, control, camera, noise, out, counters, error, d, epoch,
    NOISY: tl.constexpr, Z: tl.constexpr, COARSE: tl.constexpr, LOCAL: tl.constexpr,
    LOCAL_COLUMNS: tl.constexpr, AFFINE_BIAS: tl.constexpr,
    MAP_ROWS: tl.constexpr, MAP_COLS: tl.constexpr, CELLS: tl.constexpr, CP: tl.constexpr,
    ROWS: tl.constexpr, BM: tl.constexpr, STAGES: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """CONV_OUT: bytes in the last step, else the noisy target of the next."""
    m0 = first_row(d)
    ok = served(counters, error, d, epoch, 0, LIMIT)
    source = work + start_of(tl.load(d + ARGUMENTS + 1))
    kernel = convolutions + start_of(tl.load(d + ARGUMENTS))
    clean = convolve(source, kernel, m0, MAP_ROWS, MAP_COLS, BM, CP, 16, STAGES)
    places = m0 + tl.arange(0, BM)
    column = tl.arange(0, 16)
    at = places[:, None] * 16 + column[None, :]
    real = (places < MAP_ROWS * MAP_COLS)[:, None] & (column < 12)[None, :]
    clean += tl.load(sums + COARSE * PANEL + at, mask=real, other=0.0)
    clean += colours(
        sums, fixed, camera, m0, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS, MAP_COLS, CELLS, BM
    )
    y = 2 * (places // MAP_COLS)[:, None] + ((column % 4) // 2)[None, :]
    x = 2 * (places % MAP_COLS)[:, None] + (column % 2)[None, :]
    colour = (column // 4)[None, :]
    if tl.load(d + ARGUMENTS + 3) == 1:
        level = (tl.minimum(tl.maximum(clean, -1.0), 1.0) + 1.0) * 127.5
        level = (level + ROUND) - ROUND
        tl.store(out + (y * (2 * MAP_COLS) + x) * 3 + colour, level.to(tl.uint8), mask=real)
    else:
        euler = control + start_of(tl.load(d + ARGUMENTS + 2))
        if tl.load(d + ARGUMENTS + 4) == 1:
            before = noise + (colour * (2 * MAP_ROWS) + y) * (2 * MAP_COLS) + x
            noisy = tl.load(before, mask=real, other=0.0)
        else:
            noisy = tl.load(sums + Z * PANEL + at, mask=real, other=0.0)
        noisy = noisy * tl.load(euler) + clean * tl.load(euler + 1)
        tl.store(sums + Z * PANEL + at, noisy, mask=real)
        place = patch_place(y, x, colour, MAP_COLS // CELLS, 2 * CELLS, ROWS)
        tl.store(work + NOISY * PANEL + place, noisy.to(work.dtype.element_ty), mask=real)
    return ok
