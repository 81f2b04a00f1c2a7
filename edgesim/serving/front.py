"""The front: asks the policies of a scenario on behalf of an engine, and hears how requests end."""

from __future__ import annotations

import struct
import time
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgesim.arena import rows
from edgesim.errors import PolicyError
from edgesim.policies.admission import AcceptAll
from edgesim.policies.answers import Decision, Defer, Hedge, Outcome, Reject
from edgesim.policies.base import Policy
from edgesim.policies.checks import blame, check_admit, check_rank, check_route
from edgesim.records import STATUS
from edgesim.serving import decision
from edgesim.serving.steps import StepFront
from edgesim.serving.views import (
    ATTEMPTS,
    ORIGIN,
    SESSION,
    WORKLOAD,
    CostLook,
    Looks,
    ReplicaLook,
    RequestLook,
    S,
    SystemLook,
    WorkloadFacts,
)
from edgesim.streams import uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgesim.policies import Admission, Cache, Router, Scheduler
    from edgesim.serving.fleet import Fleet
    from edgesim.streams import Streams
    from edgesim.topology import Topology

SAMPLE = 64
"""One decision in so many is timed."""


class Policies:
    """The policies of a replication, started."""

    def __init__(
        self, router: Router, scheduler: Scheduler, admission: Admission, cache: Cache, streams: Streams
    ) -> None:
        self.router, self.scheduler, self.admission = router, scheduler, admission
        self.all: tuple[Policy, ...] = (router, scheduler, admission, cache)
        self.streams = streams

    def start(self, system: SystemLook) -> None:
        """Begin the replication for each of them, with a stream of random numbers of its own."""
        for policy in self.all:
            key = policy.key = self.streams.key(f"policy/{policy.role}")
            policy.replication = self.streams.replication
            try:
                policy.start(system, lambda request, index, key=key: uniform(key, request, index))
            except WHATEVER as error:
                raise blame(policy, error, None, 0.0, "setup") from error

    @cached_property
    def listens(self) -> bool:
        """Does one of them want to know how requests end?"""
        return any(type(policy).on_outcome is not Policy.on_outcome for policy in self.all)

    @property
    def ranks(self) -> bool:
        """Does the scheduler order the waiting otherwise than first come, first served?"""
        return self.scheduler.ranks


WHATEVER = (Exception, SystemExit, GeneratorExit)
"""What may come out of a policy; only an interruption by the user is none of its doing."""


def order_bits(value: float) -> int:
    """An integer that orders as the float does."""
    bits: int
    (bits,) = struct.unpack("<q", struct.pack("<d", float(value) + 0.0))
    return bits if bits >= 0 else -(bits & ((1 << 63) - 1))


