"""OpenVINO on the CPU.

`int8` multiplies matrices in int8, activations rounded on the fly. Beside bfloat16 all but those of
the head, which make most of the rounding noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from everframe.arch.bundle import Bundle
from everframe.runtime.onnx_graph import Matrices
from everframe.runtime.program_engine import Compile, ProgramEngine, Run

Array = NDArray[Any]
HINTS = {"float32": "f32", "bfloat16": "bf16"}
INT8_GROUP = "64"
"""Channels that share a scale when activations are rounded to int8 on the fly."""
INT8_BODY: Matrices = (".qkv", ".up", ".down", ".out", "embed.camera", "embed.previous")
INT8_ALL: Matrices = ("",)


def has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def graph_compiler(precision: str) -> Compile:
    """A compiler for the CPU; int8 goes on in bfloat16 where the processor has it."""
    core = openvino.Core()
    rest = "bfloat16" if has_bfloat16() else "float32"

    def compile_graph(model: bytes, outputs: Sequence[str], exact: bool) -> Run:
        used = "float32" if exact else precision
        hint = HINTS[rest if used == "int8" else used]
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if used == "int8":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = INT8_GROUP
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        request = compiled.create_infer_request()
        known = {name for port in compiled.inputs for name in port.get_names()}
        ports = {name: compiled.output(name) for name in outputs}
        kinds = {name: (tuple(port.shape), _kind(port)) for name, port in ports.items()}

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            for name, value in inputs.items():
                if name in known:
                    request.set_tensor(name, _tensor(value))
            results = {name: np.empty(shape, kind) for name, (shape, kind) in kinds.items()}
            for name, value in results.items():
                request.set_tensor(name, _tensor(value))
            request.infer()
            return results

        return run

    return compile_graph


def _kind(port: openvino.ConstOutput) -> np.dtype[Any]:
    """Of an output in NumPy, which has no bfloat16."""
    kind = port.get_element_type()
    return np.dtype(np.uint16) if kind == openvino.Type.bf16 else kind.to_dtype()


def _tensor(value: Array) -> openvino.Tensor:
    """A view of an array; `uint16` are the bits of bfloat16."""
    if value.dtype == np.uint16:
        return openvino.Tensor(value, openvino.Shape(value.shape), openvino.Type.bf16)
    return openvino.Tensor(value, shared_memory=True)


def openvino_engine(bundle: Bundle, height: int, width: int, precision: str) -> ProgramEngine:
    """Open a bundle; `auto` is int8, the fastest on processors with and without bfloat16."""
    chosen = "int8" if precision == "auto" else precision
    matrices = INT8_BODY if has_bfloat16() else INT8_ALL
    return ProgramEngine(
        f"openvino ({chosen})",
        bundle,
        (height, width),
        graph_compiler(chosen),
        int8_step=matrices if chosen == "int8" else (),
        narrow=chosen != "float32" and has_bfloat16(),
    )
