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


class Transient(NamedTuple):
    """Where MSER-5 cuts a series.

    Attributes:
        cut: How many values at the start belong to the initial transient; at most half of them, and none where
            leaving them out brings little.
        settled: False if the best cut of all lies beyond the middle: the series is too short, or never steady.
    """

    cut: int
    settled: bool


def transient(values: ArrayLike) -> Transient:
    """Find the initial transient of a series by MSER-5.

    White, Cobb, Spratt: A comparison of five steady-state truncation heuristics for simulation, WSC 2000: over
    means of five values, cut where the standard error of the rest is smallest. A cut beyond the middle says
    that the series is too short; the last tenth is no place to cut, for the spread of so few is chance, and at
    the end of a run long requests are missing.
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
    half = len(means) // 2
    cut = int(np.argmin(error[: half + 1]))
    later = error[half + 1 : len(means) * 9 // 10]
    settled = not len(later) or bool(later.min() >= error[cut])
    return Transient(cut if error[cut] <= CLEARLY * error[0] else 0, settled)


def mser5(values: ArrayLike) -> int:
    """Answer how many values at the start of a series belong to its initial transient; at most half of them."""
    return transient(values).cut


def lag_1(values: ArrayLike) -> float:
    """Answer the correlation of neighbours in a series; 0 where all values are equal."""
    centred = np.asarray(values, float)
    if len(centred) < 2:
        return 0.0
    centred = centred - centred.mean()
    squares = float(np.square(centred).sum())
    return float((centred[1:] * centred[:-1]).sum()) / squares if squares else 0.0
