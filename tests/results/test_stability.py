"""Tests of the verdict on stability."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgesim.results.source import MemorySource
from edgesim.results.stability import backlog, verdict

if TYPE_CHECKING:
    from types import ModuleType


def served(arrivals: np.ndarray, service: np.ndarray) -> np.ndarray:
    """End of each request at one server, first come first served."""
    ends = np.empty_like(arrivals)
    free = 0.0
    for place, (at, need) in enumerate(zip(arrivals, service, strict=True)):
        free = max(free, at) + need
        ends[place] = free
    return ends


def source(fakes: ModuleType, arrivals: np.ndarray, ends: np.ndarray, duration: float) -> MemorySource:
    """Requests with these times; those that end after the run are unfinished."""
    rows = fakes.requests(len(arrivals))
    rows["arrived"] = arrivals * fakes.S
    rows["finished"] = np.where(ends <= duration, ends * fakes.S, -1)
    rows["status"] = np.where(ends <= duration, 0, 4)
    return MemorySource([rows], fakes.info())


def test_offered_load_of_two_grows_linearly(fakes: ModuleType) -> None:
    """Two requests per second at a server that does one: half of all arrivals stay behind."""
    arrivals = np.arange(2000) * 0.5
    found = source(fakes, arrivals, served(arrivals, np.ones(2000)), 1000.0)
    times, came, left = backlog(found, 1000.0)
    assert (came - left)[1:] == pytest.approx(times[1:], abs=2.0)
    text = verdict(found, 1000.0)
    numbers = re.search(
        r"grows without end: ([\d.]+) requests/s arrive, ([\d.]+)/s leave, ([\d,]+) are", text
    )
    assert numbers
    assert text.endswith("waiting or running at 16.7 min")
    assert [float(number.replace(",", "")) for number in numbers.groups()] == pytest.approx(
        [2.0, 1.0, 1000.0], rel=0.01
    )


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(10))
def test_a_queue_below_capacity_is_stable(fakes: ModuleType, load: float, seed: int) -> None:
    """The ups and downs of M/M/1 are no trend."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / load, 4000))
    found = source(fakes, arrivals, served(arrivals, draw.exponential(1.0, 4000)), arrivals[-1])
    assert verdict(found, float(arrivals[-1])) == ""


@pytest.mark.parametrize("seed", range(10))
def test_a_queue_above_capacity_is_unstable(fakes: ModuleType, seed: int) -> None:
    """A load of 1.2 is found out whatever the chance."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / 1.2, 4000))
    found = source(fakes, arrivals, served(arrivals, draw.exponential(1.0, 4000)), arrivals[-1])
    assert verdict(found, float(arrivals[-1])).startswith("the backlog grows without end")


def test_draining_after_the_last_arrival_hides_nothing(fakes: ModuleType) -> None:
    """A run that goes on until everything is served was overloaded all the same."""
    arrivals = np.arange(1000) * 0.5
    ends = served(arrivals, np.ones(1000))
    assert verdict(source(fakes, arrivals, ends, 5000.0), 5000.0) != ""


def test_a_few_requests_tell_nothing(fakes: ModuleType) -> None:
    """Below forty arrivals there is no verdict."""
    arrivals = np.arange(30) * 0.1
    assert verdict(source(fakes, arrivals, arrivals + 1e6, 10.0), 10.0) == ""
