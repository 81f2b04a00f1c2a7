"""Heat: accelerators warm up by what they draw, and slow down when they are too hot.

Each accelerator heats one lump of matter: C dT/dt = P - (T - T_air) / R. Over a tick power is taken as constant, for
which the exponential is exact whatever the tick. P is what the replica's steps drew and what it idled away since the
last tick, without the PUE, shared among its accelerators; its share of the host is within.

The clock follows the temperature: full up to a first threshold, from there down in proportion to its slowest at a
second one, in whole percents, of which the last is kept until the temperature asks for another. Devices step through
tables of trip points along such a line. A clock f stretches steps by 1/f, whatever they wait for, and draws beyond idle
f^beta of the base power; what arithmetic and traffic add stays the same for each FLOP and byte.

Phones behave so: an iPhone 17 Pro's neural engine fell from 33 to 22 tokens a second within ten minutes, its GPU to
38-48 % (dev.to/john-rocky); an iPhone 16 Pro lost nearly half (arXiv 2603.23640); MELT (arXiv 2403.12844) found that no
phone sustains its peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.arena.rows import PS
from edgesim.outcome import HEAT_TOTALS
from edgesim.units import format_percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgesim.scenario import Scenario
    from edgesim.serving.fleet import Fleet
    from edgesim.serving.speed import Speeds


STEP = 0.01
"""Share of the frequency by which a clock moves at least."""


class Heat:
    """The temperatures of all accelerators that warm up.

    Args:
        scenario: Which nodes say so.
        fleet: The replicas on them.
        drawn: Answers energy [nJ] and time [ps] of some replicas' steps so far.
        on_ps: Answers how long replicas were switched on so far [ps].
        speeds: Takes the clocks.
    """

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        drawn: Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]],
        on_ps: Callable[[], NDArray[np.int64]],
        speeds: Speeds,
    ) -> None:
        self._drawn, self._on_ps, self._speeds = drawn, on_ps, speeds
        self._take_figures(scenario, fleet)
        n = len(self.replicas)
        self.factor = np.ones(n)
        self._read = np.zeros((3, n), np.int64)
        self._now = 0
        self.totals = np.zeros(n, HEAT_TOTALS)
        self.totals["replica"], self.totals["slowest"] = self.replicas, 1.0
        self.totals["hottest_c"] = self.temperature

    def _take_figures(self, scenario: Scenario, fleet: Fleet) -> None:
        """Lay out the figures of every replica that warms up."""
        replicas: list[int] = []
        rows: list[tuple[float, ...]] = []
        known: dict[int, tuple[float, ...]] = {}
        for replica, number in enumerate(fleet.deployments):
            deployment = scenario.deployments[number]
            node = scenario.topology.nodes[deployment.on]
            if node.thermal is None:
                continue
            if number not in known:
                accelerator = scenario.machine(deployment)
                assert accelerator is not None
                figures, cost = node.thermal.figures(accelerator), fleet.system.costs[number]
                start = node.thermal.ambient if node.thermal.start is None else node.thermal.start
                known[number] = (
                    figures.resistance, figures.capacity, figures.throttle_at, figures.slowest_at,
                    figures.slowest, node.thermal.ambient, start, accelerator.frequency_exponent,
                    1e-9 / (node.pue * deployment.tensor_parallel), cost.idle_mw, cost.base_mw - cost.idle_mw,
                )  # fmt: skip
            replicas.append(replica)
            rows.append(known[number])
        self.replicas = np.array(replicas, np.int64)
        (
            self._resistance, self._capacity, self._throttle_at, self._slowest_at, self._slowest, self._ambient,
            self.temperature, self._exponent, self._joules, self._idle_mw, self._beyond_idle_mw,
        ) = np.array(rows, np.float64).reshape(-1, 11).T.copy()  # fmt: skip

    def advance(self, now: int) -> None:
        """Let what was drawn since the last time heat the lumps, and note how hot they are."""
        passed = now - self._now
        if passed <= 0:
            return
        self._now = now
        steps_nj, busy = self._drawn(self.replicas)
        reading = np.stack([steps_nj, busy, self._on_ps()[self.replicas]])
        nj, busy, on = reading - self._read
        self._read = reading
        seconds = passed / PS
        watts = (nj + self._idle_mw * (on - busy) * 1e-6) * self._joules / seconds
        settled = self._ambient + watts * self._resistance
        fade = np.exp(-seconds / (self._resistance * self._capacity))
        self.temperature = settled + (self.temperature - settled) * fade
        np.maximum(self.totals["hottest_c"], self.temperature, out=self.totals["hottest_c"])
        self.totals["throttled_ps"] += np.where(self.factor < 1.0, passed, 0)
        self._govern()

    def _govern(self) -> None:
        """Let the clocks follow the temperatures."""
        band = self._slowest_at - self._throttle_at
        asked = 1.0 - (self.temperature - self._throttle_at) / band * (1.0 - self._slowest)
        asked = np.clip(asked, self._slowest, 1.0)
        moved = np.flatnonzero((np.abs(asked - self.factor) >= STEP) | ((asked == 1.0) & (self.factor < 1.0)))
        if not len(moved):
            return
        factor = np.clip(np.rint(asked[moved] / STEP) * STEP, self._slowest[moved], 1.0)
        self.factor[moved] = factor
        np.minimum(self.totals["slowest"], self.factor, out=self.totals["slowest"])
        saved = self._beyond_idle_mw[moved] * (1.0 - factor ** self._exponent[moved])
        self._speeds.clock(self.replicas[moved], factor, np.rint(saved).astype(np.int64))

    def close(self, now: int) -> None:
        """Complete the account at the end of a run."""
        self.advance(now)
        self.totals["final_c"] = self.temperature

    def notes(self, names: Sequence[str]) -> list[str]:
        """What a report should say."""
        slowed = np.flatnonzero(self.totals["throttled_ps"])
        if not len(slowed):
            return []
        of = f"{len(slowed)} of {len(self.replicas)} replicas that warm up"
        hottest = int(np.argmax(self.totals["hottest_c"]))
        share = float(self.totals["throttled_ps"][slowed].mean()) / self._now
        degrees = float(self.totals["hottest_c"][hottest])
        peak = f"{names[self.replicas[hottest]]} reached {degrees:.1f} degC"
        return [f"heat slowed down {of}, on average for {format_percent(share)} of the time; {peak}"]
