"""The frame step in a traced program: which operations belong to which part of the model.

Every function walks backwards from a value and claims what it recognises (`plan.Reader`).
"""

from __future__ import annotations

from everframe.arch.program import Program
from everframe.arch.spec import AFFINE_LATTICE, DETAIL_STRIDE
from everframe.runtime.megakernel.plan import BlockPlan, FramePlan, Reader, UnsupportedError


def plan_frame(program: Program) -> FramePlan:
    """Recognise a program traced by `diffusion.programs.step_program`.

    Raises:
        UnsupportedError: an operation is not one that the kernel knows.
    """
    reader = Reader(program)
    shapes = {v.name: v.shape for v in program.values}
    depth = 1 + max(_block_number(name) for name in shapes)
    slots = {index: name for name, index in program.outputs.items() if name.startswith("slot.")}
    clean = _update(reader, program)
    x, (rows, cols, cells), (channels, convolutions) = _head(reader, clean)
    blocks: list[BlockPlan] = []
    for index in reversed(range(depth)):
        x, block = _block(reader, x, index, slots)
        blocks.append(block)
    _embed(reader, x, cells * DETAIL_STRIDE)
    reader.finish()
    return FramePlan(
        rows=rows,
        cols=cols,
        patch=cells * DETAIL_STRIDE,
        width=shapes["embed.position"][0],
        head_dim=shapes["cos"][1] * 2,
        prompt_tokens=_prompt_tokens(shapes),
        blocks=tuple(reversed(blocks)),
        detail_channels=channels,
        detail_depth=convolutions,
    )


def _prompt_tokens(shapes: dict[str, tuple[int, ...]]) -> int:
    for name, shape in shapes.items():
        if name.startswith("control.prompt_k."):
            return shape[1]
    raise UnsupportedError("the mega kernel needs a block with attention")


def _block_number(name: str) -> int:
    part, _, rest = name.partition(".")
    return int(rest.split(".")[0]) if part == "blocks" else -1


def _update(reader: Reader, program: Program) -> int:
    """The Euler update and the bytes; returns the clean estimate."""
    (clean,) = reader.open(program.outputs["frame"], "to_uint8")
    kept, moved = reader.open(program.outputs["noisy_next"], "add")
    noisy, keep = reader.open(kept, "mul")
    again, move = reader.open(moved, "mul")
    for value, name in ((noisy, "noisy"), (keep, "keep"), (move, "move")):
        reader.leaf(value, name)
    reader.same(again, clean)
    return clean


