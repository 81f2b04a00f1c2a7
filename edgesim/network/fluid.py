"""The network's readable twin: every transfer a SimPy event, rates by plain water-filling over all flows.

Rates are whole millibytes per second. The allocation is max-min fair in integers: the largest whole level that every
active flow can have on every link is found, flows that this level fills (by a full link, or by their own demand)
keep it, and the rest go on. Capacity left over is less than one millibyte per second a flow.

Links that serve in order (FIFO, or by priority) come in where they are what limits a flow: those behind it in the
link's line give way, and have what is left once it has found its rate (`share`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from edgesim.arena.rows import FIFO, FLOW, PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

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
        began: When it came [ps].
        remaining: Bytes still to send, at `since`.
        ended: Called when the last byte has left the last link; None if nobody waits for it.
        priority: Its class on priority links; smaller is more urgent.
    """

    path: tuple[int, ...]
    key: int
    demand: int
    size: float
    began: int
    since: int
    ended: Callable[[], None] | None
    priority: int = 0
    remaining: float = 0.0
    rate: int = 0
    finish: int = -1
    version: int = 0


@dataclass
class FluidNetwork:
    """All links and flows of a scenario under one SimPy clock.

    Attributes:
        capacities: Of every link [mB/s].
        sharing: How every link is shared: FAIR, FIFO or PRIORITY; empty if all are fair.
        carried: Bytes that every link carried until its load last changed.
    """

    env: simpy.Environment
    capacities: Sequence[int]
    sharing: Sequence[int] = ()
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
        self,
        path: Sequence[int],
        nbytes: float,
        key: int,
        ended: Callable[[], None] | None,
        demand: int = 0,
        priority: int = 0,
    ) -> Flow:
        """Begin a transfer; its rate is set when everything of this instant has happened."""
        now = int(self.env.now)
        flow = Flow(tuple(path), key, demand, nbytes, now, now, ended, priority, remaining=nbytes)
        self.flows[flow] = None
        self._touch()
        return flow

    def stop(self, flow: Flow) -> float:
        """Take a flow off the network, if it has not ended; answers the bytes it has sent."""
        if flow not in self.flows:
            return flow.size
        self._settle(flow)
        del self.flows[flow]
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
        """Give every flow its rate; only those whose rate changed are settled anew."""
        self._dirty = False
        rates = self.rates(list(self.flows))
        for flow, rate in zip(self.flows, rates, strict=True):
            if rate != flow.rate or flow.version == 0:
                self._settle(flow)
                flow.rate = rate
                flow.version += 1
                if rate > 0:
                    lasts = math.ceil(min(flow.remaining * 1e15 / float(rate), LONGEST))
                    flow.finish = int(self.env.now) + max(lasts, 0)
                    self._schedule_end(flow)
        self._account()

    def rates(self, flows: Sequence[Flow]) -> list[int]:
        """The rates that flows ought to have, were there no others."""
        if not any(self.sharing):
            return water_fill(self.capacities, [(flow.path, flow.demand) for flow in flows])
        return share(
            self.capacities,
            self.sharing,
            [Claim(flow.path, flow.demand, flow.began, flow.key, flow.priority) for flow in flows],
        )

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

    def carry(self, path: Sequence[int], nbytes: float) -> None:
        """Count a message that crosses links without holding bandwidth."""
        for link in path:
            self.carried[link] += nbytes

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
                if flow.ended is not None:
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


class Claim(NamedTuple):
    """What decides about a flow's share; the fields are those of `Flow`."""

    path: tuple[int, ...]
    demand: int = 0
    began: int = 0
    key: int = 0
    priority: int = 0


def place(sharing: int, claim: Claim) -> tuple[int, ...] | None:
    """Where a flow stands in the line of a link, the smallest in front; None if it stands in none.

    On FIFO links those that demand little, such as reply streams, need not queue.
    """
    if sharing == PRIORITY:
        return (claim.priority,)
    if sharing == FIFO and not claim.demand:
        return (claim.began, claim.key)
    return None


def share(capacities: Sequence[int], sharing: Sequence[int], claims: Sequence[Claim]) -> list[int]:
    """Integer rates where links serve in order.

    Flows share max-min, whatever their place in a line, until a FIFO or priority link is what limits one of them.
    Those behind it on that link give way: they wait until it, and all before it, have found their rates; then they
    share what is left, by the same rules. What a round leaves over goes round again, so that no flow could have more
    without another having less. On fair links alone this is `water_fill`; on FIFO links alone each flow takes all
    that the earlier ones leave; on priority links alone each class is max-min fair in what the more urgent leave.

    Args:
        capacities: Of every link [mB/s].
        sharing: How every link is shared.
        claims: Of every flow.

    Returns:
        The rate of every flow [mB/s]; 0 while it waits.
    """
    network = Lines(capacities, sharing, claims)
    while network.go_round():
        pass
    return [rate if flow in network.gave_way else max(rate, 1) for flow, rate in enumerate(network.rates)]


