"""The initial transient of a series: where it ends, and whether it ends at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FIVE = 5
"""Values that MSER-5 averages before it looks."""
CLEARLY: Final = 0.5
"""A cut must bring the squared standard error down to this share of that without a cut. Otherwise nothing is cut: a
busy stretch at the start of a steady run is chance, and leaving it out makes means too low and intervals too short."""


STRETCHES: Final = 20
"""Parts of a series that are looked at for a drift."""
ALIKE: Final = 0.7635
"""Ratio of von Neumann below which neighbours among so many parts are too alike: 1 in 1,000 sets of independent normal
values is (40,000 drawn)."""


class Transient(NamedTuple):
    """Where MSER-5 cuts a series.

    Attributes:
        cut: How many values at the start belong to the initial transient; at most half of them, and none where
            leaving them out brings little.
        settled: False if the rest still drifts: the series is too short, or never steady.
    """

    cut: int
    settled: bool


def transient(values: ArrayLike) -> Transient:
    """Find the initial transient of a series by MSER-5.

    White, Cobb, Spratt: A comparison of five steady-state truncation heuristics for simulation, WSC 2000: over
    means of five values, cut where the standard error of the rest is smallest; not beyond the middle, for the
    spread of few is chance. Whether the rest is steady, MSER-5 cannot tell where values vary much from one to the
    next; `drifts` does.
    """
    series = np.asarray(values, float)
    means = series[: len(series) // FIVE * FIVE].reshape(-1, FIVE).mean(axis=1)
    cut, settled = cut_of(means)
    return Transient(FIVE * cut, settled)


def cut_of(means: NDArray[np.float64]) -> Transient:
    """Find where the standard error of the rest is smallest, in units of means."""
    if len(means) < 4:
        return Transient(0, settled=True)
    rest = np.arange(len(means), 0, -1)
    centred = means - means.mean()
    total = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    error = (squares - total**2 / rest) / rest.astype(float) ** 2
    cut = int(np.argmin(error[: len(means) // 2 + 1]))
    cut = cut if error[cut] <= CLEARLY * error[0] else 0
    return Transient(cut, not drifts(means[cut:]))


def drifts(values: ArrayLike) -> bool:
    """Whether neighbouring twentieths of a series resemble each other too much for a steady one.

    Judged by the mean square of successive differences against the variance (von Neumann: Distribution of the ratio
    of the mean square successive difference to the variance, Annals of Mathematical Statistics 12(4), 1941), as
    Skart does with batch means (Tafazzoli, Wilson, Lada, Steiger: Performance of Skart, INFORMS J. on Computing
    23(2), 2011). Too few values for twentieths do not tell.
    """
    series = np.asarray(values, float)
    if len(series) < 2 * STRETCHES:
        return False
    edges = np.arange(STRETCHES) * len(series) // STRETCHES
    means = np.add.reduceat(series, edges) / np.diff(edges, append=len(series))
    squares = float(np.square(means - means.mean()).sum())
    noise = 1e-24 * float(np.square(means).max()) * STRETCHES
    return squares > noise and float(np.square(np.diff(means)).sum()) < ALIKE * squares


def mser5(values: ArrayLike) -> int:
    """Answer how many values at the start of a series belong to its initial transient; at most half of them."""
    return transient(values).cut
