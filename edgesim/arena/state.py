"""The state: all tables of an arena, as the kernel sees them and as Python allocates and grows them."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from edgesim.arena import rows
from edgesim.arena.compile import JIT, kernel

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
    board: Any
    dirty: Any
    touched: Any
    moved: Any
    asked: Any
    listed: Any
    parameters: Any
    keys: Any


def record_types() -> tuple[np.dtype, ...]:
    """The row type of every table, in the order of `State`."""
    from edgesim.records import LEG_RECORD, REQUEST_RECORD

    return (
        rows.CONTROL, rows.LINK, rows.FLOW_ROW, rows.HOP, rows.CANDIDATE, INT, INT, rows.WORKLOAD, rows.COST, INT,
        rows.REPLICA, rows.LEG, rows.REQUEST, rows.EVENT, rows.SLOT, INT, rows.ARRIVAL, REQUEST_RECORD, LEG_RECORD, INT,
        INT, INT, INT, rows.ARRIVAL, INT, FLOAT, INT,
    )  # fmt: skip


TYPES = record_types()

if JIT:
    from llvmlite import ir
    from numba import from_dtype, types
    from numba.core import cgutils
    from numba.core.typing.templates import AttributeTemplate
    from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
    from numba.np.arrayobj import populate_array

    class _StateType(types.Type):  # type: ignore[misc]
        """An address list, whose attributes are the tables behind it."""

        def __init__(self) -> None:
            super().__init__(name="edgesim.State")

    _STATE = _StateType()
    _TABLES = {
        name: types.Array(from_dtype(kind), 1, "C")
        for name, kind in zip(State._fields, TYPES, strict=True)
    }

    @register_model(_StateType)
    class _StateModel(models.PrimitiveModel):  # type: ignore[misc]
        """One word, so that handing the state on costs nothing, at compile time as at run time."""

        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, ir.IntType(64))

    @infer_getattr
    class _StateAttributes(AttributeTemplate):  # type: ignore[misc]
        key = _StateType

        def generic_resolve(self, _state: Any, name: str) -> Any:
            return _TABLES.get(name)

    @lower_getattr_generic(_StateType)  # type: ignore[misc]
    def _table_of(context: Any, builder: Any, _state: Any, value: Any, name: str) -> Any:
        """Load a table's address and length; both stay as they are while the kernel runs."""
        kind = _TABLES[name]
        word = context.get_value_type(types.int64)
        cells = builder.inttoptr(value, word.as_pointer())
        loaded = []
        for offset in (0, 1):
            cell = cgutils.gep(builder, cells, 2 * State._fields.index(name) + offset)
            load = builder.load(cell)
            load.set_metadata("invariant.load", builder.module.add_metadata([]))
            loaded.append(load)
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(loaded[0], context.get_data_type(kind.dtype).as_pointer())
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        populate_array(array, data=data, shape=[loaded[1]], strides=[size], itemsize=size, meminfo=None)
        return array._getvalue()  # noqa: SLF001 - numba's own way to close a proxy

    @intrinsic  # type: ignore[misc]
    def _as_state(_typing: Any, address: Any) -> Any:
        """An address as a state."""

        def code(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
            return arguments[0]

        return _STATE(types.int64), code

    @kernel
    def unpack(address):
        """The tables behind an address list: (address, rows) pairs in the order of `State`."""
        return _as_state(address)

else:

    def unpack(address: int) -> State:
        """The tables behind an address list, as numpy records over the same memory."""
        t = (ctypes.c_int64 * (2 * len(TYPES))).from_address(address)
        return State(*(_table(t[2 * i], t[2 * i + 1], kind) for i, kind in enumerate(TYPES)))

    def _table(address: int, length: int, kind: np.dtype) -> Any:
        memory = (ctypes.c_char * (length * kind.itemsize)).from_address(address)
        table = np.frombuffer(memory, dtype=kind)
        return table.view(np.recarray) if kind.names else table


LINE = 64
"""Bytes of a cache line."""


def _aligned(table: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The table itself if it is contiguous and begins with a cache line, else a copy that does."""
    if table.dtype == kind and table.flags.c_contiguous and table.ctypes.data % LINE == 0:
        return table
    room = np.empty(len(table) * kind.itemsize + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    moved = room[start : start + len(table) * kind.itemsize].view(kind)
    moved[:] = table
    return moved


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
        table = _aligned(table if len(table) else np.zeros(1, TYPES[i]), TYPES[i])
        self.tables[name] = table
        self._addresses[2 * i] = table.ctypes.data
        self._addresses[2 * i + 1] = len(table)

    def grow(self, name: str, length: int) -> None:
        """Give a table more rows; the old ones keep their place."""
        old = self.tables[name]
        table = np.zeros(length, old.dtype)
        table[: len(old)] = old
        self.put(name, table)

    def snapshot(self) -> dict[str, np.ndarray]:
        """A copy of everything."""
        return {name: table.copy() for name, table in self.tables.items()}
