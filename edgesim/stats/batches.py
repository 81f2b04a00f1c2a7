"""Intervals from the correlated series of one run: means of batches long enough to be almost independent."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.stats.intervals import Interval, quantile_of_t, t_interval
from edgesim.stats.transients import FIVE, Transient, cut_of, lag_1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

COARSE: Final = (40, 20, 10)
"""Numbers of batches that are tried. Ten to thirty are enough (Schmeiser: Batch size effects in the analysis of
simulation output, Operations Research 30(3), 1982); more are taken if even they do not resemble their neighbours."""
FEWEST: Final = 100
"""Values that a series must have for an interval."""
MOST: Final = 1000
"""Short batches, out of which the long ones are made, that are kept of a series of any length."""

_ALIKE: Final = 0.84
"""Neighbours count as correlated above so many standard errors (1 / sqrt(batches)) of an uncorrelated series:
its 80th percentile. What stays hidden below widens the interval instead."""


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
        self.size = max(FIVE, -(-rows // MOST))
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
        full = slice(0, self.rows // self.size)
        known = self.counts[full] > 0
        return cut_of(self.sums[full][known] / self.counts[full][known])

    def interval(self, confidence: float = 0.95, cut: int = 0) -> Interval:
        """Answer the mean of the series with its interval.

        Batches are made longer until neighbours do not resemble each other. What correlation is left widens
        the interval like that of a first-order autoregression, by sqrt((1 + r) / (1 - r)) (Steiger et al.:
        ASAP3, a batch means procedure for steady-state simulation analysis, ACM TOMACS 15(1), 2005).

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
        means: NDArray[np.float64] = np.zeros(0)
        for number in COARSE:
            if len(sums) < number:
                continue
            edges = np.arange(number) * len(sums) // number
            known = np.add.reduceat(counts, edges)
            if not known.all():
                continue
            means = np.add.reduceat(sums, edges) / known
            alike = lag_1(means)
            if alike * math.sqrt(number) < _ALIKE:
                half = _half_width(means, alike, confidence)
                return Interval(mean, half, number, f"{number} batch means")
        if not len(means):
            return Interval(mean, math.nan, 0, "none: values are missing for long stretches")
        return Interval(
            mean, math.nan, len(means), f"none: {len(means)} batches still resemble their neighbours"
        )


def _half_width(means: NDArray[np.float64], alike: float, confidence: float) -> float:
    """Half-width from the means of batches with that correlation of neighbours."""
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    kept = max(alike, 0.0)
    return quantile_of_t(confidence, len(means) - 1) * error * math.sqrt((1 + kept) / (1 - kept))


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
    short sections (Asmussen, Glynn: Stochastic Simulation, 2007, section III.5a). Sections are made longer like
    batches. A row of a table with several columns counts as one value.
    """
    whole = estimate(series)
    found: NDArray[np.float64] = np.zeros(0)
    if len(series) < FEWEST:
        return Interval(whole, math.nan, len(series), f"none: fewer than {FEWEST} values")
    for number in COARSE:
        if len(series) < FIVE * number:
            continue
        found = np.array([estimate(part) for part in _sections(series, number)])
        alike = lag_1(found)
        if np.isfinite(found).all() and alike * math.sqrt(number) < _ALIKE:
            error = math.sqrt(float(np.square(found - whole).sum()) / (number - 1) / number)
            kept = max(alike, 0.0)
            half = quantile_of_t(confidence, number - 1) * error * math.sqrt((1 + kept) / (1 - kept))
            return Interval(whole, half, number, f"{number} sections")
    return Interval(
        whole, math.nan, len(found), f"none: {len(found)} sections still resemble their neighbours"
    )


def _sections(series: NDArray[np.float64], number: int) -> Iterator[NDArray[np.float64]]:
    edges = np.arange(number + 1) * len(series) // number
    for first, last in pairwise(edges.tolist()):
        yield series[first:last]
