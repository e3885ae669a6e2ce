"""The ONNX models of a bundle: what the ONNX engines compile and `everframe export` writes."""

from __future__ import annotations

from pathlib import Path

import onnx

from everframe.arch.bundle import Bundle
from everframe.arch.hoist import hoist
from everframe.arch.positions import position_features, rope_angles
from everframe.arch.program import Program
from everframe.diffusion.programs import control_program, prompt_program, step_program
from everframe.runtime.onnx_graph import Matrices, build_onnx
from everframe.runtime.onnx_writer import Array

ANCHOR_INPUTS = ("anchor_output", "anchor_camera", "has_anchor")
NOISE_INPUTS = ("noisy",)
ANCHOR, NOISE = "anchor.", "noise."
PASSED = (ANCHOR, NOISE, "slot.")
"""How the names of values begin that one run of a program leaves for another."""
MAP_RANK = 3


def model_programs(bundle: Bundle, height: int, width: int) -> dict[str, Program]:
    """The programs `prompt`, `control` and `step` of a bundle at a frame size."""
    return {
        "prompt": prompt_program(bundle.spec),
        "control": control_program(bundle.spec),
        "step": step_program(bundle.spec, height, width),
    }


def onnx_models(bundle: Bundle, height: int, width: int) -> dict[str, onnx.ModelProto]:
    """The programs lowered, with weights and tables inside.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    bound = _bound(bundle, height, width)
    programs = model_programs(bundle, height, width)
    return {name: build_onnx(program, bound) for name, program in programs.items()}


def live_models(
    bundle: Bundle, height: int, width: int, *, int8: Matrices, narrow: bool
) -> dict[str, onnx.ModelProto]:
    """What an engine runs: `onnx_models` with `step` in the parts of `live_programs`. `int8`: its
    matrices to do in int8; `narrow`: what goes from one run to another is kept in bfloat16.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    bound = _bound(bundle, height, width)
    programs = model_programs(bundle, height, width)
    parts = live_programs(programs.pop("step"))
    models = {name: build_onnx(program, bound) for name, program in programs.items()}
    shapes = {n: v.shape for part in parts.values() for n, v in part.named("input").items()}
    passed = {name for name in shapes if name.startswith(PASSED)}
    passed |= {name for name in parts["step"].outputs if name.startswith(PASSED)}
    maps = {name for name in passed if len(shapes.get(name, ())) == MAP_RANK}
    for name, program in parts.items():
        models[name] = build_onnx(
            program,
            bound,
            int8=int8 if name in ("step", "refine") else (),
            last=maps,
            narrow=passed if narrow else (),
        )
    return models


def _bound(bundle: Bundle, height: int, width: int) -> dict[str, Array]:
    rows, cols = bundle.spec.grid(height, width)
    cos, sin = rope_angles(bundle.spec, rows, cols)
    tables = {"cos": cos, "sin": sin, "position": position_features(rows, cols)}
    return {**bundle.weights, **tables}


def live_programs(step: Program) -> dict[str, Program]:
    """`step` in parts that a stream needs at different times, under the names of their inputs.

    `anchor` and `noise`: what depends on these alone, computed when they change; `refine`: the
    input of the next step; `step`: the last step of a frame, which makes the frame and the slots.
    """
    anchor, rest = hoist(step, ANCHOR_INPUTS, ANCHOR)
    noise, rest = hoist(rest, NOISE_INPUTS, NOISE)
    refine = rest.only(["noisy_next"])
    last = rest.only([name for name in rest.outputs if name != "noisy_next"])
    return {"anchor": anchor, "noise": noise, "refine": refine, "step": last}


def export_onnx(bundle: Bundle, folder: Path, *, height: int, width: int) -> list[Path]:
    """Write `prompt.onnx`, `control.onnx` and `step.onnx` into `folder`; returns the paths."""
    paths: list[Path] = []
    for name, model in onnx_models(bundle, height, width).items():
        onnx.checker.check_model(model)
        paths.append(folder / f"{name}.onnx")
        onnx.save_model(model, str(paths[-1]))
    return paths
