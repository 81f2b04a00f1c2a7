"""How compiled code reads the tables of a state: an address is all that is handed on.

numba would pass two dozen arrays by value into every function that is not inlined, count references on them and
check every index for being negative. A state is one word instead: the address of a list of (address, rows) pairs;
its attributes are tables, their items rows. With compilation off the same memory is read through numpy records.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edgesim.arena.compile import JIT, kernel
from edgesim.arena.state import LINE, TYPES, State

if JIT:
    import operator

    from llvmlite import ir
    from numba import from_dtype, types
    from numba.core import cgutils, config
    from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
    from numba.extending import (
        infer_getattr,
        intrinsic,
        lower_builtin,
        lower_getattr_generic,
        models,
        register_model,
    )
    from numba.np.arrayobj import populate_array

    WORD = ir.IntType(64)

    class _StateType(types.Type):  # type: ignore[misc]
        """An address list, whose attributes are the tables behind it."""

        def __init__(self) -> None:
            super().__init__(name="edgesim.State")

    class _TableType(types.Type):  # type: ignore[misc]
        """One table of a state: rows by number, without numpy's negative indices."""

        def __init__(self, name: str, kind: np.dtype) -> None:
            self.place, self.row = State._fields.index(name), from_dtype(kind)
            self.size = kind.itemsize
            super().__init__(name=f"edgesim.Table({name})")

    _STATE = _StateType()
    _TABLES = {name: _TableType(name, kind) for name, kind in zip(State._fields, TYPES, strict=True)}

    @register_model(_StateType)
    @register_model(_TableType)
    class _AddressModel(models.PrimitiveModel):  # type: ignore[misc]
        """One word, the list's address: handing it on costs nothing, at compile time as at run time."""

        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, WORD)

    @infer_getattr
    class _StateAttributes(AttributeTemplate):  # type: ignore[misc]
        key = _StateType

        def generic_resolve(self, _state: Any, name: str) -> Any:
            return _TABLES.get(name)

    @lower_getattr_generic(_StateType)  # type: ignore[misc]
    def _table_of(_context: Any, _builder: Any, _state: Any, value: Any, _name: str) -> Any:
        return value

    def _cell(builder: Any, state: Any, offset: int) -> Any:
        """Load a word of the address list, which stays as it is while the kernel runs."""
        cell = cgutils.gep(builder, builder.inttoptr(state, WORD.as_pointer()), offset)
        load = builder.load(cell)
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        return load

    def _address(context: Any, builder: Any, table: Any, state: Any, index: Any) -> Any:
        """Address of a row; checked only where NUMBA_BOUNDSCHECK asks for it."""
        if config.BOUNDSCHECK:
            cgutils.do_boundscheck(context, builder, index, _cell(builder, state, 2 * table.place + 1))
        start = _cell(builder, state, 2 * table.place)
        return builder.add(start, builder.mul(index, ir.Constant(WORD, table.size)))

    @infer_global(operator.getitem)
    class _GetRow(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, _keywords: Any) -> Any:
            table, index = arguments
            if not isinstance(table, _TableType):
                return None
            if isinstance(index, types.Integer):
                return signature(table.row, table, types.int64)
            if isinstance(index, types.SliceType):
                return signature(types.Array(table.row, 1, "C"), table, index)
            return None

    @infer_global(operator.setitem)
    class _SetCell(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, _keywords: Any) -> Any:
            table, index, _ = arguments
            if isinstance(table, _TableType) and isinstance(index, types.Integer):
                return signature(types.none, table, types.int64, table.row)
            return None

    @infer_global(len)
    class _Length(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, _keywords: Any) -> Any:
            (table,) = arguments
            return signature(types.int64, table) if isinstance(table, _TableType) else None

    @lower_builtin(operator.getitem, _TableType, types.Integer)  # type: ignore[misc]
    def _get_row(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        table = sig.args[0]
        address = _address(context, builder, table, *arguments)
        if isinstance(table.row, types.Record):
            return builder.inttoptr(address, context.get_value_type(table.row))
        return builder.load(builder.inttoptr(address, context.get_data_type(table.row).as_pointer()))

    @lower_builtin(operator.setitem, _TableType, types.Integer, types.Any)  # type: ignore[misc]
    def _set_cell(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        table = sig.args[0]
        address = _address(context, builder, table, *arguments[:2])
        builder.store(arguments[2], builder.inttoptr(address, context.get_data_type(table.row).as_pointer()))
        return context.get_dummy_value()

    @lower_builtin(len, _TableType)  # type: ignore[misc]
    def _length(_context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return _cell(builder, arguments[0], 2 * sig.args[0].place + 1)

    @lower_builtin(operator.getitem, _TableType, types.SliceType)  # type: ignore[misc]
    def _get_rows(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        """A slice as an ordinary array, for compiled policies; only start:stop within the table."""
        table, kind = sig.args[0], sig.return_type
        part = context.make_helper(builder, sig.args[1], arguments[1])
        address = _address(context, builder, table, arguments[0], part.start)
        array = context.make_array(kind)(context, builder)
        size = context.get_constant(types.intp, table.size)
        populate_array(
            array,
            data=builder.inttoptr(address, context.get_data_type(table.row).as_pointer()),
            shape=[builder.sub(part.stop, part.start)],
            strides=[size],
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    @intrinsic  # type: ignore[misc]
    def prefetch(_typing: Any, table: Any, _index: Any) -> Any:
        """Ask for a row's cache lines ahead of its use; nothing else happens."""

        def code(_context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            kind = sig.args[0]
            byte = ir.IntType(8).as_pointer()
            half = ir.IntType(32)
            hint = builder.module.declare_intrinsic(
                "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, half, half, half])
            )
            start = builder.add(
                _cell(builder, arguments[0], 2 * kind.place),
                builder.mul(arguments[1], ir.Constant(WORD, kind.size)),
            )
            for offset in range(0, kind.size, LINE):
                line = builder.inttoptr(builder.add(start, ir.Constant(WORD, offset)), byte)
                builder.call(hint, [line, half(1), half(3), half(1)])  # to write, keep, data
            return _context.get_dummy_value()

        return types.none(table, types.int64), code

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

    def prefetch(table: Any, index: int) -> None:
        """Plain Python has no use for cache lines."""

    def unpack(address: int) -> State:
        """The tables behind an address list, as numpy records over the same memory."""
        t = (ctypes.c_int64 * (2 * len(TYPES))).from_address(address)
        return State(*(_table(t[2 * i], t[2 * i + 1], kind) for i, kind in enumerate(TYPES)))

    def _table(address: int, length: int, kind: np.dtype) -> Any:
        memory = (ctypes.c_char * (length * kind.itemsize)).from_address(address)
        table = np.frombuffer(memory, dtype=kind)
        return table.view(np.recarray) if kind.names else table
