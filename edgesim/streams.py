"""Named random streams: every draw belongs to a stream that says what it is for.

A stream depends on the seed, the replication and its own name, never on which streams were opened before it,
so adding a policy or a link leaves all other draws as they were (common random numbers).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

_WORD: Final = 0xFFFFFFFFFFFFFFFF
_REQUEST_STRIDE: Final = 0x9E3779B97F4A7C15
_INDEX_STRIDE: Final = 0xBF58476D1CE4E5B9
_MIX_FIRST: Final = 0xBF58476D1CE4E5B9
_MIX_SECOND: Final = 0x94D049BB133111EB
_KEY_WORD: Final = 4  # the four words before it seed the generator of the same name


class Streams:
    """The random streams of one replication.

    Attributes:
        seed: The scenario's seed, not negative.
        replication: Which replication of the scenario, from 0.
    """

    __slots__ = ("replication", "seed")

    def __init__(self, seed: int, replication: int = 0) -> None:
        self.seed = seed
        self.replication = replication

    def generator(self, name: str) -> np.random.Generator:
        """Return a fresh generator at the start of the stream `name`."""
        import numpy as np  # noqa: PLC0415 - policies and `validate` import this file without numpy

        return np.random.Generator(np.random.PCG64(self._seeds(name)))

    def key(self, name: str) -> int:
        """Return the 64-bit key of the stream `name`, for draws by `uniform`."""
        import numpy as np  # noqa: PLC0415 - policies and `validate` import this file without numpy

        return int(self._seeds(name).generate_state(_KEY_WORD + 1, np.uint64)[_KEY_WORD])

    def _seeds(self, name: str) -> np.random.SeedSequence:
        import numpy as np  # noqa: PLC0415 - policies and `validate` import this file without numpy

        digest = blake2b(name.encode(), digest_size=16).digest()
        words = (int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))
        return np.random.SeedSequence(self.seed, spawn_key=(self.replication, *words))

    def __repr__(self) -> str:
        return f"Streams(seed={self.seed}, replication={self.replication})"


def uniform(key: int, request: int, index: int) -> float:
    """Return a uniform number in [0, 1) that depends on its three integers and nothing else.

    Two rounds of the SplitMix64 finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number
    generators, OOPSLA 2014, doi 10.1145/2660193.2660195) over a linear mix of the arguments; the top 53 bits
    make the float.
    """
    z = ((key ^ (request * _REQUEST_STRIDE)) + index * _INDEX_STRIDE) & _WORD
    z = ((z ^ (z >> 30)) * _MIX_FIRST) & _WORD  # written out twice: calls would cost more than the arithmetic
    z = ((z ^ (z >> 27)) * _MIX_SECOND) & _WORD
    z ^= z >> 31
    z = ((z ^ (z >> 30)) * _MIX_FIRST) & _WORD
    z = ((z ^ (z >> 27)) * _MIX_SECOND) & _WORD
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53
