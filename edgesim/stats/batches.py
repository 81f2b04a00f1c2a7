"""Intervals from the correlated series of one run: means of batches long enough to be almost independent."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.stats.intervals import Interval, quantile_of_t, t_interval
from edgesim.stats.relaxation import independent
from edgesim.stats.transients import FIVE, Transient, cut_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

COARSE: Final = (20, 10)
"""Numbers of batches, the larger where each then spans 20 relaxation times. Ten to thirty are enough (Schmeiser:
Batch size effects in the analysis of simulation output, Operations Research 30(3), 1982)."""
FEWEST: Final = 100
"""Values that a series must have for an interval."""
MOST: Final = 1000
"""Short batches, out of which the long ones are made, that are kept of a series of any length."""
LEAST: Final = 150
"""Relaxation times that a series must span for an interval. Shorter ones hide how much they vary: of M/M/1 at loads of
0.8 and 0.9, intervals from 15 to 60 times hold the mean in 60 to 85 of 100 runs."""
AMPLE: Final = 20 * COARSE[0]
"""Relaxation times from which the larger number of batches is taken."""
WIDER: Final = 140.0
"""The half-width grows by (this / relaxation times)^2: among runs hardly long enough, those that look so are the calm
ones. Found by trial on M/M/1 at loads of 0.5 to 0.9, so that 90 of 100 given intervals hold the mean there."""
WIDER_SECTIONS: Final = 180.0
"""The same for estimates over sections, found on the 95th percentile."""


def batch_means(values: ArrayLike, batches: int = 20, confidence: float = 0.95) -> Interval:
    """Answer the mean of a correlated series, its interval from the means of so many batches.

    Values that do not fill the last batch are left out.
    """
    series = np.asarray(values, float)
    size = len(series) // batches
    if size == 0:
        raise ValueError(f"{len(series)} values do not fill {batches} batches")
    found = t_interval(series[: size * batches].reshape(batches, size).mean(axis=1), confidence)
    return Interval(found.mean, found.half_width, found.count, f"{batches} batch means")


class Batches:
    """Short batches of a series that comes in blocks: sums and counts, never the series itself.

    Args:
        rows: How many places the series has. A place may be empty: its value is NaN.
    """

    def __init__(self, rows: int) -> None:
        self.size = max(1, -(-rows // MOST))
        self.rows = rows
        length = -(-rows // self.size)
        self.sums = np.zeros(length)
        self.counts = np.zeros(length)

    def add(self, values: NDArray[np.float64], start: int) -> None:
        """Take values that follow each other, the first one at place `start`."""
        if not len(values):
            return
        first, last = start // self.size, (start + len(values) - 1) // self.size
        edges = np.maximum(np.arange(first, last + 1) * self.size - start, 0)
        sums = np.add.reduceat(values, edges)
        counts = np.diff(edges, append=len(values)).astype(float)
        if np.isnan(sums).any():
            known = ~np.isnan(values)
            sums = np.add.reduceat(np.where(known, values, 0.0), edges)
            counts = np.add.reduceat(known.astype(float), edges)
        self.sums[first : last + 1] += sums
        self.counts[first : last + 1] += counts

    def put(self, values: NDArray[np.float64], batches: NDArray[np.intp], counts: NDArray[np.intp]) -> None:
        """Take values in any order.

        Args:
            values: The values; NaN where one is missing.
            batches: The batch of each: its place // `size`.
            counts: How many of these fall into each batch.
        """
        sums = np.bincount(batches, values, len(self.sums))
        if np.isnan(sums).any():
            known = ~np.isnan(values)
            sums = np.bincount(batches[known], values[known], len(self.sums))
            counts = np.bincount(batches[known], minlength=len(self.sums))
        self.sums += sums
        self.counts += counts

    def transient(self) -> Transient:
        """Find the initial transient, in short batches (MSER-5, with longer batches where the series is long)."""
        group = -(-FIVE // self.size)
        length = self.rows // self.size // group * group
        sums, counts = (each[:length].reshape(-1, group).sum(axis=1) for each in (self.sums, self.counts))
        known = np.flatnonzero(counts)
        found = cut_of(sums[known] / counts[known])
        return Transient(int(known[found.cut]) * group if found.cut else 0, found.settled)

    def interval(self, confidence: float = 0.95, cut: int = 0) -> Interval:
        """Answer the mean of the series with its interval, NaN wide where the series is too short to tell.

        Args:
            confidence: Of the interval.
            cut: How many short batches at the start are left out; empty ones at the ends are anyway.
        """
        sums, counts = self.sums[cut:], self.counts[cut:]
        total = float(counts.sum())
        filled = np.flatnonzero(counts)
        if len(filled):
            sums, counts = (each[filled[0] : filled[-1] + 1] for each in (sums, counts))
        mean = float(sums.sum()) / total if total else math.nan
        if total < FEWEST:
            return Interval(mean, math.nan, int(total), f"none: fewer than {FEWEST} values")
        known = counts > 0
        times = independent(sums[known] / counts[known])
        if times < LEAST:
            return Interval(mean, math.nan, int(total), _too_short(times))
        number = _number(times)
        edges = np.arange(number) * len(sums) // number
        sizes = np.add.reduceat(counts, edges)
        if not sizes.all():
            return Interval(mean, math.nan, 0, "none: values are missing for long stretches")
        means = np.add.reduceat(sums, edges) / sizes
        error = float(means.std(ddof=1)) / math.sqrt(number)
        half = _half_width(error, number, times, WIDER, confidence)
        return Interval(mean, half, number, f"{number} batch means")


def _number(times: float) -> int:
    """How many batches a series of so many relaxation times is cut into."""
    return COARSE[0] if times >= AMPLE else COARSE[1]


def _half_width(error: float, number: int, times: float, wider: float, confidence: float) -> float:
    """Half-width from the standard error over so many batches, wider where the series is hardly long enough."""
    return quantile_of_t(confidence, number - 1) * error * (1 + (wider / times) ** 2)


def _too_short(times: float) -> str:
    """Say why there is no interval."""
    return f"none: too short, {times:.0f} relaxation times of the {LEAST} that an interval takes"


def run_interval(series: ArrayLike, confidence: float = 0.95, *, delete: bool = True) -> Interval:
    """Answer the steady-state mean of the series of one run with its interval; NaN wide if that cannot be told.

    Args:
        series: Values in their order, NaN where one is missing.
        confidence: Of the interval.
        delete: Leave the initial transient out, as MSER-5 finds it.
    """
    values = np.asarray(series, float)
    found = Batches(len(values))
    found.add(values, 0)
    if not delete:
        return found.interval(confidence)
    start = found.transient()
    answer = found.interval(confidence, start.cut)
    if not start.settled:
        return Interval(
            answer.mean, math.nan, answer.count, "none: not steady, the cut of MSER-5 lies beyond the middle"
        )
    cut = start.cut * found.size
    kind = f"{answer.kind}, the first {cut} values left out" if cut else answer.kind
    return Interval(answer.mean, answer.half_width, answer.count, kind)


def section_interval(
    series: NDArray[np.float64], estimate: Callable[[NDArray[np.float64]], float], confidence: float = 0.95
) -> Interval:
    """Answer any estimate over the series of one run, such as a quantile, with its interval by sectioning.

    The estimate is that of the whole series, the spread that of the sections around it, which hides the bias of
    short sections (Asmussen, Glynn: Stochastic Simulation, 2007, section III.5a). How long the series remembers is
    judged by its values. A row of a table with several columns counts as one value.
    """
    whole = estimate(series)
    if len(series) < FEWEST:
        return Interval(whole, math.nan, len(series), f"none: fewer than {FEWEST} values")
    times = min(_times(column) for column in np.atleast_2d(series.T))
    if times < LEAST:
        return Interval(whole, math.nan, len(series), _too_short(times))
    number = _number(times)
    found = np.array([estimate(part) for part in _sections(series, number)])
    if not np.isfinite(found).all():
        return Interval(whole, math.nan, 0, "none: values are missing for long stretches")
    error = math.sqrt(float(np.square(found - whole).sum()) / (number - 1) / number)
    return Interval(
        whole, _half_width(error, number, times, WIDER_SECTIONS, confidence), number, f"{number} sections"
    )


def _times(series: NDArray[np.float64]) -> float:
    """Relaxation times that a series spans; missing values are left out."""
    short = Batches(len(series))
    short.add(series, 0)
    known = short.counts > 0
    return independent(short.sums[known] / short.counts[known])


def _sections(series: NDArray[np.float64], number: int) -> Iterator[NDArray[np.float64]]:
    edges = np.arange(number + 1) * len(series) // number
    for first, last in pairwise(edges.tolist()):
        yield series[first:last]
