"""The engine `megakernel`: a frame in one launch on a Hopper GPU. Needs the extra `gpu`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import History
from everframe.arch.spec import TEXT_TOKENS, TEXT_WIDTH
from everframe.core.errors import UserError
from everframe.diffusion.programs import step_program
from everframe.runtime.bench import moving_frame
from everframe.runtime.engine import PreparedSteps
from everframe.runtime.megakernel.check import check_schedule, check_shared_memory
from everframe.runtime.megakernel.layout import Layout
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.operands import operands, step_control
from everframe.runtime.megakernel.pack import pack_keys
from everframe.runtime.megakernel.plan import UnsupportedError
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import Schedule, schedule_by_rank, schedule_tasks
from everframe.runtime.megakernel.tiles import (
    GLUON,
    HOPPER_SMS,
    PANEL,
    SHARED_MEMORY,
    TRITON,
    Tiles,
    default_tiles,
    gluon_tiles,
    kernels_of,
)
from everframe.runtime.megakernel.torch_launch import (
    Constants,
    Kernel,
    KernelBuildError,
    Pictures,
    Tables,
    constants_of,
    multiprocessors,
)
from everframe.runtime.megakernel.triton_kernel import COMPILER
from everframe.runtime.megakernel.tuned import load_tiles, save_tiles, shipped_tiles, tuning_key
from everframe.runtime.torch_engine import TorchEngine, torch_engine

Array = NDArray[Any]
DEFAULT_KERNEL = GLUON
"""What is opened by name, for large shapes; all others get the Triton kernel."""
CONTROL, PROMPT = "megakernel.control", "megakernel.prompt"
ALLOWED_TIMES, ALLOWED_LEVELS = 1.5, 0.5
"""The kernel is trusted while its mean error against float32, in levels of 255, is at most that of
eager torch in bfloat16 times the first plus the second: models are not equally sensitive.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelOptions:
    """How to build the kernel: one of `tiles.KERNELS`, tiles and CTAs (None: defaults of the plan
    and the device; tiles decide which kernel it is), interpreted on the CPU, timed, with random
    delays.
    """

    kernel: str = TRITON
    tiles: Tiles | None = None
    ctas: int | None = None
    interpreted: bool = False
    timed: bool = False
    delayed: bool = False


