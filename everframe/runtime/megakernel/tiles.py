"""Tile sizes: how the work of a frame is cut for a number of multiprocessors."""

from __future__ import annotations

from dataclasses import dataclass

from everframe.runtime.megakernel.isa import (
    MERGE_US,
    SIGNAL_US,
    attention_cost,
)
from everframe.runtime.megakernel.plan import FramePlan, UnsupportedError

TRITON, GLUON = KERNELS = ("triton", "gluon")
"""The kernel that runs any size, and the one for large shapes."""
ALIGNED = 16
"""Tiles begin at multiples of this many rows and columns."""
PANEL = 64
"""Matrices are stored as panels of 64 columns: 128 bytes of bfloat16."""
SHARED_MEMORY = 227 * 1024
"""Bytes that one CTA of an H100 may use."""
MAX_WINDOW = 8
"""Past frames that the kernel has arguments for."""
MAX_HEAD_DIM = 128
HOPPER_SMS = 132
AFFINE = 48
"""Numbers of the colour maps of a patch."""
GLUON_ROWS, GLUON_KEYS, GLUON_WIDE = 128, 128, 256
"""Sizes of the Gluon kernel: rows of a tile, keys of a tile, columns of QKV and UP."""
GLUON_STAGES = 4
"""Of its ring."""
GLUON_FILLED = 0.9
"""Share of the multiprocessors from which tiles of out and down are 128 columns wide, else 64."""
GLUON_BARRIERS = 1024
"""Bytes of shared memory for barriers and arguments of its partitions, at most."""
GLUON_AGES = 16
"""Rows of the table of age offsets of a head, most of them zeros: the least that wgmma takes."""
GLUON_GROUP = 3
"""Panels of a convolution that are loaded together; their number is a multiple of it."""


