"""How close the bundled text encoder is to the original, and what other reductions would give.

    python benchmarks/text_encoder.py ORIGINAL_FOLDER --output benchmarks/results/text_encoder.json

ORIGINAL_FOLDER as in `everframe.recipes.text_encoder`. The reference is the original float32 model
with its full vocabulary, run by the same NumPy code. Every option is built by the recipe, stored,
and read back by `TextEncoder`. Prompts: 200 about pictures from templates, and 200 with words of
any topic, so that a vocabulary chosen for pictures cannot look better than it is. Set
OPENBLAS_NUM_THREADS=1 for the times.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from everframe.recipes.text_encoder import (
    SHIPPED,
    Reduction,
    kept_pieces,
    original_tensors,
    write,
)
from everframe.text.bert import bert_from_tensors
from everframe.text.encoder import MAX_TOKENS, TextEncoder

SIZE_LIMIT_BYTES = 11_900_000
PROMPTS_PER_KIND = 200
SEED = 20261122

# Steps far below 1/127 of the largest weight of a row: plain int8 rounding, row by row.
_INT8 = 0.001
_EVEN = 0.15
OPTIONS = {
    "int8 rows, all words": Reduction(layer_steps=(_INT8,) * 6, word_step=_INT8),
    "int8 layers, 8k words": Reduction(layer_steps=(_INT8,) * 6, word_step=0.4, words=8_000),
    "step 0.09, 16k words": Reduction(layer_steps=(0.09,) * 6, word_step=0.28, words=16_000),
    "step 0.12, 22k words": Reduction(layer_steps=(0.12,) * 6, word_step=0.36, words=22_000),
    "step 0.15, all words": Reduction(layer_steps=(_EVEN,) * 6, word_step=0.4),
    "5 layers, all words": Reduction(layer_steps=(0.12,) * 5, word_step=0.28),
    "shipped: steps by layer, all words": SHIPPED,
}

_MEDIA = (
    "pencil sketch", "watercolour painting", "ukiyo-e woodblock print", "comic book page",
    "oil painting with thick strokes", "stained glass window", "claymation film", "old VHS tape",
    "neon wireframe", "blueprint", "Game Boy screen", "thermal camera", "newspaper halftone",
    "papercut diorama", "embroidered cloth", "marble statue", "charcoal drawing", "anime still",
    "infrared photograph", "cave painting",
)  # fmt: skip
_PLACES = (
    "a snowy village", "a cyberpunk city", "a lava world", "an underwater reef", "a foggy harbour",
    "a haunted mansion", "the surface of Mars", "a bamboo forest", "a desert at noon",
    "a medieval market", "a candy kingdom", "an abandoned factory", "a spaceship corridor",
    "a rainy street in Tokyo", "a sunflower field", "an ice cave", "a jungle temple",
    "a wild west saloon", "a flooded subway", "a cloud castle",
)  # fmt: skip
_TIMES = (
    "at night", "at golden hour", "in winter", "under a red moon", "in thick fog", "by candlelight",
    "after the rain", "in bright sunshine", "during a thunderstorm", "at dawn",
)  # fmt: skip
_PEOPLE = (
    "a chrome robot", "a zombie", "a Roman emperor", "a wooden puppet", "an astronaut",
    "a porcelain doll", "a Viking warrior", "a jazz singer", "a green alien", "a bronze bust",
)  # fmt: skip
_PICTURE_FORMS = (
    "{media}", "{media} of {place}", "turn everything into {media} {time}", "{place} {time}",
    "make me look like {person}", "{person} in {place}", "{place}, {media}, {time}",
    "filmed in {place}", "{media}, soft colours", "what if this were {place}?",
)  # fmt: skip
_OPEN_FORMS = (
    "{0}", "{0} and {1}", "a {0} made of {1}", "the {0} of the {1}", "{0} {1} {2}",
    "like a {0} in the {1}", "{0}, {1}, {2}, {3}", "turn the room into {0} {1}",
)  # fmt: skip


def picture_prompts(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different prompts of the kind users write, from templates."""
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        form = _PICTURE_FORMS[int(rng.integers(len(_PICTURE_FORMS)))]
        filled = form.format(
            media=rng.choice(_MEDIA),
            place=rng.choice(_PLACES),
            time=rng.choice(_TIMES),
            person=rng.choice(_PEOPLE),
        )
        prompts[filled] = None
    return list(prompts)


