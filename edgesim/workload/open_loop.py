"""Open-loop requests: they come when they come, whatever happens to the earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import numpy as np

from edgesim.workload.asked import Asked
from edgesim.workload.table import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgesim.workload.asked import Arrivals
    from edgesim.workload.sessions import Sessions
    from edgesim.workload.shape import Shape
    from edgesim.workload.traces import Trace

_SMALLEST: Final = 256
_LARGEST: Final = 4096
"""Requests that are drawn at a time: few at first, because many runs are short."""

_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: its multiples visit all nodes evenly in no simple order."""


Places: TypeAlias = "Callable[[int, int], NDArray[np.int64]]"
"""Answers the positions in the node group of so many requests (second) from a number on (first)."""


class Source(Protocol):
    """One pass over the open-loop requests of one workload."""

    def take(self) -> NDArray[np.int64]:
        """Return a table of the next requests, ascending in time; empty only at the end."""
        ...


class OpenLoop:
    """Requests whose times an arrival process gives and whose contents a shape draws."""

    def __init__(
        self,
        arrivals: Arrivals,
        shape: Shape,
        places: Places,
        first: int,
        sessions: Sessions | None = None,
    ) -> None:
        """Start at the first request.

        Args:
            arrivals: Gives the times.
            shape: Draws the rest.
            places: Gives the nodes where `arrivals` does not.
            first: Id of the group's first node.
            sessions: Says the first turns, where the workload has sessions.
        """
        self._arrivals = arrivals
        self._shape = shape
        self._draws = shape.draws()
        self._places = places
        self._first = first
        self._sessions = sessions
        self._number = 0
        self._size = _SMALLEST

    def take(self) -> NDArray[np.int64]:
        """Return a table of the next requests."""
        asked = self._arrivals.take(self._size)
        self._size = min(self._size * 4, _LARGEST)
        number, size = self._number, len(asked.at)
        if not size:
            return EMPTY
        self._number += size
        if self._sessions is not None:
            return self._sessions.opening(asked.at, number)
        place = self._places(number, size) if asked.place is None else asked.place
        return self._shape.many(self._draws, asked, place + self._first, number)


class Replay:
    """Arrivals read from a trace."""

    def __init__(self, trace: Trace, until: int, base: int = 0) -> None:
        """Start at the trace's first request and end at `until` [ps]; its names lie from `base` on in their pool."""
        self._base = base
        self._trace = trace
        self._next = 0
        self._last = int(np.searchsorted(trace.at, until))

    def take(self, size: int) -> Asked:
        """Return the next requests of the trace."""
        part = slice(self._next, min(self._next + size, self._last))
        self._next = part.stop
        prompt, output = self._trace.prompt[part].astype(np.int64), self._trace.output[part].astype(np.int64)
        first, count = self._trace.first_name, self._trace.name_count
        if first is None or count is None:
            return Asked(self._trace.at[part], None, prompt, output)
        return Asked(self._trace.at[part], None, prompt, output, first[part] + self._base, count[part])


def anywhere(count: int, random: np.random.Generator) -> Places:
    """Give each request a node of its own choice, all nodes being equally likely."""
    if count == 1:
        return in_turn(1)
    return lambda number, size: random.integers(0, count, size)  # noqa: ARG005 - drawn in order


def in_turn(count: int) -> Places:
    """Give the i-th request to node i modulo `count`."""
    return lambda number, size: np.arange(number, number + size, dtype=np.int64) % count


def evenly(count: int) -> Places:
    """Give every node its even share at every moment, by multiples of the golden ratio."""

    def places(number: int, size: int) -> NDArray[np.int64]:
        turns = np.arange(number, number + size, dtype=np.uint64) * np.uint64(_GOLDEN)
        return (((turns >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)

    return places