def _head(reader: Reader, clean: int) -> tuple[int, tuple[int, int, int], tuple[int, int]]:
    """Equations 10-12; returns (tokens, (rows, cols, cells), (channels, convolutions))."""
    (total,) = reader.open(clean, "depth_to_space", block=DETAIL_STRIDE)
    coarse, convolved = reader.open(total, "add")
    affine, patches = reader.open(coarse, "add")
    (patch_map,) = reader.open(patches, "depth_to_space")
    cells = reader.attribute(patches, "block")
    h = _token_map(reader, patch_map, "head.patches")
    maps, camera = reader.open(affine, "local_affine")
    lifted, bias = reader.open(maps, "add")
    reader.leaf(bias, "head.affine_bias")
    (lattice,) = reader.open(lifted, "upsample", factor=cells // AFFINE_LATTICE)
    (affine_map,) = reader.open(lattice, "depth_to_space", block=AFFINE_LATTICE)
    reader.same(_token_map(reader, affine_map, "head.affine"), h)
    (pixels,) = reader.open(camera, "space_to_depth", block=DETAIL_STRIDE)
    _pixels(reader, pixels, "camera")
    u, weight = reader.open(convolved, "conv3x3")
    reader.leaf(weight, "detail.conv_out")
    first, convolutions = _convolutions(reader, u)
    source, local_h = _first_convolution(reader, first, cells)
    reader.same(local_h, h)
    found_camera, found_patches, anchor = reader.open(source, "concat", axis=-3)
    reader.same(found_camera, camera)
    reader.same(found_patches, patches)
    (anchored,) = reader.open(anchor, "space_to_depth", block=DETAIL_STRIDE)
    _anchor(reader, anchored)
    x = _modulated(reader, h, "control.output", 0)
    rows, cols = reader.shape(patch_map)[-2:]
    return x, (rows, cols, cells), (reader.shape(first)[-3], convolutions)


def _token_map(reader: Reader, value: int, weight: str) -> int:
    """`to_map(linear(h, weight))`; returns h."""
    (tokens,) = reader.open(value, "to_map")
    return reader.linear(tokens, weight)


def _pixels(reader: Reader, value: int, name: str) -> None:
    (source,) = reader.open(value, "from_uint8")
    reader.leaf(source, name)


def _convolutions(reader: Reader, u: int) -> tuple[int, int]:
    """The chain of convolutions backwards; returns (its input, its length)."""
    found: list[tuple[str, int, int]] = []
    residual = True
    while residual:
        residual = reader.primitive(u) == "add"
        before, activation = reader.open(u, "add") if residual else (None, u)
        (inner,) = reader.open(activation, "silu")
        convolved, shift, scale = reader.open(inner, "modulate")
        source, weight = reader.open(convolved, "conv3x3")
        if before is not None:
            reader.same(before, source)
        found.append((reader.values[weight].name, shift, scale))
        u = source
    channels = reader.shape(u)[-3]
    for i, (name, shift, scale) in enumerate(reversed(found)):
        expected = f"detail.conv_mid.{i}" if i else "detail.conv_mid"
        if name != expected:
            raise UnsupportedError(
                f"the mega kernel expects {expected} where this model has {name}"
            )
        _steer(reader, scale, 2 * i + 2, channels)
        _steer(reader, shift, 2 * i + 3, channels)
    return u, len(found)


def _steer(reader: Reader, value: int, part: int, channels: int) -> None:
    """A slice of the detail control as a map of one position."""
    whole = reader.slice_of(value, -3, part * channels, (part + 1) * channels)
    (control,) = reader.open(whole, "to_map", rows=1, cols=1)
    reader.leaf(control, "control.detail")


def _first_convolution(reader: Reader, first: int, cells: int) -> tuple[int, int]:
    """Local gains and shifts; returns (input of the convolution, h)."""
    (inner,) = reader.open(first, "silu")
    modulated, local_shift = reader.open(inner, "add")
    convolved, offset, scale = reader.open(modulated, "modulate")
    local_gain, gain = reader.open(scale, "add")
    channels = reader.shape(first)[-3]
    _steer(reader, gain, 0, channels)
    _steer(reader, offset, 1, channels)
    local = reader.slice_of(local_gain, -3, 0, channels)
    reader.same(reader.slice_of(local_shift, -3, channels, 2 * channels), local)
    (local_map,) = reader.open(local, "upsample", factor=cells)
    source, weight = reader.open(convolved, "conv3x3")
    reader.leaf(weight, "detail.conv_in")
    return source, _token_map(reader, local_map, "detail.local")


def _anchor(reader: Reader, anchored: int) -> None:
    pixels, flag = reader.open(anchored, "mul")
    (switch,) = reader.open(flag, "to_map", rows=1, cols=1)
    reader.leaf(switch, "has_anchor")
    output, camera = reader.open(pixels, "concat", axis=-3)
    _pixels(reader, output, "anchor_output")
    _pixels(reader, camera, "anchor_camera")


def _modulated(reader: Reader, value: int, control: str, first: int) -> int:
    """`modulate(rms_norm(x), shift, scale)`, parts `first` and the next of a control; returns x."""
    normed, shift, scale = reader.open(value, "modulate")
    (x,) = reader.open(normed, "rms_norm")
    _part(reader, shift, control, first)
    _part(reader, scale, control, first + 1)
    return x


def _part(reader: Reader, value: int, control: str, part: int) -> None:
    width = reader.shape(value)[-1]
    reader.leaf(reader.slice_of(value, -1, part * width, (part + 1) * width), control)


def _block(reader: Reader, y: int, index: int, slots: dict[int, str]) -> tuple[int, BlockPlan]:
    """Equation 9 backwards; returns (input of the block, plan)."""
    names = {value.name for value in reader.values.values()}
    x, ffn = y, 0
    if f"blocks.{index}.down" in names:
        x, ffn = _feed_forward(reader, x, index)
    if f"blocks.{index}.out" not in names:
        return x, BlockPlan(index=index, heads=0, ffn=ffn, slots=(), new_slot=None)
    x, heads, past, new_slot = _attention(reader, x, index, slots)
    return x, BlockPlan(index=index, heads=heads, ffn=ffn, slots=past, new_slot=new_slot)


def _feed_forward(reader: Reader, y: int, index: int) -> tuple[int, int]:
    """The second half of a block; returns (its input, its channels)."""
    name, control = f"blocks.{index}.", f"control.modulation.{index}"
    middle, gated = reader.open(y, "add")
    down, gate = reader.open(gated, "mul")
    _part(reader, gate, control, 5)
    (up,) = reader.open(reader.linear(down, name + "down"), "swiglu")
    reader.same(_modulated(reader, reader.linear(up, name + "up"), control, 3), middle)
    return middle, reader.shape(up)[-1] // 2


def _attention(
    reader: Reader, y: int, index: int, slots: dict[int, str]
) -> tuple[int, int, tuple[str, ...], str | None]:
    """The first half of a block; returns (its input, heads, slots, new slot)."""
    name, control = f"blocks.{index}.", f"control.modulation.{index}"
    x, gated = reader.open(y, "add")
    out, gate = reader.open(gated, "mul")
    _part(reader, gate, control, 2)
    (attended,) = reader.open(reader.linear(out, name + "out"), "merge_heads")
    q, keys, values, *bias = reader.open(attended, "attend")
    heads = reader.shape(attended)[-3]
    key, value, past = _keys_values(reader, (keys, values), index)
    if bias:
        visible = reader.shape(keys)[-2]
        reader.leaf(reader.slice_of(bias[0], -1, 0, visible), "key_bias")
    qkv = reader.slice_of(value, -3, 2 * heads, 3 * heads)
    reader.same(_rotated(reader, q, name + "q_gain", 0, heads), qkv)
    reader.same(_rotated(reader, key, name + "k_gain", heads, 2 * heads), qkv)
    (projected,) = reader.open(qkv, "split_heads", heads=3 * heads)
    reader.same(_modulated(reader, reader.linear(projected, name + "qkv"), control, 0), x)
    new_slot = None
    for output, slot in slots.items():
        if reader.producers[output].inputs == (key, value):
            reader.open(output, "stack", axis=-4)
            new_slot = slot
    if bool(past) != (new_slot is not None):
        raise UnsupportedError(
            f"the mega kernel expects block {index} to remember what it looks at"
        )
    return x, heads, past, new_slot


def _keys_values(
    reader: Reader, joined: tuple[int, int], index: int
) -> tuple[int, int, tuple[str, ...]]:
    """[prompt | this frame | ages]; returns (key, value, names of the slots)."""
    prompt_k, key, *past_k = reader.open(joined[0], "concat", axis=-2)
    prompt_v, value, *past_v = reader.open(joined[1], "concat", axis=-2)
    reader.leaf(prompt_k, f"control.prompt_k.{index}")
    reader.leaf(prompt_v, f"control.prompt_v.{index}")
    slots: list[str] = []
    for age, (k, v) in enumerate(zip(past_k, past_v, strict=True)):
        remembered, offset = reader.open(k, "add")
        (slot,) = reader.open(remembered, "select", axis=-4, index=0)
        (table,) = reader.open(offset, "select", axis=-4, index=age)
        reader.leaf(table, f"blocks.{index}.age")
        reader.same(reader.open(v, "select", axis=-4, index=1)[0], slot)
        slots.append(reader.values[slot].name)
    return key, value, tuple(slots)


def _rotated(reader: Reader, value: int, gain: str, start: int, stop: int) -> int:
    """`rope(rms_norm(part) * gain)`; returns what the part is taken from."""
    scaled, cos, sin = reader.open(value, "rope")
    reader.leaf(cos, "cos")
    reader.leaf(sin, "sin")
    normed, weight = reader.open(scaled, "mul")
    reader.leaf(weight, gain)
    (part,) = reader.open(normed, "rms_norm")
    return reader.slice_of(part, -3, start, stop)


def _embed(reader: Reader, x: int, patch: int) -> None:
    """Equation 8."""
    rest, position = reader.open(x, "add")
    reader.leaf(reader.linear(position, "embed.position"), "position")
    rest, switched = reader.open(rest, "add")
    total, flag = reader.open(switched, "mul")
    reader.leaf(flag, "has_anchor")
    anchor, bias = reader.open(total, "add")
    reader.leaf(bias, "embed.anchor_bias")
    patches = reader.linear(reader.linear(anchor, "embed.anchor_out"), "embed.anchor_in")
    _anchor(reader, _patches(reader, patches, patch))
    rest, switched = reader.open(rest, "add")
    total, flag = reader.open(switched, "mul")
    reader.leaf(flag, "has_previous")
    previous, bias = reader.open(total, "add")
    reader.leaf(bias, "embed.previous_bias")
    previous = reader.linear(previous, "embed.previous")
    _pixels(reader, _patches(reader, previous, patch), "previous")
    camera, noisy = reader.open(rest, "add")
    _pixels(reader, _patches(reader, reader.linear(camera, "embed.camera"), patch), "camera")
    noisy = reader.linear(reader.linear(noisy, "embed.noisy_out"), "embed.noisy_in")
    reader.leaf(_patches(reader, noisy, patch), "noisy")


def _patches(reader: Reader, value: int, patch: int) -> int:
    """`to_tokens(space_to_depth(image))`; returns the image."""
    (blocks,) = reader.open(value, "to_tokens")
    (image,) = reader.open(blocks, "space_to_depth", block=patch)
    return image
