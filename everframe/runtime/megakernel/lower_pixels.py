"""The ends of a frame in tile instructions: pictures to tokens, tokens to pictures."""

from __future__ import annotations

from dataclasses import dataclass

from everframe.runtime.megakernel.isa import (
    SEGMENTS,
    TRITON_RATES,
    Instruction,
    Matrix,
    Opcode,
    Read,
    Wait,
    matrix_cost,
)
from everframe.runtime.megakernel.lower_blocks import (
    PART_BYTES,
    RESIDUAL_BYTES,
    finish,
    norm_reads,
    norm_writes,
)
from everframe.runtime.megakernel.lower_state import (
    PIXELS,
    Lowering,
    Phase,
    Span,
    region,
    shares,
    spans,
)
from everframe.runtime.megakernel.tiles import AFFINE, PANEL

UNPACK_US = 3e-4
"""Estimated time to unpack a number of a picture."""
GAINS_US, COLOURS_US = 1.0, 2.0
"""Estimated time of local gains and of colour maps for a tile of positions."""
SHOWN = (0, 2, 3)
"""Pictures that the detail path sees: camera, anchor output, anchor camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Counters of the pictures that are ready to be embedded: by row of patches for the unpacked
    ones; the noisy target of a later step by convolution tile. maps: by row of patches, what the
    detail path sees.
    """

    unpacked: tuple[Phase, ...]
    maps: Phase
    updated: Phase | None


def lower_unpack(state: Lowering) -> Pictures:
    """Bytes and noise to matrix rows, which the first instructions wait for; bytes to the input of
    the detail path, which is looked at last.
    """
    phases: list[Phase] = []
    for number, name in enumerate(SEGMENTS):
        phase = state.phase(state.plan.rows)
        phases.append(phase)
        for band in range(state.plan.rows):
            rows = state.band_tokens((band, band + 1))
            channels = (0, state.plan.patch_channels)
            if name == "noisy":
                rows, channels = state.band_positions((band, band + 1)), (0, PIXELS)
            state.emit(
                Opcode.UNPACK,
                f"unpack.{name}",
                (0, rows, channels),
                fields={"segment": number, "map": 0},
                access=(
                    [Read(region(f"input.{name}", rows, channels))],
                    [region(f"patch.{name}", rows, channels)],
                ),
                waits=[],
                signal=phase.first + band,
                cost=_unpack_cost(state),
            )
    return Pictures(unpacked=tuple(phases), maps=_lower_maps(state), updated=None)


def _lower_maps(state: Lowering) -> Phase:
    phase = state.phase(state.plan.rows)
    channels = (0, state.plan.patch_channels)
    for number in SHOWN:
        name = SEGMENTS[number]
        for band in range(state.plan.rows):
            rows = state.band_tokens((band, band + 1))
            state.emit(
                Opcode.UNPACK,
                f"map.{name}",
                (0, rows, channels),
                fields={"segment": number, "map": 1},
                access=(
                    [Read(region(f"input.{name}", rows, channels))],
                    [region(f"map.{name}", rows, channels)],
                ),
                waits=[],
                signal=phase.first + band,
                cost=_unpack_cost(state),
            )
    return phase


def _embed_parts(state: Lowering, pictures: Pictures) -> Phase:
    """What does not change from step to step: camera, own output, anchor."""
    blocks = state.row_blocks()
    columns = spans(state.plan.width, state.tiles.model_cols)
    done = state.phase(len(blocks) * len(columns))
    channels = (0, state.plan.patch_channels)
    for part, name in enumerate(SEGMENTS[:4]):
        for m, rows in enumerate(blocks):
            for n, cols in enumerate(columns):
                state.emit(
                    Opcode.PART,
                    f"embed.{name}",
                    (0, rows, cols),
                    fields={"weight": part, "block": 0, "part": part, "share": 0, "shares": 1},
                    access=(
                        [Read(region(f"patch.{name}", rows, channels))],
                        [region(f"embed.{part}", rows, cols)],
                    ),
                    waits=[state.wait(pictures.unpacked[part], state.bands_of(rows))],
                    signal=done.first + m * len(columns) + n,
                    cost=state.matrix_cost(rows, cols[1] - cols[0], channels[1], PART_BYTES),
                )
    return done


