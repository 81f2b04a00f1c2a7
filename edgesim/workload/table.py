"""Requests as a plain integer table, a row each, a column for each field of ARRIVAL.

Joining and reordering rows of a structured array goes field by field in numpy, some twenty times slower than
the same on a plain table. So requests are assembled here, and shown as ARRIVAL at the end, without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.arena.rows import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COLUMN: Final = {name: place for place, name in enumerate(ARRIVAL.names or ())}
"""Which column holds a field."""

AT: Final = COLUMN["at"]
"""The column of the arrival time [ps]."""

EMPTY: Final = np.empty((0, len(COLUMN)), np.int64)
"""No request at all."""


def arrivals_of(table: NDArray[np.int64]) -> NDArray[np.void]:
    """Show a table of requests as an ARRIVAL array over the same memory."""
    rows: NDArray[np.void] = table.view(ARRIVAL)[:, 0]
    return rows


def table_of(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Join rows into a table."""
    return np.array(rows, np.int64) if rows else EMPTY


def arrival_of(row: Sequence[int]) -> np.void:
    """Show a single row as an ARRIVAL."""
    shown: np.void = np.array(row, np.int64).view(ARRIVAL)[0]
    return shown
