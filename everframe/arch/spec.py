"""`Spec`: what a network is, as plain data, block by block.

A pruned network is just another `Spec`. Nothing here imports numpy or torch, so that the live path,
the scheduler of kernels and the tools can all read it in milliseconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from everframe.core.errors import UserError

TEXT_WIDTH = 384
"""Channels of one text token state (MiniLM-L6)."""
TEXT_TOKENS = 16
"""Text tokens kept per prompt."""
STEP_FEATURES = 64
"""Fourier features of (tau, d), 32 each."""
POSITION_FEATURES = 44
"""Fourier features of the position of a patch in the frame."""
DETAIL_STRIDE = 2
"""The detail path works on 2x2 blocks of pixels."""
AFFINE_LATTICE = 2
"""Local affine colour maps per patch side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """One transformer block. `history_frames` past frames are visible to its attention (0: this
    frame only). Either half may be missing, as pruning leaves it: `heads` 0 is a block without
    attention (and so without history), `ffn` 0 one without a feed-forward part.
    """

    heads: int
    ffn: int
    history_frames: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A causal pixel-space DiT (docs/model.md).

    Attributes:
        patch: side of a patch, pixels.
        width: channels of the residual stream (D).
        head_dim: channels of one attention head (K), a multiple of 4.
        blocks: one `BlockSpec` per block.
        prompt_tokens: latents a prompt is condensed to (P).
        prompt_width: channels of a prompt latent.
        condition_width: channels of the condition vector that drives the modulation.
        noisy_rank: rank of the embedding of the noisy target.
        anchor_rank: rank of the embedding of the anchor (own early frame and its camera frame).
        detail_channels: channels of the convolutional detail path.
        detail_depth: convolutions between its first and its last; all but one are residual.
        step_sizes: whether the network was taught the size of its denoising step (a shortcut
            model); if not, it is told size 0 whatever the step is.
    """

    patch: int = 16
    width: int
    head_dim: int
    blocks: tuple[BlockSpec, ...]
    prompt_tokens: int = 8
    prompt_width: int = 192
    condition_width: int = 128
    noisy_rank: int = 96
    anchor_rank: int = 160
    detail_channels: int = 32
    detail_depth: int = 1
    step_sizes: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no engine could run."""
        if self.patch % (2 * DETAIL_STRIDE) or self.patch < 4:
            raise UserError(f"spec.patch is {self.patch}; it must be a multiple of 4")
        if self.head_dim % 4:
            raise UserError(f"spec.head_dim is {self.head_dim}; it must be a multiple of 4")
        if not self.blocks:
            raise UserError("spec.blocks is empty; a network needs at least one block")
        if self.detail_depth < 1:
            raise UserError(f"spec.detail_depth is {self.detail_depth}; it must be at least 1")
        for index, block in enumerate(self.blocks):
            if min(block.heads, block.ffn, block.history_frames) < 0 or not block.heads + block.ffn:
                raise UserError(
                    f"spec.blocks[{index}] is {block}; heads or ffn must be positive, none negative"
                )
            if block.history_frames and not block.heads:
                raise UserError(
                    f"spec.blocks[{index}] is {block}; without heads history_frames must be 0"
                )

    @property
    def patch_channels(self) -> int:
        """Numbers in one RGB patch."""
        return 3 * self.patch * self.patch

    @property
    def history_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that look at past frames."""
        return tuple(i for i, block in enumerate(self.blocks) if block.history_frames)

    @property
    def window(self) -> int:
        """Past frames whose keys and values must be kept (the largest `history_frames`)."""
        return max(block.history_frames for block in self.blocks)

    @staticmethod
    def uniform(
        *,
        width: int,
        head_dim: int,
        depth: int,
        ffn: int,
        history_frames: int,
        history_every: int = 2,
        **other: Any,
    ) -> Spec:
        """A spec of equal blocks, each `history_every`-th of which (from the second on) sees the
        history.
        """
        heads = width // head_dim
        blocks = tuple(
            BlockSpec(
                heads=heads,
                ffn=ffn,
                history_frames=history_frames if i % history_every == history_every - 1 else 0,
            )
            for i in range(depth)
        )
        return Spec(width=width, head_dim=head_dim, blocks=blocks, **other)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a frame of `height` x `width` pixels.

        Raises:
            UserError: a side is no positive multiple of the patch; the nearest valid size is named.
        """
        p = self.patch
        if height % p or width % p or height < p or width < p:
            near = f"{max(1, round(width / p)) * p}x{max(1, round(height / p)) * p}"
            raise UserError(
                f"frame size {width}x{height} is not a multiple of {p}; use for example {near}"
            )
        return height // p, width // p

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `step_sizes` is left out where there are none, as in format 2."""
        data = asdict(self)
        if not self.step_sizes:
            del data["step_sizes"]
        return data

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Spec:
        """Inverse of `to_dict`.

        Raises:
            UserError: a field is missing or unknown.
        """
        fields = dict(data)
        try:
            blocks = tuple(BlockSpec(**block) for block in fields.pop("blocks"))
            return Spec(blocks=blocks, **fields)
        except (TypeError, KeyError) as error:
            raise UserError(
                f"this is no everframe spec: {error}; is the bundle complete?"
            ) from None
