import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file
from tokenizers import Tokenizer, models, pre_tokenizers

from everframe.recipes.text_encoder import SHIPPED, build, kept_pieces, renumbered_tokenizer
from everframe.text import encoder
from everframe.text.coding import decode_codes

ASSETS = Path(encoder.__file__).parent / "assets"
VOCABULARY = {
    "[PAD]": 0,
    "[unused0]": 1,
    "[UNK]": 2,
    "[CLS]": 3,
    "[SEP]": 4,
    "[MASK]": 5,
    "a": 6,
    "水": 7,
    "the": 8,
    "##a": 9,
    "##水": 10,
    "##ing": 11,
    "rare": 12,
}


def test_only_pieces_that_no_text_can_reach_are_dropped() -> None:
    assert kept_pieces(VOCABULARY, None) == [0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]


def test_a_limit_keeps_characters_and_the_most_frequent_pieces() -> None:
    assert kept_pieces(VOCABULARY, 10) == [0, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    with pytest.raises(ValueError, match="essential"):
        kept_pieces(VOCABULARY, 7)


def test_a_renumbered_tokenizer_cuts_text_into_the_same_pieces() -> None:
    plain = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    original = json.loads(plain.to_str())
    original["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [3], "tokens": ["[CLS]"]}},
    }
    kept = kept_pieces(VOCABULARY, None)
    renumbered = Tokenizer.from_str(renumbered_tokenizer(original, kept))
    found = renumbered.encode("the rareing aa thex")
    assert found.tokens == ["[CLS]", "the", "rare", "##ing", "a", "##a", "[UNK]"]
    assert [kept[number] for number in found.ids] == [3, 8, 12, 11, 6, 9, 2]


@pytest.mark.skipif("MINILM_FOLDER" not in os.environ, reason="needs the original weights")
def test_the_recipe_gives_the_shipped_asset() -> None:
    weights, tokenizer = build(Path(os.environ["MINILM_FOLDER"]), SHIPPED)
    assert tokenizer == (ASSETS / "tokenizer.json").read_text(encoding="utf-8")
    built, shipped = load(weights), load_file(ASSETS / "weights.safetensors")
    assert built.keys() == shipped.keys()
    for name in shipped:
        pair = [tensors[name] for tensors in (built, shipped)]
        if name.endswith(".weight"):
            # The coded bytes depend on the build of zlib, the codes do not.
            rows = len(shipped[name.replace(".weight", ".scale")])
            pair = [decode_codes(stream, rows) for stream in pair]
        np.testing.assert_array_equal(pair[0], pair[1], err_msg=name)
