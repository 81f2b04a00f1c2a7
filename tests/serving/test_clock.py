"""The clock counts whole picoseconds and takes nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgesim.errors import SimulationError
from edgesim.serving.clock import Clock
from edgesim.serving.system import FOREVER

ADVICE = r"no whole number of picoseconds; use sim\.after\(0\.5\) or sim\.after\('500 ms'\)"


@pytest.mark.parametrize("delay", [0.5, 1e12, np.int64(5), np.float64(5), True, "500 ms", None])
def test_only_python_integers_pass(delay: Any) -> None:
    """A float contaminates SimPy's clock, a numpy integer turns it into a float: both are refused, with advice."""
    clock = Clock()
    with pytest.raises(SimulationError, match=ADVICE):
        clock.timeout(delay)
    with pytest.raises(SimulationError, match=ADVICE):
        clock.schedule(clock.event(), delay=delay)
    assert clock.peek() == FOREVER


@pytest.mark.parametrize("start", [1.0, np.int64(1)])
def test_initial_time_is_an_integer(start: Any) -> None:
    """The clock starts at a whole picosecond."""
    with pytest.raises(SimulationError, match=ADVICE):
        Clock(start)


@pytest.mark.parametrize("until", [1.0, np.int64(10)])
def test_run_until_an_integer(until: Any) -> None:
    """`run(until=...)` takes a whole time or an event."""
    with pytest.raises(SimulationError, match=ADVICE):
        Clock().run(until=until)


@pytest.mark.parametrize("delay", [-1, FOREVER + 1, 1 << 63, 1 << 100])
def test_out_of_range_is_refused(delay: int) -> None:
    """No delay into the past, none beyond what 63 bits hold."""
    with pytest.raises(SimulationError, match="out of range; a run lasts at most 50 days"):
        Clock().timeout(delay)


def test_time_stays_a_python_integer() -> None:
    """After events and `run(until=...)`, now is an exact int."""
    clock = Clock(7)
    seen: list[Any] = []

    def process() -> Any:
        for _ in range(3):
            yield clock.timeout(10**15 + 1)
            seen.append(clock.now)

    clock.process(process())
    clock.run(until=4 * 10**15)
    assert seen == [7 + i * (10**15 + 1) for i in (1, 2, 3)]
    assert clock.now == 4 * 10**15
    assert {type(now) for now in [*seen, clock.now, clock.peek()]} == {int}


def test_run_until_an_event() -> None:
    """`run(until=event)` answers the event's value."""
    clock = Clock()
    assert clock.run(until=clock.timeout(3, "value")) == "value"
    assert clock.now == 3


def test_peek_is_finite() -> None:
    """An empty clock's next event is at a finite maximum that integers can be compared with."""
    clock = Clock()
    assert clock.peek() == FOREVER
    assert type(clock.peek()) is int
    clock.timeout(5)
    assert clock.peek() == 5


def test_advance_to() -> None:
    """Time can be moved up to the next event, and neither past it nor back."""
    clock = Clock()
    clock.timeout(10)
    clock.advance_to(4)
    assert clock.now == 4
    clock.advance_to(10)
    with pytest.raises(SimulationError, match="cannot go from 10 to 11 ps past its next event"):
        clock.advance_to(11)
    with pytest.raises(SimulationError, match="cannot go from 10 to 9 ps"):
        clock.advance_to(9)
    clock.step()
    assert clock.now == 10


def test_what_repeats_keeps_nothing_going() -> None:
    """It comes a whole period apart, before what is scheduled later for the same instant; alone it is rest."""
    clock, seen = Clock(), []
    assert clock.resting
    clock.every(10, lambda: seen.append(clock.now))
    clock.every(25, lambda: seen.append(-clock.now))
    assert clock.resting
    clock.timeout(30).callbacks.append(lambda _: seen.append(0))
    assert not clock.resting
    while clock.peek() < 51:
        clock.step()
    assert seen == [10, 20, -25, 0, 30, 40, -50, 50]
    assert clock.resting
    assert clock.peek() == 60
