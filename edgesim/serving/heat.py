"""Heat: accelerators warm up by what they draw, and slow down when they are too hot.

Each accelerator heats one lump of matter, whoever runs on it: C dT/dt = P - (T - T_air) / R. Over a tick power is taken
as constant, for which the exponential is exact whatever the tick. P is what steps and works drew and what was idled
away since the last tick, without the PUE, shared among its accelerators; its share of the host is within.

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

    from edgesim.costs.step import StepCost
    from edgesim.scenario import Scenario
    from edgesim.scenario.deployment import Deployment
    from edgesim.serving.fleet import Fleet
    from edgesim.serving.speed import Speeds
    from edgesim.serving.works import Works

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
        works: What else runs on the devices.
    """

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        drawn: Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]],
        on_ps: Callable[[], NDArray[np.int64]],
        speeds: Speeds,
        works: Works,
    ) -> None:
        self._drawn, self._on_ps, self._speeds, self._works = drawn, on_ps, speeds, works
        self._take_figures(scenario, fleet)
        n = len(self.temperature)
        self.factor = np.ones(n)
        self._read = np.zeros((2, n), np.int64)
        self._now = 0
        self._clock_time = np.zeros(n)
        self.totals = np.zeros(len(self.replicas), HEAT_TOTALS)
        self.totals["replica"], self.totals["slowest"] = self.replicas, 1.0
        self.totals["hottest_c"] = self.temperature[self._lump]

    def _take_figures(self, scenario: Scenario, fleet: Fleet) -> None:
        """Lay out the figures of every replica that warms up; those that share an accelerator share a lump."""
        shared = fleet.system.replicas["accelerator"]
        replicas: list[int] = []
        lump_of: list[int] = []
        rows: list[tuple[float, ...]] = []
        known: dict[int, tuple[float, ...]] = {}
        lumps: dict[int, int] = {}
        for replica, number in enumerate(fleet.deployments):
            deployment = scenario.deployments[number]
            if scenario.topology.nodes[deployment.on].thermal is None:
                continue
            if number not in known:
                known[number] = _figures(scenario, deployment, fleet.system.costs[number])
            lump = lumps.setdefault(int(shared[replica]) or -1 - replica, len(rows))
            if lump == len(rows):
                rows.append(known[number])
            replicas.append(replica)
            lump_of.append(lump)
        self.replicas, self._lump = np.array(replicas, np.int64), np.array(lump_of, np.int64)
        beyond = [fleet.system.costs[fleet.deployments[r]] for r in replicas]
        self._beyond_idle_mw = np.array([cost.base_mw - cost.idle_mw for cost in beyond], np.float64)
        (
            self._resistance, self._capacity, self._throttle_at, self._slowest_at, self._slowest, self._ambient,
            self.temperature, self._exponent, self._joules, self._idle_mw,
        ) = np.array(rows, np.float64).reshape(-1, 10).T.copy()  # fmt: skip

    def advance(self, now: int) -> None:
        """Let what was drawn since the last time heat the lumps, and note how hot they are."""
        passed = now - self._now
        if passed <= 0:
            return
        self._now = now
        reading = self._meters(now)
        nj, idle = reading - self._read
        self._read = reading
        seconds = passed / PS
        watts = (nj + self._idle_mw * idle * 1e-6) * self._joules / seconds
        settled = self._ambient + watts * self._resistance
        fade = np.exp(-seconds / (self._resistance * self._capacity))
        self.temperature = settled + (self.temperature - settled) * fade
        hottest = self.totals["hottest_c"]
        np.maximum(hottest, self.temperature[self._lump], out=hottest)
        self._clock_time += self.factor * passed
        self.totals["throttled_ps"] += np.where(self.factor < 1.0, passed, 0)[self._lump]
        self._govern()

    def _meters(self, now: int) -> NDArray[np.int64]:
        """Energy of steps and works [nJ] and time without steps [ps] of each lump so far."""
        steps_nj, busy = self._drawn(self.replicas)
        on = self._on_ps()[self.replicas]
        nj, idle, longest = np.zeros((3, len(self.temperature)), np.int64)
        np.add.at(nj, self._lump, steps_nj)
        for row in np.flatnonzero(np.isin(self.replicas, list(self._works.used))).tolist():
            nj[self._lump[row]] += self._works.energy_nj(int(self.replicas[row]), now)
        np.maximum.at(longest, self._lump, on)
        np.subtract.at(idle, self._lump, busy)
        return np.stack([nj, np.maximum(longest + idle, 0)])

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
        np.minimum(self.totals["slowest"], self.factor[self._lump], out=self.totals["slowest"])
        rows = np.flatnonzero(np.isin(self._lump, moved))
        clock = self.factor[self._lump[rows]]
        saved = self._beyond_idle_mw[rows] * (1.0 - clock ** self._exponent[self._lump[rows]])
        self._speeds.clock(self.replicas[rows], clock, np.rint(saved).astype(np.int64))

    def close(self, now: int) -> None:
        """Complete the account at the end of a run."""
        self.advance(now)
        self.totals["final_c"] = self.temperature[self._lump]
        self.totals["mean_clock"] = self._clock_time[self._lump] / self._now if self._now else 1.0

    def reading(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Temperatures [degC] and clocks of the replicas that warm up, as of the last tick."""
        return self.temperature[self._lump], self.factor[self._lump]

    def notes(self, names: Sequence[str]) -> list[str]:
        """What a report should say."""
        slowed = np.flatnonzero(self.totals["throttled_ps"])
        if not len(slowed):
            return []
        of = f"{len(slowed)} of {len(self.replicas)} replicas that warm up"
        clock = format_percent(float(self.totals["mean_clock"][slowed].mean()))
        hottest = int(np.argmax(self.totals["hottest_c"]))
        peak = f"{names[self.replicas[hottest]]} reached {float(self.totals['hottest_c'][hottest]):.1f} degC"
        return [f"heat slowed down {of}, to {clock} of their clock on average; {peak}"]


def _figures(scenario: Scenario, deployment: Deployment, cost: StepCost) -> tuple[float, ...]:
    """The figures of the lump that a deployment's replicas heat."""
    node = scenario.topology.nodes[deployment.on]
    accelerator = scenario.machine(deployment)
    assert accelerator is not None
    assert node.thermal is not None
    figures = node.thermal.figures(accelerator)
    return (
        figures.resistance,
        figures.capacity,
        figures.throttle_at,
        figures.slowest_at,
        figures.slowest,
        node.thermal.ambient,
        node.thermal.ambient if node.thermal.start is None else node.thermal.start,
        accelerator.frequency_exponent,
        1e-9 / (node.pue * deployment.tensor_parallel),
        cost.idle_mw,
    )
