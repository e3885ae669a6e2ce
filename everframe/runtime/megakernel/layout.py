"""Memory map of the kernel: where every buffer, matrix and table is.

Matrices lie in panels of 64 columns, [panels][rows][64], so that a tile of any matrix is a run of
128-byte lines (bfloat16). Queries, keys and values lie by head, [heads][rows][head_dim]. Offsets
are counted in lines of 64 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from everframe.runtime.megakernel.isa import SEGMENTS
from everframe.runtime.megakernel.lower_state import PIXELS, spans
from everframe.runtime.megakernel.plan import BlockPlan, FramePlan
from everframe.runtime.megakernel.tiles import (
    AFFINE,
    ALIGNED,
    GLUON_AGES,
    GLUON_GROUP,
    PANEL,
    Tiles,
    ceil_to,
    conv_channels,
)

MAP_COLUMNS = 16
"""Columns of float maps of positions: 12 used."""
QKV, OUT, UP, DOWN = "qkv", "out", "up", "down"


@dataclass(slots=True)
class Arena:
    """Buffers one after the other; `lines` so far."""

    lines: int = 0
    at: dict[str, int] = field(default_factory=dict[str, int])

    def take(self, name: str, numbers: int) -> int:
        """Reserve room; returns its first line."""
        self.at[name] = self.lines
        self.lines += -(-numbers // PANEL)
        return self.at[name]


@dataclass(slots=True)
class Layout:
    """Padded sizes and arenas of a plan.

    work: activations (bfloat16); sums: float32 scratch; weights, convolutions: bfloat16; fixed:
    float32 constants; control: float32 tables of all steps; prompt: keys and values of the prompt
    (bfloat16) of all steps; slot: what one frame leaves in the memory (bfloat16).
    """

    plan: FramePlan
    tiles: Tiles
    steps: int
    work: Arena = field(default_factory=Arena)
    sums: Arena = field(default_factory=Arena)
    weights: Arena = field(default_factory=Arena)
    convolutions: Arena = field(default_factory=Arena)
    fixed: Arena = field(default_factory=Arena)
    control: Arena = field(default_factory=Arena)
    prompt: Arena = field(default_factory=Arena)
    slot: Arena = field(default_factory=Arena)

    def __post_init__(self) -> None:
        self._work()
        self._sums()
        self._weights()
        self._fixed()
        self._control()

    @property
    def rows(self) -> int:
        """Tokens, padded."""
        return ceil_to(self.plan.tokens, max(self.tiles.rows, self.tiles.keys, PANEL))

    @property
    def width(self) -> int:
        """Channels of the tokens, padded."""
        return ceil_to(self.plan.width, max(PANEL, self.tiles.model_cols))

    @property
    def head_dim(self) -> int:
        """Channels of a head, padded."""
        return ceil_to(self.plan.head_dim, PANEL)

    @property
    def prompt_rows(self) -> int:
        """Tokens of the prompt, padded."""
        return ceil_to(self.plan.prompt_tokens, ALIGNED)

    @property
    def positions(self) -> int:
        """Positions of the detail path, padded."""
        return ceil_to(self.plan.map_rows * self.plan.map_cols, self.tiles.conv_rows)

    @property
    def channels(self) -> int:
        """Detail channels, padded."""
        return conv_channels(self.plan.detail_channels)

    @property
    def head_rows(self) -> int:
        """Rows of the head's matrix, padded."""
        total = self.plan.patch_channels + AFFINE + 2 * self.plan.detail_channels
        return ceil_to(total, self.tiles.head_cols)

    @property
    def local_columns(self) -> int:
        """Columns of the float map of colour maps and local gains."""
        return ceil_to(AFFINE + 2 * self.plan.detail_channels, 16)

    @property
    def run(self) -> int:
        """Gate rows of UP, then as many value rows, in turn."""
        return self.tiles.up_cols if self.tiles.gluon else 1

    def tap_panels(self, inputs: int) -> int:
        """Panels of the weights of a convolution, whose inner axis is (tap, channel), for Gluon."""
        return ceil_to(-(-9 * inputs // PANEL), GLUON_GROUP)

    def ffn(self, block: BlockPlan) -> int:
        """Feed-forward channels of a block, padded."""
        return ceil_to(block.ffn, max(PANEL, self.tiles.up_cols))

    def inner(self, block: BlockPlan) -> int:
        """Channels of all heads of a block, padded."""
        return block.heads * self.head_dim

    def _work(self) -> None:
        inner = max(self.inner(block) for block in self.plan.blocks)
        for name in SEGMENTS:
            self.work.take(f"patch.{name}", self.rows * self.plan.patch_channels)
        self.work.take("scaled", self.rows * self.width)
        self.work.take("q", self.rows * inner)
        self.work.take("o", self.rows * inner)
        for parity in range(2):
            self.work.take(f"kv.{parity}", self.rows * 2 * inner)
        self.work.take("h", self.rows * max(self.ffn(block) for block in self.plan.blocks))
        self.work.take("detail.in", self.positions * PANEL)
        for parity in range(2):
            self.work.take(f"detail.{parity}", self.positions * self.channels)
        for block in self.plan.history_blocks:
            assert block.new_slot is not None
            self.slot.take(block.new_slot, self.rows * 2 * self.inner(block))

    def _sums(self) -> None:
        square = self.rows * self.width
        heads = max(block.heads for block in self.plan.blocks)
        self.sums.take("x", square)
        self.sums.take("squares", len(spans(self.plan.width, self.tiles.model_cols)) * self.rows)
        for part in range(self.tiles.embed_sums):
            self.sums.take(f"embed.{part}", square)
        for part in range(self.tiles.residual_sums):
            self.sums.take(f"sum.{part}", square)
        for part in range(self.tiles.attend_sums):
            self.sums.take(f"attend.{part}", heads * self.rows * (self.head_dim + 2))
        biases = self.tiles.attend_parts * heads * (self.plan.window + 1)
        self.sums.take("biases", biases * self.rows)
        self.sums.take("local", self.rows * self.local_columns)
        self.sums.take("coarse", self.positions * MAP_COLUMNS)
        self.sums.take("z", self.positions * MAP_COLUMNS)

    def _weights(self) -> None:
        panels = ceil_to(self.plan.width, PANEL)
        for name in SEGMENTS:
            self.weights.take(f"embed.{name}", self.width * self.plan.patch_channels)
        for block in self.plan.blocks:
            self.weights.take(f"{QKV}.{block.index}", 3 * self.inner(block) * panels)
            self.weights.take(f"{OUT}.{block.index}", self.width * self.inner(block))
            self.weights.take(f"{UP}.{block.index}", 2 * self.ffn(block) * panels)
            self.weights.take(f"{DOWN}.{block.index}", self.width * self.ffn(block))
        self.weights.take("head", self.head_rows * panels)
        for block in self.plan.blocks:
            if self.tiles.gluon and block.history_frames:
                self.weights.take(f"ages.{block.index}", GLUON_AGES * self.inner(block))
        for name, outputs, inputs in self.convolution_sizes():
            inner = self.tap_panels(inputs) * PANEL if self.tiles.gluon else 9 * inputs
            self.convolutions.take(name, inner * outputs)

    def convolution_sizes(self) -> list[tuple[str, int, int]]:
        """(name, outputs, inputs) of each convolution of the detail path, padded."""
        size, depth = self.channels, self.plan.detail_depth
        inputs, outputs = [PANEL] + [size] * (depth + 1), [size] * (depth + 1) + [MAP_COLUMNS]
        names = [f"conv.{i}" for i in range(depth + 1)] + ["conv.out"]
        return list(zip(names, outputs, inputs, strict=True))

    def _fixed(self) -> None:
        take = self.fixed.take
        take("base", self.rows * self.width)
        take("previous_bias", self.width)
        take("anchor_bias", self.width)
        if self.tiles.gluon:
            take("turns", self.rows * self.head_dim)
        else:
            take("cos", self.rows * self.head_dim // 2)
            take("sin", self.rows * self.head_dim // 2)
        take("affine_bias", PIXELS)
        for block in self.plan.blocks:
            take(f"q_gain.{block.index}", self.head_dim)
            take(f"k_gain.{block.index}", self.head_dim)
            if block.history_frames:
                take(f"age.{block.index}", block.history_frames * self.inner(block))

    def _control(self) -> None:
        for step in range(self.steps):
            for block in self.plan.blocks:
                key = f"{step}.{block.index}"
                for name in ("scale_a", "gate_a", "scale_f", "gate_f"):
                    self.control.take(f"{name}.{key}", self.width)
                self.control.take(f"qkv_shift.{key}", 3 * self.inner(block))
                self.control.take(f"up_shift.{key}", 2 * self.ffn(block))
                self.prompt.take(key, 2 * self.inner(block) * self.prompt_rows)
            self.control.take(f"head_scale.{step}", self.width)
            self.control.take(f"head_shift.{step}", self.head_rows)
            for row in range(2 * (1 + self.plan.detail_depth)):
                self.control.take(f"detail.{step}.{row}", self.channels)
            self.control.take(f"euler.{step}", 2)
