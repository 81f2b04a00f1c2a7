"""Sessions of several turns: the next prompt comes after the reply was read, and repeats what was said.

Every turn is a pure function of the random streams and of (session, turn), whoever asks, when, and how often.
So two engines, or one engine with two policies, see the same conversations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgesim.workload.distributions import counts, duration, times, whole_number
from edgesim.workload.table import EMPTY, arrival_of, arrivals_of, table_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgesim.scenario.workload import Session as Section
    from edgesim.workload.asked import Nodes
    from edgesim.workload.shape import Shape


class Continuation(Protocol):
    """Requests that wait for earlier ones: those of closed-loop users and later turns of sessions.

    Attributes:
        workload: The workload's place in the scenario.
    """

    workload: int

    def first(self) -> NDArray[np.void]:
        """Return the requests that wait for nothing and are in no chunk, ascending in time."""
        ...

    def after(self, session: int, turn: int, finished_ps: int) -> np.void | None:
        """Return the request that follows this turn, however it ended; None if there is none.

        Args:
            session: The `session` of the request that ended.
            turn: Its `turn`.
            finished_ps: When its reply, or its refusal, had reached the client [ps].
        """
        ...


class Conversation:
    """The turns of a workload's sessions: how many, what they say, how long the user thinks between."""

    def __init__(self, shape: Shape, spec: Section) -> None:
        """Prepare the distributions of the `session` section."""
        self.shape = shape
        self._turns = counts(spec.turns)
        self._think = times(spec.think_time)
        self._carries = bool(spec.carry_history)
        self._said: dict[int, tuple[int, int]] = {}
        """The turn that a session under way asked last, and the tokens before it: no turn counts them all anew."""

    def turns(self, session: int) -> int:
        """Return how many turns a session has."""
        return whole_number(self.shape.drawn(self._turns, "turns", session, 0))

    def pause(self, session: int, turn: int) -> int:
        """Return how long the user reads and thinks before this turn [ps]."""
        return duration(self.shape.drawn(self._think, "think_time", session, turn))

    def history(self, session: int, turn: int) -> int:
        """Return the tokens of all earlier prompts and replies, which this turn's prompt repeats."""
        if not self._carries or not turn:
            return 0
        known, tokens = self._said.pop(session, (0, 0))
        if known > turn:
            known = tokens = 0
        for earlier in range(known, turn):
            tokens += sum(self.shape.lengths(session, earlier))
        if turn + 1 < self.turns(session):
            self._said[session] = (turn, tokens)
        return tokens

    def row(self, at: int, origin: int, session: int, turn: int) -> list[int]:
        """Return one turn as a row."""
        return self.shape.one(at, origin, session, turn, self.history(session, turn))


class Sessions:
    """Sessions that begin as an open-loop arrival process says; their later turns follow the replies.

    Attributes:
        workload: The workload's place in the scenario.
    """

    def __init__(self, conversation: Conversation, nodes: Nodes, until: int) -> None:
        """Let the sessions come from these nodes, and nobody ask at or after `until` [ps]."""
        self.workload = conversation.shape.index
        self._conversation = conversation
        self._nodes = nodes
        self._until = until

    def origin(self, session: int) -> int:
        """Return the node where a session takes place."""
        if self._nodes.count == 1:
            return self._nodes.first
        return self._nodes.first + int(
            self._conversation.shape.uniform("origin", session, 0) * self._nodes.count
        )

    def opening(self, at: NDArray[np.int64], session: int) -> NDArray[np.int64]:
        """Return a table of the first turns of sessions that begin then, numbered from `session` on."""
        rows = [
            self._conversation.row(int(start), self.origin(number), number, 0)
            for number, start in enumerate(at, start=session)
        ]
        return table_of(rows)

    def first(self) -> NDArray[np.void]:
        """Return nothing: the first turns come with the other arrivals."""
        return arrivals_of(EMPTY)

    def after(self, session: int, turn: int, finished_ps: int) -> np.void | None:
        """Return the next turn, or None after the last one."""
        following = turn + 1
        if following >= self._conversation.turns(session):
            return None
        at = finished_ps + self._conversation.pause(session, following)
        if at >= self._until:
            return None
        return arrival_of(self._conversation.row(at, self.origin(session), session, following))
