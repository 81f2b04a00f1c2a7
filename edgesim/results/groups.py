"""Metrics of requests, overall and by group: one pass over the columns of a metric, one metric in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgesim.stats import Distribution, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edgesim.metrics import Metric
    from edgesim.results.source import Source


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
    """An order of the selected rows in which groups lie together.

    Args:
        codes: Group of each selected row; -1 for none. Groups lie in the order of their codes.
        groups: Number of groups.
    """

    def __init__(self, codes: NDArray[np.int32], groups: int) -> None:
        counts = np.bincount(codes + 1, minlength=groups + 1)
        self.rows = len(codes)
        self.ends = np.cumsum([0, *counts[1:]])
        self.groups: list[Group] = []
        self._places: NDArray[np.int32] | None = None
        if self.rows and counts.max() < self.rows:
            keys = np.where(codes < 0, groups, codes).astype(np.int16 if groups < 1 << 15 else np.int32)
            self._places = np.empty(self.rows, np.int32)
            self._places[np.argsort(keys, kind="stable")] = np.arange(self.rows, dtype=np.int32)

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
    source: Source, metric: Metric, selected: NDArray[np.bool_], layouts: Sequence[Layout]
) -> dict[tuple[str, str], Distribution]:
    """Describe a metric of the selected rows for all groups of all layouts."""
    columns = [np.empty(layout.rows) for layout in layouts]
    start = 0
    for values in _selected_values(source, metric, selected):
        for layout, column in zip(layouts, columns, strict=True):
            layout.put(values, start, column)
        start += len(values)
    found: dict[tuple[str, str], Distribution] = {}
    for layout, column in zip(layouts, columns, strict=True):
        found |= layout.describe(column)
    return found


def _selected_values(
    source: Source, metric: Metric, selected: NDArray[np.bool_]
) -> Iterator[NDArray[np.float64]]:
    """Compute a metric block by block, for the selected rows."""
    row = 0
    for columns in source.numbers(metric.columns):
        values = metric.formula(columns)
        yield values[selected[row : row + len(values)]]
        row += len(values)
