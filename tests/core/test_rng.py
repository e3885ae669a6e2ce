"""Random streams are named, independent and the same on every machine."""

import numpy as np

from everframe.core.rng import SEED_BITS, numpy_rng, stream_seed


def test_the_same_name_gives_the_same_numbers() -> None:
    first = numpy_rng(1, "noise", 5).standard_normal(8)
    assert np.array_equal(first, numpy_rng(1, "noise", 5).standard_normal(8))


def test_seed_purpose_and_step_each_give_another_stream() -> None:
    seeds = {
        stream_seed(seed, purpose, step)
        for seed in range(10)
        for purpose in ("noise", "looks", "noise/1", "1/noise")
        for step in range(50)
    }
    assert len(seeds) == 10 * 4 * 50
    assert all(0 <= seed < 2**SEED_BITS for seed in seeds)


def test_streams_are_uncorrelated() -> None:
    draws = np.stack([numpy_rng(0, "noise", step).standard_normal(4096) for step in range(8)])
    off_diagonal = np.corrcoef(draws) - np.eye(8)
    assert np.abs(off_diagonal).max() < 0.08  # five standard errors of 1/sqrt(4096)


def test_seeds_never_change_between_versions() -> None:
    assert stream_seed(0, "noise") == 7_012_560_265_599_635_137
