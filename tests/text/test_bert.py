import math

import numpy as np

from everframe.text.bert import HEADS, Norm, attend, gelu


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-6.0, 6.0, 1001, dtype=np.float32)
    exact = [0.5 * value * (1.0 + math.erf(value / math.sqrt(2.0))) for value in x.tolist()]
    np.testing.assert_allclose(gelu(x), exact, atol=2e-6)
    assert gelu(x).dtype == np.float32


def test_norm_gives_mean_zero_and_variance_one() -> None:
    x = np.random.default_rng(0).normal(3.0, 5.0, (4, 384)).astype(np.float32)
    plain = Norm(gain=np.ones(384, dtype=np.float32), bias=np.zeros(384, dtype=np.float32))
    np.testing.assert_allclose(plain(x).mean(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(plain(x).std(axis=1), 1.0, atol=1e-5)


def test_attention_matches_a_loop_over_heads_and_tokens() -> None:
    tokens, width = 5, 24 * HEADS
    qkv = np.random.default_rng(1).normal(size=(tokens, 3 * width)).astype(np.float32)
    query, key, value = np.split(qkv.astype(np.float64), 3, axis=1)
    expected = np.zeros((tokens, width))
    for head in range(HEADS):
        part = slice(24 * head, 24 * head + 24)
        for token in range(tokens):
            scores = key[:, part] @ query[token, part] / math.sqrt(24)
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[token, part] = weights @ value[:, part]
    np.testing.assert_allclose(attend(qkv), expected, atol=1e-5)
