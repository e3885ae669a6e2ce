"""`CostTable`: what each half of a block costs, as measured by `everframe bench blocks` or counted.

Plain data. Pruning reads it; nothing here runs a model. Attention is listed by heads for each
number of past frames, the feed-forward part by channels; between entries the table is interpolated
linearly, beyond them it refuses to guess.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from everframe.arch.flops import step_flops
from everframe.arch.spec import BlockSpec, Spec
from everframe.core.errors import UserError

FORMAT = "everframe-cost"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """Costs in ms per denoising step at one frame size in one engine.

    Attributes:
        width, head_dim, tokens: of the network that the entries hold for.
        size: (height, width) of the frame, pixels.
        fixed_ms: everything but the blocks.
        heads: rising numbers of heads from 0; `attention_ms[a][i]` is attention with `heads[i]`
            heads and `a` past frames.
        ffn: rising widths from 0; `ffn_ms[i]` is the feed-forward part with `ffn[i]` channels.
        engine: name of the engine, with device and precision.
        about: how it was measured: command, commit, hardware, versions, date, checks.
    """

    width: int
    head_dim: int
    tokens: int
    size: tuple[int, int]
    fixed_ms: float
    heads: tuple[int, ...]
    attention_ms: Mapping[int, tuple[float, ...]]
    ffn: tuple[int, ...]
    ffn_ms: tuple[float, ...]
    engine: str = ""
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Refuse tables that contradict themselves."""
        rows = [(self.heads, ms) for ms in self.attention_ms.values()] + [(self.ffn, self.ffn_ms)]
        for sizes, ms in rows:
            rising = list(sizes) == sorted(set(sizes)) and sizes[:1] == (0,)
            if not rising or len(sizes) != len(ms) or any(not x >= 0 for x in ms) or ms[0]:
                raise UserError(
                    "a cost table needs rising sizes from 0 and as many costs, the first 0, none "
                    "negative; measure it again with: everframe bench blocks --json FILE"
                )

    def attention(self, heads: int, history_frames: int) -> float:
        """Cost of the attention half, ms.

        Raises:
            UserError: more heads, or another number of past frames, than measured.
        """
        if not heads:
            return 0.0
        if history_frames not in self.attention_ms:
            known = ", ".join(str(frames) for frames in self.attention_ms)
            raise UserError(
                f"the cost table has attention to {known} past frames, not {history_frames}; "
                "measure one for this model with: everframe bench blocks --model BUNDLE"
            )
        return interpolate(self.heads, self.attention_ms[history_frames], heads, "heads")

    def feed_forward(self, ffn: int) -> float:
        """Cost of the feed-forward half, ms.

        Raises:
            UserError: wider than measured.
        """
        return interpolate(self.ffn, self.ffn_ms, ffn, "feed-forward channels")

    def block(self, block: BlockSpec) -> float:
        """Cost of one block, ms."""
        return self.attention(block.heads, block.history_frames) + self.feed_forward(block.ffn)

    def total(self, spec: Spec) -> float:
        """Cost of a whole network, ms.

        Raises:
            UserError: the table was not measured for networks of this width.
        """
        self.check(spec)
        return self.fixed_ms + sum(self.block(block) for block in spec.blocks)

    def check(self, spec: Spec) -> None:
        """Raise `UserError` unless the table holds for networks like `spec`."""
        mine, other = (self.width, self.head_dim), (spec.width, spec.head_dim)
        if mine != other:
            raise UserError(
                f"the cost table is for width {mine[0]} and heads of {mine[1]}, the model has "
                f"{other[0]} and {other[1]}; measure one: everframe bench blocks --model BUNDLE"
            )

    def scaled(self, factor: float) -> CostTable:
        """All costs times `factor`."""
        return replace(
            self,
            fixed_ms=self.fixed_ms * factor,
            attention_ms={
                frames: tuple(x * factor for x in ms) for frames, ms in self.attention_ms.items()
            },
            ffn_ms=tuple(x * factor for x in self.ffn_ms),
        )

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        data = {"format": FORMAT, "version": VERSION, **asdict(self)}
        Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> CostTable:
        """Read what `save` wrote.

        Raises:
            UserError: no such file, or no cost table.
        """
        fix = "make one with: everframe bench blocks --model BUNDLE --json FILE"
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT or data.pop("version") != VERSION:
                raise ValueError("another format")
            ms = {int(frames): tuple(row) for frames, row in data.pop("attention_ms").items()}
            tuples = {name: tuple(data.pop(name)) for name in ("size", "heads", "ffn", "ffn_ms")}
            return CostTable(attention_ms=ms, **tuples, **data)
        except UserError:
            raise
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; {fix}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path} is no cost table; {fix}") from None


def interpolate(sizes: Sequence[int], costs: Sequence[float], size: int, what: str) -> float:
    """Linear between the entries around `size`.

    Raises:
        UserError: `size` is beyond the last entry.
    """
    at = bisect_left(sizes, size)
    if at == len(sizes):
        raise UserError(
            f"the cost table ends at {sizes[-1]} {what}, {size} were asked for; measure a larger "
            "one with: everframe bench blocks --model BUNDLE"
        )
    if sizes[at] == size:
        return costs[at]
    low, high = sizes[at - 1], sizes[at]
    share = (size - low) / (high - low)
    return costs[at - 1] + share * (costs[at] - costs[at - 1])


def flop_table(spec: Spec, height: int, width: int, *, like: CostTable) -> CostTable:
    """The control to a measured table: blocks cost in proportion to their operations, counted on
    a traced step, in such units that all blocks of `spec` together cost what `like` says; what is
    not in blocks costs the same.

    Raises:
        UserError: the size is no multiple of the patch.
    """
    rows, cols = spec.grid(height, width)
    keep = BlockSpec(heads=1, ffn=1, history_frames=spec.window)

    def counted(block: BlockSpec) -> float:
        pair, alone = replace(spec, blocks=(keep, block)), replace(spec, blocks=(keep,))
        return float(step_flops(pair, height, width) - step_flops(alone, height, width))

    table = replace(
        like,
        tokens=rows * cols,
        size=(height, width),
        fixed_ms=0.0,
        attention_ms={
            a: (
                0.0,
                *(counted(BlockSpec(heads=h, ffn=0, history_frames=a)) for h in like.heads[1:]),
            )
            for a in like.attention_ms
        },
        ffn_ms=(0.0, *(counted(BlockSpec(heads=0, ffn=x)) for x in like.ffn[1:])),
        engine="operations",
        about={"like": like.engine},
    )
    unit = (like.total(spec) - like.fixed_ms) / table.total(spec)
    return replace(table.scaled(unit), fixed_ms=like.fixed_ms)
