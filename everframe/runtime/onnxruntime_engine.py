"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.core.errors import UserError
from everframe.runtime.program_engine import ProgramEngine, Run

Array = NDArray[Any]


def compile_graph(model: bytes, outputs: Sequence[str], _exact: bool) -> Run:
    """An inference session for a serialised model."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}
    names = list(outputs)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        used = {name: value for name, value in inputs.items() if name in known}
        results: Sequence[Any] = session.run(names, used)
        return dict(zip(names, results, strict=True))

    return run


def onnxruntime_engine(bundle: Bundle, height: int, width: int, precision: str) -> ProgramEngine:
    """Open a bundle. ONNX Runtime computes in float32 here.

    Raises:
        UserError: bfloat16 was asked for.
    """
    if precision not in ("auto", "float32"):
        raise UserError(f"engine 'onnxruntime' has no {precision} here; use --engine openvino")
    return ProgramEngine("onnxruntime", bundle, (height, width), compile_graph)
