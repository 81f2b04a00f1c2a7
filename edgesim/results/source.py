"""Where a summary reads requests from: a few columns at a time, a block of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import ResultsError
from edgesim.results.columns import REQUEST_COLUMNS, ROW_GROUP, ColumnBlock, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgesim.outcome import RunInfo

FloatColumns = dict[str, NDArray[np.float64]]


class Source(Protocol):
    """Requests of a replication, to be passed over any number of times."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def numbers(self, names: Sequence[str]) -> Iterator[FloatColumns]:
        """Numeric columns as floats, NaN where a value is missing; block after block."""

    def codes(self, name: str) -> tuple[NDArray[np.int16] | NDArray[np.int32], list[str]]:
        """A column of names as codes (-1: none) and the names that they stand for."""


class MemorySource:
    """Requests kept in memory as records."""

    def __init__(self, chunks: Sequence[NDArray[np.void]], info: RunInfo) -> None:
        self._chunks = chunks
        self._info = info
        self.rows = sum(map(len, chunks))

    def numbers(self, names: Sequence[str]) -> Iterator[FloatColumns]:
        """Convert the columns, in blocks like those of a file, so that sums agree to the last bit."""
        for block in self._blocks(names):
            yield {name: block[name].astype(np.float64, copy=False) for name in names}

    def codes(self, name: str) -> tuple[NDArray[np.int16] | NDArray[np.int32], list[str]]:
        """Convert one column of names."""
        column = next(c for c in REQUEST_COLUMNS if c.name == name)
        merged = Merged(self.rows)
        for block in self._blocks([name]):
            merged.add(*block.names(column))
        return merged.codes, merged.names

    def _blocks(self, names: Sequence[str]) -> Iterator[ColumnBlock]:
        columns = [c for c in REQUEST_COLUMNS if c.name in names]
        block = ColumnBlock(columns, self._info, min(ROW_GROUP, self.rows))
        for chunk in self._chunks:
            yield from blocks(chunk, block)
        if block.rows:
            yield block


class FileSource:
    """Requests in a Parquet file, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # noqa: PLC0415 - in-memory runs do without
        import pyarrow.parquet as pq  # noqa: PLC0415

        names = [c.name for c in REQUEST_COLUMNS if c.kind == "name"]
        try:
            self._file = pq.ParquetFile(path, read_dictionary=names)
        except (OSError, pa.ArrowException) as error:
            raise ResultsError(f"cannot read '{path}': {error}; run it again") from error
        self.rows: int = self._file.metadata.num_rows

    def numbers(self, names: Sequence[str]) -> Iterator[FloatColumns]:
        """Read the columns row group by row group."""
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, columns=list(names), use_threads=False)
            yield {
                name: np.concatenate([_floats(part) for part in table.column(name).chunks]) for name in names
            }

    def codes(self, name: str) -> tuple[NDArray[np.int16] | NDArray[np.int32], list[str]]:
        """Read one column of names."""
        merged = Merged(self.rows)
        for group in range(self._file.num_row_groups):
            for part in self._file.read_row_group(group, columns=[name], use_threads=False).column(0).chunks:
                merged.add(_values(part.indices, np.dtype(np.int32), -1), part.dictionary.to_pylist())
        return merged.codes, merged.names


class Merged:
    """Codes of names that come block by block, each block with a list of names of its own."""

    def __init__(self, rows: int) -> None:
        self.codes: NDArray[np.int16] | NDArray[np.int32] = np.full(rows, -1, np.int16)
        self._places: dict[str, int] = {}
        self._rows = 0

    def add(self, codes: NDArray[np.int32], names: Sequence[str]) -> None:
        """Append a block."""
        places = [self._places.setdefault(name, len(self._places)) for name in names]
        if len(self._places) > np.iinfo(self.codes.dtype).max:
            self.codes = self.codes.astype(np.int32)
        table = np.array([*places, -1], np.int32)
        self.codes[self._rows : self._rows + len(codes)] = table[codes]
        self._rows += len(codes)

    @property
    def names(self) -> list[str]:
        """All names, in the order of the codes."""
        return list(self._places)


def _floats(part: Any) -> NDArray[np.float64]:
    """Arrow numbers as floats."""
    import pyarrow as pa  # noqa: PLC0415 - in-memory runs do without

    if part.type == pa.int64():
        return _values(part, np.dtype(np.int64), 0).astype(np.float64)
    return _values(part, np.dtype(np.float64), np.nan)


def _values(part: Any, dtype: np.dtype[Any], missing: float) -> NDArray[Any]:
    """Arrow numbers as a numpy array; read from the buffers, since `to_numpy` would import pandas."""
    validity, data = part.buffers()
    values = np.frombuffer(data, dtype, len(part), part.offset * dtype.itemsize)
    if not part.null_count:
        return values
    known = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[part.offset :][: len(part)]
    return np.where(known, values, np.array(missing, dtype))
