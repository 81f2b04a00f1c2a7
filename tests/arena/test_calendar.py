"""The calendar hands events out in the order of time, class and key, whatever the order in which they came."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.arena import rows
from edgesim.arena.calendar import drop_first, order_of, push
from edgesim.arena.compile import entry
from edgesim.arena.state import Arena
from edgesim.arena.tables import unpack

ROOM = 512


@entry
def enter(address, when, klass, key, arg):
    """Push an event through the kernel."""
    s = unpack(address)
    push(s, when, klass, key, rows.E_BOUNDARY, arg, arg + 1)
    return 0


@entry
def leave(address):
    """Drop the first event; answers its argument, or -1 if it is torn."""
    s = unpack(address)
    first = s.heap[0]
    arg = first.arg
    if first.epoch != arg + 1 or first.kind != rows.E_BOUNDARY:
        return -1
    drop_first(s)
    return arg


@entry
def rank(klass, key):
    """The order within an instant."""
    return order_of(klass, key)


@pytest.fixture(scope="module")
def arena() -> Arena:
    """A calendar with room for a few hundred events."""
    made = Arena()
    made.put("control", np.zeros(1, rows.CONTROL))
    made.put("heap", np.zeros(ROOM, rows.EVENT))
    return made


CLASSES = st.integers(0, 4)
KEYS = st.one_of(st.integers(-4, 4), st.integers(-(1 << 40), 1 << 52))
TIMES = st.one_of(st.integers(0, 5), st.integers(0, 1 << 62))
DEEDS = st.lists(st.one_of(st.none(), st.tuples(TIMES, CLASSES, KEYS)), max_size=200)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(deeds=DEEDS)
def test_order(arena: Arena, deeds: list[Any]) -> None:
    """Any mixture of pushes and drops gives what a sorted list gives; equals come in either order, each once."""
    arena.tables["control"]["heap"] = 0
    expected: list[tuple[Any, int]] = []
    entered: dict[int, Any] = {}
    for number, deed in enumerate([*deeds, *[None] * len(deeds)]):
        if deed is not None:
            enter(arena.address, *deed, number)
            heapq.heappush(expected, (deed, number))
            entered[number] = deed
        elif expected:
            assert entered.pop(leave(arena.address)) == heapq.heappop(expected)[0]
        assert int(arena.tables["control"]["heap"][0]) == len(expected)
    assert entered == {}


def test_classes_come_before_keys(arena: Arena) -> None:
    """At one instant: arrivals, deliveries, flow ends, timers, boundaries; keys decide only within a class."""
    assert list(range(5)) == [rows.ARRIVE, rows.DELIVER, rows.FLOW, rows.TIMER, rows.BOUNDARY]
    extremes = [(klass, key) for klass in range(5) for key in (-(1 << 50), -1, 0, 1, 1 << 52)]
    orders = [rank(klass, key) for klass, key in extremes]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)
    assert 0 <= orders[0] < orders[-1] < 1 << 63


def test_many_in_both_directions(arena: Arena) -> None:
    """A full calendar, entered upwards, downwards and shuffled."""
    for order in (range(ROOM), range(ROOM - 1, -1, -1), np.random.default_rng(0).permutation(ROOM).tolist()):
        arena.tables["control"]["heap"] = 0
        for i in order:
            enter(arena.address, i // 16, i // 4 % 4, i % 4, i)
        assert [leave(arena.address) for _ in range(ROOM)] == list(range(ROOM))