class MegakernelEngine(TorchEngine):
    """`runtime.engine.Engine`: prompt and control by eager torch, frames by the kernel.

    Scratch belongs to the engine: frames of one engine must follow one another on one CUDA stream.
    """

    def __init__(
        self,
        bundle: Bundle,
        height: int,
        width: int,
        device: torch.device,
        options: KernelOptions | None = None,
    ) -> None:
        """Lower, schedule, check and pack for one step; other step counts when they are asked for.

        Raises:
            UnsupportedError: the kernel cannot run this model; the message is the reason.
        """
        super().__init__("megakernel (cuda bfloat16)", bundle, height, width, device)
        self.options = options or KernelOptions()
        self.plan = plan_frame(step_program(bundle.spec, height, width))
        ctas = self.options.ctas or (1 if self.options.interpreted else multiprocessors(device))
        self.tiles = self.options.tiles or self._tiles(ctas)
        if self.tiles.gluon:
            self.name = f"{self.name[:-1]}, {GLUON})"
        self.ctas = ctas * self.tiles.per_sm
        check_shared_memory(self.plan, self.tiles)
        self.fixed = operands(bundle.spec, self.plan, bundle.weights)
        self.layout = Layout(plan=self.plan, tiles=self.tiles, steps=1)
        dtype = torch.float32 if self.options.interpreted else torch.bfloat16
        self.constants: Constants = constants_of(self.layout, self.fixed, device, dtype)
        self._kernels: dict[int, Kernel] = {}
        self._kernel(1)

    def _key(self) -> str:
        gpu = torch.cuda.get_device_name(self.device)
        compiler = f"{COMPILER} {GLUON}" if self.options.kernel == GLUON else COMPILER
        return tuning_key(self.spec, (self.height, self.width), gpu, compiler)

    def _tiles(self, ctas: int) -> Tiles:
        defaults = gluon_tiles if self.options.kernel == GLUON else default_tiles
        return self._tuned() or defaults(self.plan, ctas)

    def _tuned(self) -> Tiles | None:
        """What a sweep kept for the whole GPU, here or in the package, if it still fits."""
        if self.options.interpreted or self.options.ctas is not None:
            return None
        tiles = load_tiles(self._key())
        whole = multiprocessors(self.device) == HOPPER_SMS
        if tiles is None and whole and self.options.kernel == TRITON:
            tiles = shipped_tiles(self.spec, (self.height, self.width))
        fits = tiles is not None and tiles.shared_memory(self.plan) * tiles.per_sm <= SHARED_MEMORY
        return tiles if fits else None

    def keep_tiles(self) -> None:
        """Remember these tiles as the fastest of this model and size on this GPU."""
        save_tiles(self._key(), self.tiles)

    def _kernel(self, steps: int) -> Kernel:
        if steps not in self._kernels:
            layout = Layout(plan=self.plan, tiles=self.tiles, steps=steps)
            place = schedule_by_rank if self.tiles.gluon else schedule_tasks
            schedule: Schedule = place(lower(self.plan, self.tiles, steps), self.ctas)
            check_schedule(schedule)
            self._kernels[steps] = kernel_class(self.tiles)(
                schedule,
                layout,
                self.constants,
                interpreted=self.options.interpreted,
                timed=self.options.timed,
                delayed=self.options.delayed,
            )
        return self._kernels[steps]

    def beside(self) -> MegakernelEngine:
        """Another engine for another stream: shares weights and schedules, has its own scratch."""
        other = copy.copy(self)
        other._kernels = {n: kernel.beside() for n, kernel in self._kernels.items()}
        return other

    def kernel(self, steps: int = 1) -> Kernel:
        """The kernel of a step count, for measurements and tests."""
        return self._kernel(steps)

    def prepare(self, code: Array, steps: int) -> PreparedSteps[Tensor]:
        """See `Engine`; also packs the tables for the kernel, in the first step's control."""
        prepared = super().prepare(code, steps)
        controls = [
            step_control(self.plan, self.fixed, {n: _array(v) for n, v in table.items()}, pair)
            for table, pair in zip(prepared.controls, prepared.coefficients, strict=True)
        ]
        tables = self._kernel(steps).tables(controls)
        first = prepared.controls[0] | {CONTROL: tables.control, PROMPT: tables.prompt}
        return replace(prepared, controls=(first, *prepared.controls[1:]))

    def empty_history(self) -> History[Tensor]:
        """See `Engine`; a slot is one tensor, in the kernel's layout."""
        slot = torch.zeros(
            max(1, self.layout.slot.lines) * PANEL, dtype=self.constants.weights.dtype
        ).to(self.device)
        return replace(super().empty_history(), slots=((slot,),) * self.spec.window)

    def to_numpy(self, value: Tensor) -> Array:
        """See `Engine`; a frame that got stuck is found out here.

        Raises:
            KernelStuckError: a launch gave up.
        """
        array = super().to_numpy(value.float() if value.dtype == torch.bfloat16 else value)
        if value.dtype == torch.uint8:
            for kernel in self._kernels.values():
                kernel.check()
        return array

    @torch.inference_mode()
    def step(
        self,
        history: History[Tensor],
        camera: Tensor,
        noise: Tensor,
        prepared: PreparedSteps[Tensor],
    ) -> tuple[Tensor, History[Tensor]]:
        """See `Engine`."""
        first = prepared.controls[0]
        pictures = Pictures(
            camera=camera,
            previous=history.previous,
            anchor_output=history.anchor_output,
            anchor_camera=history.anchor_camera,
            noise=noise,
            has_previous=history.has_previous,
            has_anchor=history.has_anchor,
        )
        slots = [self._slot(slot) for slot in history.slots]
        kernel = self._kernel(len(prepared.controls))
        tables = Tables(control=first[CONTROL], prompt=first[PROMPT])
        frame, new = kernel(tables, pictures, slots, history.filled)
        return frame, history.advance(frame=frame, slots=(new,))

    def _slot(self, values: Sequence[Tensor]) -> Tensor:
        """A slot in the kernel's layout, also if another engine made it."""
        dtype = self.constants.weights.dtype
        if len(values) == 1 and values[0].ndim == 1:
            return values[0] if values[0].dtype == dtype else values[0].to(dtype)
        packed = np.zeros(max(1, self.layout.slot.lines) * PANEL, np.float32)
        for block, value in zip(self.plan.history_blocks, values, strict=True):
            assert block.new_slot is not None
            keys, own = (x.numpy() for x in value.float().cpu())
            flat = pack_keys(self.layout, keys, own, self.layout.rows).reshape(-1)
            at = self.layout.slot.at[block.new_slot] * PANEL
            packed[at : at + flat.size] = flat
        return self.to_engine(packed).to(dtype)


