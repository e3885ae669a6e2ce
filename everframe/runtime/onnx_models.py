"""The ONNX models of a bundle: what the ONNX engines compile and `everframe export` writes."""

from __future__ import annotations

from pathlib import Path

import onnx

from everframe.arch.bundle import Bundle
from everframe.arch.positions import position_features, rope_angles
from everframe.arch.program import Program
from everframe.diffusion.programs import control_program, prompt_program, step_program
from everframe.runtime.onnx_graph import Matrices, build_onnx


def model_programs(bundle: Bundle, height: int, width: int) -> dict[str, Program]:
    """The programs `prompt`, `control` and `step` of a bundle at a frame size."""
    return {
        "prompt": prompt_program(bundle.spec),
        "control": control_program(bundle.spec),
        "step": step_program(bundle.spec, height, width),
    }


def onnx_models(
    bundle: Bundle, height: int, width: int, *, int8_step: Matrices = ()
) -> dict[str, onnx.ModelProto]:
    """The programs lowered, with weights and tables inside; `int8_step`: those of `step` in int8.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    rows, cols = bundle.spec.grid(height, width)
    cos, sin = rope_angles(bundle.spec, rows, cols)
    tables = {"cos": cos, "sin": sin, "position": position_features(rows, cols)}
    bound = {**bundle.weights, **tables}
    programs = model_programs(bundle, height, width)
    return {
        name: build_onnx(program, bound, int8=int8_step if name == "step" else ())
        for name, program in programs.items()
    }


def export_onnx(bundle: Bundle, folder: Path, *, height: int, width: int) -> list[Path]:
    """Write `prompt.onnx`, `control.onnx` and `step.onnx` into `folder`; returns the paths."""
    paths: list[Path] = []
    for name, model in onnx_models(bundle, height, width).items():
        onnx.checker.check_model(model)
        paths.append(folder / f"{name}.onnx")
        onnx.save_model(model, str(paths[-1]))
    return paths