def open_prompts(rng: np.random.Generator, tokenizer: Tokenizer, count: int) -> list[str]:
    """`count` different prompts with words of the full vocabulary, drawn by Zipf's law (1 / rank).

    Words are plain lower-case ASCII pieces of at least four letters, any topic, names included.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    ranked = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    words = [word for word in ranked if word.isascii() and word.isalpha() and len(word) >= 4]
    chance = 1.0 / np.arange(200, 200 + len(words), dtype=np.float64)
    chance /= chance.sum()
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        form = _OPEN_FORMS[int(rng.integers(len(_OPEN_FORMS)))]
        picked: NDArray[np.int64] = rng.choice(len(words), size=4, replace=False, p=chance)
        prompts[form.format(*(words[int(index)] for index in picked))] = None
    return list(prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One prompt by one encoder: original ids of its pieces and states float32 [n, 384]."""

    ids: tuple[int, ...]
    states: NDArray[np.float32]


def reference(folder: Path, prompts: list[str]) -> list[Encoded]:
    """The prompts by the original model, cut at the same number of tokens."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    tensors = original_tensors(folder)
    bert = bert_from_tensors(tensors)
    encoded: list[Encoded] = []
    for prompt in prompts:
        ids = tokenizer.encode(prompt).ids
        states = bert(tensors["word.weight"][ids])
        encoded.append(Encoded(ids=tuple(ids), states=states))
    return encoded


def reduced(assets: Path, kept: list[int], prompts: list[str]) -> list[Encoded]:
    """The prompts by the encoder in `assets`, whose piece i is the original piece kept[i]."""
    encoder = TextEncoder(assets)
    tokenizer = Tokenizer.from_file(str(assets / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    encoded: list[Encoded] = []
    for prompt in prompts:
        tokens = encoder.encode(prompt)
        ids = tuple(kept[number] for number in tokenizer.encode(prompt).ids)
        encoded.append(Encoded(ids=ids, states=tokens.states[tokens.mask]))
    return encoded


def compare(original: list[Encoded], other: list[Encoded]) -> dict[str, float]:
    """Cosines of pooled vectors and token states, and agreement of nearest neighbours.

    Token cosines are over the prompts that both cut into the same pieces.
    """
    pooled_original = np.stack([item.states.mean(axis=0) for item in original])
    pooled_other = np.stack([item.states.mean(axis=0) for item in other])
    pooled = cosine(pooled_original, pooled_other)
    pairs = list(zip(original, other, strict=True))
    same = [a.ids == b.ids for a, b in pairs]
    token = np.concatenate([cosine(a.states, b.states) for a, b in pairs if a.ids == b.ids])
    agree = nearest(pooled_original) == nearest(pooled_other)
    figures = {
        "pooled_mean": pooled.mean(),
        "pooled_5th_percentile": np.quantile(pooled, 0.05),
        "pooled_min": pooled.min(),
        "token_mean": token.mean(),
        "token_min": token.min(),
        "same_pieces": np.mean(same),
        "nearest_agrees": np.mean(agree),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine along the last axis."""
    return (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def nearest(pooled: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index of the nearest other row by cosine, for each row of float32 [prompts, 384]."""
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.argmax(axis=1)


def timings(assets: Path) -> dict[str, float]:
    """Seconds to load (first prompt included), median milliseconds a prompt; processor time."""
    start = time.process_time()
    encoder = TextEncoder(assets)
    encoder.encode("pencil sketch")
    result = {"load_cpu_s": round(time.process_time() - start, 3)}
    long = "a watercolour painting of a snowy city at night, soft colours everywhere please"
    for name, prompt in (("4_tokens", "pencil sketch"), ("16_tokens", long)):
        times: list[float] = []
        for _ in range(40):
            start = time.process_time()
            encoder.encode(prompt)
            times.append(time.process_time() - start)
        result[f"encode_{name}_cpu_ms"] = round(float(np.median(times)) * 1e3, 1)
    return result


def measure(
    folder: Path,
    reduction: Reduction,
    kinds: dict[str, list[str]],
    wanted: dict[str, list[Encoded]],
) -> dict[str, object]:
    """Build one option in a temporary folder and measure it."""
    original = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    kept = kept_pieces(original["model"]["vocab"], reduction.words)
    with tempfile.TemporaryDirectory() as name:
        assets = Path(name)
        write(folder, reduction, assets)
        size = sum(path.stat().st_size for path in assets.iterdir())
        figures: dict[str, object] = {
            "bytes": size,
            "fits": size <= SIZE_LIMIT_BYTES,
            "words": len(kept),
            "layer_steps": reduction.layer_steps,
            "word_step": reduction.word_step,
        }
        for kind, prompts in kinds.items():
            figures[kind] = compare(wanted[kind], reduced(assets, kept, prompts))
        if reduction == SHIPPED:
            figures["times"] = timings(assets)
    return figures


def main() -> None:
    """Measure all options; print a table, and as the last line the whole result as JSON."""
    parser = argparse.ArgumentParser(description="Compare reductions of the text encoder.")
    parser.add_argument("original", type=Path, help="folder with the original weights")
    parser.add_argument("--output", type=Path, help="also write the result to this JSON file")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"))
    parser.add_argument("--hardware", default="not stated")
    args = parser.parse_args()

    rng = np.random.default_rng(SEED)
    full = Tokenizer.from_file(str(args.original / "tokenizer.json"))
    kinds = {
        "picture": picture_prompts(rng, PROMPTS_PER_KIND),
        "open": open_prompts(rng, full, PROMPTS_PER_KIND),
    }
    wanted = {kind: reference(args.original, prompts) for kind, prompts in kinds.items()}
    result: dict[str, object] = {
        "command": "OPENBLAS_NUM_THREADS=1 python benchmarks/text_encoder.py ORIGINAL_FOLDER "
        "--output benchmarks/results/text_encoder.json",
        "date": args.date,
        "hardware": args.hardware,
        "threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
        "numpy": np.__version__,
        "prompts_per_kind": PROMPTS_PER_KIND,
        "reference": "original float32 all-MiniLM-L6-v2, full vocabulary, same NumPy forward",
    }
    options: dict[str, object] = {}
    print("cosine to the original: pooled mean / min, tokens mean; share with the same pieces; ")
    print("share with the same nearest neighbour. First picture prompts, then open ones.\n")
    for name, reduction in OPTIONS.items():
        figures = measure(args.original, reduction, kinds, wanted)
        options[name] = figures
        print(table_row(name, figures), flush=True)
    result["options"] = options
    if args.output is not None:
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def table_row(name: str, figures: dict[str, object]) -> str:
    """One line of the printed table."""
    size = figures["bytes"]
    assert isinstance(size, int)
    cells = [f"{name:36s} {size / 1e6:6.2f} MB {'fits' if figures['fits'] else 'over'}"]
    for kind in ("picture", "open"):
        part = figures[kind]
        assert isinstance(part, dict)
        cells.append(
            f"{part['pooled_mean']:.4f} / {part['pooled_min']:.4f}  {part['token_mean']:.4f}  "
            f"{part['same_pieces']:.2f}  {part['nearest_agrees']:.2f}"
        )
    return "  |  ".join(cells)


if __name__ == "__main__":
    main()
