"""The decision log: what router, admission and scheduler answer about requests, and when, as rows of records.

Policies in Python are listened to while they answer. What a compiled router decides stays inside the kernel; there the
legs tell where it sent requests, and the ends whom it turned away. Such rows come when legs and requests end, and lack
the number of candidates and the ranks. Those of prompts that could never fit where they were sent, and of clients who
left before the decision took effect, lack the replica; after a retry the latter have no row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.policies.answers import Accept, Defer, Hedge, Reject
from edgesim.policies.router import Router
from edgesim.records import ANSWER, DECISION_RECORD, MISSING, ROLE, STATUS
from edgesim.serving import decision
from edgesim.serving.costly_front import price_of
from edgesim.serving.views import ATTEMPTS, ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgesim.policies import DecisionCost, Policy
    from edgesim.serving.front import PolicyFront

    Take = Callable[[NDArray[np.void]], None]

HELD = 4096
"""Rows that are handed on together."""
SEND, HEDGE, REJECT, DEFER, ACCEPT, RANK = range(len(ANSWER))
ROUTER, ADMISSION, SCHEDULER = range(len(ROLE))
UNSENT = (STATUS.index("abandoned"), STATUS.index("unfinished"))
"""How requests end that are still being decided on, if they do."""
FIELDS = DECISION_RECORD.names or ()
PS, NJ = FIELDS.index("decision_ps"), FIELDS.index("decision_nj")


class DecisionLog:
    """Listens to the policies of a replication; put up before their front, so that the front asks through it.

    Args:
        router: The router.
        others: Admission and scheduler.
        take: Takes rows of DECISION_RECORD.
    """

    front: PolicyFront

    def __init__(self, router: Router, others: Sequence[Policy], take: Take) -> None:
        self._take = take
        self._rows: list[list[float]] = []
        self._last: list[float] = []
        self._price = price_of(router.decision_time, router.decision_energy)
        self._listen(router, "route", self._routed)
        if type(router).decision_cost is not Router.decision_cost:
            self._listen(router, "decision_cost", self._priced)
        for policy in others:
            if policy.role == "admission":
                self._listen(policy, "admit", self._admitted)
            else:
                self._listen(policy, "rank", self._ranked)

    def _listen(self, policy: Policy, hook: str, heard: Callable[..., None]) -> None:
        """Hear what a hook is asked and answers; the class, which tells what a policy can do, stays as it is."""
        asked = getattr(policy, hook)

        def answered(request: Any, about: Any, view: Any) -> Any:
            answer = asked(request, about, view)
            heard(request, about, view, answer)
            return answer

        setattr(policy, hook, answered)

    def _routed(self, request: Any, looks: Any, view: Any, answer: Any) -> None:
        at, count = view.now_ps, len(looks)
        if isinstance(answer, Hedge):
            for copy, look in enumerate(answer.replicas):
                self._add(request, ROUTER, HEDGE, at, replica=look.index, copy=copy, candidates=count)
        elif isinstance(answer, Reject | Defer):
            self._unsent(request, ROUTER, at, answer, candidates=count)
        elif hasattr(answer, "index"):  # anything else ends the run
            self._add(request, ROUTER, SEND, at, replica=answer.index, candidates=count)

    def _priced(self, _request: Any, _looks: Any, _view: Any, cost: DecisionCost) -> None:
        self._last[PS], self._last[NJ] = price_of(cost.time_s, cost.energy_j)

    def _admitted(self, request: Any, look: Any, view: Any, answer: Any) -> None:
        if answer is True or isinstance(answer, Accept):
            self._add(request, ADMISSION, ACCEPT, view.now_ps, replica=look.index)
        elif isinstance(answer, Reject | Defer):
            self._unsent(request, ADMISSION, view.now_ps, answer, replica=look.index)

    def _ranked(self, request: Any, look: Any, view: Any, answer: Any) -> None:
        self._add(request, SCHEDULER, RANK, view.now_ps, replica=look.index, rank=float(answer))

    def _unsent(self, request: Any, role: int, at: int, answer: Reject | Defer, **more: int) -> None:
        if isinstance(answer, Reject):
            self._add(request, role, REJECT, at, reason=self.front.reason(answer.reason), **more)
        else:
            self._add(request, role, DEFER, at, until=float(answer.until_s), **more)

    def _add(
        self,
        request: Any,
        role: int,
        answer: int,
        at: int,
        *,
        copy: int = 0,
        replica: int = MISSING,
        reason: int = MISSING,
        candidates: float = math.nan,
        until: float = math.nan,
        rank: float = math.nan,
    ) -> None:
        if len(self._rows) >= HELD:
            self.flush()
        price = self._price if role == ROUTER else (0, 0)
        self._last = [
            request.id, request.attempts, role, answer, copy, at, replica, reason, *price, candidates, until, rank,
        ]  # fmt: skip
        self._rows.append(self._last)

    def flush(self) -> None:
        """Hand on what is held."""
        if self._rows:
            self._take(np.array([tuple(row) for row in self._rows], DECISION_RECORD))
            self._rows = []


class KernelDecisions:
    """Reads from legs and ends what a compiled router decided.

    Args:
        front: Asked by the kernel about some requests after all; those speak for themselves.
        price: What each decision takes [ps, nJ].
        take: Takes rows of DECISION_RECORD.
    """

    def __init__(self, front: PolicyFront, price: tuple[int, int], take: Take) -> None:
        self._take, self._price = take, price
        self._asked: set[tuple[int, int]] = set()
        self._decide = front.decide
        front.decide = self._heard  # type: ignore[method-assign]

    def _heard(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> decision.Answer:
        answer = self._decide(cells, base, board, now)
        plain = answer.answer if isinstance(answer, decision.Costly) else answer
        copies = len(plain.places) if isinstance(plain, decision.Dispatch) else 1
        first = cells[base + ATTEMPTS]
        self._asked.update((cells[base + ID], first + copy) for copy in range(copies))
        return answer

    def legs(self, chunk: NDArray[np.void]) -> None:
        """Say where requests were sent, from rows of LEG_RECORD."""
        own = chunk[self._own(chunk["request"], chunk["leg"])]
        found = self._blank(len(own), ROUTER, SEND)
        found["request"], found["attempt"], found["replica"] = own["request"], own["leg"], own["replica"]
        found["at"] = own["dispatched"] - self._price[0]
        if len(found):
            self._take(found)

    def requests(self, chunk: NDArray[np.void]) -> None:
        """Say who was turned away or went nowhere, from rows of REQUEST_RECORD."""
        reason = chunk["reason"]
        self._ends(chunk[reason == decision.NO_REPLICA], ROUTER, REJECT)
        self._ends(chunk[reason == decision.NOT_ADMITTED], ADMISSION, REJECT)
        nowhere = (chunk["legs"] == 0) & (chunk["decision"] > 0) & np.isin(chunk["status"], UNSENT)
        self._ends(chunk[(reason == decision.TOO_LONG) | nowhere], ROUTER, SEND)

    def _ends(self, rejected: NDArray[np.void], role: int, answer: int) -> None:
        own = rejected[self._own(rejected["request"], rejected["legs"])]
        found = self._blank(len(own), role, answer)
        found["request"], found["attempt"], found["reason"] = own["request"], own["legs"], own["reason"]
        found["at"] = np.where(own["legs"] == 0, own["arrived"], own["finished"] - self._price[0])
        if len(found):
            self._take(found)

    def _own(self, requests: NDArray[np.int64], attempts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the kernel decided about these attempts by itself; each is asked about once."""
        pairs = zip(requests.tolist(), attempts.tolist(), strict=True)
        own = np.array([pair not in self._asked for pair in pairs], bool)
        self._asked.difference_update(zip(requests[~own].tolist(), attempts[~own].tolist(), strict=True))
        return own

    def _blank(self, count: int, role: int, answer: int) -> NDArray[np.void]:
        found = np.zeros(count, DECISION_RECORD)
        found["replica"] = found["reason"] = MISSING
        found["role"], found["answer"] = role, answer
        found["candidates"] = found["until"] = found["rank"] = math.nan
        if role == ROUTER:
            found["decision_ps"], found["decision_nj"] = self._price
        return found
