"""Spill: where weights lie when the fastest memory does not hold them all, and what that makes of a replica's rates.

Weights fill memory on the chip first, if there is any, then the accelerator's memory, and, where a deployment allows
paging, storage. Every step reads all the weights it needs from wherever they lie, so that the rate of streaming is the
mean over the bytes: the cliff behind the end of each memory. What is on the chip stays there, and so does what fits of
paged weights, as in engines that pin it; a plain least-recently-used page cache would read all of it again each step.

The KV cache is kept on the chip if weights, activations and the cache of one sequence fit there; it then has the rest
of the chip. Else it lies in memory. Of paged weights it is given room first: for the tokens that the deployment
states, or for every sequence some, up to half of the memory.

Counted traffic is that of the memory. Bytes on the chip count for as much of it as they take time at both peaks, so
that utilisation is the share of the time and energy a byte follows from the same power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator


@dataclass(frozen=True, slots=True)
class Spill:
    """Where the weights of a replica lie, all its accelerators together [B].

    Args:
        on_chip: In the memory of the chips.
        in_memory: In the accelerators' memory.
        in_storage: Read from storage in each step.
        kv_room: Left for the KV cache.
        kv_least: What the KV cache needs.
        cache_on_chip: Whether it lies on the chips, too.
    """

    on_chip: int
    in_memory: int
    in_storage: int
    kv_room: int
    kv_least: int
    cache_on_chip: bool

    @property
    def fits(self) -> bool:
        """Whether there is room for everything."""
        return self.kv_room >= self.kv_least

    @property
    def weights(self) -> int:
        """All of them."""
        return self.on_chip + self.in_memory + self.in_storage

    def rate(self, chip: float, memory: float, storage: float) -> float:
        """Mean rate at which weights stream that come at such rates [B/s]."""
        seconds = self.on_chip / chip if self.on_chip else 0.0
        seconds += self.in_memory / memory
        seconds += self.in_storage / min(storage, memory) if self.in_storage else 0.0
        return self.weights / seconds if seconds else memory

    def traffic(self, chip_share: float) -> float:
        """Bytes of memory traffic that a byte of weights counts for, if one on the chip counts for so much."""
        if not self.weights:
            return 1.0
        return (self.in_memory + self.in_storage + chip_share * self.on_chip) / self.weights


def spill(
    accelerator: Accelerator,
    tensor_parallel: int,
    *,
    weights: int,
    working: int,
    available: int,
    kv_least: int,
    kv_wanted: int,
    paging: bool,
) -> Spill:
    """Place the weights of a replica.

    Args:
        accelerator: What it runs on.
        tensor_parallel: Accelerators of the replica.
        weights: Bytes of the weights.
        working: Bytes of the activations.
        available: Bytes of memory that may be used.
        kv_least: Bytes of KV cache without which nothing runs.
        kv_wanted: Bytes of KV cache that paged weights leave room for, if they can.
        paging: Whether weights may be read from storage.
    """
    chip = int(accelerator.sram * tensor_parallel)
    if chip and weights + working + kv_least <= chip:
        return Spill(weights, 0, 0, chip - weights - working, kv_least, cache_on_chip=True)
    on_chip = min(weights, chip)
    rest, free = weights - on_chip, available - working
    in_memory = rest
    if paging:
        cache = max(kv_least, min(kv_wanted, free // 2))
        in_memory = min(rest, max(0, free - cache))
    return Spill(
        on_chip, in_memory, rest - in_memory, max(0, free - in_memory), kv_least, cache_on_chip=False
    )
