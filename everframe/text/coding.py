"""Compact matrices: one scale per row, integer codes, Huffman-coded bytes.

A row is divided by its scale and rounded to int8; the codes are then Huffman coded (zlib without
string matching). With a step that is a fixed fraction of the row's root mean square the codes are
bell-shaped, and this costs clearly fewer bits than fixed-width integers of the same error:
uniform rounding plus entropy coding is within 0.25 bit of the best possible at high rates
(Gish and Pierce 1968).
"""

import zlib

import numpy as np
from numpy.typing import NDArray

_LARGEST_CODE = 127


def encode_matrix(
    matrix: NDArray[np.float32], step: float
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Round float32 [rows, columns]; returns the coded bytes uint8 [length] and scales [rows].

    step: rounding step as a fraction of each row's root mean square; 0.15 costs about 5 bits a
    weight. A row whose largest weight would pass 127 steps gets a coarser step. The codes depend
    on the input only; the bytes may differ between builds of zlib.
    """
    rms = np.sqrt(np.square(matrix).mean(axis=1))
    # Rounded to its stored precision before use, so that the codes make up for it.
    scale = np.maximum(rms * step, np.abs(matrix).max(axis=1) / _LARGEST_CODE).astype(np.float16)
    scale = np.maximum(scale, np.finfo(np.float16).tiny)
    levels = np.rint(matrix / scale.astype(np.float32)[:, None])
    codes = np.clip(levels, -_LARGEST_CODE, _LARGEST_CODE).astype(np.int8)
    coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    stream = coder.compress(codes.tobytes()) + coder.flush()
    return np.frombuffer(stream, dtype=np.uint8), scale


def decode_codes(stream: NDArray[np.uint8], rows: int) -> NDArray[np.int8]:
    """The codes int8 [rows, columns] of coded bytes uint8 [length]."""
    return np.frombuffer(zlib.decompress(stream.tobytes()), dtype=np.int8).reshape(rows, -1)


def decode_matrix(stream: NDArray[np.uint8], scale: NDArray[np.float16]) -> NDArray[np.float32]:
    """The matrix float32 [rows, columns] of coded bytes uint8 [length] and scales [rows]."""
    codes = decode_codes(stream, len(scale))
    return codes * scale.astype(np.float32)[:, None]
