"""The state: all tables of an arena, as the kernel sees them and as Python allocates and grows them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from edgesim.arena import rows

INT = np.dtype(np.int64)
FLOAT = np.dtype(np.float64)


class State(NamedTuple):
    """Tables by name; inside compiled code each is an array of rows or of integers."""

    control: Any
    links: Any
    flows: Any
    hops: Any
    candidates: Any
    places: Any
    paths: Any
    workloads: Any
    costs: Any
    tables: Any
    replicas: Any
    legs: Any
    requests: Any
    heap: Any
    running: Any
    residues: Any
    arrivals: Any
    request_rows: Any
    leg_rows: Any
    told_rows: Any
    board: Any
    dirty: Any
    touched: Any
    moved: Any
    asked: Any
    listed: Any
    parameters: Any
    keys: Any
    nodes: Any
    buckets: Any
    hashes: Any
    next_uses: Any
    devices: Any
    booked: Any


def record_types() -> tuple[np.dtype, ...]:
    """The row type of every table, in the order of `State`."""
    from edgesim.records import LEG_RECORD, REQUEST_RECORD

    return (
        rows.CONTROL, rows.LINK, rows.FLOW_ROW, rows.HOP, rows.CANDIDATE, INT, INT, rows.WORKLOAD, rows.COST, INT,
        rows.REPLICA, rows.LEG, rows.REQUEST, rows.EVENT, rows.SLOT, INT, rows.ARRIVAL, REQUEST_RECORD, LEG_RECORD,
        REQUEST_RECORD, INT, INT, INT, INT, rows.ARRIVAL, INT, FLOAT, INT, rows.NODE, INT, INT, INT, rows.DEVICE,
        rows.BOOKED,
    )  # fmt: skip


TYPES = record_types()

LINE = 64
"""Bytes of a cache line."""


def blank(length: int, kind: np.dtype) -> np.ndarray:
    """A table of zeros that begins with a cache line; memory is only taken as rows are written."""
    room = np.zeros(length * kind.itemsize + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + length * kind.itemsize].view(kind)


def longer(old: np.ndarray | None, length: int, kind: np.dtype) -> np.ndarray:
    """A table with the rows of an old one, as many as there is room for, and blank ones behind them."""
    table = blank(length, kind)
    if old is not None:
        kept = min(len(old), length)
        # As bytes: numpy copies rows field by field, which takes twenty times as long.
        table[:kept].view(np.uint8)[:] = old[:kept].view(np.uint8)
    return table


def _aligned(table: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The table itself if it is contiguous and begins with a cache line, else a copy that does."""
    if table.dtype == kind and table.flags.c_contiguous and table.ctypes.data % LINE == 0:
        return table
    return longer(np.ascontiguousarray(table, kind), len(table), kind)


class Arena:
    """Owner of the tables' memory; growing one moves it and renews the address list."""

    def __init__(self) -> None:
        self.tables: dict[str, np.ndarray] = {}
        self._addresses = np.zeros(2 * len(TYPES), np.int64)

    @property
    def address(self) -> int:
        """What the kernel's entry points take."""
        return int(self._addresses.ctypes.data)

    def put(self, name: str, table: np.ndarray) -> None:
        """Set or replace a table; an empty one gets one row so that it has an address."""
        i = State._fields.index(name)
        if not len(table):
            table = np.zeros(1, TYPES[i])
        if (
            name != "arrivals" or table.dtype != TYPES[i] or not table.flags.c_contiguous
        ):  # read once, in order
            table = _aligned(table, TYPES[i])
        self.tables[name] = table
        self._addresses[2 * i] = table.ctypes.data
        self._addresses[2 * i + 1] = len(table)

    def grow(self, name: str, length: int) -> None:
        """Give a table more rows; the old ones keep their place."""
        old = self.tables[name]
        self.put(name, longer(old, length, old.dtype))

    def snapshot(self) -> dict[str, np.ndarray]:
        """A copy of everything."""
        return {name: table.copy() for name, table in self.tables.items()}
