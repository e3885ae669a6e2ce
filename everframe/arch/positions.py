"""Constant tables in NumPy: RoPE angles, position features, features of the denoising step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everframe.arch.spec import POSITION_FEATURES, STEP_FEATURES, Spec

Array = NDArray[np.float32]
ROPE_BASE = 50.0
"""Longest wavelength, in patches, is 2 pi times this: frames of up to ~100 patches a side are told
apart.
"""
STEP_BASE = 1000.0


def rope_angles(spec: Spec, rows: int, cols: int) -> tuple[Array, Array]:
    """cos and sin, each [N, K/2]: the first half of the pairs turns with the row, the second with
    the column.
    """
    pairs = spec.head_dim // 4
    frequency = ROPE_BASE ** (-np.arange(pairs, dtype=np.float64) / pairs)
    row, col = np.divmod(np.arange(rows * cols), cols)
    angle = np.concatenate([row[:, None] * frequency, col[:, None] * frequency], 1)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


OCTAVES = 4
NATIVE_PATCHES = 16
"""Patches a side of the native frame, 256 pixels; the last octave is counted in such frames."""
PATTERN_PERIODS = (3, 5, 7, 9, 16, 64)
"""Patches after which an absolute feature repeats. A pattern with a period of p pixels looks the
same again after p / gcd(p, patch) patches: odd numbers tell its phase at every frame size.
"""


def position_features(rows: int, cols: int) -> Array:
    """[N, 44]: place of each patch relative to the frame (vignettes), and its number counted from
    the top left corner (patterns in pixels, whose phase must be known at any frame size).
    """
    row, col = np.divmod(np.arange(rows * cols), cols)
    y = (row + 0.5) / rows * 2 - 1
    x = (col + 0.5) / cols * 2 - 1
    columns = [y, x, y * y, x * x]
    for octave in range(OCTAVES):
        if octave == OCTAVES - 1:  # repeats after four patches: it serves patterns, not places
            y, x = ((number + 0.5) / NATIVE_PATCHES * 2 - 1 for number in (row, col))
        angle = np.pi * 2.0**octave / 2
        columns += [np.sin(angle * y), np.cos(angle * y), np.sin(angle * x), np.cos(angle * x)]
    for period in PATTERN_PERIODS:
        down, right = (2 * np.pi / period * number for number in (row, col))
        columns += [np.sin(down), np.cos(down), np.sin(right), np.cos(right)]
    features = np.stack(columns, 1).astype(np.float32)
    assert features.shape[1] == POSITION_FEATURES
    return features


def step_features(tau: float | Array, step: float | Array) -> Array:
    """[..., 1, 64] Fourier features of the signal level `tau` and of the step size `step`, both
    0..1.
    """
    half = STEP_FEATURES // 4
    frequency = np.exp(-np.log(STEP_BASE) * np.arange(half) / half) * 100
    both = np.broadcast_arrays(np.asarray(tau, np.float64), np.asarray(step, np.float64))
    parts = [v[..., None] * frequency for v in both]
    features = [f(part) for part in parts for f in (np.cos, np.sin)]
    return np.concatenate(features, -1).astype(np.float32)[..., None, :]
