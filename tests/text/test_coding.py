import numpy as np
import pytest

from everframe.text.coding import decode_codes, decode_matrix, encode_matrix


def bell(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    spread = np.linspace(0.01, 1.0, rows)[:, None]
    return (rng.standard_normal((rows, columns)) * spread).astype(np.float32)


@pytest.mark.parametrize("step", [0.05, 0.15, 0.5])
def test_the_error_is_at_most_half_a_step(step: float) -> None:
    matrix = bell(40, 96)
    stream, scale = encode_matrix(matrix, step)
    decoded = decode_matrix(stream, scale)
    assert decoded.dtype == np.float32
    half_step = 0.5 * scale.astype(np.float32)[:, None]
    assert (np.abs(decoded - matrix) <= half_step * 1.001).all()
    rms = np.sqrt(np.square(matrix).mean(axis=1))
    np.testing.assert_allclose(scale, rms * step, rtol=1e-3)


def test_a_wider_step_costs_fewer_bytes() -> None:
    matrix = bell(200, 384)
    sizes = [len(encode_matrix(matrix, step)[0]) for step in (0.05, 0.15, 0.5)]
    assert sizes[0] > sizes[1] > sizes[2]
    # About five bits a weight at a step of 0.15.
    assert sizes[1] * 8 / matrix.size == pytest.approx(4.8, abs=0.3)


def test_an_outlier_makes_the_step_of_its_own_row_coarser() -> None:
    matrix = bell(4, 96)
    matrix[2, 5] = 100.0
    stream, scale = encode_matrix(matrix, 0.01)
    assert decode_matrix(stream, scale)[2, 5] == pytest.approx(100.0, rel=1e-2)
    assert scale[2] > 10 * scale[3]


def test_a_row_of_zeros_stays_zero() -> None:
    matrix = bell(3, 96)
    matrix[1] = 0.0
    stream, scale = encode_matrix(matrix, 0.15)
    assert not decode_codes(stream, 3)[1].any()
    assert np.isfinite(decode_matrix(stream, scale)).all()
