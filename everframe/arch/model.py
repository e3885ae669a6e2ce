"""The network: one forward, in primitives, read top to bottom (docs/model.md, equations 5-12).

Nothing here imports torch. Called with `TorchOps` it computes; called with a `Tracer` it records
the `Program` that every other engine runs. Whether a clip is processed in parallel (training) or
frame by frame (live) is decided by the `Memory` that is passed in, nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from everframe.arch.ops import Ops, Params, scope
from everframe.arch.spec import AFFINE_LATTICE, DETAIL_STRIDE, BlockSpec, Spec

V = TypeVar("V")

PROMPT_HEADS = 4
AFFINE_CHANNELS = 12
"""A 3x4 colour map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInputs(Generic[V]):
    """Pixels of one frame (or of a clip, with leading axes), float -1..1, [..., 3, H, W].

    `previous` is the own output one frame earlier; `anchor` stacks an early own output and its
    camera frame, [..., 6, H, W]. The flags [..., 1, 1] are 1 where these exist, else 0.
    """

    noisy: V
    camera: V
    previous: V
    anchor: V
    has_previous: V
    has_anchor: V


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Generic[V]):
    """What depends on (step, prompt) only. Computed when one of them changes, never per frame.

    modulation: per block [..., 1, 6 D]; prompt_k, prompt_v: per block [..., H, P, K], None where it
    has no attention; output: [..., 1, 2 D]; detail: [..., 1, 2 (1 + detail_depth) C].
    """

    modulation: tuple[V, ...]
    prompt_k: tuple[V | None, ...]
    prompt_v: tuple[V | None, ...]
    output: V
    detail: V


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables(Generic[V]):
    """Constants of a frame size: RoPE angles [N, K/2] and position features [N, F]."""

    cos: V
    sin: V
    position: V
    rows: int
    cols: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention(Generic[V]):
    """Operands of one attention: q, k, v [..., H, N, K] of this frame, prompt K/V, age offsets."""

    q: V
    k: V
    v: V
    prompt_k: V
    prompt_v: V
    age: V | None


class Memory(Protocol[V]):
    """How attention reaches the past: a ring of cached frames, or the earlier frames of a clip."""

    def attend(self, block: BlockSpec, operands: Attention[V]) -> V:
        """[prompt | past frames | this frame] -> [..., H, N, K]."""
        ...


def encode_prompt(ops: Ops[V], params: Params[V], states: V, bias: V) -> V:
    """Condense text token states to a prompt code (equation 5). Codes may be blended linearly.

    Args:
        ops: back end.
        params: all weights.
        states: [..., 16, 384] MiniLM token states.
        bias: [..., 1, 16], 0 for tokens and a large negative number for padding.

    Returns:
        [..., P + 1, prompt_width]; the last row is the pooled prompt.
    """
    p = scope(params, "prompt.")
    states = ops.rms_norm(states)
    k = ops.split_heads(ops.linear(states, p["key"]), PROMPT_HEADS)
    v = ops.split_heads(ops.linear(states, p["value"]), PROMPT_HEADS)
    q = ops.split_heads(p["queries"], PROMPT_HEADS)
    x = ops.merge_heads(ops.attend(q, k, v, bias))
    x = ops.add(x, p["queries"])
    return ops.add(x, ops.linear(ops.swiglu(ops.linear(ops.rms_norm(x), p["up"])), p["down"]))