def lower_embed(
    state: Lowering, step: int, pictures: Pictures, parts: Phase | None
) -> tuple[Phase, Phase]:
    """Tokens of a step; returns (counters of the tokens, counters of the constant parts)."""
    if state.tiles.embed_parts:
        return _embed_apart(state, step, pictures, parts)
    blocks = state.row_blocks()
    columns = spans(state.plan.width, state.tiles.model_cols)
    parts = parts or _embed_parts(state, pictures)
    done = state.phase(len(blocks))
    for m, rows in enumerate(blocks):
        bands = state.bands_of(rows)
        positions = state.band_positions(bands)
        for n, cols in enumerate(columns):
            ready = _picture_wait(state, pictures, 4, rows)
            state.emit(
                Opcode.EMBED,
                "embed",
                (step, rows, cols),
                fields={"parts": 5},
                access=(
                    [
                        Read(region("patch.noisy", positions, (0, PIXELS))),
                        *(Read(region(f"embed.{i}", rows, cols), 2) for i in range(4)),
                    ],
                    norm_writes(rows, cols, n),
                ),
                waits=[ready, Wait(2, parts.first + m * len(columns) + n, 1, 4)],
                signal=done.first + m,
                cost=state.matrix_cost(
                    rows, cols[1] - cols[0], state.plan.patch_channels, RESIDUAL_BYTES
                ),
            )
    return done, parts


def _picture_wait(state: Lowering, pictures: Pictures, number: int, rows: Span) -> Wait:
    bands = state.bands_of(rows)
    if pictures.updated is None:
        return state.wait(pictures.unpacked[number], bands)
    return state.wait(pictures.updated, _tiles_of(state, state.band_positions(bands)))


