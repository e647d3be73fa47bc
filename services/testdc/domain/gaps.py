"""Which places of a computed run are empty: drawn 64 at once, so that a million are counted in no time."""

from __future__ import annotations

from array import array
from functools import lru_cache
from hashlib import blake2b

BLOCK = 64
"""Places in a block."""
_BITS = 8
"""A share is rounded to 1/256."""
_ALL = (1 << BLOCK) - 1


@lru_cache(maxsize=4096)
def mask(seed: int, share: float, block: int) -> int:
    """The empty places of a block, as set bits; each is empty with this chance."""
    threshold = round(share * (1 << _BITS))
    if threshold in {0, 1 << _BITS}:
        return _ALL if threshold else 0
    noise = blake2b(f"gaps {seed} {block}".encode(), digest_size=BLOCK).digest()
    empty = 0
    for bit in range(_BITS):  # each step halves the chance, and adds a half where the threshold has a bit
        drawn = int.from_bytes(noise[bit * 8 : bit * 8 + 8], "little")
        empty = (drawn | empty) if threshold >> bit & 1 else (drawn & empty)
    return empty


@lru_cache(maxsize=16)
def filled_before(seed: int, share: float, blocks: int) -> array[int]:
    """How many places are filled before each block, and, last, in all of them."""
    counts = array("L", [0])
    for block in range(blocks):
        counts.append(counts[-1] + BLOCK - mask(seed, share, block).bit_count())
    return counts
