"""Named random streams: one per purpose and step, so that no consumer shifts another's numbers.

A run has one seed. Whoever needs randomness asks for `stream_seed(seed, "its purpose", step)`:
resuming at a step, or adding a consumer, leaves all the other streams as they were.
"""

from hashlib import blake2b

import numpy as np

SEED_BITS = 63
"""Seeds fit a signed 64-bit integer, which every generator accepts."""


def stream_seed(seed: int, purpose: str, step: int = 0) -> int:
    """Return the seed of an independent stream, 0 <= result < 2**63, the same on every machine.

    Give it to `torch.Generator().manual_seed(...)`, or use `numpy_rng`.
    """
    digest = blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - SEED_BITS)


def numpy_rng(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for one purpose and step; PCG64, explicit so that it stays."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, purpose, step)))
