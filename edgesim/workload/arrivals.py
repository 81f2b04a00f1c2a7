"""Arrival processes: when the requests of an open-loop workload come, in whole picoseconds.

Rates are those of the whole node group, and the process does not say which node asks; sensors are the
exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.workload.asked import Asked
from edgesim.workload.distributions import FOREVER, PS
from edgesim.workload.modulated import Modulated, daily, on_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgesim.scenario.arrivals import Arrivals as Section
    from edgesim.scenario.arrivals import Periodic as Sensors
    from edgesim.streams import Streams
    from edgesim.workload.asked import Arrivals


class Renewal:
    """Arrivals with independent gaps: exponential ones for Poisson arrivals, gamma ones for bursts."""

    def __init__(self, gaps: Callable[[int], NDArray[np.float64]], until: int) -> None:
        """Start at time 0.

        Args:
            gaps: Draws that many gaps [ps].
            until: No arrival comes at or after this time [ps].
        """
        self._gaps = gaps
        self._until = until
        self._now = 0
        self._over = False

    def take(self, size: int) -> Asked:
        """Return the next arrivals."""
        if self._over:
            return Asked(np.empty(0, np.int64))
        gaps = self._gaps(size)
        np.rint(gaps, out=gaps)
        if self._now + float(gaps.sum()) >= self._until:
            # Cut in floats first, so that the integer sum cannot overflow; the exact cut follows below.
            np.minimum(gaps, float(self._until), out=gaps)
            gaps = gaps[: int(np.searchsorted(self._now + np.cumsum(gaps), float(self._until))) + 1]
        at = np.cumsum(gaps.astype(np.int64))
        at += self._now
        self._now = int(at[-1])
        if self._now >= self._until:
            self._over = True
            at = at[: int(np.searchsorted(at, self._until))]
        return Asked(at)


class Periodic:
    """Sensors that fire once a period, each at its own phase, late by up to `jitter`.

    A node's k-th request comes at phase + k * period + delay, where the delay is uniform in [0, jitter).
    """

    def __init__(
        self,
        period: int,
        phases: NDArray[np.int64],
        jitter: int,
        random: np.random.Generator | None,
        until: int,
    ) -> None:
        """Start the first period at time 0.

        Args:
            period: Time between two requests of one node [ps].
            phases: When each node fires within the period [ps].
            jitter: Longest delay of a request [ps].
            random: Draws the delays; may be None without jitter.
            until: No arrival comes at or after this time [ps].
        """
        self._period = period
        self._order = np.argsort(phases, kind="stable").astype(np.int64)
        self._phases = phases[self._order]
        self._jitter = jitter
        self._random = random
        self._until = until
        self._next = 0
        self._last = len(phases) * ((until - 1) // period + 1)
        self._held = Asked(np.empty(0, np.int64), np.empty(0, np.int64))

    def take(self, size: int) -> Asked:
        """Return the next arrivals with their nodes."""
        while True:
            block = self._tick(size)
            if len(block.at) or (self._next >= self._last and not len(self._held.at)):
                return block

    def _tick(self, size: int) -> Asked:
        """Let the next `size` sensors fire and return what nothing later can overtake."""
        last = min(self._next + size, self._last)
        turn, which = np.divmod(np.arange(self._next, last, dtype=np.int64), len(self._phases))
        at = self._phases[which] + turn * self._period
        place = self._order[which]
        self._next = last
        if self._jitter and self._random is not None:
            at += np.floor(self._random.random(len(at)) * self._jitter).astype(np.int64)
            at, place = self._in_order(at, place)
        known = int(np.searchsorted(at, self._until))
        return Asked(at[:known], place[:known])

    def _in_order(
        self, at: NDArray[np.int64], place: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sort delayed arrivals together with those held back, and hold back what may still be overtaken."""
        at = np.concatenate([self._held.at, at])
        place = np.concatenate([self._held.place, place]) if self._held.place is not None else place
        order = np.argsort(at, kind="stable")
        at, place = at[order], place[order]
        ready = len(at)
        if self._next < self._last:
            turn, which = divmod(self._next, len(self._phases))
            ready = int(np.searchsorted(at, int(self._phases[which]) + turn * self._period))
        self._held = Asked(at[ready:], place[ready:])
        return at[:ready], place[:ready]


def arrivals(spec: Section, name: str, count: int, streams: Streams, until: int) -> Arrivals:
    """Return the arrival process that a workload's `arrivals` section describes.

    Args:
        spec: The section: its `kind` and parameters.
        name: The workload's name, which names its random streams.
        count: Nodes in the group that asks.
        streams: Where randomness comes from.
        until: No arrival comes at or after this time [ps].
    """
    if spec.kind == "periodic":
        return _periodic(spec, name, count, streams, until)
    random = streams.generator(f"arrivals/{name}")
    nodes = count if spec.per == "node" else 1
    if spec.kind == "poisson":
        gap = PS / (spec.rate * nodes)
        return Renewal(lambda size: random.standard_exponential(size) * gap, until)
    if spec.kind == "gamma":
        shape = spec.cv**-2.0
        scale = PS / (spec.rate * nodes * shape)
        return Renewal(lambda size: random.standard_gamma(shape, size) * scale, until)
    if spec.kind == "diurnal":
        segments = daily(spec.rate * nodes, spec.peak_to_mean, spec.period, spec.peak_at)
        return Modulated(segments, random, until)
    if spec.kind == "closed-loop":
        raise ValueError("closed-loop users are no arrival process: they wait for replies")
    phases = streams.generator(f"phases/{name}")
    segments = on_off(spec.rate_on * nodes, spec.rate_off * nodes, spec.mean_on, spec.mean_off, phases)
    return Modulated(segments, random, until)


def _periodic(spec: Sensors, name: str, count: int, streams: Streams, until: int) -> Periodic:
    """Give every node of the group its sensor; with `per: total` the nodes take turns within the period."""
    period = max(1, round(spec.period * PS)) * (1 if spec.per == "node" else count)
    reach = min(period, 2 * FOREVER)  # a phase beyond the end never fires, but must fit an int64
    if spec.phase == "aligned":
        phases = np.zeros(count, np.int64)
    elif spec.phase == "spread":
        phases = np.array([min(period * node // count, reach) for node in range(count)], np.int64)
    else:
        draws = streams.generator(f"phase/{name}").random(count) * float(period)
        phases = np.minimum(np.floor(draws), float(reach)).astype(np.int64)
    jitter = min(round(spec.jitter * PS), FOREVER)
    random = streams.generator(f"jitter/{name}") if jitter else None
    return Periodic(min(period, reach), phases, jitter, random, until)
