"""Works: what SimPy processes run on the devices of replicas, beside inference."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesim.arena import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from edgesim.serving.clock import Clock

NJ = 10**9
"""Nanojoules in a joule."""


@dataclass(eq=False)
class Work:
    """Something that runs on a replica's device; the value of the event that says that it is done.

    Attributes:
        replica: Name of the replica whose device it is.
        work_s: How long the device alone takes for it, at full speed [s].
        weight: How much it weighs beside others; a replica weighs 1.
        watts: What it adds to the idle power of the device when it runs alone [W].
        started_at: When it began [s].
        finished_at: When it was done [s]; None before.
        done_s: How much of `work_s` is done [s].
    """

    replica: str
    work_s: float
    weight: float
    watts: float
    started_at: float
    finished_at: float | None = None
    done_s: float = 0.0

    @property
    def energy_j(self) -> float:
        """What it has drawn so far above the idle power; it belongs to the work [J]."""
        return self.watts * self.done_s


@dataclass(eq=False)
class Device:
    """The device of one replica, and the works on it.

    Attributes:
        speed: Thousandths of its nominal speed.
        given: Thousandths that the replica has of it.
        serving: Does the replica take its part?
        since: When the works were last settled [ps].
        works: Those that run, each with the event that says that it is done.
        past_j: Energy of those that are done [J].
        changes: How often the parts have changed; ends foreseen before are void.
    """

    speed: int = rows.FULL_SPEED
    given: int = rows.FULL_SPEED
    serving: bool = True
    since: int = 0
    works: dict[Work, simpy.Event] = field(default_factory=dict)
    past_j: float = 0.0
    changes: int = 0

    @property
    def weight(self) -> float:
        """Of everybody on it."""
        return math.fsum([float(self.serving), *(work.weight for work in self.works)])

    def rate(self, work: Work) -> float:
        """Seconds of a work that are done in a second."""
        return work.weight / self.weight * self.speed / rows.FULL_SPEED

    def settle(self, now: int) -> None:
        """Count what was done up to now."""
        span, self.since = max(0, now - self.since) / rows.PS, max(now, self.since)
        for work in self.works:
            work.done_s = min(work.work_s, work.done_s + span * self.rate(work))

    def left_to(self, work: Work) -> int:
        """How long a work still takes if nothing changes [ps]."""
        return math.ceil((work.work_s - work.done_s) / self.rate(work) * rows.PS)

    def replicas_part(self) -> int:
        """Thousandths of the nominal speed that are the replica's."""
        return max(1, round(self.speed / self.weight)) if self.works and self.serving else self.speed


class Works:
    """The works on all devices, and what they leave to the replicas.

    Everybody on a device has a part of it by weight, whether he uses it or not: a replica weighs 1, a work as much as
    it says. So n works of weight 1 and a replica, busy or idle, have a part of 1 / (n + 1) each; a replica that is off
    or has failed has none. Parts change when works come and go, and steps under way stretch with the replica's part.

    Args:
        clock: Of the run.
        set_speed: Gives a replica so many thousandths of its nominal speed.
        replicas: How many there are.

    Attributes:
        used: On whose devices works have run.
    """

    def __init__(self, clock: Clock, set_speed: Callable[[int, int], None], replicas: int) -> None:
        self.clock, self._give = clock, set_speed
        self._devices = [Device() for _ in range(replicas)]
        self.last = 0
        self.used: set[int] = set()

    def start(self, replica: int, work: Work) -> simpy.Event:
        """Start a work on the device of a replica; answers the event that comes when it is done."""
        self.used.add(replica)
        device = self._settled(replica)
        event = device.works[work] = self.clock.event()
        self._share_out(replica, device)
        return event

    def set_speed(self, replica: int, speed: int) -> None:
        """Let a device run at so many thousandths of its nominal speed, for everybody on it."""
        device = self._settled(replica)
        device.speed = speed
        self._share_out(replica, device)

    def set_serving(self, replica: int, *, serving: bool) -> None:
        """Give a replica its part of its device, or leave it to the works."""
        device = self._settled(replica)
        device.serving = serving
        self._share_out(replica, device)

    def energy_nj(self, replica: int, now: int) -> int:
        """What works have drawn on the device of a replica, up to now [nJ]."""
        device = self._devices[replica]
        device.settle(now)
        return round(NJ * math.fsum([device.past_j, *(work.energy_j for work in device.works)]))

    def _settled(self, replica: int) -> Device:
        device = self._devices[replica]
        device.settle(int(self.clock.now))
        return device

    def _share_out(self, replica: int, device: Device) -> None:
        """Give the replica its part and foresee which works are done next."""
        part = device.replicas_part()
        if part != device.given:
            device.given = part
            self._give(replica, part)
        device.changes += 1
        if not device.works:
            return
        left = {work: device.left_to(work) for work in device.works}
        soonest = min(left.values())
        ending = [work for work in left if left[work] == soonest]
        changes = device.changes
        self.clock.timeout(soonest).callbacks.append(lambda _: self._end(replica, ending, changes))

    def _end(self, replica: int, ending: list[Work], changes: int) -> None:
        """Works are done, unless the parts have changed since that was foreseen."""
        device = self._devices[replica]
        if device.changes != changes:
            return
        now = int(self.clock.now)
        device.settle(now)
        self.last = now
        for work in ending:
            work.done_s, work.finished_at = work.work_s, now / rows.PS
            device.past_j += work.energy_j
            device.works.pop(work).succeed(work)
        self._share_out(replica, device)