def _embed_apart(
    state: Lowering, step: int, pictures: Pictures, before: Phase | None
) -> tuple[Phase, Phase]:
    """Shares of the products of all pictures, of the noisy target alone after the first step, and
    instructions that add them.
    """
    blocks, parts = state.row_blocks(), state.tiles.embed_parts
    columns = spans(state.plan.width, state.tiles.model_cols)
    summed, done = state.phase(len(blocks) * len(columns)), state.phase(len(blocks))
    first = len(SEGMENTS) - 1 if before else 0
    cuts = shares(state.plan.patch_channels // PANEL, parts)
    for number, name in list(enumerate(SEGMENTS))[first:]:
        noisy = name == "noisy"
        for share, cut in enumerate(cuts):
            for m, rows in enumerate(blocks):
                channels = (cut[0] * PANEL, cut[1] * PANEL)
                source = region(f"patch.{name}", rows, channels)
                if noisy:
                    positions = state.band_positions(state.bands_of(rows))
                    source = region("patch.noisy", positions, (0, PIXELS))
                part = number * parts + share
                for n, cols in enumerate(columns):
                    state.emit(
                        Opcode.PART,
                        f"embed.{name}.{share}",
                        (step, rows, cols),
                        fields={
                            "weight": int(Matrix.NOISY) if noisy else number,
                            "block": 0,
                            "part": part,
                            "share": share,
                            "shares": parts,
                        },
                        access=([Read(source)], [region(f"embed.{part}", rows, cols)]),
                        waits=[_picture_wait(state, pictures, number, rows)],
                        signal=summed.first + m * len(columns) + n,
                        cost=matrix_cost(
                            state.tiles.rows,
                            cols[1] - cols[0],
                            channels[1] - channels[0],
                            PART_BYTES,
                        ),
                    )
    count = (len(SEGMENTS) - first) * parts
    waits = [Wait(0, summed.first + i, 1, count) for i in range(summed.count)]
    fields = {"weight": int(Matrix.NOISY), "block": -1, "parts": state.tiles.embed_sums}
    finish(state, (step, "embed"), fields, waits, done)
    return done, before or summed


def _tiles_of(state: Lowering, positions: Span) -> Span:
    """Convolution tiles that hold these positions."""
    size = state.tiles.conv_rows
    return positions[0] // size, (positions[1] - 1) // size + 1


def lower_head(state: Lowering, step: int, ready: Phase, maps: Phase) -> Pictures:
    """Tokens to pixels: projections, the detail path, the update of the noisy target, bytes."""
    projected = _project(state, step, ready)
    convolved = _first(state, step, projected, maps)
    for layer in range(state.plan.detail_depth):
        convolved = _middle(state, step, layer, convolved)
    updated = _last(state, step, projected, convolved)
    return Pictures(unpacked=(), maps=maps, updated=updated)


def _project(state: Lowering, step: int, ready: Phase) -> Phase:
    blocks = state.row_blocks()
    total = state.plan.patch_channels + AFFINE + 2 * state.plan.detail_channels
    done = state.phase(len(blocks))
    for m, rows in enumerate(blocks):
        for cols in spans(total, state.tiles.head_cols):
            state.emit(
                Opcode.HEAD,
                "head",
                (step, rows, cols),
                fields={},
                access=(norm_reads(state, rows), [region("head", rows, cols)]),
                waits=[state.wait(ready, (m, m + 1))],
                signal=done.first + m,
                cost=state.matrix_cost(rows, cols[1] - cols[0], state.plan.width, RESIDUAL_BYTES),
            )
    return done


def _conv_cost(state: Lowering, inputs: int, outputs: int | None = None) -> float:
    columns = outputs or state.plan.detail_channels
    return matrix_cost(state.tiles.conv_rows, columns, 9 * inputs)  # measured with Triton


def _unpack_cost(state: Lowering) -> float:
    return TRITON_RATES.task_us + UNPACK_US * state.plan.cols * state.plan.patch_channels


def _positions(state: Lowering) -> list[Span]:
    return spans(state.plan.map_rows * state.plan.map_cols, state.tiles.conv_rows)


def _first(state: Lowering, step: int, ready: Phase, maps: Phase) -> Phase:
    tiles, plan = _positions(state), state.plan
    done = state.phase(len(tiles))
    pictures = [f"map.{SEGMENTS[i]}" for i in SHOWN]
    total = plan.patch_channels + AFFINE + 2 * plan.detail_channels
    for t, rows in enumerate(tiles):
        bands = state.near_bands(rows)
        tokens = state.band_tokens(bands)
        state.emit(
            Opcode.CONV_IN,
            "conv_in",
            (step, rows, (0, plan.detail_channels)),
            fields={},
            access=(
                [
                    *(Read(region(name, tokens, (0, plan.patch_channels))) for name in pictures),
                    Read(region("head", tokens, (0, plan.patch_channels)), 1),
                    Read(region("head", tokens, (plan.patch_channels + AFFINE, total)), 1),
                ],
                [region("detail.0", rows, (0, plan.detail_channels))],
            ),
            waits=[state.wait(maps, bands), state.wait(ready, state.blocks_of(tokens), 1)],
            signal=done.first + t,
            cost=_conv_cost(state, PANEL) + GAINS_US,
        )
    return done


def _middle(state: Lowering, step: int, layer: int, ready: Phase) -> Phase:
    tiles, channels = _positions(state), (0, state.plan.detail_channels)
    done = state.phase(len(tiles))
    for t, rows in enumerate(tiles):
        near = state.near_positions(rows)
        state.emit(
            Opcode.CONV,
            f"conv.{layer}",
            (step, rows, channels),
            fields={"layer": layer},
            access=(
                [Read(region(f"detail.{layer % 2}", near, channels))],
                [region(f"detail.{(layer + 1) % 2}", rows, channels)],
            ),
            waits=[state.wait(ready, _tiles_of(state, near))],
            signal=done.first + t,
            cost=_conv_cost(state, channels[1]),
        )
    return done


def _last(state: Lowering, step: int, projected: Phase, ready: Phase) -> Phase:
    """Colours while the last convolutions are waited for."""
    tiles, plan = _positions(state), state.plan
    done = state.phase(len(tiles))
    last = step == state.steps - 1
    noisy = "input.noisy" if step == 0 else "z"
    for t, rows in enumerate(tiles):
        near, bands = state.near_positions(rows), state.near_bands(rows)
        own = (rows[0] // (plan.cells * plan.map_cols), 0)
        own = (own[0], (rows[1] - 1) // (plan.cells * plan.map_cols) + 1)
        camera, tokens = state.band_tokens(own), state.band_tokens(bands)
        reads = [
            Read(region(f"detail.{plan.detail_depth % 2}", near, (0, plan.detail_channels)), 1),
            Read(region("head", tokens, (0, plan.patch_channels + AFFINE))),
            Read(region("input.camera", camera, (0, plan.patch_channels))),
        ]
        writes = [region("frame", rows, (0, PIXELS))]
        if not last:
            reads += [Read(region(noisy, rows, (0, PIXELS)))]
            writes = [region(name, rows, (0, PIXELS)) for name in ("z", "patch.noisy")]
        state.emit(
            Opcode.CONV_OUT,
            "conv_out",
            (step, rows, (0, PIXELS)),
            fields={"last": int(last)},
            access=(reads, writes),
            waits=[
                state.wait(projected, state.blocks_of(tokens)),
                state.wait(ready, _tiles_of(state, near), 1),
            ],
            signal=done.first + t,
            cost=_conv_cost(state, plan.detail_channels, PIXELS) + COLOURS_US,
        )
    return done


def lower_rehearsals(state: Lowering) -> tuple[Instruction, ...]:
    """Of the first step of the detail path: what has no operands, reads and writes nothing."""
    kinds = [(Opcode.CONV_IN, {}), (Opcode.CONV_OUT, {"last": int(state.steps == 1)})]
    if state.plan.detail_depth:
        kinds.insert(1, (Opcode.CONV, {"layer": 0}))
    return tuple(
        Instruction(
            op=op,
            name=f"0.rehearse.{op.name.lower()}",
            step=0,
            rows=(0, state.tiles.conv_rows),
            cols=(0, state.plan.detail_channels),
            fields=fields | {"rehearsal": 1},
            reads=(),
            writes=(),
            waits=(),
            signal=0,
            cost=TRITON_RATES.task_us,
        )
        for op, fields in kinds
    )
