"""Fallback: operators that an accelerator does not support run on the processor beside it.

Of each part of a step (the matrices, attention, the LM head) the accelerator covers a share; the rest takes the
processor's rates. One waits for the other, so that their times add up. Wherever a layer leaves work to the processor
it hands the residual stream over and takes it back, which costs a crossing each way and, where they share no memory,
the bytes over the link. Phones' NPUs leave attention or operators that need more than integers to the CPU, which takes
most of what they gain (arXiv 2605.27435: decode 1.05 to 1.2 times as fast as the CPU alone, prefill even slower); an
Edge TPU leaves whatever is no 8-bit tensor operation to its host (coral.ai, compiler).

Counted work and traffic, and the energy that follows from them, are the accelerator's; the processor draws its power
for its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edgesim.catalog.host import PARTS
from edgesim.costs import llm as work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Host, Llm

STREAM_BYTES: Final = 2
"""Activations are handed over in 16 bits."""


class Kept(NamedTuple):
    """Shares of the parts of a step that the accelerator covers."""

    linear: float = 1.0
    attention: float = 1.0
    head: float = 1.0


EVERYTHING: Final = Kept()


@dataclass(frozen=True, slots=True)
class Fallback:
    """Shares of the parts of a step that a host runs.

    Args:
        host: What it reaches.
        linear: Of all matrices but the LM head.
        attention: Of attention.
        head: Of the LM head.
    """

    host: Host
    linear: float
    attention: float
    head: float

    @property
    def kept(self) -> Kept:
        """What the accelerator covers."""
        return Kept(1.0 - self.linear, 1.0 - self.attention, 1.0 - self.head)

    def step_seconds(
        self,
        llm: Llm,
        tokens: NDArray[np.float64],
        flops: NDArray[np.float64],
        layers: NDArray[np.float64],
        head: float,
    ) -> NDArray[np.float64]:
        """The host's time in steps of so many tokens, without what contexts and sampled tokens add [s].

        Args:
            llm: What is run.
            tokens: Of each step.
            flops: Of the matrices in each step, all of them.
            layers: Bytes of the weights that each step reads, without the LM head.
            head: Bytes of the LM head.
        """
        arithmetic, streaming = flops / self.host.compute, layers / self.host.memory_bandwidth
        seconds = self.linear * np.sqrt(arithmetic * arithmetic + streaming * streaming)
        seconds += self.head * head / self.host.memory_bandwidth
        return seconds + self._crossings(llm) * self._crossing(llm, tokens)

    def _crossings(self, llm: Llm) -> int:
        """Hand-overs in a step, there and back; layers that run on the host whole need none between them."""
        layer = (self.linear > 0) + (self.attention > 0) if self.linear + self.attention < 2 else 0
        return 2 * (llm.layers * layer + (self.head > 0))

    def _crossing(self, llm: Llm, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = tokens * (llm.hidden * STREAM_BYTES)
        return self.host.crossing + (moved / self.host.link if self.host.link else np.zeros_like(moved))

    def feature_seconds(self, llm: Llm, cached: float) -> NDArray[np.float64]:
        """The host's time for one unit of each of MIXED_FEATURES [s].

        Args:
            llm: What is run.
            cached: Bytes of KV cache that one token takes in a layer.
        """
        seconds: list[float] = []
        for layers in work.layers_by_reach(llm):
            decode = layers * work.decode_pair_flops(llm) / self.host.compute
            pair = layers * work.prefill_pair_flops(llm) / self.host.compute
            read = layers * cached / self.host.memory_bandwidth
            seconds += [self.attention * max(decode, read), self.attention * pair, self.attention * read]
        seconds += [self.head * work.head_flops(llm) / self.host.compute, 0.0]
        return np.array(seconds)


def fallback_of(accelerator: Accelerator) -> Fallback | None:
    """What an accelerator leaves to its host; None if it covers everything."""
    shares: Sequence[float] = [accelerator.unsupported.get(part, 0.0) for part in PARTS]
    if accelerator.host is None or not any(shares):
        return None
    return Fallback(accelerator.host, *shares)
