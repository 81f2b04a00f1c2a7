"""The system an engine runs: static rows of links, replicas, step costs and candidate places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgesim.arena.rows import DEVICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.costs.step import StepCost

FOREVER = (1 << 62) - 1
"""A time no scenario reaches [ps]."""


LRU, FIFO, LFU, GDSF, OFFLINE = range(5)
"""Orders in which idle cached prefixes are given up: least recently used, first made, least often used, that with
ageing, next used furthest in the future."""

NEVER_AGAIN = 1 << 40
"""Next use of what nobody asks for again."""


@dataclass
class System:
    """What a replication is run on; an engine takes copies of the rows it changes.

    Attributes:
        links: LINK rows with their capacity, and how it is shared.
        replicas: REPLICA rows with the fields of "what it is" and the initial state.
        costs: Step costs; `replicas["cost"]` points into them.
        candidates: CANDIDATE rows, the places each origin may use, nearest first.
        places: [origin * classes + LLM class] -> (offset, length) in `candidates`; -1 rows do not exist.
        classes: LLM classes: class 0 is for what is handed to a replica at home, the others hold what suits a workload.
        paths: Pool of link ids that `up` and `down` of the candidates point into.
        workloads: WORKLOAD rows.
        end: The run stops here [ps].
        limit: So many requests are taken from the workloads that say `limited`; later ones are never asked.
        windows: Sliding window of each step cost [tokens]; 0: none.
        hashes: Names of prompt blocks that traces give, in one pool; arrivals point into it.
        next_uses: Number of the request that next asks for each of them.
        devices: DEVICE rows of accelerators that replicas share, with quantum, switch time and who is loaded.
    """

    links: NDArray[np.void]
    replicas: NDArray[np.void]
    costs: Sequence[StepCost]
    candidates: NDArray[np.void]
    places: NDArray[np.int64]
    classes: int
    paths: NDArray[np.int64]
    workloads: NDArray[np.void]
    end: int = FOREVER
    limit: int = FOREVER
    windows: Sequence[int] = field(default_factory=list)
    transfers: dict[tuple[int, int], tuple[tuple[int, ...], int, int]] = field(default_factory=dict)

    hashes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    next_uses: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    devices: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, DEVICE))

    def candidate_range(self, origin: int, workload: int) -> tuple[int, int]:
        """Offset and number of the candidates of an origin for a workload."""
        offset, length = self.places[origin * self.classes + int(self.workloads[workload]["llm"])]
        return int(offset), int(length)


def message_delay(nbytes: int, narrowest: int) -> int:
    """Serialisation of a token's message on the narrowest link of its path [ps]."""
    return -(-nbytes * 10**15 // narrowest)
