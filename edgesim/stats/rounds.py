"""How often a series has gone from calm to busy and back, and so how much of its variety it has seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.stats.transients import FIVE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST: Final = 1000
"""Longer series are averaged into so many means."""


def rounds(values: ArrayLike) -> float:
    """Answer how often a series has gone round: to its lowest quarter, to its highest, and back.

    Counted in means of at least five values, as MSER-5 has them: what only neighbours differ by is no round.
    A count of rounds varies far less from run to run than a sum of autocorrelations does, and hardly depends on
    how busy the run happened to be: of M/M/1 at a load of 0.9, 98 of 100 runs of 22,000 requests go round 24 to 55
    times, while the relaxation times that they seem to span lie between 27 and 173.
    """
    series = np.asarray(values, float)
    size = max(FIVE, -(-len(series) // MOST))
    means = series[: len(series) // size * size].reshape(-1, size).mean(axis=1)
    return rounds_of(means, coarser(size, len(series)))


def coarser(size: int, length: int) -> float:
    """How much coarser means of so many values are than those that a series of this length would be cut into."""
    return size / max(1.0, length / MOST)


def rounds_of(means: ArrayLike, coarse: float = 1.0) -> float:
    """Count the rounds of means.

    Args:
        means: In their order.
        coarse: See `coarser`. That hides rounds, of independent values as many times more, of others few; the
            square root of it lies between.
    """
    series = np.asarray(means, float)
    if not len(series):
        return 0.0
    low, high = np.quantile(series, (0.25, 0.75))
    if low == high:  # most are equal: the others are what goes round
        low = high = series.mean()
        if (series == low).all():
            return float(len(series))
    sides = np.where(series <= low, -1, np.where(series >= high, 1, 0))
    sides = sides[sides != 0]
    return math.sqrt(coarse) * float(np.count_nonzero((sides[:-1] > 0) & (sides[1:] < 0)))
