"""The clock: a SimPy environment that counts whole picoseconds and cannot be contaminated."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import simpy

from edgesim.arena.rows import PS
from edgesim.errors import SimulationError
from edgesim.serving.system import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(simpy.Environment):
    """SimPy with integer time; the only code that touches SimPy's private names."""

    def __init__(self, initial_time: int = 0) -> None:
        super().__init__(_whole(initial_time, "the initial time"))
        self._repeating = 0

    def timeout(self, delay: float = 0, value: Any = None) -> simpy.Timeout:
        """A timeout of whole picoseconds; `sim.after` takes seconds and "500 ms"."""
        return simpy.Timeout(self, _whole(delay, "a timeout"), value)

    def schedule(self, event: simpy.Event, priority: Any = 1, delay: float = 0) -> None:
        """Schedule an event after whole picoseconds."""
        heapq.heappush(
            self._queue,
            (self._now + _whole(delay, "a delay"), priority, next(self._eid), event),
        )

    def run(self, until: Any = None) -> Any:
        """Run until a whole time [ps] or an event."""
        return super().run(
            until if until is None or isinstance(until, simpy.Event) else _whole(until, "until")
        )

    def peek(self) -> int:
        """Time of the next event [ps]; `FOREVER` if there is none."""
        return int(self._queue[0][0]) if self._queue else FOREVER

    def every(self, period: int, action: Callable[[], None]) -> None:
        """Do something again and again, a whole number of picoseconds apart; that alone keeps no run going."""
        self._repeating += 1

        def again(_event: simpy.Event) -> None:
            action()
            self.timeout(period).callbacks.append(again)

        self.timeout(period).callbacks.append(again)

    @property
    def resting(self) -> bool:
        """Is nothing left to happen but what repeats for ever?"""
        return len(self._queue) <= self._repeating

    def advance_to(self, now: int) -> None:
        """Move on to a time at or before the next event."""
        if not self._now <= now <= self.peek():
            raise SimulationError(f"the clock cannot go from {self._now} to {now} ps past its next event")
        self._now = now


def _whole(value: Any, what: str) -> int:
    if type(value) is not int:
        raise SimulationError(
            f"{what} of {value!r} is no whole number of picoseconds; use sim.after(0.5) or sim.after('500 ms')"
        )
    if not 0 <= value <= FOREVER:
        raise SimulationError(f"{what} of {value / PS:g} s is out of range; a run lasts at most 50 days")
    return value
