"""The three programs of a model, traced for a frame size: prompt -> code, code -> control, frame ->
frame.

Input names are the contract between these programs and every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from everframe.arch.history import slot_shapes
from everframe.arch.model import Control, Tables, encode_prompt, prepare_control
from everframe.arch.program import Program, Tracer, Value
from everframe.arch.spec import (
    POSITION_FEATURES,
    STEP_FEATURES,
    TEXT_TOKENS,
    TEXT_WIDTH,
    Spec,
)
from everframe.arch.weights import weight_table
from everframe.diffusion.frame_step import StepInputs, denoise_step

V = TypeVar("V")


def _weights(tracer: Tracer, spec: Spec) -> dict[str, Value]:
    return {n: tracer.new(n, w.shape, "weight") for n, w in weight_table(spec).items()}


def prompt_program(spec: Spec) -> Program:
    """Inputs `states` [16, 384], `bias` [1, 16]; output `code` [P + 1, prompt_width]."""
    tracer = Tracer()
    params = _weights(tracer, spec)
    states = tracer.new("states", (TEXT_TOKENS, TEXT_WIDTH), "input")
    bias = tracer.new("bias", (1, TEXT_TOKENS), "input")
    return tracer.program({"code": encode_prompt(tracer, params, states, bias)})


def control_program(spec: Spec) -> Program:
    """Inputs `code`, `step_features` [1, 64]; outputs named as by `control_names`."""
    tracer = Tracer()
    params = _weights(tracer, spec)
    code = tracer.new("code", (spec.prompt_tokens + 1, spec.prompt_width), "input")
    step = tracer.new("step_features", (1, STEP_FEATURES), "input")
    control = prepare_control(tracer, params, spec, code, step)
    return tracer.program(flatten_control(control))


def flatten_control(control: Control[V]) -> dict[str, V]:
    """Values of a control by name: modulation.i, prompt_k.i, prompt_v.i, output, detail; no prompt
    for blocks without attention.
    """
    table = {"control.output": control.output, "control.detail": control.detail}
    table |= {f"control.modulation.{i}": value for i, value in enumerate(control.modulation)}
    for part, values in (("prompt_k", control.prompt_k), ("prompt_v", control.prompt_v)):
        found = ((i, value) for i, value in enumerate(values) if value is not None)
        table |= {f"control.{part}.{i}": value for i, value in found}
    return table


def named_control(spec: Spec, table: Mapping[str, V]) -> Control[V]:
    """Inverse of `flatten_control`."""
    blocks = range(len(spec.blocks))
    return Control(
        modulation=tuple(table[f"control.modulation.{i}"] for i in blocks),
        prompt_k=tuple(table.get(f"control.prompt_k.{i}") for i in blocks),
        prompt_v=tuple(table.get(f"control.prompt_v.{i}") for i in blocks),
        output=table["control.output"],
        detail=table["control.detail"],
    )


def slot_name(age: int, block: int) -> str:
    """Input name of the slot of `age` (1: the last frame) of the `block`-th history block."""
    return f"slot.{age}.{block}"


def step_program(spec: Spec, height: int, width: int) -> Program:
    """One denoising step at a frame size (`diffusion.frame_step.denoise_step`).

    Inputs: camera, previous, anchor_output, anchor_camera (uint8 [H, W, 3]), noisy [3, H, W],
    has_previous, has_anchor [1, 1], key_bias, keep, move [1, 1, 1], slot.a.j, control.*; constants
    cos, sin, position. Outputs: frame (uint8 [H, W, 3]), noisy, slot.new.j.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    rows, cols = spec.grid(height, width)
    tokens = rows * cols
    tracer = Tracer()
    params = _weights(tracer, spec)
    shapes = {n: tracer_value.shape for n, tracer_value in _control_shapes(spec).items()}

    def new(name: str, *shape: int) -> Value:
        return tracer.new(name, shape, "input")

    def pixels(name: str) -> Value:
        return tracer.new(name, (height, width, 3), "input", "uint8")

    tables = Tables(
        cos=tracer.new("cos", (tokens, spec.head_dim // 2), "constant"),
        sin=tracer.new("sin", (tokens, spec.head_dim // 2), "constant"),
        position=tracer.new("position", (tokens, POSITION_FEATURES), "constant"),
        rows=rows,
        cols=cols,
    )
    c = {name: new(name, *shape) for name, shape in shapes.items()}
    control = named_control(spec, c)
    slots = tuple(
        tuple(new(slot_name(age, j), *shape) for j, shape in enumerate(slot_shapes(spec, tokens)))
        for age in range(1, spec.window + 1)
    )
    inputs = StepInputs(
        camera=pixels("camera"),
        previous=pixels("previous"),
        anchor_output=pixels("anchor_output"),
        anchor_camera=pixels("anchor_camera"),
        has_previous=new("has_previous", 1, 1),
        has_anchor=new("has_anchor", 1, 1),
        noisy=new("noisy", 3, height, width),
        key_bias=new("key_bias", 1, spec.prompt_tokens + tokens * (1 + spec.window)),
        slots=slots,
        keep=new("keep", 1, 1, 1),
        move=new("move", 1, 1, 1),
    )
    out = denoise_step(tracer, params, spec, inputs, control, tables)
    outputs = {"frame": out.frame, "noisy_next": out.noisy}
    outputs |= {f"slot.new.{j}": value for j, value in enumerate(out.slots)}
    return tracer.program(outputs)


def _control_shapes(spec: Spec) -> dict[str, Value]:
    program = control_program(spec)
    values = {v.index: v for v in program.values}
    return {name: values[index] for name, index in program.outputs.items()}