def prepare_control(
    ops: Ops[V], params: Params[V], spec: Spec, code: V, step_features: V
) -> Control[V]:
    """Modulation tables and prompt keys/values (equations 6 and 7).

    Args:
        ops: back end.
        params: all weights.
        spec: the network.
        code: [..., P + 1, prompt_width] from `encode_prompt`, or a blend of several.
        step_features: [..., 1, 64] from `arch.positions.step_features`.
    """
    p = scope(params, "condition.")
    pooled = ops.take(code, -2, spec.prompt_tokens, spec.prompt_tokens + 1)
    step = ops.silu(ops.add(ops.linear(step_features, p["step_in"]), p["step_bias"]))
    c = ops.add(ops.linear(step, p["step_out"]), ops.linear(ops.rms_norm(pooled), p["pooled"]))
    c = ops.silu(ops.add(c, p["bias"]))
    latents = ops.rms_norm(ops.take(code, -2, 0, spec.prompt_tokens))
    modulation: list[V] = []
    keys: list[V | None] = []
    values: list[V | None] = []
    for i, block in enumerate(spec.blocks):
        b = scope(params, f"blocks.{i}.")
        modulation.append(ops.add(ops.linear(c, b["modulation"]), b["modulation_bias"]))
        if not block.heads:
            keys.append(None)
            values.append(None)
            continue
        keys_values = ops.split_heads(ops.linear(latents, b["prompt_kv"]), 2 * block.heads)
        k = ops.take(keys_values, -3, 0, block.heads)
        keys.append(ops.mul(ops.rms_norm(k), b["k_gain"]))
        values.append(ops.take(keys_values, -3, block.heads, 2 * block.heads))
    return Control(
        modulation=tuple(modulation),
        prompt_k=tuple(keys),
        prompt_v=tuple(values),
        output=ops.linear(c, params["head.modulation"]),
        detail=ops.linear(c, params["detail.modulation"]),
    )


def embed(
    ops: Ops[V], params: Params[V], spec: Spec, frame: FrameInputs[V], tables: Tables[V]
) -> V:
    """Pixels to tokens, [..., N, D] (equation 8): camera and own output at full rank, noise at low
    rank.
    """
    p = scope(params, "embed.")

    def patches(image: V) -> V:
        return ops.to_tokens(ops.space_to_depth(image, spec.patch))

    x = ops.linear(patches(frame.camera), p["camera"])
    x = ops.add(x, ops.linear(ops.linear(patches(frame.noisy), p["noisy_in"]), p["noisy_out"]))
    previous = ops.add(ops.linear(patches(frame.previous), p["previous"]), p["previous_bias"])
    x = ops.add(x, ops.mul(previous, frame.has_previous))
    anchor = ops.linear(ops.linear(patches(frame.anchor), p["anchor_in"]), p["anchor_out"])
    x = ops.add(x, ops.mul(ops.add(anchor, p["anchor_bias"]), frame.has_anchor))
    return ops.add(x, ops.linear(tables.position, p["position"]))


def transformer_block(
    ops: Ops[V],
    p: Params[V],
    spec: Spec,
    block: BlockSpec,
    x: V,
    control: tuple[V, V | None, V | None],
    tables: Tables[V],
    memory: Memory[V],
) -> V:
    """Attention and SwiGLU with adaLN modulation (equation 9); a half that the block does not have
    adds nothing. `control`: modulation, prompt K, prompt V.
    """
    modulation, prompt_k, prompt_v = control
    if prompt_k is not None and prompt_v is not None:
        of = (_part(ops, spec, modulation, 0), prompt_k, prompt_v)
        x = _attention(ops, p, block, x, of, tables, memory)
    if not block.ffn:
        return x
    shift, scale, gate = _part(ops, spec, modulation, 3)
    h = ops.linear(ops.modulate(ops.rms_norm(x), shift, scale), p["up"])
    return ops.add(x, ops.mul(ops.linear(ops.swiglu(h), p["down"]), gate))


def _part(ops: Ops[V], spec: Spec, modulation: V, first: int) -> tuple[V, V, V]:
    """Shift, scale and gate of one half of a block."""
    d = spec.width
    shift, scale, gate = (
        ops.take(modulation, -1, i * d, (i + 1) * d) for i in range(first, first + 3)
    )
    return shift, scale, gate


def _attention(
    ops: Ops[V],
    p: Params[V],
    block: BlockSpec,
    x: V,
    control: tuple[tuple[V, V, V], V, V],
    tables: Tables[V],
    memory: Memory[V],
) -> V:
    """The first half of a block."""
    (shift, scale, gate), prompt_k, prompt_v = control
    h = ops.split_heads(
        ops.linear(ops.modulate(ops.rms_norm(x), shift, scale), p["qkv"]), 3 * block.heads
    )
    q, k, v = (ops.take(h, -3, i * block.heads, (i + 1) * block.heads) for i in range(3))
    q = ops.rope(ops.mul(ops.rms_norm(q), p["q_gain"]), tables.cos, tables.sin)
    k = ops.rope(ops.mul(ops.rms_norm(k), p["k_gain"]), tables.cos, tables.sin)
    age = p["age"] if block.history_frames else None
    operands = Attention(q=q, k=k, v=v, prompt_k=prompt_k, prompt_v=prompt_v, age=age)
    a = ops.linear(ops.merge_heads(memory.attend(block, operands)), p["out"])
    return ops.add(x, ops.mul(a, gate))


