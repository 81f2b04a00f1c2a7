"""Sinks for records: Parquet files that grow while the run goes on, or arrays in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edgesim.results.columns import BLOCK, RECORDS, ROW_GROUP, Column, ColumnBlock, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from edgesim.outcome import RunInfo

_OPTIONAL: Final = ("optional seconds", "optional float", "answered")
"""Kinds of columns whose missing values are NaN in memory and null in files."""

_TYPES: Final = {"int": pa.int64(), "name": pa.dictionary(pa.int32(), pa.string())}


class ParquetTable:
    """One Parquet file, written in row groups of fixed size, so that equal records give equal bytes.

    Args:
        path: File to write.
        columns: Its columns.
        info: Names of the run.
    """

    def __init__(self, path: Path, columns: Sequence[Column], info: RunInfo) -> None:
        self.rows = 0
        self._columns = columns
        self._block = ColumnBlock(columns, info, ROW_GROUP)
        self._schema = pa.schema(
            pa.field(
                c.name, _TYPES.get(c.kind, pa.float64()), metadata={"unit": c.unit, "description": c.text}
            )
            for c in columns
        )
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            version="2.6",
            use_dictionary=[c.name for c in columns if c.kind == "name"],
            compression={c.name: _compression(c) for c in columns},
            column_encoding={c.name: "DELTA_BINARY_PACKED" for c in columns if c.kind == "int"},
            write_statistics=False,
        )

    def write(self, records: NDArray[np.void]) -> None:
        """Append records."""
        for block in blocks(records, self._block):
            self._write(block)

    def close(self) -> None:
        """Write what is left and finish the file."""
        if self._block.rows or not self.rows:
            self._write(self._block)
            self._block.clear()
        self._writer.close()

    def _write(self, block: ColumnBlock) -> None:
        arrays = [_array(block, column) for column in self._columns]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP)
        self.rows += block.rows


def _compression(column: Column) -> str:
    """Choose what pays: times and energies are as good as random, the rest is mostly constant or packed."""
    return "NONE" if column.kind == "optional seconds" or column.name == "arrived_at" else "LZ4"


def _array(block: ColumnBlock, column: Column) -> Any:
    """View one column as Arrow data, without a copy and (unlike `pa.array`) without importing pandas."""
    if column.kind == "name":
        codes, names = block.names(column)
        return pa.DictionaryArray.from_arrays(_plain(codes, codes < 0), strings(names))
    values = block[column.name]
    return _plain(values, np.isnan(values) if column.kind in _OPTIONAL else None)


def _plain(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> Any:
    """View a numpy array as an Arrow array; missing places become nulls."""
    validity = None
    if missing is not None and missing.any():
        validity = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    kind = {"i4": pa.int32(), "i8": pa.int64(), "f8": pa.float64()}[values.dtype.str[1:]]
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def strings(names: Sequence[str]) -> Any:
    """Make an Arrow array of strings."""
    texts = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    )


class Chunks:
    """Collects records that come one by one into chunks worth handling.

    Args:
        dtype: Type of the records.
        take: Called with each chunk; small ones are reused afterwards.
    """

    def __init__(self, dtype: np.dtype[np.void], take: Callable[[NDArray[np.void]], None]) -> None:
        self._take = take
        self._held = np.empty(BLOCK, dtype)
        self._rows = 0

    def add(self, records: NDArray[np.void]) -> None:
        """Take records in, and hand them on if they are many."""
        end = self._rows + len(records)
        if end > BLOCK:
            self.flush()
            end = len(records)
        if end > BLOCK // 2 and not self._rows:
            self._take(records)
        else:
            self._held[self._rows : end] = records
            self._rows = end

    def flush(self) -> None:
        """Hand on what is held."""
        if self._rows:
            self._take(self._held[: self._rows])
            self._rows = 0


class _Collector:
    """What takes rows of all tables: those that are wanted go into chunks."""

    network_nj: int
    _chunks: dict[str, Chunks]

    def take(self, table: str, chunk: NDArray[np.void]) -> None:
        """Take rows of a table."""
        if table == "requests":
            self.network_nj += int(chunk["network_nj"].sum())
        if chunks := self._chunks.get(table):
            chunks.add(chunk)


class RecordWriter(_Collector):
    """Writes the Parquet tables of a replication while it runs.

    Args:
        folder: Existing folder that takes the files.
        info: Names of the run; its lists may grow while the run goes on.
        tables: Tables that are wanted.

    Attributes:
        network_nj: Energy of the network over all requests so far [nJ].
    """

    def __init__(self, folder: Path, info: RunInfo, tables: Sequence[str] = ("requests", "legs")) -> None:
        self.network_nj = 0
        self._tables: dict[str, ParquetTable] = {}
        self._chunks: dict[str, Chunks] = {}
        for name, (columns, dtype) in RECORDS.items():
            if name in tables:
                table = self._tables[name] = ParquetTable(folder / f"{name}.parquet", columns, info)
                self._chunks[name] = Chunks(dtype, table.write)

    def close(self) -> None:
        """Finish the files."""
        for name, table in self._tables.items():
            self._chunks[name].flush()
            table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemorySink(_Collector):
    """Keeps the records of a replication in memory, as the engine wrote them.

    Args:
        keep: False to drop them, for timing the engine alone.
        tables: Tables that are wanted.

    Attributes:
        network_nj: Energy of the network over all requests so far [nJ].
    """

    def __init__(self, *, keep: bool = True, tables: Sequence[str] = ("requests", "legs")) -> None:
        self.network_nj = 0
        self._kept: dict[str, list[NDArray[np.void]]] = {name: [] for name in RECORDS}
        self._chunks = {
            name: Chunks(dtype, lambda chunk, kept=self._kept[name]: kept.append(chunk.copy()))  # type: ignore[misc]
            for name, (_, dtype) in RECORDS.items()
            if keep and name in tables
        }

    def close(self) -> None:
        """Keep what was held back."""
        for chunks in self._chunks.values():
            chunks.flush()

    def chunks(self, table: str) -> list[NDArray[np.void]]:
        """Chunks of a table, in the order in which they came."""
        self.close()
        return self._kept[table]

    def records(self, table: str) -> NDArray[np.void]:
        """All rows of a table."""
        chunks = self.chunks(table)
        return np.concatenate(chunks) if chunks else np.zeros(0, RECORDS[table][1])
