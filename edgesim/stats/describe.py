"""Descriptions of sets of values: exact percentiles, means, deviations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
"""Percentiles that every distribution is described by."""

_BLOCK: Final = 1 << 16
"""Values handled at a time where a second column of full length can be avoided."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Description of a set of values; everything but the count is missing (None) for an empty one."""

    count: int
    mean: float | None = None
    std: float | None = None
    """Of the sample (n - 1); missing for a single value."""
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


_NAMES: Final = tuple(Distribution.__dataclass_fields__)


def numbers_of(found: Distribution) -> dict[str, float | None]:
    """A distribution as a dictionary."""
    return {name: getattr(found, name) for name in _NAMES}  # a summary has thousands: `asdict` is slow


def percentiles(values: NDArray[np.float64], percents: Sequence[float] = PERCENTILES) -> list[float]:
    """Answer exact percentiles, interpolated linearly between neighbours; reorders `values` in place.

    Args:
        values: At least one finite value; partitioned in place, which saves a copy of long columns.
        percents: Which ones, ascending, from 0 to 100.
    """
    last = len(values) - 1
    places = [last * percent / 100 for percent in percents]
    neighbours = sorted({n for place in places for n in (math.floor(place), math.ceil(place))})
    start = 0
    for neighbour in neighbours:  # one after the other: numpy's quick selection knows a single place
        values[start:].partition(neighbour - start)
        start = neighbour + 1
    found = []
    for place in places:
        low, high = float(values[math.floor(place)]), float(values[math.ceil(place)])
        found.append(low + (high - low) * (place - math.floor(place)))
    return found


def describe(values: NDArray[np.float64]) -> Distribution:
    """Describe a set of values; NaN stands for a missing one. Reorders `values` in place."""
    smallest, largest = (float(values.min()), float(values.max())) if len(values) else (math.nan, math.nan)
    if math.isnan(smallest):
        known = _known(values)
        return describe(known) if len(known) else Distribution(0)
    count = len(values)
    if smallest == largest:
        v = smallest
        return Distribution(count, v, 0.0 if count > 1 else None, v, v, v, v, v, v)
    mean = float(values.mean())
    std = math.sqrt(_squares(values, mean) / (count - 1))
    p50, p90, p95, p99 = percentiles(values)
    return Distribution(count, mean, std, smallest, p50, p90, p95, p99, largest)


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move missing values to the end, in place, and answer the others."""
    end = 0
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        block = block[~np.isnan(block)]
        values[end : end + len(block)] = block
        end += len(block)
    values[end:] = np.nan
    return values[:end]


def _squares(values: NDArray[np.float64], mean: float) -> float:
    """Sum the squared distances from the mean, without a second column of that length."""
    total = 0.0
    for start in range(0, len(values), _BLOCK):
        distances = values[start : start + _BLOCK] - mean
        total += float(np.square(distances, out=distances).sum())  # a dot product would wake BLAS threads
    return total
