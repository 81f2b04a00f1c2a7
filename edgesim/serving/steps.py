"""Steps by a scheduler: what it sees of a replica, and how an engine asks it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgesim.arena import rows
from edgesim.policies.checks import blame, check_plan
from edgesim.serving.decision import Formation
from edgesim.serving.system import FOREVER
from edgesim.serving.views import CostLook, RequestLook, S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies import LegView, Scheduler
    from edgesim.policies.steps import State
    from edgesim.serving.reference_replica import Leg
    from edgesim.serving.reference_steps import FormedReplica

STATES: dict[int, State] = {
    rows.WAITING: "waiting",
    rows.SWAPPED: "swapped",
    rows.PREFILL: "prefilling",
    rows.DECODE: "decoding",
}


class LegLook(RequestLook):
    """One leg at its replica; made once, and read through as long as the leg is there."""

    __slots__ = ("leg", "replica")

    def __init__(self, leg: Leg, replica: FormedReplica, like: RequestLook, *, oracle: bool) -> None:
        super().__init__(like._workloads, like._node_name, like._node_tier)
        self.leg, self.replica = leg, replica
        self.point(leg.ask.cells(), 0)
        self._oracle = oracle

    @property
    def attempts(self) -> int:
        return self.leg.ask.attempts - 1

    @property
    def state(self) -> State:
        return STATES[self.leg.state]

    @property
    def unread_tokens(self) -> int:
        leg, replica = self.leg, self.replica
        if leg.state == rows.WAITING and replica.cache is not None:
            return leg.target - replica.cache.match(leg)[0] * replica.block_size
        return leg.target - leg.prefilled if leg.state in {rows.WAITING, rows.PREFILL} else 0

    @property
    def generated_tokens(self) -> int:
        return self.leg.generated

    @property
    def predicted_remaining_tokens(self) -> int:
        return max(0, self.predicted_output_tokens - self.leg.generated)

    @property
    def kv_tokens(self) -> int:
        return {rows.WAITING: 0, rows.PREFILL: self.leg.prefilled}.get(self.leg.state, self.leg.stored)

    @property
    def blocks(self) -> int:
        replica, running = self.replica, self.leg.state in {rows.PREFILL, rows.DECODE}
        return replica.free_blocks_after([self.leg], []) - replica.free_blocks if running else 0

    @property
    def blocks_needed(self) -> int:
        return self.replica.free_blocks - self.replica.free_blocks_after([], [self.leg])

    @property
    def swap_blocks(self) -> int:
        leg = self.leg
        return self.replica.blocks_for(leg.stored) if leg.state in {rows.DECODE, rows.SWAPPED} else 0

    @property
    def delivered_at(self) -> float:
        return self.leg.delivered * S

    @property
    def started_at(self) -> float | None:
        return self.leg.first_scheduled * S if self.leg.first_scheduled >= 0 else None

    @property
    def preemptions(self) -> int:
        return self.leg.preemptions


class BatchLook:
    """A replica whose next step is formed."""

    def __init__(
        self, replica: FormedReplica, name: str, cost: CostLook, like: RequestLook, *, oracle: bool
    ) -> None:
        self.replica, self.name, self._cost, self._like, self._oracle = replica, name, cost, like, oracle
        self.index, self.max_num_seqs = replica.index, replica.max_num_seqs
        self.token_budget, self.whole_prompts = replica.max_tokens, replica.encoder
        self.total_blocks, self.watermark = replica.total_blocks, replica.watermark
        self._looks: dict[Leg, LegLook] = {}

    def renew(self) -> None:
        """Look at the legs that are there now."""
        replica, known = self.replica, self._looks
        queues = (replica.waiting, replica.swapped, replica.running)
        self._looks = {leg: known.get(leg) or self._look(leg) for queue in queues for leg in queue}
        self.waiting, self.swapped, self.running = ([self._looks[leg] for leg in queue] for queue in queues)

    def _look(self, leg: Leg) -> LegLook:
        return LegLook(leg, self.replica, self._like, oracle=self._oracle)

    @property
    def now(self) -> float:
        return self.replica.engine.now * S

    @property
    def free_blocks(self) -> int:
        return self.replica.free_blocks

    @property
    def free_swap_blocks(self) -> int:
        return self.replica.free_swap if self.replica.swaps else 0

    def free_blocks_after(
        self, preempted: Sequence[LegView] = (), taking_part: Sequence[LegView] = ()
    ) -> int:
        return self.replica.free_blocks_after(_legs(preempted), _legs(taking_part))

    def prefill_time(self, tokens: int) -> float:
        return self._cost.prefill(tokens)[0] * S

    def decode_time(self, requests: int, kv_tokens: int) -> float:
        return self._cost.decode(requests, kv_tokens)[0] * S


class StepFront:
    """Asks a scheduler to form the steps of replicas, and checks what it answers.

    Args:
        scheduler: Who is asked.
        names: Of the replicas.
        costs: Step costs, as estimates read them.
        like: A look at a request, whose names the looks at legs share.
        seconds: Wall time spent in each policy, by role [s].
    """

    def __init__(
        self,
        scheduler: Scheduler,
        names: Sequence[str],
        costs: Sequence[CostLook],
        like: RequestLook,
        seconds: dict[str, float],
    ) -> None:
        self.scheduler, self.names, self.costs, self.like = scheduler, names, costs, like
        self.seconds = seconds
        self._views: dict[int, BatchLook] = {}

    def form(self, replica: FormedReplica) -> Formation:
        """Ask for the next step of a replica."""
        view = self._views.get(replica.index)
        if view is None:
            view = self._views[replica.index] = self._look_at(replica)
        view.renew()
        started = time.perf_counter()
        try:
            plan = self.scheduler.schedule(view)
        except Exception as error:
            raise blame(self.scheduler, error, None, view.now, "schedule") from error
        self.seconds["scheduler"] += time.perf_counter() - started
        check_plan(self.scheduler, plan, view)
        return Formation(
            decodes=_legs(plan.decodes),
            chunks=[(look.leg, tokens) for look, tokens in plan.chunks],  # type: ignore[attr-defined]
            recompute=_legs(plan.recompute),
            swap=_legs(plan.swap),
            steps=plan.steps or FOREVER,
            until=FOREVER if plan.until_s is None else round(plan.until_s * rows.PS),
        )

    def _look_at(self, replica: FormedReplica) -> BatchLook:
        cost = self.costs[int(replica.engine.system.replicas[replica.index]["cost"])]
        return BatchLook(replica, self.names[replica.index], cost, self.like, oracle=self.scheduler.oracle)


def _legs(looks: Sequence[LegView]) -> list[Leg]:
    """The legs behind looks."""
    return [look.leg for look in looks]  # type: ignore[attr-defined]
