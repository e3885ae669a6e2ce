"""OpenVINO on the CPU: bfloat16 where the processor has it, twice as fast as float32 there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.runtime.program_engine import Compile, ProgramEngine, Run

Array = NDArray[Any]
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
INT8_GROUP = "64"
"""Channels that share a scale when activations are rounded to int8 on the fly."""


def graph_compiler(precision: str) -> tuple[Compile, str]:
    """A compiler for the CPU, and the precision it will really use."""
    core = openvino.Core()
    capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    chosen = ("bfloat16" if capable else "int8") if precision == "auto" else precision

    def compile_graph(model: bytes, outputs: Sequence[str], exact: bool) -> Run:
        used = "float32" if exact else chosen
        settings = {"INFERENCE_PRECISION_HINT": HINTS[used], "PERFORMANCE_HINT": "LATENCY"}
        if used == "int8":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = INT8_GROUP
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        request = compiled.create_infer_request()
        known = {name for port in compiled.inputs for name in port.get_names()}
        ports = {name: compiled.output(name) for name in outputs}
        kinds = {n: (tuple(p.shape), p.get_element_type().to_dtype()) for n, p in ports.items()}

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            for name, value in inputs.items():
                if name in known:
                    request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
            results = {name: np.empty(shape, kind) for name, (shape, kind) in kinds.items()}
            for name, value in results.items():
                request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
            request.infer()
            return results

        return run

    return compile_graph, chosen


def openvino_engine(bundle: Bundle, height: int, width: int, precision: str) -> ProgramEngine:
    """Open a bundle."""
    compile_graph, chosen = graph_compiler(precision)
    return ProgramEngine(
        f"openvino ({chosen})",
        bundle,
        (height, width),
        compile_graph,
        int8_step=chosen == "int8",
    )