def ceil_to(n: int, multiple: int) -> int:
    """`n` rounded up to a multiple."""
    return -(-n // multiple) * multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Sizes of the tiles.

    rows: tokens of a tile; model_cols: columns of embedding, out and down; qkv_heads: heads of a
    QKV tile; up_cols: feed-forward channels of an UP tile (twice as many matrix columns);
    head_cols, keys, conv_rows likewise. attend_parts, out_parts, down_parts: into how many tasks
    a tile is split so that the multiprocessors are filled. stages, key_stages, conv_stages: depth
    of the load pipelines of matrix products, attention and convolutions; per_sm: CTAs that share a
    multiprocessor; bulk: 1 if tiles are loaded by the copy engine (TMA); ahead: 1 if the weights of
    a tile are asked into the L2 cache before its first wait; order: of the lists, see
    `schedule.ORDERS`.
    merge_rows: of the tasks that add the parts of attention, 0: the last part adds the others;
    finish_rows: likewise of the sums of out and down. embed_parts: 0, or into how many tasks the
    embedding of each picture is split, all of which another one adds. rehearsed: 1 if an idle CTA
    runs the code of the detail path once before there is anything to do, see `schedule.rehearse`.
    gluon: 1 if the tiles are made for the Gluon kernel, which has one set of sizes (`gluon_tiles`);
    chained: 1 if its lists believe that a task takes what it takes within a frame, not alone;
    light_fences: 1 if its fences between ordinary accesses and TMA are of global memory only.
    """

    rows: int = 64
    model_cols: int = 64
    qkv_heads: int = 1
    up_cols: int = 32
    head_cols: int = 64
    keys: int = 64
    conv_rows: int = 128
    attend_parts: int = 1
    out_parts: int = 1
    down_parts: int = 1
    stages: int = 3
    key_stages: int = 3
    conv_stages: int = 3
    warps: int = 4
    per_sm: int = 1
    bulk: int = 0
    ahead: int = 1
    order: int = 0
    merge_rows: int = 0
    finish_rows: int = 0
    embed_parts: int = 0
    rehearsed: int = 0
    gluon: int = 0
    chained: int = 0
    light_fences: int = 0

    def __post_init__(self) -> None:
        """The kernel relies on tiles that begin at multiples of 16 rows and columns.

        Raises:
            ValueError: a size is no multiple of 16.
        """
        sizes = (self.rows, self.model_cols, self.up_cols, self.head_cols, self.keys)
        if any(size % ALIGNED for size in (*sizes, self.conv_rows)):
            raise ValueError(f"sizes of tiles must be multiples of {ALIGNED}: {self}")
        for rows in (self.merge_rows, self.finish_rows):
            if rows % ALIGNED or self.rows % (rows or 1):
                raise ValueError(f"rows that are added must divide {self.rows}: {self}")

    @property
    def sum_rows(self) -> int:
        """Rows of a FINISH; 0: there is none."""
        return self.finish_rows or (ALIGNED if self.embed_parts else 0)

    @property
    def embed_sums(self) -> int:
        """Partial sums of the embedding that are kept until they are added."""
        return 5 * self.embed_parts or 4

    @property
    def attend_sums(self) -> int:
        """Parts of attention that are kept until they are added."""
        return self.attend_parts - (0 if self.merge_rows else 1)

    @property
    def residual_sums(self) -> int:
        """Partial sums of out and down that are kept until they are added."""
        return max(self.out_parts, self.down_parts) - (0 if self.finish_rows else 1)

    def shared_memory(self, plan: FramePlan) -> int:
        """Bytes of the largest pipeline: operands of all stages, and staging of one result."""
        if self.gluon:
            ring = GLUON_STAGES * (GLUON_ROWS + GLUON_WIDE) * PANEL * 2
            return ring + GLUON_ROWS * GLUON_WIDE // 2 * 2 + GLUON_BARRIERS
        head = ceil_to(plan.head_dim, PANEL)
        widest = max(self.model_cols, self.qkv_heads * head, 2 * self.up_cols, self.head_cols)
        matrix = max(self.stages * (self.rows + widest) * PANEL * 2, self.rows * widest * 4)
        attention = 2 * self.rows * head + self.key_stages * 2 * self.keys * head * 2
        channels = conv_channels(plan.detail_channels)
        convolution = self.conv_stages * (self.conv_rows * PANEL + PANEL * channels) * 2
        return max(matrix, attention, convolution + self.conv_rows * channels * 4)


def conv_channels(channels: int) -> int:
    """Channels of the detail path as stored: 16, 32 or 64."""
    return next(n for n in (16, 32, 64) if channels <= n)


def refuse(plan: FramePlan) -> None:
    """Name what the kernel cannot run.

    Raises:
        UnsupportedError: always with the reason.
    """
    if plan.head_dim > MAX_HEAD_DIM:
        raise UnsupportedError(
            f"the mega kernel runs head_dim up to 128; this model has {plan.head_dim}"
        )
    if plan.window > MAX_WINDOW:
        raise UnsupportedError(
            f"the mega kernel remembers up to {MAX_WINDOW} frames; this model has {plan.window}"
        )
    if plan.detail_channels > PANEL:
        raise UnsupportedError(
            f"the mega kernel runs up to 64 detail channels; this model has {plan.detail_channels}"
        )
    if plan.prompt_tokens > PANEL:
        raise UnsupportedError(
            f"the mega kernel runs up to 64 prompt tokens; this model has {plan.prompt_tokens}"
        )
    if plan.patch % 8:
        raise UnsupportedError(
            f"the mega kernel runs patches of 8, 16, 24, 32 ... pixels; this one has {plan.patch}"
        )


MANY_PARTS = 5
"""Parts of attention from which they are added by tasks of their own. Measured on an H200: with 6
(`pocket`) a frame takes 0.96, with 8 (`studio`, A) 0.86 and 0.84 of the time; with 4 (B) 1.01.
"""
LARGE = 128 * 128 * 48
"""Numbers of the tokens from which tiles of 128 rows fill the multiprocessors."""


def is_large(plan: FramePlan) -> bool:
    """Whether large tiles fill the multiprocessors."""
    return plan.tokens * plan.width >= LARGE


def kernels_of(plan: FramePlan, kernel: str) -> tuple[str, ...]:
    """Which kernels to try, in order, where `kernel` is wanted: Gluon's is for large shapes."""
    return (GLUON, TRITON) if kernel == GLUON and is_large(plan) else (TRITON,)


def gluon_tiles(plan: FramePlan, sms: int = HOPPER_SMS) -> Tiles:
    """The sizes of the Gluon kernel.

    Raises:
        UnsupportedError: it cannot run this plan.
    """
    refuse(plan)
    left = plan.tokens % GLUON_KEYS
    heads = _qkv_heads(plan)
    for fits, reason in (
        (plan.head_dim in (PANEL, 2 * PANEL), f"heads of {plan.head_dim} channels"),
        (heads * plan.head_dim == GLUON_WIDE, "a number of heads that fills no tile"),
        (plan.width % (GLUON_WIDE // 2) == 0, f"a width of {plan.width}"),
        (left % 8 == 0, f"{plan.tokens} tokens, {left} beyond whole tiles"),
        (plan.prompt_tokens > 0, "no prompt tokens"),
        (plan.patch_channels % PANEL == 0, f"{plan.patch_channels} numbers in a patch"),
    ):
        if not fits:
            raise UnsupportedError(f"the Gluon kernel cannot run {reason}")
    blocks = -(-plan.tokens // GLUON_ROWS)
    tasks = blocks * max(block.heads for block in plan.blocks)
    across = blocks * (plan.width // (GLUON_WIDE // 2))
    filled = across / (-(-across // sms) * sms)  # of the multiprocessors, with 128 columns
    model_cols = GLUON_WIDE // 2 if filled > GLUON_FILLED else PANEL
    parts = _filling_parts(plan, tasks, sms)
    return Tiles(
        rows=GLUON_ROWS,
        model_cols=model_cols,
        qkv_heads=heads,
        up_cols=GLUON_WIDE // 2,
        head_cols=model_cols,
        keys=GLUON_KEYS,
        conv_rows=GLUON_ROWS,
        attend_parts=parts,
        stages=GLUON_STAGES,
        ahead=0,
        gluon=1,
        chained=int(parts > 1),
    )


def default_tiles(plan: FramePlan, sms: int = HOPPER_SMS) -> Tiles:
    """Untuned: small tiles until the multiprocessors are filled, then larger ones.

    Raises:
        UnsupportedError: the kernel cannot run this plan at all.
    """
    refuse(plan)
    heads = min(block.heads for block in plan.blocks if block.heads)
    large = is_large(plan)
    rows = 128 if large else 64
    blocks = -(-plan.tokens // rows)

    def residual_time(cols: int) -> int:
        return -(-blocks * -(-plan.width // cols) // sms) * cols

    model_cols = min((128, 64) if large else (64,), key=residual_time)
    ffn = min((block.ffn for block in plan.blocks if block.ffn), default=PANEL)
    model_tiles = blocks * -(-plan.width // model_cols)
    keys = 128 if large else PANEL
    attend_parts = _attend_parts(plan, blocks * heads, sms, (rows, keys))
    merged = not large and attend_parts >= MANY_PARTS
    return Tiles(
        rows=rows,
        model_cols=model_cols,
        qkv_heads=_qkv_heads(plan) if large else 1,
        up_cols=128 if large else 32,  # 128 x 256 numbers: a smaller tile is bound by the L2 cache
        head_cols=64,  # wider ones spill: every number has an address of its own
        keys=keys,
        attend_parts=attend_parts,
        down_parts=max(1, min(4, sms // model_tiles, ffn // (4 * PANEL))),
        stages=4 if large else 3,
        conv_stages=4 if large else 3,
        warps=8 if large else 4,
        ahead=0 if large else 1,  # measured: D takes 8 % longer with it
        order=2 if merged else 0,  # alone it costs 5 to 14 %
        merge_rows=ALIGNED if merged else 0,
    )


def _qkv_heads(plan: FramePlan) -> int:
    """Heads of a tile of up to 256 columns that cuts the heads of every block evenly."""
    size = ceil_to(plan.head_dim, PANEL)
    counts = [block.heads for block in plan.blocks if block.heads]
    return next(n for n in (4, 2, 1) if n * size <= 256 and not any(c % n for c in counts))


def _filling_parts(plan: FramePlan, tasks: int, sms: int) -> int:
    """The fewest parts of attention whose tasks fill the multiprocessors: a wave that ends early
    is no loss where other tasks follow, and each part more must be added.
    """
    most = min(8, -(-(plan.tokens * (1 + plan.window) + plan.prompt_tokens) // GLUON_KEYS))
    return next((n for n in range(1, most) if tasks * n > GLUON_FILLED * sms), most)


def _attend_parts(plan: FramePlan, tasks: int, sms: int, tile: tuple[int, int]) -> int:
    """Into how many parts attention is cut so that its waves are short."""
    size = ceil_to(plan.head_dim, PANEL)
    keys = -(-(plan.tokens * (1 + plan.window) + plan.prompt_tokens) // tile[1])

    def time(parts: int) -> float:
        merge = SIGNAL_US + MERGE_US if parts > 1 else 0
        return -(-tasks * parts // sms) * attention_cost(tile, keys / parts, size) + merge

    return min(range(1, min(8, keys) + 1), key=time)