def kernel_class(tiles: Tiles) -> type[Kernel]:
    """Of what runs these tiles."""
    if not tiles.gluon:
        return Kernel
    try:  # experimental: names change from one Triton to the next
        from everframe.runtime.megakernel.torch_gluon import GluonKernel
    except (ImportError, AttributeError) as error:
        raise KernelBuildError(f"this Triton has no Gluon that fits: {error}") from error
    return GluonKernel


def _array(value: Tensor) -> NDArray[np.float32]:
    return value.float().cpu().numpy()


def random_code(engine: TorchEngine) -> Array:
    """Of a prompt of random states."""
    states = np.random.default_rng(0).standard_normal((TEXT_TOKENS, TEXT_WIDTH), np.float32)
    return engine.encode_prompt(states, np.ones(TEXT_TOKENS, np.bool_))


def first_frames(engine: TorchEngine, code: Array) -> list[Array]:
    """A first and a second frame of a synthetic camera, float32."""
    size = (engine.height, engine.width)
    noise = engine.to_engine(np.random.default_rng(1).standard_normal((3, *size), np.float32))
    prepared, history = engine.prepare(code, 1), engine.empty_history()
    frames: list[Array] = []
    for number in range(2):
        camera = engine.to_engine(moving_frame(number, *size))
        frame, history = engine.step(history, camera, noise, prepared)
        history = history.anchored(output=frame, camera=camera)
        frames.append(engine.to_numpy(frame).astype(np.float32))
    return frames


def apart(frames: Sequence[Array], others: Sequence[Array]) -> float:
    """Mean difference of frames in levels of 255; the worst of them."""
    return max(float(np.abs(a - b).mean()) for a, b in zip(frames, others, strict=True))


def disagreement(engine: TorchEngine, exact: TorchEngine) -> float:
    """How far the first frames of an engine are from those of another, see `apart`."""
    code = random_code(exact)
    return apart(first_frames(engine, code), first_frames(exact, code))


def trusted(error: float, usual: float) -> bool:
    """Whether `error` of the kernel is no more than rounding, where eager bfloat16 has `usual`."""
    return error <= ALLOWED_TIMES * usual + ALLOWED_LEVELS


def megakernel_engine(
    bundle: Bundle, height: int, width: int, precision: str, kernel: str = DEFAULT_KERNEL
) -> TorchEngine:
    """Open the mega kernel if it can run here and agrees with eager torch; else the compiled
    engine, whose name then says why. With `GLUON`, which is for large shapes only, the Triton
    kernel comes in between.
    """
    reasons: list[str] = []
    try:
        tried = kernels_of(plan_frame(step_program(bundle.spec, height, width)), kernel)
    except UnsupportedError:  # opening it says why
        tried = (TRITON,)
    for wanted in tried:
        try:
            engine = _verified(bundle, height, width, precision, wanted)
        except (UserError, RuntimeError) as error:
            reasons.append(str(error).strip().splitlines()[0])
            continue
        if reasons:
            engine.name = f"{engine.name} instead of {GLUON}: {reasons[0]}"
        return engine
    engine = torch_engine(bundle, height, width, precision, compiled=True)
    engine.name = f"{engine.name} instead of megakernel: {reasons[-1]}"
    return engine


def _verified(
    bundle: Bundle, height: int, width: int, precision: str, kernel: str
) -> MegakernelEngine:
    if precision not in ("auto", "bfloat16"):
        raise UnsupportedError(f"the mega kernel computes in bfloat16, not in {precision}")
    if not torch.cuda.is_available():
        raise UnsupportedError("the mega kernel needs an NVIDIA GPU of the Hopper generation")
    device = torch.device("cuda")
    engine = MegakernelEngine(bundle, height, width, device, KernelOptions(kernel=kernel))
    exact = torch_engine(bundle, height, width, "float32", compiled=False)
    half = torch_engine(bundle, height, width, "bfloat16", compiled=False)
    error, usual = disagreement(engine, exact), disagreement(half, exact)
    if not trusted(error, usual):
        raise UnsupportedError(
            f"its frames are {error:.1f} levels from float32, those of eager bfloat16 {usual:.1f}"
        )
    return engine
