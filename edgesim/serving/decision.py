"""What the front answers an engine: where a request goes, that it waits, or that it is turned away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

BOARD_COLUMNS = 6
QUEUE, RUNNING, OUTSTANDING, TOKENS, FREE_BLOCKS, STATE = range(BOARD_COLUMNS)
"""Columns of the board, one row a candidate: queued and in transit, in the batch, requests and tokens not done,
free KV blocks, replica state."""


class Dispatch(NamedTuple):
    """Send a leg to each of these candidates (positions in the candidate list), with its rank in the queue."""

    places: tuple[int, ...]
    rank: int = 0


class Refuse(NamedTuple):
    """Turn the request away for a reason (a code of the run's list of reasons)."""

    reason: int


class Wait(NamedTuple):
    """Ask again at this time [ps]."""

    until: int


Plain = Dispatch | Refuse | Wait | int
"""A plain number is the position of the one candidate to send to, with rank 0."""


class Costly(NamedTuple):
    """An answer that is there only after some time [ps], and takes energy [nJ]."""

    answer: Plain
    ps: int
    nj: int


Answer = Plain | Costly

HELD = 1 << 40
"""A choice that only the front's side knows: the engine asks for it when its time has come."""


class Formation(NamedTuple):
    """The next step of a replica, and how long its like goes on; legs as the engine knows them."""

    decodes: Sequence[Any]
    chunks: Sequence[tuple[Any, int]]
    recompute: Sequence[Any]
    swap: Sequence[Any]
    steps: int
    until: int
    """[ps]"""

    @property
    def only_preempts(self) -> bool:
        """Does it only make room, to see what is free then?"""
        return bool(self.recompute or self.swap) and not (self.decodes or self.chunks)


class Front(Protocol):
    """Who decides for an engine, and who listens to it."""

    def decide(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> Answer:
        """Decide about one request.

        Args:
            cells: Integer fields of REQUEST rows, one after the other.
            base: Where this request's row begins in `cells`.
            board: BOARD_COLUMNS integers for each candidate of the request.
            now: Simulated time [ps].
        """
        ...

    def ended(self, record: NDArray[np.void]) -> None:
        """Take note of a request whose end somebody waits for (one REQUEST_RECORD row)."""
        ...


REASONS = ("", "replica-failed", "too-long", "no-replica", "patience", "not-admitted")
"""Reasons that the engine itself gives; policies add theirs behind these."""
REPLICA_FAILED, TOO_LONG, NO_REPLICA, PATIENCE, NOT_ADMITTED = 1, 2, 3, 4, 5
