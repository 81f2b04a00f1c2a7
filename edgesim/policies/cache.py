"""Caches: which prefixes a replica forgets first when memory is wanted."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgesim.policies.base import Policy
from edgesim.registry import register

if TYPE_CHECKING:
    from edgesim.policies.views import PrefixView


class Cache(Policy):
    """Ranks cached prefixes of a replica whose `prefix_cache` is on.

    Asked whenever the last request that used a prefix has left. Blocks are taken from the prefix of the smallest
    rank, the earliest of equals, when memory is wanted; never from one that others continue, nor blocks in use.
    """

    role = "cache"
    hook = "rank"

    order: ClassVar[int | None] = None
    """The built-in order that `rank` describes; the engine then ranks by itself."""

    def rank(self, prefix: PrefixView, now: float) -> float:
        """Answer a number: the prefix of the smallest one is forgotten first.

        Args:
            prefix: Blocks that requests have computed and that begin the prompts of others.
            now: Simulated time [s].
        """
        raise NotImplementedError


@register("lru")
class LeastRecentlyUsed(Cache):
    """Forget what was not used for the longest time."""

    order = 0

    def rank(self, prefix: PrefixView, now: float) -> float:
        return 0


@register("fifo")
class FirstInFirstOut(Cache):
    """Forget what was computed first."""

    order = 1

    def rank(self, prefix: PrefixView, now: float) -> float:
        return prefix.created


@register("lfu")
class LeastFrequentlyUsed(Cache):
    """Forget what was used least often."""

    order = 2

    def rank(self, prefix: PrefixView, now: float) -> float:
        return prefix.hits


@register("gdsf")
class GreedyDualSizeFrequency(Cache):
    """Forget what was used least often, counting uses from the rank of what was forgotten last.

    Greedy-Dual-Size-Frequency (Cherkasova, HP Labs 98-69R1) with cost and size of a block the same for all, so that
    their ratio is 1 and what remains is frequency with ageing.
    """

    order = 3

    def rank(self, prefix: PrefixView, now: float) -> float:
        return prefix.clock + prefix.hits


@register("belady")
class Belady(Cache):
    """Forget what is asked for again furthest in the future, as a trace with block hashes tells; a bound, no policy.

    Belady: A study of replacement algorithms for a virtual-storage computer, IBM Systems Journal 5(2), 1966.
    """

    oracle = True
    order = 4

    def rank(self, prefix: PrefixView, now: float) -> float:
        return -prefix.next_use
