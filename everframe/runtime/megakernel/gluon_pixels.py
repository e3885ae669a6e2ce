# pyright: basic, reportMissingImports=false
# (triton is not installed where there is no GPU, and has no types)
"""Gluon: the convolutions of the detail path, bytes out. The math warpgroups load and store for
themselves, each half of a tile; weights of convolutions come through the ring, and the pictures of
the first one. The inner axis of weights is (tap, channel), in panels of 64, the last ones zeros.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from everframe.runtime.megakernel.gluon_memory import (
    CONV,
    CONV_IN,
    GROUP,
    HALF,
    PANEL,
    accumulator,
    fence_proxies,
    first_row,
    left_behind,
    release,
    slot,
    start_of,
    turn,
    word,
)
from everframe.runtime.megakernel.gluon_tokens import cols_of, rows_along, rows_of, silu

ROUND = gl.constexpr(12582912.0)
"""1.5 * 2^23: adding and subtracting it rounds a float32 to an integer, halves to even."""


@gluon.jit
def taps_of(
    source, row, panel, layout: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CIN: gl.constexpr,
):  # fmt: skip
    """[64, 64]: a panel of what a 3x3 convolution multiplies, zeros outside the map."""
    places = rows_of(row, layout)
    inner = gl.arange(0, PANEL, layout=gl.SliceLayout(0, layout))
    tap = panel * (PANEL // CIN) + inner // CIN
    y = (places // MAP_COLS)[:, None] + (tap // 3 - 1)[None, :]
    x = (places % MAP_COLS)[:, None] + (tap % 3 - 1)[None, :]
    inside = (y >= 0) & (y < MAP_ROWS) & (x >= 0) & (x < MAP_COLS) & (tap < 9)[None, :]
    at = (y * MAP_COLS + x) * CIN + (inner % CIN)[None, :]
    return gl.load(source + at, mask=inside, other=0.0, cache_modifier=".cg")


@gluon.jit
def tap_product(a, acc, ring, it, first):
    """One panel more of a convolution."""
    _, ring_w, full, empty = ring
    stage = slot(it)
    mbarrier.wait(full.index(stage), turn(it))
    w = ring_w.index(stage).slice(0, acc.shape[1]).permute((1, 0))
    acc = warpgroup_mma(a, w, acc, use_acc=first == 0, is_async=True)
    acc = warpgroup_mma_wait(num_outstanding=0, deps=(acc,))
    release(empty, stage)
    return acc, it + 1


@gluon.jit
def convolve(
    source, row, ring, it,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CIN: gl.constexpr, COUT: gl.constexpr,
    PANELS: gl.constexpr,
):  # fmt: skip
    """[64, COUT]: 3x3 convolution of a map [positions, CIN], zero padding. Three panels are on
    their way at a time.
    """
    layout: gl.constexpr = gl.DotOperandLayout(0, accumulator(COUT), 2)
    _, _, full, _ = ring
    mbarrier.wait(full.index(slot(it)), turn(it))  # what was waited for is there
    acc = gl.zeros((HALF, COUT), gl.float32, layout=accumulator(COUT))
    for panel in range(0, PANELS, GROUP):
        a = taps_of(source, row, panel, layout, MAP_ROWS, MAP_COLS, CIN)
        b = taps_of(source, row, panel + 1, layout, MAP_ROWS, MAP_COLS, CIN)
        c = taps_of(source, row, panel + 2, layout, MAP_ROWS, MAP_COLS, CIN)
        acc, it = tap_product(a, acc, ring, it, gl.where(panel == 0, 1, 0))
        acc, it = tap_product(b, acc, ring, it, 0)
        acc, it = tap_product(c, acc, ring, it, 0)
    return acc, it


@gluon.jit
def convolve_first(
    row, ring, it,
    W: gl.constexpr, MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, COUT: gl.constexpr,
    PANELS: gl.constexpr,
):  # fmt: skip
    """[64, COUT]: the same of a map of 64 channels, whose taps come through the ring; what a tap
    finds outside the map is replaced by zeros.
    """
    layout: gl.constexpr = gl.DotOperandLayout(0, accumulator(COUT), 2)
    ring_a, _, full, _ = ring
    places = rows_of(row, layout)
    acc = gl.zeros((HALF, COUT), gl.float32, layout=accumulator(COUT))
    for tap in range(PANELS):
        stage = slot(it)
        mbarrier.wait(full.index(stage), turn(it))
        a = ring_a.index(stage).slice(W * HALF, HALF).load(layout)
        y, x = places // MAP_COLS + (tap // 3 - 1), places % MAP_COLS + (tap % 3 - 1)
        inside = (y >= 0) & (y < MAP_ROWS) & (x >= 0) & (x < MAP_COLS)
        a = gl.where(inside[:, None], a, 0.0)
        acc, it = tap_product(a, acc, ring, it, gl.where(tap == 0, 1, 0))
    return acc, it


@gluon.jit
def side(place, SIZE: gl.constexpr, FACTOR: gl.constexpr):
    """Nearest samples below and above, and the share of the latter, of a bilinear upsampling."""
    at = (place.to(gl.float32) + 0.5) / FACTOR - 0.5
    at = gl.minimum(gl.maximum(at, 0.0), SIZE - 1.0)
    low = at.to(gl.int32)
    return low, gl.minimum(low + 1, SIZE - 1), at - low.to(gl.float32)


@gluon.jit
def local_value(table, row, col, cols, TOKEN_COLS: gl.constexpr, LOCAL_COLUMNS: gl.constexpr):
    """Columns of the float map at a token of each position."""
    at = table + (row * TOKEN_COLS + col)[:, None] * LOCAL_COLUMNS + cols[None, :]
    return gl.load(at, cache_modifier=".cg")


@gluon.jit
def local_gains(
    table, cols, row, layout: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CELLS: gl.constexpr,
    LOCAL_COLUMNS: gl.constexpr,
):  # fmt: skip
    """[64, len(cols)]: columns of the float map, interpolated from patches to positions."""
    COLS: gl.constexpr = MAP_COLS // CELLS
    places = gl.minimum(rows_of(row, layout), MAP_ROWS * MAP_COLS - 1)
    y0, y1, wy = side(places // MAP_COLS, MAP_ROWS // CELLS, CELLS)
    x0, x1, wx = side(places % MAP_COLS, COLS, CELLS)
    a = local_value(table, y0, x0, cols, COLS, LOCAL_COLUMNS) * ((1 - wy) * (1 - wx))[:, None]
    a += local_value(table, y0, x1, cols, COLS, LOCAL_COLUMNS) * ((1 - wy) * wx)[:, None]
    a += local_value(table, y1, x0, cols, COLS, LOCAL_COLUMNS) * (wy * (1 - wx))[:, None]
    a += local_value(table, y1, x1, cols, COLS, LOCAL_COLUMNS) * (wy * wx)[:, None]
    return a


@gluon.jit
def conv_in(
    d, work, sums, control, ring, output, it, used,
    W: gl.constexpr, LOCAL: gl.constexpr, LOCAL_COLUMNS: gl.constexpr, MAP_ROWS: gl.constexpr,
    MAP_COLS: gl.constexpr, CELLS: gl.constexpr, C: gl.constexpr, CP: gl.constexpr,
    PANELS: gl.constexpr,
):  # fmt: skip
    """CONV_IN."""
    row = first_row(d, W)
    u, it = convolve_first(row, ring, it, W, MAP_ROWS, MAP_COLS, CP, PANELS)
    layout: gl.constexpr = u.type.layout
    channels = cols_of(0, u)
    own = 48 + gl.minimum(channels, C - 1)
    table = sums + LOCAL * PANEL
    gain = local_gains(table, own, row, layout, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS)
    gain += 1.0 + gl.load(control + start_of(word(d, 2)) + channels)[None, :]
    u = u * gain
    u += local_gains(table, own + C, row, layout, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS)
    u += gl.load(control + start_of(word(d, 3)) + channels)[None, :]
    u = gl.where((channels < C)[None, :], silu(u), 0.0)
    at = rows_of(row, layout)[:, None] * CP + channels[None, :]
    gl.store(work + start_of(word(d, 1)) + at, u.to(work.dtype.element_ty))
    return it, left_behind(output, used)


@gluon.jit
def conv(
    d, work, control, ring, output, it, used,
    W: gl.constexpr, MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, C: gl.constexpr,
    CP: gl.constexpr, PANELS: gl.constexpr,
):  # fmt: skip
    """CONV."""
    row = first_row(d, W)
    source = work + start_of(word(d, 4))
    u, it = convolve(source, row, ring, it, MAP_ROWS, MAP_COLS, CP, CP, PANELS)
    channels = cols_of(0, u)
    at = rows_along(row, u)[:, None] * CP + channels[None, :]
    u = u * (1.0 + gl.load(control + start_of(word(d, 2)) + channels))[None, :]
    u += gl.load(control + start_of(word(d, 3)) + channels)[None, :]
    u = gl.where((channels < C)[None, :], silu(u), 0.0)
    if word(d, 5) == 1:
        u += gl.load(source + at, cache_modifier=".cg").to(gl.float32)
    gl.store(work + start_of(word(d, 1)) + at, u.to(work.dtype.element_ty))
    return it, left_behind(output, used)


@gluon.jit
def map_entry(
    table, entry, y, x,
    MAP_COLS: gl.constexpr, CELLS: gl.constexpr, LOCAL_COLUMNS: gl.constexpr,
):  # fmt: skip
    """An entry of the colour maps at a point of the lattice of two per patch side."""
    token = (y // 2) * (MAP_COLS // CELLS) + x // 2
    sub = (y % 2) * 2 + x % 2
    at = (token * LOCAL_COLUMNS + sub)[:, None] + entry[None, :] * 4
    return gl.load(table + at, cache_modifier=".cg")


@gluon.jit
def colour_map(
    table, bias, entry, places,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CELLS: gl.constexpr,
    LOCAL_COLUMNS: gl.constexpr,
):  # fmt: skip
    """[64, len(entry)]: entries of the colour map of each position (12 numbers: result colour, then
    source colour or constant), interpolated.
    """
    HALF_CELLS: gl.constexpr = CELLS // 2
    y0, y1, wy = side(places // MAP_COLS, MAP_ROWS // HALF_CELLS, HALF_CELLS)
    x0, x1, wx = side(places % MAP_COLS, MAP_COLS // HALF_CELLS, HALF_CELLS)
    a = map_entry(table, entry, y0, x0, MAP_COLS, CELLS, LOCAL_COLUMNS)
    a = gl.load(bias + entry)[None, :] + a * ((1 - wy) * (1 - wx))[:, None]
    b = map_entry(table, entry, y0, x1, MAP_COLS, CELLS, LOCAL_COLUMNS)
    a += b * ((1 - wy) * wx)[:, None]
    b = map_entry(table, entry, y1, x0, MAP_COLS, CELLS, LOCAL_COLUMNS)
    a += b * (wy * (1 - wx))[:, None]
    b = map_entry(table, entry, y1, x1, MAP_COLS, CELLS, LOCAL_COLUMNS)
    a += b * (wy * wx)[:, None]
    return a


@gluon.jit
def colours(
    sums, fixed, camera, row, layout: gl.constexpr,
    LOCAL: gl.constexpr, LOCAL_COLUMNS: gl.constexpr, AFFINE_BIAS: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CELLS: gl.constexpr,
):  # fmt: skip
    """[64, 16]: the camera through the local colour maps; column = colour * 4 + sub-pixel."""
    places = gl.minimum(rows_of(row, layout), MAP_ROWS * MAP_COLS - 1)
    y, x = places // MAP_COLS, places % MAP_COLS
    column = gl.arange(0, 16, layout=gl.SliceLayout(0, layout))
    colour, sub = gl.minimum(column // 4, 2), column % 4
    pixel = (2 * y * (2 * MAP_COLS) + 2 * x)[:, None]
    pixel += ((sub // 2) * (2 * MAP_COLS) + sub % 2)[None, :]
    table, bias = sums + LOCAL * PANEL, fixed + AFFINE_BIAS * PANEL
    mapped = colour_map(
        table, bias, colour * 4 + 3, places, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS
    )
    for source in gl.static_range(3):
        byte = gl.load(camera + pixel * 3 + source).to(gl.float32)
        share = colour_map(
            table, bias, colour * 4 + source, places, MAP_ROWS, MAP_COLS, CELLS, LOCAL_COLUMNS
        )
        mapped += share * ((byte - 127.5) * (2 / 255))
    return mapped


@gluon.jit
def patch_place(y, x, colour, COLS: gl.constexpr, PATCH: gl.constexpr, ROWS: gl.constexpr):
    """Offset of a pixel in a matrix of patches stored in panels."""
    token = (y // PATCH) * COLS + x // PATCH
    channel = (colour * PATCH + y % PATCH) * PATCH + x % PATCH
    return ((channel // PANEL) * ROWS + token) * PANEL + channel % PANEL


@gluon.jit
def conv_out(
    d, work, sums, fixed, control, camera, noise, out, ring, output, it, used,
    W: gl.constexpr, NOISY: gl.constexpr, Z: gl.constexpr, COARSE: gl.constexpr,
    LOCAL: gl.constexpr, LOCAL_COLUMNS: gl.constexpr, AFFINE_BIAS: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CELLS: gl.constexpr, CP: gl.constexpr,
    ROWS: gl.constexpr, PANELS: gl.constexpr,
):  # fmt: skip
    """CONV_OUT: bytes in the last step, else the noisy target of the next. Colours come while the
    convolution before is waited for.
    """
    layout: gl.constexpr = accumulator(16)
    _, _, full, empty = ring
    row = first_row(d, W)
    places = rows_of(row, layout)
    column = gl.arange(0, 16, layout=gl.SliceLayout(0, layout))
    at = places[:, None] * 16 + column[None, :]
    real = (places < MAP_ROWS * MAP_COLS)[:, None] & (column < 12)[None, :]
    mbarrier.wait(full.index(slot(it)), turn(it))
    clean = gl.load(sums + COARSE * PANEL + at, mask=real, other=0.0, cache_modifier=".cg")
    clean += colours(
        sums, fixed, camera, row, layout, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS, MAP_COLS,
        CELLS,
    )  # fmt: skip
    release(empty, slot(it))
    source = work + start_of(word(d, 1))
    u, it = convolve(source, row, ring, it + 1, MAP_ROWS, MAP_COLS, CP, 16, PANELS)
    clean += u
    y = 2 * (places // MAP_COLS)[:, None] + ((column % 4) // 2)[None, :]
    x = 2 * (places % MAP_COLS)[:, None] + (column % 2)[None, :]
    colour = (column // 4)[None, :]
    if word(d, 3) == 1:
        level = (gl.minimum(gl.maximum(clean, -1.0), 1.0) + 1.0) * 127.5
        level = (level + ROUND) - ROUND
        gl.store(out + (y * (2 * MAP_COLS) + x) * 3 + colour, level.to(gl.uint8), mask=real)
    else:
        if word(d, 4) == 1:
            before = noise + (colour * (2 * MAP_ROWS) + y) * (2 * MAP_COLS) + x
            noisy = gl.load(before, mask=real, other=0.0)
        else:
            noisy = gl.load(sums + Z * PANEL + at, mask=real, other=0.0, cache_modifier=".cg")
        euler = control + start_of(word(d, 2))
        noisy = noisy * gl.load(euler) + clean * gl.load(euler + 1)
        gl.store(sums + Z * PANEL + at, noisy, mask=real)
        place = patch_place(y, x, colour, MAP_COLS // CELLS, 2 * CELLS, ROWS)
        gl.store(work + NOISY * PANEL + place, noisy.to(work.dtype.element_ty), mask=real)
        fence_proxies()  # which TMA will load
    return it, left_behind(output, used)


@gluon.jit
def maps(
    d, op, work, sums, fixed, control, camera, noise, out, ring, output, it, used,
    W: gl.constexpr, NOISY: gl.constexpr, Z: gl.constexpr, COARSE: gl.constexpr,
    LOCAL: gl.constexpr, LOCAL_COLUMNS: gl.constexpr, AFFINE_BIAS: gl.constexpr,
    MAP_ROWS: gl.constexpr, MAP_COLS: gl.constexpr, CELLS: gl.constexpr, C: gl.constexpr,
    CP: gl.constexpr, ROWS: gl.constexpr, FIRST_PANELS: gl.constexpr, NEXT_PANELS: gl.constexpr,
):  # fmt: skip
    """The instructions of the detail path. Positions past the last one are padding."""
    if op == CONV_IN:
        it, used = conv_in(
            d, work, sums, control, ring, output, it, used,
            W, LOCAL, LOCAL_COLUMNS, MAP_ROWS, MAP_COLS, CELLS, C, CP, FIRST_PANELS,
        )  # fmt: skip
    elif op == CONV:
        it, used = conv(
            d, work, control, ring, output, it, used, W, MAP_ROWS, MAP_COLS, C, CP, NEXT_PANELS
        )
    else:
        it, used = conv_out(
            d, work, sums, fixed, control, camera, noise, out, ring, output, it, used,
            W, NOISY, Z, COARSE, LOCAL, LOCAL_COLUMNS, AFFINE_BIAS, MAP_ROWS, MAP_COLS, CELLS, CP,
            ROWS, NEXT_PANELS,
        )  # fmt: skip
    return it, used
