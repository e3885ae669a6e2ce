"""The classifier of prompts: it separates what mean vectors do not, and stays near them."""

from __future__ import annotations

import numpy as np

from everframe.recipes.prompt_classifier import regression, unit
from everframe.stream.opening import SHARPNESS


def test_regression_separates_groups_whose_means_do_not() -> None:
    rng = np.random.default_rng(0)
    # two looks that share a strong direction and differ in a weak one; a third one apart
    shared, apart, weak = np.eye(8)[:3]
    centres = [shared + 0.25 * weak, shared - 0.25 * weak + 0.8 * apart, apart]
    rows = [unit(c + 0.15 * rng.normal(size=8)) for c in centres for _ in range(40)]
    labels = [label for label in range(3) for _ in range(40)]
    x = np.stack(rows)
    means = np.stack([unit(x[40 * i : 40 * i + 40].mean(0)) for i in range(3)])
    weights, bias = regression(x, labels, means)
    found = (SHARPNESS * x @ weights.T + bias).argmax(1)
    before = (x @ means.T).argmax(1)
    assert (found == labels).mean() > 0.97
    assert (found == labels).mean() >= (before == labels).mean()
    again = regression(x, labels, means)
    assert np.array_equal(again[0], weights)
    assert np.array_equal(again[1], bias)
    assert float(np.abs(weights - means).max()) < 1
