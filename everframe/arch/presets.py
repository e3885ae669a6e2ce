"""Named specs. `pocket` and `studio` ship with trained weights. They see no keys and values of past
frames: what these gave was measured and is less than what they cost (docs/compression.md).
`teacher` is `studio` grown, to be distilled from; `control` is `pocket` before it was cut, the
network of the controls of training; `broadcast` and `cinema` are speed targets.
"""

from __future__ import annotations

from everframe.arch.spec import BlockSpec, Spec
from everframe.core.errors import UserError

PRESETS: dict[str, Spec] = {
    "tiny": Spec.uniform(
        width=64,
        head_dim=32,
        depth=2,
        ffn=128,
        history_frames=2,
        condition_width=32,
        prompt_width=64,
        noisy_rank=16,
        anchor_rank=16,
        detail_channels=16,
    ),
    "control": Spec(
        width=320,
        head_dim=64,
        blocks=tuple(
            BlockSpec(heads=5, ffn=704, history_frames=frames) for frames in (0, 2, 2, 0, 2)
        ),
        detail_depth=4,
    ),
    "pocket": Spec(
        width=320,
        head_dim=64,
        blocks=tuple(BlockSpec(heads=5, ffn=ffn) for ffn in (448, 448, 448, 448, 704)),
        detail_depth=4,
    ),
    "studio": Spec.uniform(
        width=512,
        head_dim=128,
        depth=8,
        ffn=768,
        history_frames=0,
        condition_width=96,
        prompt_width=128,
        detail_channels=64,
        detail_depth=4,
    ),
    "teacher": Spec(
        width=512,
        head_dim=128,
        blocks=(BlockSpec(heads=4, ffn=1536),) * 16,
        condition_width=96,
        prompt_width=128,
        detail_channels=64,
        detail_depth=4,
    ),
    "broadcast": Spec.uniform(
        patch=32, width=1024, head_dim=128, depth=24, ffn=2816, history_frames=4, history_every=1
    ),
    "cinema": Spec.uniform(
        patch=32, width=1536, head_dim=128, depth=28, ffn=4096, history_frames=4, history_every=1
    ),
}


def preset(name: str) -> Spec:
    """The spec of that name.

    Raises:
        UserError: no such preset.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}'; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