class Lines:
    """Links with their lines of flows, and the rates found so far."""

    def __init__(self, capacities: Sequence[int], sharing: Sequence[int], claims: Sequence[Claim]) -> None:
        self.capacities, self.sharing, self.claims = capacities, sharing, claims
        self.rates = [0] * len(claims)
        self.gave_way: set[int] = set()
        most = [claim.demand or min(capacities[link] for link in claim.path) for claim in claims]
        self.crowd = Counter(link for claim in claims for link in claim.path)
        wanted = dict.fromkeys(self.crowd, 0)
        for claim, rate in zip(claims, most, strict=True):
            for link in claim.path:
                wanted[link] += rate
        # A link that all its flows together cannot fill limits nobody.
        tight = {link for link in wanted if wanted[link] + self.crowd[link] > capacities[link]}
        self.paths = [tuple(link for link in claim.path if link in tight) for claim in claims]
        self.lines = {link: self._line(link) for link in sorted(tight)}

    def _line(self, link: int) -> dict[int, tuple[int, ...]]:
        """The flows that stand in the line of a link, and their places."""
        places = {
            f: place(self.sharing[link], self.claims[f]) for f, path in enumerate(self.paths) if link in path
        }
        return {f: where for f, where in places.items() if where is not None}

    def go_round(self) -> bool:
        """Share what is left, those who wait after those for whom they wait; answers whether anybody got anything."""
        left = {f for f, claim in enumerate(self.claims) if not claim.demand or self.rates[f] < claim.demand}
        got = False
        while left:
            found, waiting, limits = self.give_way(left)
            self.gave_way |= waiting
            settled = self.settled(left, waiting)
            for f in settled:
                self.rates[f] += found[f]
                got |= found[f] > 0
            left -= settled
            left -= {f for f in left if self._in_vain(f, settled, limits)}
        return got

    def give_way(self, flows: Collection[int]) -> tuple[dict[int, int], set[int], dict[int, set[int]]]:
        """Water-fill what is left for these flows; who would take from one ahead of it waits.

        Returns:
            What the flows get that need not wait [mB/s], those that wait, and the links that limit each flow.
        """
        waiting: set[int] = set()
        while True:
            found = self.fill(set(flows) - waiting, waiting)
            if found is not None:
                rates, limits = found
                return rates, waiting, limits

    def fill(self, active: set[int], waiting: set[int]) -> tuple[dict[int, int], dict[int, set[int]]] | None:
        """Water-fill, adding to those who wait; None if one must wait that has found its rate already."""
        rates: dict[int, int] = {}
        limits: dict[int, set[int]] = {}
        rest = self._rest()
        wishes = {f: self.claims[f].demand - self.rates[f] for f in active if self.claims[f].demand}
        while active:
            crossing = Counter(link for f in active for link in self.paths[f])
            shares = {link: rest[link] // count for link, count in crossing.items()}
            level = min([*shares.values(), *(wishes[f] for f in active & wishes.keys())])
            full = {link for link, part in shares.items() if part <= level}
            content = {f for f in active if wishes.get(f, level + 1) <= level}
            takers = active | {f for f in rates if rates[f]}
            behind = self._behind(full, active - content, takers) if level else set()
            waiting |= behind
            if behind & rates.keys():
                return None
            if behind:
                active -= behind
                continue
            for f in [f for f in active if f in content or not full.isdisjoint(self.paths[f])]:
                rates[f] = level
                limits[f] = full.intersection(self.paths[f]) if f not in content else set()
                active.discard(f)
                for link in self.paths[f]:
                    rest[link] -= level
        return rates, limits

    def _rest(self) -> dict[int, int]:
        """What is left of every link: nothing if it is less than a unit a flow."""
        rest = {link: self.capacities[link] for link in self.lines}
        for path, rate in zip(self.paths, self.rates, strict=True):
            for link in path:
                rest[link] -= rate
        return {link: 0 if free < self.crowd[link] else free for link, free in rest.items()}

    def _behind(self, full: Collection[int], limited: Collection[int], takers: Collection[int]) -> set[int]:
        """Who takes capacity behind the first that a full link limits; of the first such link."""
        for link, line in self.lines.items():
            first = min((line[f] for f in limited if f in line), default=None)
            if link in full and first is not None:
                behind = {f for f in takers if f in line and line[f] > first}
                if behind:
                    return behind
        return set()

    def settled(self, flows: set[int], waiting: set[int]) -> set[int]:
        """Whose rates are final: all, if none waits; else those ahead of one who waits, and not behind one."""
        served = flows - waiting
        if not waiting:
            return served
        ahead = self._reached(waiting, flows, lambda there, here: there < here)
        held = self._reached(waiting, flows, lambda there, here: there >= here)
        return served & ahead - held or served & ahead  # lines of several kinds may hold each other up

    def _in_vain(self, flow: int, settled: Collection[int], limits: dict[int, set[int]]) -> bool:
        """Is a flow behind one that has its rate, and of which a link has not even enough for that one?"""
        lines = [(link, self.lines[link]) for link in self.paths[flow] if flow in self.lines[link]]
        return any(
            link in limits[f] and f in line and line[f] < line[flow] for link, line in lines for f in settled
        )

    def _reached(
        self,
        seeds: Iterable[int],
        flows: Collection[int],
        leads: Callable[[tuple[int, ...], tuple[int, ...]], bool],
    ) -> set[int]:
        """Flows that a relation between the places in a line leads to, directly or over others."""
        found = set(seeds)
        new = list(found)
        while new:
            here = new.pop()
            for line in self.lines.values():
                if here in line:
                    more = {f for f in line.keys() & flows if f not in found and leads(line[f], line[here])}
                    found |= more
                    new += more
        return found
