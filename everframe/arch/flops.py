"""Floating-point operations of a network, counted on what it traces: no formula that could drift
from the forward.
"""

from __future__ import annotations

from everframe.arch.history import ClipMemory, RingMemory, slot_shapes
from everframe.arch.model import FrameInputs, Tables, encode_prompt, forward, prepare_control
from everframe.arch.program import Program, Tracer, Value, elements
from everframe.arch.spec import POSITION_FEATURES, STEP_FEATURES, TEXT_TOKENS, TEXT_WIDTH, Spec
from everframe.arch.weights import weight_table


def flops(traced: Program | Tracer) -> int:
    """Two for each multiply-add of linears, convolutions, attention and the two matrix products of
    `TorchOps.upsample`; the rest is not counted.
    """
    shapes = {value.index: value.shape for value in traced.values}
    total = 0
    for operation in traced.operations:
        operands = [shapes[i] for i in operation.inputs if i is not None]
        outputs = elements(shapes[operation.output])
        match operation.primitive:
            case "linear" | "conv3x3":
                _, weight = operands
                total += 2 * outputs * elements(weight[1:])
            case "attend":
                keys = operands[1]
                total += 4 * outputs * keys[-2]
            case "upsample":  # rows first, at the old width, then columns
                *_, rows, cols = operands[0]
                _, wide = shapes[operation.output][-2:]
                total += 2 * outputs * cols + 2 * (outputs // wide) * cols * rows
            case _:
                pass
    return total


def clip_flops(spec: Spec, *, frames: int, height: int, width: int, prompts: int = 1) -> int:
    """One forward over a clip of one stream, all frames in parallel (`arch.torch_net.Net`), with
    the codes of `prompts` prompts.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    rows, cols = spec.grid(height, width)
    tracer = Tracer()
    params = {n: tracer.new(n, w.shape, "weight") for n, w in weight_table(spec).items()}

    def new(*shape: int) -> Value:
        return tracer.new("", shape, "input")

    for _ in range(prompts):
        encode_prompt(tracer, params, new(TEXT_TOKENS, TEXT_WIDTH), new(1, TEXT_TOKENS))
    code = new(frames, spec.prompt_tokens + 1, spec.prompt_width)
    control = prepare_control(tracer, params, spec, code, new(frames, 1, STEP_FEATURES))
    frame = FrameInputs(
        noisy=new(frames, 3, height, width),
        camera=new(frames, 3, height, width),
        previous=new(frames, 3, height, width),
        anchor=new(frames, 6, height, width),
        has_previous=new(frames, 1, 1),
        has_anchor=new(frames, 1, 1),
    )
    tables = Tables(
        cos=new(rows * cols, spec.head_dim // 2),
        sin=new(rows * cols, spec.head_dim // 2),
        position=new(rows * cols, POSITION_FEATURES),
        rows=rows,
        cols=cols,
    )
    forward(tracer, params, spec, frame, control, tables, ClipMemory(tracer, frames))
    return flops(tracer)


def step_flops(spec: Spec, height: int, width: int) -> int:
    """One denoising step of one live frame with a full ring; prompt and control, which are computed
    when they change and not per frame, are left out.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    rows, cols = spec.grid(height, width)
    tokens = rows * cols
    tracer = Tracer()
    params = {n: tracer.new(n, w.shape, "weight") for n, w in weight_table(spec).items()}

    def new(*shape: int) -> Value:
        return tracer.new("", shape, "input")

    code = new(spec.prompt_tokens + 1, spec.prompt_width)
    control = prepare_control(tracer, params, spec, code, new(1, STEP_FEATURES))
    before = flops(tracer)
    slots = [[new(*shape) for shape in slot_shapes(spec, tokens)] for _ in range(spec.window)]
    bias = new(1, spec.prompt_tokens + tokens * (1 + spec.window))
    frame = FrameInputs(
        noisy=new(3, height, width),
        camera=new(3, height, width),
        previous=new(3, height, width),
        anchor=new(6, height, width),
        has_previous=new(1, 1),
        has_anchor=new(1, 1),
    )
    tables = Tables(
        cos=new(tokens, spec.head_dim // 2),
        sin=new(tokens, spec.head_dim // 2),
        position=new(tokens, POSITION_FEATURES),
        rows=rows,
        cols=cols,
    )
    memory = RingMemory(tracer, spec, slots, bias, tokens)
    forward(tracer, params, spec, frame, control, tables, memory)
    return flops(tracer) - before
