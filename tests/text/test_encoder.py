import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from everframe.core.errors import UserError
from everframe.text import encoder as encoder_module
from everframe.text.encoder import MAX_TOKENS, WIDTH, TextEncoder

ASSETS = Path(encoder_module.__file__).parent / "assets"
# Pooled vectors of three prompts: by the shipped asset, and by the original model in PyTorch.
POOLED: dict[str, dict[str, list[float]]] = json.loads(
    (Path(__file__).parent / "pooled.json").read_text(encoding="utf-8")
)
# What the files of the asset folder may weigh together, in bytes.
SIZE_LIMIT = 11_900_000


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.load()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_shapes_and_types(encoder: TextEncoder) -> None:
    tokens = encoder.encode("pencil sketch")
    assert tokens.states.shape == (MAX_TOKENS, WIDTH)
    assert tokens.states.dtype == np.float32
    assert tokens.mask.shape == (MAX_TOKENS,)
    assert tokens.mask.dtype == np.bool_
    # [CLS] pencil sketch [SEP]
    assert tokens.mask.tolist() == [True] * 4 + [False] * 12


def test_states_are_zero_where_the_mask_is_false(encoder: TextEncoder) -> None:
    tokens = encoder.encode("oil painting")
    assert not tokens.states[~tokens.mask].any()
    assert np.abs(tokens.states[tokens.mask]).max(axis=1).min() > 0.1


def test_the_same_prompt_gives_the_same_states(encoder: TextEncoder) -> None:
    first = encoder.encode("a lava world at night")
    encoder.encode("something else in between")
    second = TextEncoder.load().encode("  a lava world at night\n")
    np.testing.assert_array_equal(first.states, second.states)
    np.testing.assert_array_equal(first.mask, second.mask)


@pytest.mark.parametrize("prompt", POOLED)
def test_pooled_vector_is_the_recorded_one(encoder: TextEncoder, prompt: str) -> None:
    pooled = encoder.encode(prompt).pooled
    np.testing.assert_allclose(pooled, POOLED[prompt]["shipped"], atol=1e-3)


@pytest.mark.parametrize("prompt", POOLED)
def test_pooled_vector_is_close_to_the_original_model(encoder: TextEncoder, prompt: str) -> None:
    assert cosine(encoder.encode(prompt).pooled, np.array(POOLED[prompt]["original"])) > 0.988


def test_meaning_decides_over_wording(encoder: TextEncoder) -> None:
    snow = encoder.encode("a snowy village").pooled
    same = encoder.encode("houses deep in winter snow").pooled
    other = encoder.encode("glowing lava and molten rock").pooled
    assert cosine(snow, same) > cosine(snow, other) + 0.2


def test_a_long_prompt_is_cut_at_sixteen_tokens(encoder: TextEncoder) -> None:
    start = "one two three four five six seven eight nine ten red blue green gold"
    cut = encoder.encode(start)
    longer = encoder.encode(f"{start} silver and bronze")
    assert longer.mask.all()
    np.testing.assert_array_equal(longer.states, cut.states)


@pytest.mark.parametrize(
    "prompt",
    [
        "水彩画 の 雪国",
        "Акварель, зимний город",
        "لوحة زيتية",
        "हिमालय",
        "crème brûlée",
        "🎨🔥",
        "e\u0301\u0323\u200d",
        "\x00\x01",
        "\u200b",
        "\ud800 lone surrogate",
        "x" * 300,
        "!" * 300,
        "[MASK] [unused5] ##s",
    ],
)
def test_any_text_gives_finite_states(encoder: TextEncoder, prompt: str) -> None:
    tokens = encoder.encode(prompt)
    assert tokens.mask[:2].all()
    assert np.isfinite(tokens.states).all()


@pytest.mark.parametrize("prompt", ["", "   \n\t "])
def test_an_empty_prompt_is_refused(encoder: TextEncoder, prompt: str) -> None:
    with pytest.raises(UserError, match="empty"):
        encoder.encode(prompt)


@pytest.mark.parametrize("prompt", [None, 3, b"sketch", ["sketch"]])
def test_a_prompt_that_is_not_text_is_refused(encoder: TextEncoder, prompt: object) -> None:
    with pytest.raises(UserError, match="must be text"):
        encoder.encode(prompt)  # pyright: ignore[reportArgumentType]


def test_the_limit_of_300_characters_is_named(encoder: TextEncoder) -> None:
    with pytest.raises(UserError, match=r"301 characters.*300"):
        encoder.encode("x" * 301)
    assert encoder.encode("x" * 300 + "  ").mask.any()


def test_the_asset_is_small_enough() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) <= SIZE_LIMIT


def test_every_letter_is_cut_up_without_unknown_pieces() -> None:
    tokenizer = Tokenizer.from_file(str(ASSETS / "tokenizer.json"))
    encoding = tokenizer.encode("qzxjvkw 0123456789 abcdefghijklmnopqrstuvwxyz zzyzxqj")
    assert "[UNK]" not in encoding.tokens


def test_works_where_torch_cannot_be_imported() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from everframe.text.encoder import TextEncoder\n"
        "assert TextEncoder.load().encode('pencil sketch').mask.sum() == 4\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
