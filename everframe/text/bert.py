"""The forward pass of a small BERT in NumPy: word rows in, token states of the last layer out.

Source: Devlin et al. 2018 (arXiv 1810.04805), post-norm encoder with exact GELU; the sizes are
those of MiniLM-L6-H384 (Wang et al. 2020, arXiv 2002.10957). Only real tokens, no padding.
N is the number of tokens, D the width (384).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HEADS = 12
LAYER_NORM_EPSILON = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """An affine map: weight float32 [in, out], bias float32 [out]."""

    weight: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        """Map float32 [N, in] to [N, out]."""
        return x @ self.weight + self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """Layer normalisation over the last axis: gain and bias float32 [D]."""

    gain: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        """Normalise float32 [N, D]."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + LAYER_NORM_EPSILON) * self.gain + self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One encoder layer; `qkv` gives query, key and value side by side."""

    qkv: Linear
    attention_out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    feed_norm: Norm

    def __call__(self, x: Floats) -> Floats:
        """Map float32 [N, D] to [N, D]."""
        x = self.attention_norm(x + self.attention_out(attend(self.qkv(x))))
        return self.feed_norm(x + self.down(gelu(self.up(x))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert:
    """The encoder without its word table: `position` [P, D] already holds the token type row."""

    position: Floats
    embedding_norm: Norm
    layers: tuple[Layer, ...]

    def __call__(self, word_rows: Floats) -> Floats:
        """Word rows float32 [N, D], N <= P, to last-layer token states float32 [N, D]."""
        x = self.embedding_norm(word_rows + self.position[: len(word_rows)])
        for layer in self.layers:
            x = layer(x)
        return x


def attend(qkv: Floats) -> Floats:
    """Softmax attention of every token to every token: float32 [N, 3D] to [N, D]."""
    tokens = len(qkv)
    query, key, value = qkv.reshape(tokens, 3, HEADS, -1).transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ value).transpose(1, 0, 2).reshape(tokens, -1)


def gelu(x: Floats) -> Floats:
    """Gaussian error linear unit, x * Phi(x).

    NumPy has no erf; formula 7.1.26 of Abramowitz and Stegun is within 1.5e-7 of it.
    """
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = 1.421413741 + t * (-1.453152027 + t * 1.061405429)
    tail = t * (0.254829592 + t * (-0.284496736 + t * series)) * np.exp(-z * z)
    phi = 0.5 * (1.0 + np.sign(x) * (1.0 - tail))
    return np.multiply(x, phi, dtype=np.float32)


def bert_from_tensors(tensors: Mapping[str, Floats]) -> Bert:
    """Build the encoder from float32 tensors named as in the asset; layers count up from 0.

    Matrices come as [out, in], as PyTorch stores them.
    """

    def linear(name: str) -> Linear:
        # [in, out] in memory: with few tokens the product is a third faster than with [out, in].
        weight = np.ascontiguousarray(tensors[f"{name}.weight"].T)
        return Linear(weight=weight, bias=tensors[f"{name}.bias"])

    def norm(name: str) -> Norm:
        return Norm(gain=tensors[f"{name}.gain"], bias=tensors[f"{name}.bias"])

    depth = sum(name.endswith(".qkv.weight") for name in tensors)
    layers = tuple(
        Layer(
            qkv=linear(f"layer.{index}.qkv"),
            attention_out=linear(f"layer.{index}.attention_out"),
            attention_norm=norm(f"layer.{index}.attention_norm"),
            up=linear(f"layer.{index}.up"),
            down=linear(f"layer.{index}.down"),
            feed_norm=norm(f"layer.{index}.feed_norm"),
        )
        for index in range(depth)
    )
    return Bert(position=tensors["position"], embedding_norm=norm("embedding_norm"), layers=layers)