class PolicyFront:
    """Decides by a scenario's policies.

    Args:
        fleet: Replicas and their names.
        topology: Nodes and their names.
        workloads: Facts of each workload.
        policies: Who decides.
    """

    _route: Callable[..., Any]

    def __init__(
        self, fleet: Fleet, topology: Topology, workloads: Sequence[WorkloadFacts], policies: Policies
    ) -> None:
        system = fleet.system
        self.fleet, self.topology, self.policies = fleet, topology, policies
        self.system = SystemLook(topology.tiers)
        self._request = RequestLook(
            workloads, topology.node_name, lambda n: topology.tiers[topology.node_tier[n]]
        )
        self._own_board = array("q", [0]) * (max(1, int(system.places[:, 1].max())) * decision.BOARD_COLUMNS)
        self.board: Any = self._own_board
        self._looks: dict[int, Looks] = {}
        self._classes: list[int] = system.workloads["llm"].tolist()
        self._class_count = system.classes
        self._costs = [CostLook(cost) for cost in system.costs]
        self.absent = int((system.replicas["state"] != rows.ON).sum())
        self.reasons: list[str] = list(decision.REASONS)
        self.tickets: dict[int, int] = {}
        self.on_end: list[Callable[[NDArray[np.void]], None]] = []
        self.seconds = dict.fromkeys((policy.role for policy in policies.all), 0.0)
        self._asked = 0
        self._hand_work = len(system.workloads) - 1
        self._admission = None if type(policies.admission) is AcceptAll else policies.admission
        self.plain_admission = self._admission is None
        self._scheduler = policies.scheduler if policies.ranks else None
        self._decided: dict[int, Decision] = {}
        self._plain = self._admission is None and self._scheduler is None and not policies.listens
        policies.start(self.system)
        self._router, self._route, self._oracle = (
            policies.router,
            policies.router.route,
            policies.router.oracle,
        )

    def step_front(self) -> StepFront | None:
        """Who asks the scheduler to form steps, if it does."""
        scheduler = self.policies.scheduler
        if not scheduler.forms_steps:
            return None
        costs = [self._costs[int(i)] for i in self.fleet.system.replicas["cost"]]
        return StepFront(scheduler, self.fleet.names, costs, self._request, self.seconds)

    def read_from(self, board: Sequence[int]) -> None:
        """Let the views read an engine's own board instead of copies of it."""
        self.board = board

    # -- looks --------------------------------------------------------------------------------------------------

    def _look_at(self, key: int) -> Looks:
        """The candidates of an origin and LLM class as objects, made when they are first needed."""
        fleet, system, topology = self.fleet, self.fleet.system, self.topology
        offset, length = (int(x) for x in system.places[key])
        made = []
        for place, candidate in enumerate(system.candidates[offset : offset + length]):
            look = ReplicaLook(self.board, place)
            index = look.index = int(candidate["replica"])
            row = system.replicas[index]
            look.name, look.tier, look.llm = fleet.names[index], fleet.tiers[index], fleet.llms[index]
            look.node = topology.node_name(fleet.nodes[index])
            look.quality = float(row["quality"])
            look.local = not candidate["up_hops"]
            look.latency = float(candidate["up_latency"]) * S
            look.price, look.max_num_seqs = fleet.prices[index], int(row["max_num_seqs"])
            look.block_size = int(row["block_size"])
            look.kv_capacity_tokens = int(row["total_blocks"]) * look.block_size
            look.cost = self._costs[int(row["cost"])]
            look.bytes_per_ps = float(candidate["up_narrow"]) * 1e-15
            look.up_pj, look.down_pj = int(candidate["up_pj"]), int(candidate["down_pj"])
            made.append(look)
        looks = self._looks[key] = Looks(made)
        return looks

    # -- decisions ----------------------------------------------------------------------------------------------

    def decide(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> decision.Answer:
        """Ask the policies about one request."""
        workload = cells[base + WORKLOAD]
        if workload == self._hand_work:
            return self._at_home(cells, base, board)
        if board is not self.board:
            for i, value in enumerate(board):
                self.board[i] = value
        key = cells[base + ORIGIN] * self._class_count + self._classes[workload]
        looks: list[ReplicaLook] | None = self._looks.get(key)
        if looks is None:
            looks = self._look_at(key)
        if self.absent:
            looks = [look for look in looks if look.is_on]
        if not looks:
            return decision.Refuse(decision.NO_REPLICA)
        request, system = self._request, self.system
        request._cells, request._base = cells, base
        system.now_ps = now
        self._asked = asked = self._asked + 1
        router = self._router
        started = time.perf_counter() if not asked % SAMPLE else 0.0
        request._oracle = system._oracle = self._oracle
        try:
            answer = self._route(request, looks, system)
        except WHATEVER as error:
            raise blame(router, error, request, now * S) from error
        if started:
            self.seconds["router"] += (time.perf_counter() - started) * SAMPLE
        if answer.__class__ is not ReplicaLook or looks[0]._board is not answer._board:
            return self._other(router, answer, looks, request, now)
        place = answer.place
        if self.absent or place >= len(looks) or looks[place] is not answer:
            check_route(router, answer, looks, request, now * S)
        if self._plain:
            return place
        return self._pass_on((place,), [answer], request, now)

    def _other(
        self, router: Router, answer: object, looks: list[ReplicaLook], request: RequestLook, now: int
    ) -> decision.Answer:
        """Deal with an answer that is not one of the candidates."""
        check_route(router, answer, looks, request, now * S)
        if isinstance(answer, Hedge):
            chosen: list[Any] = list(answer.replicas)
            return self._pass_on(tuple(look.place for look in chosen), chosen, request, now)
        return self._unsent(answer)

    def _unsent(self, answer: object) -> decision.Answer:
        if isinstance(answer, Reject):
            return decision.Refuse(self.reason(answer.reason))
        assert isinstance(answer, Defer)
        return decision.Wait(round(answer.until_s * rows.PS))

    def _pass_on(
        self, places: tuple[int, ...], looks: list[ReplicaLook], request: RequestLook, now: int
    ) -> decision.Answer:
        """Ask admission and scheduler about what the router chose."""
        admission, scheduler = self._admission, self._scheduler
        if admission is not None:
            request._oracle = self.system._oracle = admission.oracle
            try:
                verdict = admission.admit(request, looks[0], self.system)
            except WHATEVER as error:
                raise blame(admission, error, request, now * S) from error
            check_admit(admission, verdict, request, now * S)
            if isinstance(verdict, Reject | Defer):
                return self._unsent(verdict)
        rank = 0
        if scheduler is not None:
            request._oracle = self.system._oracle = scheduler.oracle
            try:
                value = scheduler.rank(request, looks[0], self.system)
            except WHATEVER as error:
                raise blame(scheduler, error, request, now * S) from error
            check_rank(scheduler, value, request, now * S)
            rank = order_bits(value)
        if self.policies.listens:
            self._decided[request.id] = Decision(request.id, now * S, looks[0].index)
        return decision.Dispatch(places, rank)

    def _at_home(self, cells: Sequence[int], base: int, board: Sequence[int]) -> decision.Answer:
        """Send what a SimPy process handed to a replica to that very replica, if it takes anything new."""
        if cells[base + ATTEMPTS]:
            return decision.Refuse(decision.REPLICA_FAILED)
        place = self.tickets[cells[base + SESSION]]
        if self.absent and board[place * decision.BOARD_COLUMNS + decision.STATE] in (
            rows.DRAINING,
            rows.OFF,
        ):
            return decision.Refuse(decision.NO_REPLICA)
        return place

    def reason(self, text: str) -> int:
        """Code of a reason."""
        try:
            return self.reasons.index(text)
        except ValueError:
            self.reasons.append(text)
            return len(self.reasons) - 1

    # -- ends ---------------------------------------------------------------------------------------------------

    def ended(self, record: NDArray[np.void]) -> None:
        """Tell the policies and whoever waits how a request ended."""
        for listener in self.on_end:
            listener(record)

    def tell_policies(self, record: NDArray[np.void]) -> None:
        """Give the policies their feedback."""
        known = self._decided.pop(int(record["request"]), None)
        if known is None:
            return
        arrived, finished, first = (int(record[name]) for name in ("arrived", "finished", "first_token"))
        outcome = Outcome(
            status=STATUS[int(record["status"])],
            reason=self.reasons[int(record["reason"])],
            replica=int(record["replica"]),
            finished_at=finished * S,
            ttft_s=(first - arrived) * S if first >= 0 else None,
            latency_s=(finished - arrived) * S,
            output_tokens=int(record["output"]),
            energy_j=float(record["compute_nj"] + record["network_nj"]) * 1e-9,
            cost_usd=float(record["cost_usd"]),
            quality=float(record["quality"]),
        )
        for policy in self.policies.all:
            try:
                policy.on_outcome(known, outcome)
            except PolicyError:
                raise
            except WHATEVER as error:
                raise blame(policy, error, None, finished * S, "on_outcome") from error
