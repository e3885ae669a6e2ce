"""The instructions of the head and of the detail path, on NumPy arrays."""

from __future__ import annotations

import numpy as np

from everframe.arch.spec import AFFINE_LATTICE
from everframe.runtime.megakernel.geometry import (
    Indices,
    cell_channels,
    neighbours,
    token_and_cell,
)
from everframe.runtime.megakernel.isa import Instruction, Region
from everframe.runtime.megakernel.lower_state import PIXELS
from everframe.runtime.megakernel.machine import Array, Machine, Work, normed
from everframe.runtime.megakernel.operands import BYTE_CENTRE, BYTE_SCALE
from everframe.runtime.megakernel.tiles import AFFINE


def head(machine: Machine, task: Instruction) -> Work:
    """The three projections of the tokens."""
    yield 0
    cols = slice(*task.cols)
    shift = machine.steps[task.step].head_shift[cols]
    machine.write(task, task.writes[0], normed(machine, task, machine.fixed.head[cols], shift))


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _taps(machine: Machine, positions: Indices) -> list[tuple[Indices, Array]]:
    """Positions of the nine taps (clamped), and 1 where they are inside the map."""
    rows, cols = machine.plan.map_rows, machine.plan.map_cols
    y, x = np.divmod(positions, cols)
    taps: list[tuple[Indices, Array]] = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            ty, tx = y + dy, x + dx
            inside = (ty >= 0) & (ty < rows) & (tx >= 0) & (tx < cols)
            place = np.clip(ty, 0, rows - 1) * cols + np.clip(tx, 0, cols - 1)
            taps.append((place, inside[:, None].astype(np.float32)))
    return taps


def _convolve(machine: Machine, task: Instruction, weight: Array) -> Array:
    """3x3 convolution of the region that a task reads first."""
    near, stage = task.reads[0].region, task.reads[0].stage
    values = machine.read(task, near, stage)
    positions = np.arange(*task.rows)
    result = np.zeros((len(positions), weight.shape[0]), np.float32)
    kernel = weight.reshape(weight.shape[0], weight.shape[1], 9)
    for tap, (place, inside) in enumerate(_taps(machine, positions)):
        at = np.clip(place - near.row0, 0, len(values) - 1)
        result += (values[at] * inside) @ kernel[:, :, tap].T
    return result


def conv_in(machine: Machine, task: Instruction) -> Work:
    """Camera, coarse estimate and anchor -> detail channels."""
    yield 0
    plan = machine.plan
    order = cell_channels(plan).reshape(-1, PIXELS)
    camera, anchor_output, anchor_camera = (task.reads[i].region for i in range(3))
    patches, local = (task.reads[i].region for i in (3, 4))
    yield 1
    pictures = (camera, patches, anchor_output, anchor_camera)
    blocks = {r: machine.read(task, r, int(r == patches)) for r in pictures}
    weight = machine.fixed.convolutions[0].reshape(plan.detail_channels, -1, 9)
    positions = np.arange(*task.rows)
    u = np.zeros((len(positions), plan.detail_channels), np.float32)
    for tap, (place, inside) in enumerate(_taps(machine, positions)):
        token, cell = token_and_cell(plan, place)
        at = (token - camera.row0)[:, None]
        channels = [
            values[at, cell[:, None] * PIXELS + np.arange(PIXELS) if r == patches else order[cell]]
            for r, values in blocks.items()
        ]
        u += (np.concatenate(channels, 1) * inside) @ weight[:, :, tap].T
    gains = _upsampled(machine, task, local, plan.cells)
    gain, shift = np.split(gains, 2, 1)
    detail = machine.steps[task.step].detail
    machine.write(task, task.writes[0], _silu(u * (1 + gain + detail[0]) + detail[1] + shift))


def _upsampled(machine: Machine, task: Instruction, source: Region, factor: int) -> Array:
    """Columns of the head, interpolated from patches to positions."""
    values = machine.read(task, source, 1)
    total = np.zeros((task.rows[1] - task.rows[0], values.shape[1]), np.float32)
    for row, col, share in neighbours(machine.plan, np.arange(*task.rows), factor):
        total += share[:, None] * values[row * machine.plan.cols + col - source.row0]
    return total


def conv(machine: Machine, task: Instruction) -> Work:
    """A middle convolution; all but the first are residual."""
    yield 0
    layer = task.fields["layer"]
    detail = machine.steps[task.step].detail
    u = _convolve(machine, task, machine.fixed.convolutions[layer + 1])
    u = _silu(u * (1 + detail[2 * layer + 2]) + detail[2 * layer + 3])
    if layer:
        near = task.reads[0].region
        own = Region(near.buffer, *task.rows, near.col0, near.col1)
        u = u + machine.read(task, own, 0)
    machine.write(task, task.writes[0], u)


def _colour_maps(machine: Machine, task: Instruction, source: Region) -> Array:
    """[n, 3, 4] colour map of each position."""
    plan = machine.plan
    values = machine.read(task, source, 0)[:, plan.patch_channels :]
    assert values.shape[1] == AFFINE
    total = np.zeros((task.rows[1] - task.rows[0], PIXELS), np.float32)
    for row, col, share in neighbours(plan, np.arange(*task.rows), plan.cells // AFFINE_LATTICE):
        token = (row // AFFINE_LATTICE) * plan.cols + col // AFFINE_LATTICE - source.row0
        sub = (row % AFFINE_LATTICE) * AFFINE_LATTICE + col % AFFINE_LATTICE
        channels = np.arange(PIXELS) * AFFINE_LATTICE**2 + sub[:, None]
        total += share[:, None] * values[token[:, None], channels]
    return (total + machine.fixed.affine_bias).reshape(-1, 3, 4)


def conv_out(machine: Machine, task: Instruction) -> Work:
    """Colour maps of the camera + coarse estimate + detail; bytes, or the next noisy target."""
    yield 0
    plan, step = machine.plan, machine.steps[task.step]
    tokens, camera = task.reads[1].region, task.reads[2].region
    token, cell = token_and_cell(plan, np.arange(*task.rows))
    columns = cell[:, None] * PIXELS + np.arange(PIXELS)
    coarse = machine.read(task, tokens, 0)[(token - tokens.row0)[:, None], columns]
    order = cell_channels(plan).reshape(-1, PIXELS)
    pixels = machine.read(task, camera, 0)[(token - camera.row0)[:, None], order[cell]]
    pixels = ((pixels - BYTE_CENTRE) * BYTE_SCALE).reshape(-1, 3, 4)
    maps = _colour_maps(machine, task, tokens)
    mapped = np.einsum("nij,njs->nis", maps[:, :, :3], pixels) + maps[:, :, 3:]
    noisy = None if task.fields["last"] else machine.read(task, task.reads[3].region, 0)
    yield 1
    detail = _convolve(machine, task, machine.fixed.convolutions[-1])
    clean = mapped.reshape(-1, PIXELS) + coarse + detail
    if noisy is None:
        machine.write(task, task.writes[0], np.rint((clean.clip(-1, 1) + 1) * np.float32(127.5)))
        return
    noisy = noisy * np.float32(step.keep) + clean * np.float32(step.move)
    for region in task.writes:
        machine.write(task, region, noisy)
