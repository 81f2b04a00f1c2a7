"""Closed-loop users: each thinks, asks, waits for the reply, and thinks again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.workload.distributions import duration, times
from edgesim.workload.table import AT, arrival_of, arrivals_of, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.scenario.arrivals import ClosedLoop as Section
    from edgesim.workload.asked import Nodes
    from edgesim.workload.sessions import Conversation
    from edgesim.workload.shape import Shape


class ClosedLoop:
    """A fixed number of users with at most one request under way each.

    Without sessions, user u asks the turns 0, 1, 2 ... of session u. With sessions of several turns, the
    user's k-th session is u + k * users: its turns follow each other after the session's think time, and the
    next session begins after the user's.

    Attributes:
        workload: The workload's place in the scenario.
    """

    def __init__(
        self, spec: Section, shape: Shape, conversation: Conversation | None, nodes: Nodes, until: int
    ) -> None:
        """Spread the users over the nodes, neighbours in number on the same or neighbouring nodes.

        Args:
            spec: The workload's `arrivals` section.
            shape: Draws the requests.
            conversation: The workload's sessions, if any.
            nodes: The group that asks.
            until: Nothing is asked at or after this time [ps].
        """
        self.workload = shape.index
        self._shape = shape
        self._conversation = conversation
        self._users = int(spec.users) * (nodes.count if spec.per == "node" else 1)
        self._think = times(spec.think_time)
        self._nodes = nodes
        self._until = until

    def origin(self, session: int) -> int:
        """Return the node of the user who holds a session."""
        return self._nodes.first + session % self._users * self._nodes.count // self._users

    def first(self) -> NDArray[np.void]:
        """Return everybody's first request, after a first think time, ascending in time."""
        rows = [self._ask(user, 0, self._pause(user, 0)) for user in range(self._users)]
        table = table_of([row for row in rows if row is not None])
        return arrivals_of(table[np.argsort(table[:, AT], kind="stable")])

    def after(self, session: int, turn: int, finished_ps: int) -> np.void | None:
        """Return the same user's next request, or None if it would come after the end."""
        following = turn + 1
        if self._conversation is None:
            pause = self._pause(session, following)
        elif following < self._conversation.turns(session):
            pause = self._conversation.pause(session, following)
        else:
            session, following = session + self._users, 0
            pause = self._pause(session, 0)
        row = self._ask(session, following, finished_ps + pause)
        return None if row is None else arrival_of(row)

    def _pause(self, session: int, turn: int) -> int:
        return duration(self._think.quantile(self._shape.uniform("think_time", session, turn)))

    def _ask(self, session: int, turn: int, at: int) -> list[int] | None:
        if at >= self._until:
            return None
        origin = self.origin(session)
        if self._conversation is None:
            return self._shape.one(at, origin, session, turn, history=0)
        return self._conversation.row(at, origin, session, turn)
