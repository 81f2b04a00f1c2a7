"""The network's readable twin: every transfer a SimPy event, rates by plain water-filling over all flows.

Rates are whole millibytes per second. The allocation is max-min fair in integers: the largest whole level that every
active flow can have on every link is found, flows that this level fills (by a full link, or by their own demand)
keep it, and the rest go on. Capacity left over is less than one millibyte per second a flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from edgesim.arena.rows import FLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import simpy

PER_RATE = 1e-15
"""Bytes that one millibyte per second moves in one picosecond."""


LONGEST = 4e18
"""What takes longer is as good as endless [ps]."""


def priority(klass: int, key: int) -> int:
    """SimPy priority of an arena event: after SimPy's own (0 and 1), by class, then by key."""
    return ((10 + klass) << 64) + (1 << 62) + key


LAST = priority(9, 0)


def happen(env: simpy.Environment, delay: int, order: int, action: Callable[[], None]) -> None:
    """Let SimPy call an action after a delay [ps], in the order that a priority gives it within its instant."""
    event = env.event()
    event._ok, event._value = True, None
    event.callbacks.append(lambda _: action())
    env.schedule(event, priority=cast("Any", order), delay=delay)


@dataclass(eq=False, slots=True)
class Flow:
    """A transfer in progress.

    Attributes:
        path: Links it crosses.
        key: What decides between flows that end at the same instant.
        demand: The most it takes [mB/s]; 0: all it can get.
        size: Bytes at the start.
        remaining: Bytes still to send, at `since`.
        ended: Called when the last byte has left the last link; None for streams, which are stopped.
    """

    path: tuple[int, ...]
    key: int
    demand: int
    size: float
    since: int
    ended: Callable[[], None] | None
    remaining: float = 0.0
    rate: int = 0
    finish: int = -1
    version: int = 0


@dataclass
class FluidNetwork:
    """All links and flows of a scenario under one SimPy clock."""

    env: simpy.Environment
    capacities: Sequence[int]
    flows: dict[Flow, None] = field(default_factory=dict)
    carried: list[float] = field(default_factory=list)
    _settled: list[int] = field(default_factory=list)
    _allotted: list[int] = field(default_factory=list)
    _dirty: bool = False

    def __post_init__(self) -> None:
        self.carried = [0.0] * len(self.capacities)
        self._settled = [int(self.env.now)] * len(self.capacities)
        self._allotted = [0] * len(self.capacities)

    def start(
        self, path: Sequence[int], nbytes: float, key: int, ended: Callable[[], None] | None, demand: int = 0
    ) -> Flow:
        """Begin a transfer; its rate is set when everything of this instant has happened."""
        flow = Flow(tuple(path), key, demand, nbytes, int(self.env.now), ended, remaining=nbytes)
        self.flows[flow] = None
        self._touch()
        return flow

    def stop(self, flow: Flow) -> float:
        """Take a flow off the network; answers the bytes it has sent."""
        self._settle(flow)
        self.flows.pop(flow, None)
        flow.version += 1
        self._touch()
        return min(flow.size, flow.size - flow.remaining)

    def _settle(self, flow: Flow) -> None:
        """Account for what a flow sent since its rate was set."""
        flow.remaining -= float(flow.rate) * float(self.env.now - flow.since) * PER_RATE
        flow.since = int(self.env.now)

    def _touch(self) -> None:
        """Ask for one new solution at the end of this instant."""
        if not self._dirty:
            self._dirty = True
            happen(self.env, 0, LAST, self._solve)

    def _solve(self) -> None:
        """Give every flow its max-min rate; only those whose rate changed are settled anew."""
        self._dirty = False
        rates = water_fill(self.capacities, [(flow.path, flow.demand) for flow in self.flows])
        for flow, rate in zip(self.flows, rates, strict=True):
            if rate != flow.rate or flow.version == 0:
                self._settle(flow)
                flow.rate = rate
                flow.version += 1
                if flow.ended is not None:
                    lasts = math.ceil(min(flow.remaining * 1e15 / float(rate), LONGEST))
                    flow.finish = int(self.env.now) + max(lasts, 0)
                    self._schedule_end(flow)
        self._account()

    def _account(self) -> None:
        """Integrate what the links carried and note their new load."""
        now = int(self.env.now)
        load = [0] * len(self.capacities)
        for flow in self.flows:
            for link in flow.path:
                load[link] += flow.rate
        for link, before in enumerate(self._allotted):
            if before != load[link]:
                self.carried[link] += float(before) * float(now - self._settled[link]) * PER_RATE
                self._settled[link] = now
                self._allotted[link] = load[link]

    def carried_until(self, now: int) -> list[float]:
        """Bytes each link carried up to `now`."""
        return [
            done + float(rate) * float(now - since) * PER_RATE
            for done, rate, since in zip(self.carried, self._allotted, self._settled, strict=True)
        ]

    def _schedule_end(self, flow: Flow) -> None:
        version = flow.version

        def end() -> None:
            if flow.version == version and flow in self.flows:
                self.flows.pop(flow)
                flow.version += 1
                self._touch()
                assert flow.ended is not None
                flow.ended()

        happen(self.env, flow.finish - int(self.env.now), priority(FLOW, flow.key), end)


def water_fill(capacities: Sequence[int], flows: Iterable[tuple[Sequence[int], int]]) -> list[int]:
    """Max-min fair integer rates.

    Args:
        capacities: Of every link [mB/s].
        flows: Path and demand [mB/s] of every flow; demand 0 means no limit of its own.

    Returns:
        The rate of every flow [mB/s].
    """
    flows = [(tuple(path), demand) for path, demand in flows]
    rates = [0] * len(flows)
    active = set(range(len(flows)))
    left = dict.fromkeys((link for path, _ in flows for link in path), 0)
    for link in left:
        left[link] = capacities[link]
    while active:
        crossing = dict.fromkeys(left, 0)
        for flow in active:
            for link in flows[flow][0]:
                crossing[link] += 1
        shares = {link: left[link] // count for link, count in crossing.items() if count}
        level = min(shares.values())
        demands = [flows[flow][1] for flow in active if flows[flow][1]]
        level = max(1, min([level, *demands]))
        full = {link for link, share in shares.items() if share <= level}
        frozen = [f for f in active if 0 < flows[f][1] <= level or not full.isdisjoint(flows[f][0])]
        for flow in frozen:
            rates[flow] = level
            active.discard(flow)
            for link in flows[flow][0]:
                left[link] -= level
    return rates
