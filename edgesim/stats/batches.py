"""Intervals from the correlated series of one run: means of batches long enough to be almost independent."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edgesim.stats.intervals import Interval, quantile_of_t, t_interval
from edgesim.stats.rounds import MOST, coarser, rounds_of
from edgesim.stats.transients import FIVE, Transient, cut_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

NUMBERS: Final = (20, 10)
"""Numbers of batches, the larger from `AMPLE` rounds on. Ten to thirty are enough (Schmeiser: Batch size effects in
the analysis of simulation output, Operations Research 30(3), 1982)."""
AMPLE: Final = 60
FEWEST: Final = 100
"""Values that a series must have for an interval."""
LEAST: Final = 9
"""Rounds (see `edgesim.stats.rounds`) that a series must have made for an interval."""
VAGUE: Final = 3.0
"""Half-width, as a share of the estimate, from which on there is none: the truth may be 20 times as large."""
WIDER: Final = 23.0
"""The half-width of a mean grows by (this / rounds)^2: batches that still resemble each other seem to agree. Found by
trial on M/M/1, M/D/1, M/M/4 and M/G/1 at loads of 0.5 to 0.9; `docs/explanation/statistics.md` has the table."""
WIDER_SECTIONS: Final = 35.0
"""The same for estimates over sections, found on the 95th percentile."""

DRIFTS: Final = "none: not steady, it drifts"
"""Why a series has no interval that does not come to rest."""


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
        self.size = 1 if rows <= FIVE * MOST else -(-rows // MOST)
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
        times = _rounds(sums, counts, self.size)
        number = _number(times)
        edges = np.arange(number) * len(sums) // number
        sizes = np.add.reduceat(counts, edges)
        if not sizes.all():
            return Interval(mean, math.nan, 0, "none: values are missing for long stretches")
        means = np.add.reduceat(sums, edges) / sizes
        error = float(means.std(ddof=1)) / math.sqrt(number)
        return _interval(Section(mean, error, number, times, WIDER), f"{number} batch means", confidence)


class Section(NamedTuple):
    """An estimate over the series of a run, and how it varies between its stretches.

    Attributes:
        estimate: Of the whole series.
        error: Its standard error, NaN if it cannot be told, by the spread of the stretches alone.
        number: How many stretches.
        rounds: How often the series has gone round.
        wider: How much that widens the error, see `WIDER`.
        why: Why there is no error; "" if there is one.
    """

    estimate: float
    error: float
    number: int
    rounds: float
    wider: float
    why: str = ""

    @property
    def widened(self) -> float:
        """Standard error, wider where the series has gone round only a few times."""
        return self.error * (1 + (self.wider / self.rounds) ** 2) if self.rounds else math.nan


def _rounds(sums: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> float:
    """Count the rounds of a series in short batches of so many values."""
    group, places = -(-FIVE // size), len(sums)
    sums, counts = (each[: places // group * group].reshape(-1, group).sum(axis=1) for each in (sums, counts))
    known = counts > 0
    return rounds_of(sums[known] / counts[known], coarser(size * group, size * places))


def _number(rounds: float) -> int:
    """How many batches a series of so many rounds is cut into."""
    return NUMBERS[0] if rounds >= AMPLE else NUMBERS[1]


def _interval(found: Section, kind: str, confidence: float) -> Interval:
    """Make an interval: of factors where the estimate is positive, since a calm run seems both low and sure.

    The ends are those of Student's t for the logarithm of the estimate, whose error is the relative one.
    """
    half = quantile_of_t(confidence, found.number - 1) * found.widened
    share = half / abs(found.estimate) if found.estimate else 0.0
    if found.rounds < LEAST or share > VAGUE:
        return Interval(found.estimate, math.nan, found.number, too_short(found.rounds))
    if found.estimate <= 0:
        return Interval(found.estimate, half, found.number, kind)
    ends = found.estimate * math.exp(-share), found.estimate * math.exp(share)
    return Interval(found.estimate, (ends[1] - ends[0]) / 2, found.number, kind, ends)


def too_short(rounds: float) -> str:
    """Say why there is no interval."""
    if rounds < LEAST:
        return (
            f"none: too short, it went from calm to busy and back only {rounds:.0f} times, {LEAST} are needed"
        )
    return f"none: too short, the true value may be {math.exp(VAGUE):.0f} times as large"


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
        return Interval(answer.mean, math.nan, answer.count, DRIFTS)
    cut = start.cut * found.size
    kind = f"{answer.kind}, the first {cut} values left out" if cut else answer.kind
    return replace(answer, kind=kind)


def section_interval(
    series: NDArray[np.float64], estimate: Callable[[NDArray[np.float64]], float], confidence: float = 0.95
) -> Interval:
    """Answer any estimate over the series of one run, such as a quantile, with its interval by sectioning.

    See `section`.
    """
    found = section(series, estimate)
    if found.why:
        return Interval(found.estimate, math.nan, found.number, found.why)
    return _interval(found, f"{found.number} sections", confidence)


def section(
    series: NDArray[np.float64],
    estimate: Callable[[NDArray[np.float64]], float],
    wider: float = WIDER_SECTIONS,
) -> Section:
    """Answer any estimate over the series of one run with its error, by sectioning.

    The estimate is that of the whole series, the spread that of the sections around it, which hides the bias of
    short sections (Asmussen, Glynn: Stochastic Simulation, 2007, section III.5a).
    """
    return _sectioned([series], lambda parts: estimate(parts[0]), wider)


def paired_sections(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    estimate: Callable[[NDArray[np.float64]], float],
    wider: float = WIDER_SECTIONS,
) -> Section:
    """Answer how an estimate differs between two series that share their random numbers: second less first.

    What both have in common in a section drops out. They need not be equally long; missing values (NaN) keep their
    places, and the series that has gone round less often counts.
    """
    return _sectioned([first, second], lambda parts: estimate(parts[1]) - estimate(parts[0]), wider)


def _sectioned(
    series: Sequence[NDArray[np.float64]],
    estimate: Callable[[Sequence[NDArray[np.float64]]], float],
    wider: float,
) -> Section:
    """Answer an estimate over series that are cut at the same shares of their lengths."""
    whole = estimate(series)
    fewest = min(int(np.count_nonzero(~np.isnan(each))) for each in series)
    if fewest < FEWEST:
        return Section(whole, math.nan, fewest, 0.0, wider, f"none: fewer than {FEWEST} values")
    times = min(_rounds_of(each) for each in series)
    number = _number(times)
    cut = zip(*(_sections(each, number) for each in series), strict=True)
    found = np.array([estimate(parts) for parts in cut])
    if not np.isfinite(found).all():
        return Section(whole, math.nan, 0, times, wider, "none: values are missing for long stretches")
    error = math.sqrt(float(np.square(found - whole).sum()) / (number - 1) / number)
    return Section(whole, error, number, times, wider)


def _rounds_of(series: NDArray[np.float64]) -> float:
    """Rounds of a series; missing values are left out."""
    short = Batches(len(series))
    short.add(series, 0)
    return _rounds(short.sums, short.counts, short.size)


def _sections(series: NDArray[np.float64], number: int) -> Iterator[NDArray[np.float64]]:
    edges = np.arange(number + 1) * len(series) // number
    for first, last in pairwise(edges.tolist()):
        yield series[first:last]
