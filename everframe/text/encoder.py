"""Prompt text to token states, with the bundled MiniLM-L6 and without torch.

The asset folder holds `weights.safetensors` (coded matrices, see coding.py) and `tokenizer.json`
(WordPiece); card.md there names the origin, the changes and the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from everframe.core.errors import UserError
from everframe.text.bert import Bert, bert_from_tensors
from everframe.text.coding import decode_codes, decode_matrix

WIDTH = 384
MAX_TOKENS = 16
MAX_CHARACTERS = 300

_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptTokens:
    """What the text encoder says about one prompt.

    states: float32 [16, 384], last-layer token states, not normalised; zeros where mask is False.
    mask: bool [16], True for real tokens, the leading [CLS] and the closing [SEP] included.
    """

    states: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @property
    def pooled(self) -> NDArray[np.float32]:
        """Mean of the real token states, float32 [384], not normalised."""
        return self.states.sum(axis=0) / np.float32(self.mask.sum())


class TextEncoder:
    """Encodes prompts; reads its asset folder once, on the first call of `encode`."""

    def __init__(self, folder: Path) -> None:
        """Use the asset folder `folder`; nothing is read yet."""
        self._folder = folder

    @classmethod
    def load(cls) -> "TextEncoder":
        """The encoder that ships with the package."""
        return cls(_ASSETS)

    def encode(self, prompt: str) -> PromptTokens:
        """Encode one prompt of up to 300 characters; text past 16 tokens is cut off.

        Raises UserError if the prompt is not a string, is blank, or is too long.
        """
        text = _checked(prompt)
        asset = self._asset
        ids = asset.tokenizer.encode(text).ids
        states = np.zeros((MAX_TOKENS, WIDTH), dtype=np.float32)
        states[: len(ids)] = asset.bert(asset.word_codes[ids] * asset.word_scale[ids, None])
        return PromptTokens(states=states, mask=np.arange(MAX_TOKENS) < len(ids))

    @cached_property
    def _asset(self) -> "_Asset":
        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=MAX_TOKENS)
        stored = load_file(self._folder / "weights.safetensors")
        word_scale = stored.pop("word.scale")
        return _Asset(
            tokenizer=tokenizer,
            word_codes=decode_codes(stored.pop("word.weight"), len(word_scale)),
            word_scale=word_scale.astype(np.float32),
            bert=bert_from_tensors(_decoded(stored)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asset:
    """The read asset; the word table [V, 384] stays int8, a prompt needs 16 of its rows."""

    tokenizer: Tokenizer
    word_codes: NDArray[np.int8]
    word_scale: NDArray[np.float32]
    bert: Bert


def _decoded(stored: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """All stored tensors as float32: coded matrices decoded with their scales, the rest cast."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, values in stored.items():
        if name.endswith(".weight"):
            tensors[name] = decode_matrix(values, stored[name.replace(".weight", ".scale")])
        elif not name.endswith(".scale"):
            tensors[name] = values.astype(np.float32)
    return tensors


def _checked(prompt: str) -> str:
    if not isinstance(prompt, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"the prompt must be text, not {type(prompt).__name__}; pass a string")
    # A lone surrogate is legal in a Python string but not in UTF-8.
    text = prompt.strip().encode("utf-8", "replace").decode()
    if not text:
        raise UserError("the prompt is empty; describe the look in a few words")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"the prompt has {len(text)} characters, the limit is {MAX_CHARACTERS}; shorten it"
        )
    return text
