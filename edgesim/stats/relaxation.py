"""How long a series remembers, and so how many independent values it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def relaxation(values: ArrayLike) -> float:
    """Answer the integrated autocorrelation time of a series, in values; 1 if they are independent.

    The variance of the mean of n values is that of one value times this time, over n. Autocorrelations are summed
    in pairs while those are positive, and made to fall (Geyer: Practical Markov chain Monte Carlo, Statistical
    Science 7(4), 1992, section 3.3). Series that remember nothing, or alternate, answer no less than 1. A series
    shorter than some hundred such times answers too little, because it has not seen what it would remember.
    """
    series = np.asarray(values, float)
    count = len(series)
    if count < 4:
        return 1.0
    centred = series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 << (count - 1).bit_length())) ** 2
    covariance = np.fft.irfft(power)[: count // 2 * 2]
    if covariance[0] <= 1e-24 * float(np.square(series).max()) * count:  # all equal, but for rounding
        return 1.0
    pairs = covariance.reshape(-1, 2).sum(axis=1) / covariance[0]
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    return max(1.0, 2 * float(np.minimum.accumulate(positive).sum()) - 1)


def independent(values: ArrayLike) -> float:
    """Answer how many independent values a series is worth: its length in relaxation times."""
    return len(np.asarray(values)) / relaxation(values)
