"""Steps by a scheduler: what it sees of a replica, and how an engine asks it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from edgesim.arena import rows
from edgesim.policies.checks import blame, check_plan
from edgesim.serving.decision import Formation
from edgesim.serving.system import FOREVER
from edgesim.serving.views import CostLook, RequestLook, S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies import LegView, Scheduler
    from edgesim.policies.steps import State

STATES: dict[int, State] = {
    rows.WAITING: "waiting",
    rows.SWAPPED: "swapped",
    rows.PREFILL: "prefilling",
    rows.DECODE: "decoding",
}


class FormedLeg(Protocol):
    """What an engine tells of a leg at a replica whose step is formed; times in picoseconds."""

    @property
    def state(self) -> int: ...
    @property
    def generated(self) -> int: ...
    @property
    def preemptions(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def first_scheduled(self) -> int: ...
    def cells(self) -> Sequence[int]:
        """Its request's row."""


class FormedBatch(Protocol):
    """What an engine tells of a replica whose step is formed."""

    index: int
    max_num_seqs: int
    max_tokens: int
    total_blocks: int
    watermark: int
    encoder: bool

    @property
    def now(self) -> int: ...
    @property
    def free_blocks(self) -> int: ...
    @property
    def room_to_swap(self) -> int: ...
    def queues(self) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Waiting, swapped and running legs."""

    def unread(self, leg: Any) -> int:
        """Tokens left to read."""

    def kv_tokens(self, leg: Any) -> int:
        """Tokens whose KV is computed."""

    def swap_blocks(self, leg: Any) -> int:
        """Blocks of host memory that it takes."""

    def free_blocks_after(self, preempted: Sequence[Any], taking_part: Sequence[Any]) -> int:
        """Free KV blocks, at least, in a step before which some are preempted."""


class LegLook(RequestLook):
    """One leg at its replica; made once, and read through as long as the leg is there."""

    __slots__ = ("batch", "leg")

    def __init__(self, leg: FormedLeg, batch: FormedBatch, like: RequestLook, *, oracle: bool) -> None:
        super().__init__(like._workloads, like._node_name, like._node_tier)
        self.leg, self.batch = leg, batch
        self.point(leg.cells(), 0)
        self._oracle = oracle

    @property
    def attempts(self) -> int:
        return super().attempts - 1

    @property
    def state(self) -> State:
        return STATES[self.leg.state]

    @property
    def unread_tokens(self) -> int:
        return self.batch.unread(self.leg)

    @property
    def generated_tokens(self) -> int:
        return self.leg.generated

    @property
    def predicted_remaining_tokens(self) -> int:
        return max(0, self.predicted_output_tokens - self.leg.generated)

    @property
    def kv_tokens(self) -> int:
        return self.batch.kv_tokens(self.leg)

    @property
    def blocks(self) -> int:
        running = self.leg.state in {rows.PREFILL, rows.DECODE}
        return self.batch.free_blocks_after([self.leg], []) - self.batch.free_blocks if running else 0

    @property
    def blocks_needed(self) -> int:
        return self.batch.free_blocks - self.batch.free_blocks_after([], [self.leg])

    @property
    def swap_blocks(self) -> int:
        return self.batch.swap_blocks(self.leg)

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
        self, batch: FormedBatch, name: str, cost: CostLook, like: RequestLook, *, oracle: bool
    ) -> None:
        self.batch, self.name, self._cost, self._like, self._oracle = batch, name, cost, like, oracle
        self.index, self.max_num_seqs = batch.index, batch.max_num_seqs
        self.token_budget, self.whole_prompts = batch.max_tokens, batch.encoder
        self.total_blocks, self.watermark = batch.total_blocks, batch.watermark
        self._looks: dict[FormedLeg, LegLook] = {}

    def renew(self) -> None:
        """Look at the legs that are there now."""
        known, queues = self._looks, self.batch.queues()
        self._looks = {leg: known.get(leg) or self._look(leg) for queue in queues for leg in queue}
        self.waiting, self.swapped, self.running = ([self._looks[leg] for leg in queue] for queue in queues)

    def _look(self, leg: FormedLeg) -> LegLook:
        return LegLook(leg, self.batch, self._like, oracle=self._oracle)

    @property
    def now(self) -> float:
        return self.batch.now * S

    @property
    def free_blocks(self) -> int:
        return self.batch.free_blocks

    @property
    def free_swap_blocks(self) -> int:
        return self.batch.room_to_swap

    def free_blocks_after(
        self, preempted: Sequence[LegView] = (), taking_part: Sequence[LegView] = ()
    ) -> int:
        return self.batch.free_blocks_after(_legs(preempted), _legs(taking_part))

    def prefill_time(self, tokens: int) -> float:
        return self._cost.prefill(tokens)[0] * S

    def decode_time(self, requests: int, kv_tokens: int) -> float:
        return self._cost.decode(requests, kv_tokens)[0] * S


class StepFront:
    """Asks a scheduler to form the steps of replicas, and checks what it answers.

    Args:
        scheduler: Who is asked.
        names: Of the replicas.
        costs: Of the replicas, as estimates read them.
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

    def form(self, batch: FormedBatch) -> Formation:
        """Ask for the next step of a replica."""
        view = self._views.get(batch.index)
        if view is None:
            view = self._views[batch.index] = self._look_at(batch)
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
            steps=1 if self.scheduler.every_step else plan.steps or FOREVER,
            until=FOREVER if plan.until_s is None else round(plan.until_s * rows.PS),
        )

    def _look_at(self, batch: FormedBatch) -> BatchLook:
        name, cost = self.names[batch.index], self.costs[batch.index]
        return BatchLook(batch, name, cost, self.like, oracle=self.scheduler.oracle)


def _legs(looks: Sequence[LegView]) -> list[Any]:
    """The legs behind looks."""
    return [look.leg for look in looks]  # type: ignore[attr-defined]
