"""The multilevel feedback queue: short requests first, without knowing which are short."""

# ruff: noqa: D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from edgesim.policies.scheduler import Scheduler
from edgesim.policies.steps import Plan
from edgesim.registry import register
from edgesim.units import PositiveSeconds  # noqa: TC001 - read when parameters are validated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies.steps import BatchView, LegView
    from edgesim.policies.views import Draw, SystemView

Attempt: TypeAlias = tuple[int, int]
RUNNING = ("prefilling", "decoding")
INSTANT = 1e-9
"""Times are sums of floats: a quantum with less than this left is used up [s]."""


@dataclass
class Standing:
    """Where a request stands: its level, its turn in it, the time it has had there, and when it last had some [s]."""

    level: int
    turn: int
    used: float = 0.0
    ran_at: float = 0.0


@dataclass
class Levels:
    """The queues of one replica; a request that comes again is another one."""

    at: float = 0.0
    turns: int = 0
    standings: dict[Attempt, Standing] = field(default_factory=dict)
    ran: set[Attempt] = field(default_factory=set)


@register("multilevel-feedback")
class MultilevelFeedback(Scheduler):
    """Serve the requests first that have had the least time, and prompts by what reading them takes.

    The skip-join multilevel feedback queue of FastServe (Wu et al., NSDI 2026; arXiv:2305.05920), with the rules and
    defaults of its published code (LLMServe/FastServe, `fastserve/scheduler.py`): level i has a quantum of
    `quantum * ratio ** i`. A request joins the first level whose quantum covers the reading of its prompt; when it
    has taken part in steps for as long as the quantum, it goes down a level, and counts anew. Steps are filled level
    by level, within a level in turn. One that has had no step for `starvation` goes to the head of the top level.
    Others pause; they give up their KV blocks, the last in turn first, when those before them want memory, to host
    memory if the deployment has `preemption: swap`.

    Two things are different: one that goes down queues behind those on that level (there it goes before them), and
    nothing is moved to or from host memory ahead of need.

    Attributes:
        quantum: Time in steps on the top level.
        ratio: How much longer each level's quantum is than that of the level above.
        starvation: Time without a step after which a request is served first.
        skip_join: Whether long prompts join lower levels; without it all join the top.
    """

    quantum: PositiveSeconds = 0.01
    ratio: Annotated[float, Field(gt=1)] = 2.0
    starvation: PositiveSeconds = 3.0
    skip_join: bool = True

    def setup(self, system: SystemView, random: Draw) -> None:  # noqa: ARG002
        self._replicas: dict[int, Levels] = {}

    def schedule(self, view: BatchView) -> Plan:
        levels = self._replicas.setdefault(view.index, Levels())
        legs = {_attempt(leg): leg for leg in (*view.running, *view.swapped, *view.waiting)}
        self._account(levels, legs, view)
        standings = levels.standings
        order = sorted(legs, key=lambda i: (standings[i].level, standings[i].turn))
        step = Step(view)
        step.fill([legs[i] for i in order])
        levels.ran = set(map(_attempt, step.chosen))
        return step.plan(until_s=min(self._end(standings[i], view.now, runs=i in levels.ran) for i in legs))

    def _account(self, levels: Levels, legs: dict[Attempt, LegView], view: BatchView) -> None:
        """Move requests between the levels, by the time they had since the last answer."""
        now = view.now
        spent, levels.at = now - levels.at, now
        known, levels.standings = levels.standings, {}
        for i, leg in legs.items():
            standing = levels.standings[i] = known.get(i) or self._join(levels, leg, view)
            if i in levels.ran:
                standing.used += spent
                standing.ran_at = now
            if now - standing.ran_at >= self.starvation - INSTANT:
                levels.turns += 1
                standing.level, standing.turn, standing.used, standing.ran_at = (
                    0,
                    -levels.turns,
                    0.0,
                    now,
                )
            elif standing.used >= self._quantum(standing.level) - INSTANT:
                levels.turns += 1
                standing.level, standing.turn, standing.used = standing.level + 1, levels.turns, 0.0

    def _join(self, levels: Levels, leg: LegView, view: BatchView) -> Standing:
        """Let a request join the first level whose quantum covers the reading of its prompt."""
        level = 0
        if self.skip_join:
            reading = view.prefill_time(leg.unread_tokens)
            while self._quantum(level) < reading:
                level += 1
        levels.turns += 1
        return Standing(level, levels.turns, ran_at=leg.delivered_at)

    def _quantum(self, level: int) -> float:
        return self.quantum * self.ratio**level

    def _end(self, standing: Standing, now: float, *, runs: bool) -> float:
        """When a request uses up its quantum, or starves [s]."""
        return (
            now + self._quantum(standing.level) - standing.used if runs else standing.ran_at + self.starvation
        )


class Step:
    """A step that is filled request by request.

    Args:
        view: The replica.
    """

    def __init__(self, view: BatchView) -> None:
        self.view = view
        self.decodes: list[LegView] = []
        self.chunks: list[tuple[LegView, int]] = []
        self.chosen: list[LegView] = []
        self.gone: list[LegView] = []
        self.budget = view.token_budget

    def fill(self, order: Sequence[LegView]) -> None:
        """Take in the first in order while seats, tokens and memory last, at the expense of the last."""
        for place, leg in enumerate(order):
            if len(self.chosen) == self.view.max_num_seqs or not self.budget:
                return
            unread = leg.unread_tokens
            if leg in self.gone or (self.view.whole_prompts and unread > self.budget):
                continue
            if not self._make_room(leg, order[place + 1 :]):
                continue
            tokens = min(unread, self.budget) or 1
            if unread:
                self.chunks.append((leg, tokens))
            else:
                self.decodes.append(leg)
            self.chosen.append(leg)
            self.budget -= tokens

    def _make_room(self, leg: LegView, after: Sequence[LegView]) -> bool:
        """Find memory for one more, preempting the last of those after it as need be."""
        if leg.state in RUNNING and not leg.blocks_needed:
            return True
        gone, taking_part = list(self.gone), [*self.chosen, leg]
        victims = [other for other in after if other.state in RUNNING and other not in gone]
        while self.view.free_blocks_after(gone, taking_part) < self._kept(leg, gone):
            if not victims:
                return False
            gone.append(victims.pop())
        self.gone = gone
        return True

    def _kept(self, leg: LegView, gone: Sequence[LegView]) -> int:
        """Blocks that stay free for the growth of others when a request is let in."""
        beside_others = len(gone) < len(self.view.running)
        return self.view.watermark if leg.state not in RUNNING and beside_others else 0

    def plan(self, until_s: float) -> Plan:
        """The step, with those preempted moved to host memory while that has room."""
        room = self.view.free_swap_blocks
        swap: list[LegView] = []
        for leg in self.gone:
            if leg.state == "decoding" and leg.swap_blocks <= room:
                room -= leg.swap_blocks
                swap.append(leg)
        recompute = [leg for leg in self.gone if leg not in swap]
        return Plan(self.decodes, self.chunks, recompute, swap, until_s=until_s)


def _attempt(leg: LegView) -> Attempt:
    """What tells a request from itself when it comes again."""
    return leg.id, leg.attempts
