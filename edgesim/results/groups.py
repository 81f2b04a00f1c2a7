"""Metrics of requests, overall and by group: few passes over the columns, few metrics in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgesim.results.columns import ROW_GROUP
from edgesim.stats import Distribution, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edgesim.metrics import Metric
    from edgesim.results.certainty import Series
    from edgesim.results.source import Source

    Codes = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]

AT_ONCE = 8_000_000
"""Values that may lie in memory at the same time while metrics are described."""


def stretches(rows: int) -> Iterator[slice]:
    """Cut so many rows into blocks, so that whatever is computed of a block stays small."""
    for start in range(0, rows, ROW_GROUP):
        yield slice(start, min(start + ROW_GROUP, rows))


@dataclass(frozen=True)
class Grouping:
    """A way to group requests, without a column of its own where another one leads to the group.

    Attributes:
        names: Names of the groups.
        codes: Small numbers of all requests, -1 for none.
        table: Group of each of these numbers; the last entry, for -1, is -1.
    """

    names: list[str]
    codes: Codes
    table: NDArray[np.int32]

    def of(self, rows: slice) -> NDArray[np.int32]:
        """Groups of some requests, -1 for none."""
        return self.table[self.codes[rows]]

    def tally(self, kinds: Codes | NDArray[np.bool_], number: int) -> NDArray[np.int64]:
        """Count the requests of each group by a kind from 0 to `number` - 1: a row per group."""
        found = np.zeros(len(self.names) * number, np.int64)
        for rows in stretches(len(self.codes)):
            groups = self.of(rows)
            keys = groups.astype(np.int64) * number + kinds[rows]
            found += np.bincount(keys[groups >= 0], minlength=len(found))
        return found.reshape(-1, number)


@dataclass(frozen=True)
class Group:
    """Neighbouring rows of a layout.

    Attributes:
        by: What it groups by: "tier", "workload", "replica", or "" for all rows.
        name: Its name.
        rows: Where it lies.
    """

    by: str
    name: str
    rows: slice


class Layout:
    """An order of the selected requests in which groups lie together, one after the other.

    Args:
        grouping: The groups; requests of none lie behind them all.
        selected: Requests that count.
    """

    def __init__(self, grouping: Grouping, selected: NDArray[np.bool_]) -> None:
        last = len(grouping.names)
        counts = np.zeros(last + 1, np.int64)
        for rows in stretches(len(selected)):
            counts += np.bincount(self._keys(grouping, selected, rows), minlength=last + 1)
        self.rows = int(counts.sum())
        self.ends = np.cumsum([0, *counts])
        self.groups: list[Group] = []
        self._places: NDArray[np.int32] | None = None
        if self.rows and counts.max() < self.rows:
            self._places = np.concatenate(list(self._placed(grouping, selected)))

    @staticmethod
    def _keys(grouping: Grouping, selected: NDArray[np.bool_], rows: slice) -> NDArray[np.int32]:
        """Groups of the selected requests of a block; "none" is the last."""
        groups = grouping.of(rows)[selected[rows]]
        return np.where(groups < 0, len(grouping.names), groups).astype(np.int32)

    def _placed(self, grouping: Grouping, selected: NDArray[np.bool_]) -> Iterator[NDArray[np.int32]]:
        """Place of each selected request: a counting sort, block by block."""
        free = self.ends[:-1].copy()
        for rows in stretches(len(selected)):
            keys = self._keys(grouping, selected, rows)
            order = np.argsort(keys.astype(np.int16) if len(free) < 1 << 15 else keys, kind="stable")
            counts = np.bincount(keys, minlength=len(free))
            first = np.cumsum(counts) - counts
            grouped = keys[order]
            places = np.empty(len(keys), np.int32)
            places[order] = free[grouped] + np.arange(len(keys)) - first[grouped]
            free += counts
            yield places

    def add(self, by: str, name: str, first: int, last: int) -> None:
        """Name the rows of the groups from `first` up to, without, `last`; inner groups before outer ones."""
        self.groups.append(Group(by, name, slice(int(self.ends[first]), int(self.ends[last]))))

    def add_all(self, by: str, name: str) -> None:
        """Name all rows."""
        self.groups.append(Group(by, name, slice(0, self.rows)))

    def put(self, values: NDArray[np.float64], start: int, out: NDArray[np.float64]) -> None:
        """Store the values of the selected rows from number `start` on where they belong."""
        end = start + len(values)
        if self._places is None:
            out[start:end] = values
        else:
            out[self._places[start:end]] = values

    def describe(self, column: NDArray[np.float64]) -> dict[tuple[str, str], Distribution]:
        """Describe each group of a column in this layout; inner groups first, since describing reorders."""
        known: dict[tuple[int, int], Distribution] = {}
        found = {}
        for group in self.groups:
            key = group.rows.start, group.rows.stop
            if key not in known:
                known[key] = describe(column[group.rows])
            found[group.by, group.name] = known[key]
        return found


def describe_groups(
    source: Source,
    metrics: Mapping[str, Metric],
    selected: NDArray[np.bool_],
    layouts: Sequence[Layout],
    series: Series | None = None,
) -> dict[str, dict[tuple[str, str], Distribution]]:
    """Describe metrics of the selected rows for all groups of all layouts: as many in a pass as fit in memory.

    Args:
        source: All requests.
        metrics: What to describe.
        selected: Rows that count.
        layouts: Groups.
        series: Takes the same values by the numbers of their requests.
    """
    together = max(1, AT_ONCE // max(1, sum(layout.rows for layout in layouts)))
    found: dict[str, dict[tuple[str, str], Distribution]] = {}
    names = list(metrics)
    for first in range(0, len(names), together):
        part = {name: metrics[name] for name in names[first : first + together]}
        columns = {name: [np.empty(layout.rows) for layout in layouts] for name in part}
        row = start = 0
        for block in source.numbers(
            sorted({"request", *(column for metric in part.values() for column in metric.columns)})
        ):
            chosen = selected[row : row + len(block["request"])]
            if series is not None:
                series.begin(block["request"][chosen])
            for name, metric in part.items():
                values = metric.formula(block)[chosen]
                if series is not None:
                    series.add(name, values)
                for layout, column in zip(layouts, columns[name], strict=True):
                    layout.put(values, start, column)
            row += len(chosen)
            start += int(chosen.sum())
        for name in part:
            found[name] = {}
            for layout in layouts:
                found[name] |= layout.describe(columns[name].pop(0))
    return found
