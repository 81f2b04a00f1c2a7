"""Sampling: what replicas and links are about, read at a fixed beat, for the table `resources`.

A sample only reads, and the clock's beat changes no result, so that requests come out the same with and without it.
What is counted (running and waiting requests, KV blocks) is as of the sample; shares, watts and bytes are those since
the sample before. A row that would repeat the one before of the same replica or link is left out: two thousand
phones that stand by cost nothing. Only the first replica has a row in every sample, so that the table tells when
samples were taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.arena import rows
from edgesim.records import MISSING, RESOURCE_KIND, RESOURCE_RECORD
from edgesim.serving.system import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgesim.simulation import Simulation

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

SAMPLES = 200
"""Samples of a run that does not say how often."""

OTHERWISE_S = 1.0
"""Time between samples of a run that says neither that nor its duration [s]."""

REPLICA, LINK = (RESOURCE_KIND.index(kind) for kind in ("replica", "link"))
OF_REPLICA = ("waiting", "running", "kv_share", "utilisation", "power_w", "temperature_c", "clock")
OF_LINK = ("utilisation", "bytes")


class Sampler:
    """Samples all replicas and links of a simulation.

    Rows wait until it is sure that the run goes on beyond them: one without a duration ends with its last request, and
    the beat may have gone further.

    Args:
        simulation: What is sampled.
        period: Between two samples [ps].
        emit: Takes arrays of RESOURCE_RECORD rows.
    """

    def __init__(self, simulation: Simulation, period: int, emit: Callable[[NDArray[np.void]], None]) -> None:
        self._simulation, self._period, self._emit = simulation, period, emit
        system = simulation.fleet.system
        self._all = np.arange(len(system.replicas))
        self._idle_mw = np.array(
            [system.costs[cost].idle_mw for cost in system.replicas["cost"].tolist()], np.float64
        )
        self._links = np.arange(len(system.links))
        self._bytes_per_ps = system.links["capacity"] * 1e-15
        self._held: list[NDArray[np.void]] = []
        self._shown = [
            np.full((len(self._all), len(OF_REPLICA)), np.inf),
            np.full((len(self._links), 2), np.inf),
        ]
        self._at = 0
        self._read = self._readings(0)
        self._before_held = (self._at, self._read)
        simulation.clock.every(period, lambda: self.sample(int(simulation.clock.now)))

    def sample(self, at: int) -> None:
        """Take a sample; nothing has changed since `at` if that has passed."""
        if not self._held:
            self._before_held = (self._at, self._read)
        self._held.append(self._rows(at))
        if self._simulation.end != FOREVER or self._known_end() >= at:
            self._release()

    def close(self, now: int) -> None:
        """Take the samples up to the end of the run, and one at the end itself."""
        if self._held and self._known_end() < self._at:
            self._held = []
            self._at, self._read = self._before_held
        while self._at + self._period <= now:
            self.sample(self._at + self._period)
        if self._at < now:
            self._held.append(self._rows(now))
        self._release()

    def _known_end(self) -> int:
        """The run lasts at least until then [ps]."""
        return max(self._simulation.engine.last, self._simulation.doors.works.last)

    def _release(self) -> None:
        for held in self._held:
            if len(held):
                self._emit(held)
        self._held = []

    # -- reading ------------------------------------------------------------------------------------------------

    def _readings(self, at: int) -> tuple[Ints, Ints, Ints, Floats]:
        """What has been counted so far: busy and idle times [ps] and energies [nJ] of replicas, bytes of links."""
        simulation = self._simulation
        nj, busy = simulation.engine.drawn(self._all)
        works = simulation.doors.works
        for replica in works.used:
            nj[replica] += works.energy_nj(replica, at)
        idle = standing_by(simulation.time_on(at), busy, simulation.fleet.system.replicas["accelerator"])
        return busy, idle, nj, np.asarray(simulation.carried(at), np.float64)

    def _rows(self, at: int) -> NDArray[np.void]:
        """The rows of one sample."""
        span, read = at - self._at, self._readings(at)
        busy, idle, nj, carried = (new - old for new, old in zip(read, self._read, strict=True))
        self._at, self._read = at, read
        running, waiting, free = self._simulation.engine.loads()
        blocks = np.maximum(1, self._simulation.fleet.system.replicas["total_blocks"])
        joules = (nj + self._idle_mw * idle * 1e-6) * 1e-9
        temperature, clock = self._heat()
        replicas = np.stack(
            [
                waiting, running, 1 - free / blocks, busy / span, joules / (span / rows.PS), temperature, clock,
            ],
            axis=1,
        )  # fmt: skip
        links = np.stack([carried / (self._bytes_per_ps * span), carried], axis=1)
        return np.concatenate([self._table(at, REPLICA, replicas), self._table(at, LINK, links)])

    def _heat(self) -> tuple[Floats, Floats]:
        """Temperatures [degC] and clocks of replicas; NaN where nothing warms up."""
        temperature, clock = np.full((2, len(self._all)), np.nan)
        heat = self._simulation.heat
        if heat is not None:
            temperature[heat.replicas], clock[heat.replicas] = heat.reading()
        return temperature, clock

    def _table(self, at: int, kind: int, values: Floats) -> NDArray[np.void]:
        """The rows that say something new."""
        before, fields = self._shown[kind], OF_LINK if kind == LINK else OF_REPLICA
        new = ((values != before) & ~(np.isnan(values) & np.isnan(before))).any(axis=1)
        if kind == REPLICA:
            new[:1] = True
        news = np.flatnonzero(new)
        self._shown[kind] = values
        found = np.zeros(len(news), RESOURCE_RECORD)
        found["at"], found["kind"] = at, kind
        found["name"] = news if kind == REPLICA else len(self._all) + news
        found["replica"] = news if kind == REPLICA else MISSING
        for name in (RESOURCE_RECORD.names or ())[4:]:
            found[name] = np.nan
        for name, column in zip(fields, values[news].T, strict=True):
            found[name] = column
        return found


def standing_by(on: Ints, busy: Ints, accelerator: Ints) -> Ints:
    """Time that replicas stand by [ps]; those that take turns on an accelerator share the time it stands by."""
    idle = on - busy
    for number in np.unique(accelerator[accelerator != rows.ALONE]):
        sharing = np.flatnonzero(accelerator == number)
        whole = max(0, int(on[sharing].max()) - int(busy[sharing].sum()))
        idle[sharing] = whole // len(sharing)
        idle[sharing[0]] += whole % len(sharing)
    return idle
