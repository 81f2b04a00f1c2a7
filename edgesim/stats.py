"""Statistics of simulation output: exact percentiles, moments, confidence intervals, initial transients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
"""Percentiles that every distribution is described by."""

_BLOCK: Final = 1 << 16
"""Values handled at a time where a second column of full length can be avoided."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and how far the true one may lie from it."""

    mean: float
    half_width: float
    """NaN where a single value tells nothing about the spread."""
    count: int

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half_width


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


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Answer the mean of independent values with its Student t confidence interval."""
    sample = np.asarray(values, float)
    count = len(sample)
    if not count:
        return Interval(math.nan, math.nan, 0)
    mean = float(sample.mean())
    if count == 1:
        return Interval(mean, math.nan, 1)
    from scipy.special import stdtrit  # noqa: PLC0415 - scipy takes longer to import than most runs to report

    error = float(sample.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, float(stdtrit(count - 1, (1 + confidence) / 2)) * error, count)


class Moments:
    """Running mean and variance of a stream of values (Welford, Technometrics 4(3), 1962)."""

    __slots__ = ("_squares", "count", "mean")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """Take one more value."""
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self._squares += distance * (value - self.mean)

    @property
    def variance(self) -> float:
        """Of the sample (n - 1); NaN below two values."""
        return self._squares / (self.count - 1) if self.count > 1 else math.nan


def batch_means(values: ArrayLike, batches: int = 20, confidence: float = 0.95) -> Interval:
    """Answer the mean of a correlated series, its interval from the means of long batches.

    Values that do not fill the last batch are left out.
    """
    series = np.asarray(values, float)
    size = len(series) // batches
    if size == 0:
        raise ValueError(f"{len(series)} values do not fill {batches} batches")
    return t_interval(series[: size * batches].reshape(batches, size).mean(axis=1), confidence)


def mser5(values: ArrayLike) -> int:
    """Answer how many values at the start of a series belong to its initial transient.

    MSER-5 (White, Cobb, Spratt: A comparison of five steady-state truncation heuristics, WSC 2000): over
    means of five values, cut where the standard error of the rest is smallest. Only cuts in the first half
    are considered; one at its very end says that the series is too short.
    """
    series = np.asarray(values, float)
    means = series[: len(series) // 5 * 5].reshape(-1, 5).mean(axis=1)
    if len(means) < 4:
        return 0
    rest = np.arange(len(means), 0, -1)
    centred = means - means.mean()
    total = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    error = (squares - total**2 / rest) / rest.astype(float) ** 2
    return 5 * int(np.argmin(error[: len(means) // 2 + 1]))
