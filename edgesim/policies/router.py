"""Routers: where each request is served."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from pydantic import Field, NonNegativeInt

from edgesim.policies.answers import DecisionCost, Defer, Hedge, Reject
from edgesim.policies.base import Policy
from edgesim.registry import register
from edgesim.units import Joules, Seconds  # noqa: TC001 - read when parameters are validated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgesim.policies.compiled import CompiledFunction
    from edgesim.policies.views import Draw, ReplicaView, RequestView, SystemView

    Route: TypeAlias = ReplicaView | Reject | Defer | Hedge

NO_REPLICA = "no-replica"
"""Reason of a request that nobody may serve."""


LONGEST_DECISION = 86400.0
"""A day [s]."""
DEAREST_DECISION = 1e6
"""A megajoule [J]."""


@dataclass(kw_only=True, eq=False)
class Router(Policy):
    """Chooses the replica for each request.

    Asked when a request arrives, and again when it is retried or its deferral ends. May read the request,
    the candidates and the view of the system; must not change them.

    A decision may take time and energy: an LLM that decides runs somewhere. `route` then sees the system as it is
    when the decision begins, and its answer, whatever it is, takes effect that much later; admission and ranks belong
    to the decision. The time is the request's phase `decision`, the energy is the request's, and counts beside that of
    the replicas; if the client leaves or the run ends before, the part that has passed does. Neither accelerators nor
    money are taken: who wants them occupied lets a replica decide.

    Attributes:
        decision_time: Time that each decision takes [s].
        decision_energy: Energy that each decision takes [J].
    """

    role = "router"
    hook = "route"
    other_hooks = ("decision_cost",)

    decision_time: Annotated[Seconds, Field(le=LONGEST_DECISION)] = 0.0
    decision_energy: Annotated[Joules, Field(le=DEAREST_DECISION)] = 0.0

    compiled_route: ClassVar[CompiledFunction | None] = None
    """The same choice as a function marked with `compiled`; used instead of `route` where it is set."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        """Answer one of the candidates, `Reject(reason)`, `Defer(until_s)` or `Hedge([...])`.

        Args:
            request: The request to place.
            candidates: The replicas that may serve it and are up, nearest first; at least one.
            view: The system, at this moment.
        """
        raise NotImplementedError

    def decision_cost(
        self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView
    ) -> DecisionCost:
        """Answer what the decision just taken takes; the default answers the two parameters.

        The arguments are those of `route`.
        """
        return DecisionCost(self.decision_time, self.decision_energy)

    @property
    def decides_for_free(self) -> bool:
        """Do its decisions take neither time nor energy?"""
        plain = type(self).decision_cost is Router.decision_cost
        return plain and not self.decision_time and not self.decision_energy


def least_loaded(candidates: Sequence[ReplicaView]) -> ReplicaView:
    """Pick the replica with the fewest outstanding requests, the nearest of equals."""
    column = getattr(candidates, "column", None)
    if column is not None:
        loads = column("outstanding_requests")
        nearest: ReplicaView = candidates[loads.index(min(loads))]
        return nearest
    return min(candidates, key=attrgetter("outstanding_requests"))  # twice as fast as a lambda


def _least_loaded_where(
    candidates: Sequence[ReplicaView], allowed: Callable[[ReplicaView], bool]
) -> ReplicaView | Reject:
    """Pick the least loaded of the allowed replicas, or refuse."""
    left = [replica for replica in candidates if allowed(replica)]
    return least_loaded(left) if left else Reject(NO_REPLICA)


@register("local-only")
class LocalOnly(Router):
    """Serve each request on the node where it was asked, or not at all."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return _least_loaded_where(candidates, lambda replica: replica.local)


@register("edge-only")
class EdgeOnly(Router):
    """Serve each request on the least loaded edge replica, or not at all."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return _least_loaded_where(candidates, lambda replica: replica.tier == "edge")


@register("cloud-only")
class CloudOnly(Router):
    """Serve each request on the least loaded cloud replica, or not at all."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return _least_loaded_where(candidates, lambda replica: replica.tier == "cloud")


@register("nearest")
class Nearest(Router):
    """Send each request to the replica with the smallest network latency."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return min(candidates, key=attrgetter("latency"))


@register("random")
class Random(Router):
    """Send each request to a replica drawn at random."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return candidates[int(self.random(request) * len(candidates))]


@register("round-robin")
class RoundRobin(Router):
    """Send requests to the candidates in turn."""

    def setup(self, system: SystemView, random: Draw) -> None:
        self._turn = -1

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        self._turn += 1
        return candidates[self._turn % len(candidates)]


@register("join-shortest-queue")
class JoinShortestQueue(Router):
    """Send each request to the replica with the fewest requests, running ones included."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return least_loaded(candidates)


@register("power-of-two")
class PowerOfTwo(Router):
    """Draw two replicas at random and send the request to the one with fewer requests."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        if len(candidates) == 1:
            return candidates[0]
        i = int(self.random(request, 0) * len(candidates))
        j = int(self.random(request, 1) * (len(candidates) - 1))
        first, second = candidates[i], candidates[j + (j >= i)]  # never the same one twice
        return first if first.outstanding_requests <= second.outstanding_requests else second


@register("least-outstanding-tokens")
class LeastOutstandingTokens(Router):
    """Send each request to the replica with the fewest tokens left to process."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return min(candidates, key=attrgetter("outstanding_tokens"))


@register("greedy-latency")
class GreedyLatency(Router):
    """Send each request where it is estimated to finish first."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return min(candidates, key=lambda replica: view.estimate(request, replica).latency_s)


@register("greedy-energy")
class GreedyEnergy(Router):
    """Send each request where it is estimated to take the least energy."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        return min(candidates, key=lambda replica: view.estimate(request, replica).energy_j)


@register("threshold-offload")
class ThresholdOffload(Router):
    """Stay local while the queue is short, else try tier after tier, the least loaded replica last.

    Attributes:
        max_queue: A replica with so many requests not yet started takes no more.
    """

    max_queue: NonNegativeInt = 4

    def setup(self, system: SystemView, random: Draw) -> None:
        self._level = {tier: level for level, tier in enumerate(system.tiers)}

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        free = [replica for replica in candidates if replica.queue_length < self.max_queue]
        if not free:
            return least_loaded(candidates)
        home = self._level[request.origin_tier]

        def effort(replica: ReplicaView) -> tuple[bool, int, int]:
            return not replica.local, abs(self._level[replica.tier] - home), replica.outstanding_requests

        return min(free, key=effort)


@register("oracle")
class Oracle(GreedyLatency):
    """Send each request where it would finish first, knowing its true output length."""

    oracle = True