def head(
    ops: Ops[V],
    params: Params[V],
    spec: Spec,
    x: V,
    frame: FrameInputs[V],
    control: Control[V],
    tables: Tables[V],
) -> V:
    """Tokens to pixels, [..., 3, H, W]: local colour maps of the camera + patches + detail
    (equations 10-12).

    Everything is done on 2x2 blocks of pixels; colour maps and gains are interpolated across patch
    borders, and the convolutions see both sides of each border, so that the patch grid can be
    undone.
    """
    p = scope(params, "head.")
    d = scope(params, "detail.")
    width, channels = spec.width, spec.detail_channels
    cells = spec.patch // DETAIL_STRIDE
    shift, scale = (ops.take(control.output, -1, i * width, (i + 1) * width) for i in range(2))
    h = ops.modulate(ops.rms_norm(x), shift, scale)

    def token_map(weight: V) -> V:
        return ops.to_map(ops.linear(h, weight), tables.rows, tables.cols)

    patches = ops.depth_to_space(token_map(p["patches"]), cells)
    maps = ops.depth_to_space(token_map(p["affine"]), AFFINE_LATTICE)
    maps = ops.add(ops.upsample(maps, cells // AFFINE_LATTICE), p["affine_bias"])
    local = ops.upsample(token_map(d["local"]), cells)
    camera = ops.space_to_depth(frame.camera, DETAIL_STRIDE)
    anchor = ops.space_to_depth(frame.anchor, DETAIL_STRIDE)
    steer = ops.to_map(control.detail, 1, 1)
    u = ops.conv3x3(ops.concat([camera, patches, anchor], -3), d["conv_in"])
    local_gain, local_shift = (
        ops.take(local, -3, i * channels, (i + 1) * channels) for i in range(2)
    )
    gain, offset, *more = (
        ops.take(steer, -3, i * channels, (i + 1) * channels)
        for i in range(2 * (1 + spec.detail_depth))
    )
    u = ops.silu(ops.add(ops.modulate(u, offset, ops.add(local_gain, gain)), local_shift))
    u = ops.silu(ops.modulate(ops.conv3x3(u, d["conv_mid"]), more[1], more[0]))
    for i in range(1, spec.detail_depth):
        v = ops.modulate(ops.conv3x3(u, d[f"conv_mid.{i}"]), more[2 * i + 1], more[2 * i])
        u = ops.add(u, ops.silu(v))
    y = ops.add(ops.local_affine(maps, camera), patches)
    return ops.depth_to_space(ops.add(y, ops.conv3x3(u, d["conv_out"])), DETAIL_STRIDE)


def forward(
    ops: Ops[V],
    params: Params[V],
    spec: Spec,
    frame: FrameInputs[V],
    control: Control[V],
    tables: Tables[V],
    memory: Memory[V],
    parts: Parts | None = None,
) -> V:
    """Estimate of the clean frame, float [..., 3, H, W], not clamped. `parts` may be compiled
    versions.
    """
    use = parts or PLAIN
    x = use.embed(ops, params, spec, frame, tables)
    for i, block in enumerate(spec.blocks):
        c = (control.modulation[i], control.prompt_k[i], control.prompt_v[i])
        p = scope(params, f"blocks.{i}.")
        x = use.transformer_block(ops, p, spec, block, x, c, tables, memory)
    return use.head(ops, params, spec, x, frame, control, tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The three parts of `forward`; training replaces them by compiled versions of the same
    functions.
    """

    embed: Callable[..., Any]
    transformer_block: Callable[..., Any]
    head: Callable[..., Any]


PLAIN = Parts(embed=embed, transformer_block=transformer_block, head=head)
