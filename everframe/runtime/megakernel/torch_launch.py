"""The kernel with its memory: allocates the arenas, launches a frame, reports what got stuck."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.core.errors import UserError
from everframe.runtime.megakernel.encode import SIGNAL, WAITS, encode
from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.operands import Operands, StepControl, score_bound
from everframe.runtime.megakernel.pack import (
    pack_control,
    pack_convolutions,
    pack_fixed,
    pack_prompt,
    pack_weights,
)
from everframe.runtime.megakernel.schedule import Schedule
from everframe.runtime.megakernel.tiles import MAX_WINDOW, PANEL, Tiles
from everframe.runtime.megakernel.triton_bulk import key_descriptor, matrix_descriptors
from everframe.runtime.megakernel.triton_kernel import BUILD_ERRORS, frame_kernel

POLL_LIMIT = 2_000_000
"""Polls of a wait before it gives up: about two seconds on an H100 (one poll 0.7 to 1 us)."""
SAFE_EXPONENT = 60.0
"""Scores below this (base 2) need no running maximum: float32 and bfloat16 hold 2^60 * keys."""
MATRICES = 5
"""Descriptors of matrices among the arguments."""
NOT_STUCK = (1 << 31) - 1
"""Larger than the number of any instruction."""
LAST_EPOCH = 1 << 20
"""Launches after which the counters start again from zero; targets stay below 2^31 / this."""


class KernelBuildError(RuntimeError):
    """Triton could not compile the kernel, or the device has no room for it."""


class KernelStuckError(RuntimeError):
    """An instruction waited longer than the limit; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Weights on the device, shared by the kernels of all step counts."""

    weights: Tensor
    convolutions: Tensor
    fixed: Tensor
    bounded: bool


def constants_of(
    layout: Layout, fixed: Operands, device: torch.device, dtype: torch.dtype
) -> Constants:
    """Pack and upload. `bounded`: gains prove that no score can overflow without a running
    maximum.
    """

    def put(array: NDArray[np.float32], kind: torch.dtype = dtype) -> Tensor:
        return torch.from_numpy(array).to(kind).to(device)

    return Constants(
        weights=put(pack_weights(layout, fixed)),
        convolutions=put(pack_convolutions(layout, fixed)),
        fixed=put(pack_fixed(layout, fixed), torch.float32),
        bounded=max(score_bound(layout.plan, fixed)) < SAFE_EXPONENT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Control tables on the device, for one prompt and number of steps."""

    control: Tensor
    prompt: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What a launch reads, on the device. uint8 [H, W, 3]; noise float32 [3, H, W]."""

    camera: Tensor
    previous: Tensor
    anchor_output: Tensor
    anchor_camera: Tensor
    noise: Tensor
    has_previous: bool
    has_anchor: bool


class Kernel:
    """A scheduled frame in device memory.

    function: what Triton compiles; warps: of the launch, None: those of the tiles.
    """

    function: Any = frame_kernel
    warps: int | None = None

    def __init__(
        self,
        schedule: Schedule,
        layout: Layout,
        constants: Constants,
        *,
        interpreted: bool = False,
        timed: bool = False,
        delayed: bool = False,
        poll_limit: int = POLL_LIMIT,
    ) -> None:
        """Allocate. `interpreted`: Triton's interpreter on the CPU, several lists in a random legal
        order; `timed`: keep the times of instructions; `delayed`: hold up each by a random time.
        """
        self.schedule, self.layout, self.constants = schedule, layout, constants
        self.device, self.dtype = constants.weights.device, constants.weights.dtype
        self.interpreted = interpreted
        table, starts = encode(schedule, layout)
        self.table, self.starts = self._put(table), self._put(starts)
        self.counters = self._put(np.zeros(len(schedule.graph.totals) + PANEL, np.int32))
        self.error = self._put(np.full(1, NOT_STUCK, np.int32))
        stamps = len(schedule.graph.instructions) * 2 if timed else 1
        self.stamps = self._put(np.zeros(stamps, np.int64))
        self.work = torch.zeros(layout.work.lines * PANEL, dtype=self.dtype, device=self.device)
        self.sums = torch.zeros(layout.sums.lines * PANEL, device=self.device)
        self.epoch = 0
        self.options = self.compile_options()
        self.options |= {"TIMED": int(timed), "DELAYED": int(delayed), "LIMIT": poll_limit}
        if interpreted:
            self.options |= {"AHEAD": 0, "TMA": 2 * layout.tiles.bulk}
        self._compiled: Any = None
        self._matrices = self._descriptors()

    def compile_options(self) -> dict[str, int]:
        """What the kernel is compiled for."""
        return compiled_for(self.layout, bounded=self.constants.bounded)

    def _descriptors(self) -> tuple[Any, ...]:
        if not self.layout.tiles.bulk:
            return (None,) * MATRICES
        return matrix_descriptors(self.layout, self.work, self.constants.weights)

    def beside(self) -> Kernel:
        """The same kernel with counters and scratch of its own, to run at the same time."""
        other = copy.copy(self)
        for name in ("counters", "stamps", "work", "sums"):
            vars(other)[name] = torch.zeros_like(vars(self)[name])
        other.error = torch.full_like(self.error, NOT_STUCK)
        other.epoch = 0
        other._matrices = other._descriptors()
        return other

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def tables(self, steps: Sequence[StepControl]) -> Tables:
        """Upload the control of all steps."""
        return Tables(
            control=self._put(pack_control(self.layout, steps)),
            prompt=self._put(pack_prompt(self.layout, steps)).to(self.dtype),
        )

    def new_slot(self) -> Tensor:
        """Room for the keys and values of a frame; the kernel fills all of it."""
        lines = max(1, self.layout.slot.lines)
        return torch.empty(lines * PANEL, dtype=self.dtype, device=self.device)

    def __call__(
        self, tables: Tables, pictures: Pictures, slots: Sequence[Tensor], filled: int
    ) -> tuple[Tensor, Tensor]:
        """One frame: (uint8 [H, W, 3], its keys and values). `slots`: nearest past frame first."""
        plan = self.layout.plan
        size = (2 * plan.map_rows, 2 * plan.map_cols, 3)
        out = torch.empty(size, dtype=torch.uint8, device=self.device)
        new = self.new_slot()
        if self.epoch == LAST_EPOCH:
            self.counters.zero_()
            self.epoch = 0
        self.epoch += 1
        self._launch(*self.arguments(tables, pictures, slots, filled, (out, new)))
        return out, new

    def arguments(
        self,
        tables: Tables,
        pictures: Pictures,
        slots: Sequence[Tensor],
        filled: int,
        results: tuple[Tensor, Tensor],
    ) -> tuple[Any, ...]:
        """Of a launch, without constants. `results`: room for the frame and for its keys."""
        out, new = results
        past = [*slots, *[new] * MAX_WINDOW][:MAX_WINDOW]
        c, p = self.constants, pictures
        frames = (p.camera, p.previous, p.anchor_output, p.anchor_camera)
        keys, origin = None, 0
        if self.layout.tiles.bulk:
            unit = self.layout.head_dim * new.element_size()
            past = [aligned(slot, self.dtype, unit) for slot in past]
            keys, origin = key_descriptor(self.layout, new, (self.work, *past))
        return (
            *(self.table, self.starts, self.counters, self.error, self.stamps),
            *(self.epoch, filled, int(p.has_previous), int(p.has_anchor), origin),
            *(self.work, self.sums, c.weights, c.convolutions, c.fixed),
            *(tables.control, tables.prompt),
            *(aligned(frame, torch.uint8) for frame in frames),
            aligned(p.noise, torch.float32),
            *(out, new, *(aligned(slot, self.dtype) for slot in past)),
            *(*self._matrices, keys),
        )

    def _launch(self, *arguments: Any) -> None:
        """Past the first launch Triton's own dispatch, which looks at every argument again, is
        skipped: it takes longer than a small model's frame.
        """
        if self.interpreted:
            self._interpret(arguments)
            return
        grid = (len(self.schedule.lists), 1, 1)
        if self._compiled is not None:
            names = self.function.arg_names[len(arguments) :]
            self._compiled[grid](*arguments, *(self.options[name] for name in names))
            return
        try:
            # a cooperative launch is refused where its CTAs could not all be resident at once
            self._compiled = self.function[grid](
                *arguments,
                **self.options,
                num_warps=self.warps or self.layout.tiles.warps,
                launch_cooperative_grid=True,
            )
        except BUILD_ERRORS as error:  # tiles that do not fit, or a compiler that fails
            raise KernelBuildError(f"the mega kernel cannot be built: {error}") from error

    def _interpret(self, arguments: Sequence[Any]) -> None:
        """Triton's interpreter runs CTAs one after the other, so it gets one instruction at a time:
        the next of a random list among those whose counters are there. Where there is none, the
        wait that cannot end runs out of time in the kernel.
        """
        rng = np.random.default_rng(self.epoch)
        before = int(self.error.item())
        at, ends = self.starts[:-1].tolist(), self.starts[1:].tolist()
        while unfinished := [cta for cta, row in enumerate(at) if row < ends[cta]]:
            ready = [cta for cta in unfinished if self._ready(at[cta])]
            cta = int(rng.choice(ready or unfinished))
            starts = torch.tensor([at[cta], at[cta] + 1], dtype=torch.int32)
            self.function[(1, 1, 1)](arguments[0], starts, *arguments[2:], **self.options)
            at[cta] += 1
            if int(self.error.item()) != before:
                return

    def _ready(self, row: int) -> bool:
        """Whether the counters of all wait stages of a row of the table are there."""
        words = self.table[row, WAITS:SIGNAL].reshape(-1, 3).tolist()
        return all(
            bool((self.counters[first : first + count] >= target * self.epoch).all())
            for first, count, target in words
        )

    def recompile(self, **options: int) -> None:
        """Change compile-time options, for tests."""
        self.options |= options
        self._compiled = None

    def check(self) -> None:
        """Wait for the device and see whether the last launches ended well.

        Raises:
            KernelStuckError: a wait ran out of time; the counters are reset.
        """
        code = int(self.error.item())
        if code != NOT_STUCK:
            self.error.fill_(NOT_STUCK)
            self.counters.zero_()
            self.epoch = 0
            task, stage = divmod(code, 4)
            name = self.schedule.graph.instructions[task].name
            raise KernelStuckError(f"the mega kernel waited too long in {name}, wait stage {stage}")

    def poison(self) -> None:
        """Fill the scratch with NaN, so that a read of something unwritten shows in the result."""
        plan, at = self.layout.plan, self.layout.work.at
        self.sums.fill_(float("nan"))
        rows = self.layout.rows
        for name, size in (
            ("scaled", PANEL),
            ("q", self.layout.head_dim),
            ("o", PANEL),
            ("h", PANEL),
        ):
            view = self.work[at[name] * PANEL :][: rows * size]
            view.view(rows, size)[: plan.tokens] = float("nan")


def sizes_of(layout: Layout) -> dict[str, int]:
    """Sizes and places that any kernel is compiled for."""
    plan, tiles = layout.plan, layout.tiles
    work, sums, fixed = layout.work.at, layout.sums.at, layout.fixed.at
    return {
        "N": plan.tokens,
        "P": plan.prompt_tokens,
        "D": plan.width,
        "K": plan.head_dim,
        "HEADS": max(block.heads for block in plan.blocks),
        "COLS": plan.cols,
        "PATCH": plan.patch,
        "CELLS": plan.cells,
        "MAP_ROWS": plan.map_rows,
        "MAP_COLS": plan.map_cols,
        "C": plan.detail_channels,
        "CP": layout.channels,
        "PATCH_CHANNELS": plan.patch_channels,
        "LOCAL_COLUMNS": layout.local_columns,
        "ROWS": layout.rows,
        "WIDTH": layout.width,
        "TILES": -(-plan.width // tiles.model_cols),
        "SCALED": work["scaled"],
        "H": work["h"],
        "INPUT": work["detail.in"],
        "NOISY": work["patch.noisy"],
        "X": sums["x"],
        "SQUARES": sums["squares"],
        "LOCAL": sums["local"],
        "COARSE": sums["coarse"],
        "Z": sums["z"],
        "BASE": fixed["base"],
        "PREVIOUS": fixed["previous_bias"],
        "ANCHOR": fixed["anchor_bias"],
        "AFFINE_BIAS": fixed["affine_bias"],
    }


def compiled_for(layout: Layout, *, bounded: bool) -> dict[str, int]:
    """What the kernel is compiled for."""
    plan, tiles = layout.plan, layout.tiles
    return sizes_of(layout) | {
        "KP": layout.head_dim,
        "COS": layout.fixed.at["cos"],
        "SIN": layout.fixed.at["sin"],
        "BM": tiles.rows,
        "BN": tiles.model_cols,
        "BQ": tiles.qkv_heads * layout.head_dim,
        "BU": 2 * tiles.up_cols,
        "BH": tiles.head_cols,
        "BS": tiles.keys,
        "BC": tiles.conv_rows,
        "STAGES": tiles.stages,
        "CONV_STAGES": tiles.conv_stages,
        "KEY_STAGES": tiles.key_stages,
        "WINDOW": plan.window,
        "PROMPT_ROWS": layout.prompt_rows,
        "BOUNDED": int(bounded),
        "SPLIT": int(max(tiles.out_parts, tiles.down_parts) > 1),
        "MOST": tiles.attend_parts,
        "AHEAD": tiles.ahead,
        "TMA": tiles.bulk,
        **_sums_apart(tiles),
    }


def _sums_apart(tiles: Tiles) -> dict[str, int]:
    """Which instructions there are that only add, and how much."""
    return {
        "MERGE_ROWS": tiles.merge_rows,
        "FINISH_ROWS": tiles.sum_rows,
        "SUMS": max(tiles.out_parts, tiles.down_parts) if tiles.finish_rows else 0,
        "EMBED_SUMS": 5 * tiles.embed_parts,
        "REHEARSED": tiles.rehearsed,
    }


def aligned(tensor: Tensor, dtype: torch.dtype, unit: int = 16) -> Tensor:
    """What the compiled kernel relies on and no later launch looks at again: type, contiguous, and
    an address that 16 divides, or with bulk copies the size of a key.
    """
    tensor = tensor.to(dtype).contiguous()
    return tensor if tensor.data_ptr() % unit == 0 else tensor.clone()


def multiprocessors(device: torch.device) -> int:
    """How many the device has.

    Raises:
        UserError: it is not of the Hopper generation.
    """
    properties = torch.cuda.get_device_properties(device)
    if properties.major != 9:
        raise UserError(
            f"the mega kernel is written for Hopper GPUs (compute capability 9); this is "
            f"{properties.name}"
        )
    return properties.multi_processor_count
