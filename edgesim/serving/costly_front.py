"""The front of a router whose decisions take time or energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesim.arena import rows
from edgesim.policies.checks import blame, check_cost
from edgesim.policies.router import Router
from edgesim.serving import decision
from edgesim.serving.front import PolicyFront
from edgesim.serving.views import S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies import ReplicaView, RequestView, SystemView

NJ = 10**9
"""Nanojoules in a joule."""


def price_of(time_s: float, energy_j: float) -> tuple[int, int]:
    """What a decision takes, in whole picoseconds and nanojoules."""
    return round(time_s * rows.PS), round(energy_j * NJ)


class CostlyFront(PolicyFront):
    """Decides by a scenario's policies, and says with each answer what it takes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        router = self._router
        self._route = self._look_and_route
        self._looked: Sequence[ReplicaView] = ()
        self._fixed = type(router).decision_cost is Router.decision_cost
        self._price = price_of(router.decision_time, router.decision_energy)

    def _look_and_route(self, request: RequestView, looks: Sequence[ReplicaView], system: SystemView) -> Any:
        self._looked = looks
        return self._router.route(request, looks, system)

    def decide(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> decision.Answer:
        """Ask the policies about one request; where the router was not asked, nothing was decided."""
        self._looked = ()
        answer = super().decide(cells, base, board, now)
        if not self._looked:
            return answer
        ps, nj = self._price if self._fixed else self._ask_price(now)
        assert not isinstance(answer, decision.Costly)
        return decision.Costly(answer, ps, nj) if ps or nj else answer

    def _ask_price(self, now: int) -> tuple[int, int]:
        router, request, system = self._router, self._request, self.system
        request._oracle = system._oracle = self._oracle
        try:
            cost = router.decision_cost(request, self._looked, system)
        except Exception as error:
            raise blame(router, error, request, now * S, "decision_cost") from error
        check_cost(router, cost, request, now * S)
        return price_of(cost.time_s, cost.energy_j)
