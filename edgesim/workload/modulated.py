"""Poisson arrivals whose rate changes over time: bursts that switch on and off, and days with a peak.

The rate is constant within a segment. Arrivals are those of a Poisson process of unit rate, seen through the
inverse of the cumulated rate (Devroye, Non-Uniform Random Variate Generation, 1986, section VI.1.3), so the
same stream gives the same requests, only closer together or farther apart, whatever the rate does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edgesim.workload.asked import Asked
from edgesim.workload.distributions import PS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PERIODS: Final = 512
"""On and off periods that are drawn at a time."""

_STEPS: Final = 1440
"""Segments of a day: the rate follows its curve in steps of a minute."""


class Segments(NamedTuple):
    """Successive stretches of time with a constant rate each: lengths [s] and rates [1/s]."""

    lengths: NDArray[np.float64]
    rates: NDArray[np.float64]


class Modulated:
    """Poisson arrivals whose rate is constant over each of an endless row of segments."""

    def __init__(self, segments: Callable[[], Segments], random: np.random.Generator, until: int) -> None:
        """Start at time 0 with the first segment.

        Args:
            segments: Gives the next few segments; there are always more.
            random: Draws the unit-rate process.
            until: No arrival comes at or after this time [ps].
        """
        self._segments = segments
        self._random = random
        self._until = until
        self._units = np.empty(0)  # arrivals of the unit-rate process not yet turned into times
        self._drawn = 0.0  # where the unit-rate process stands
        self._rates = np.empty(0)
        self._starts = np.zeros(1)  # segment bounds [s], one more than there are segments
        self._mass = np.zeros(1)  # arrivals expected up to each bound

    def take(self, size: int) -> Asked:
        """Return the next arrivals."""
        if not len(self._units):
            self._units = self._drawn + np.cumsum(self._random.standard_exponential(size))
            self._drawn = float(self._units[-1])
        while self._mass[-1] < self._units[0]:
            if self._starts[-1] * PS >= self._until:
                return Asked(np.empty(0, np.int64))
            self._advance()
        covered = int(np.searchsorted(self._units, self._mass[-1], side="right"))
        units, self._units = self._units[:covered], self._units[covered:]
        at = np.rint(self._times(units) * PS).astype(np.int64)
        return Asked(at[: int(np.searchsorted(at, self._until))])

    def _advance(self) -> None:
        """Move on to the next segments."""
        lengths, self._rates = self._segments()
        self._starts = np.cumsum(np.concatenate([self._starts[-1:], lengths]))
        self._mass = np.cumsum(np.concatenate([self._mass[-1:], lengths * self._rates]))

    def _times(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the times [s] at which the cumulated rate reaches each of `units`."""
        # side="left" skips segments of rate 0, whose bounds hold the same mass.
        segment = np.searchsorted(self._mass, units, side="left") - 1
        times = self._starts[segment] + (units - self._mass[segment]) / self._rates[segment]
        return np.minimum(times, self._starts[segment + 1])


def on_off(
    rate_on: float, rate_off: float, mean_on: float, mean_off: float, random: np.random.Generator
) -> Callable[[], Segments]:
    """Give exponential periods with a high and a low rate in turn, from the stationary state.

    Args:
        rate_on: Rate in the on periods [1/s].
        rate_off: Rate in the off periods [1/s].
        mean_on: Mean length of an on period [s].
        mean_off: Mean length of an off period [s].
        random: Draws the periods.
    """
    starts_on = random.random() * (mean_on + mean_off) < mean_on
    means, rates = np.array([mean_on, mean_off]), np.array([rate_on, rate_off])
    if not starts_on:
        means, rates = means[::-1], rates[::-1]
    means, rates = np.tile(means, _PERIODS), np.tile(rates, _PERIODS)
    return lambda: Segments(random.standard_exponential(2 * _PERIODS) * means, rates)


def daily(rate: float, peak_to_mean: float, period: float, peak_at: float) -> Callable[[], Segments]:
    """Give one period after the other whose rate rises to a smooth peak and falls again.

    The curve is exp(k cos x), positive for any ratio of peak to mean; for small ones it looks like a sine.

    Args:
        rate: Mean rate [1/s].
        peak_to_mean: Highest over mean rate, at least 1.
        period: Length of a day [s].
        peak_at: When the peak comes, from the start of the period [s].
    """
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    cosine = np.cos(2 * math.pi * (middles - peak_at / period))
    curve = np.exp(_sharpness(peak_to_mean) * (cosine - 1))
    rates = rate * curve / curve.mean()
    day = Segments(np.full(_STEPS, period / _STEPS), rates)
    return lambda: day


def _sharpness(peak_to_mean: float) -> float:
    """Return the k for which exp(k cos x) has this ratio of peak to mean, by bisection."""
    cosine = np.cos(2 * math.pi * np.arange(_STEPS) / _STEPS)
    low, high = 0.0, 1.0
    while 1 / np.exp(high * (cosine - 1)).mean() < peak_to_mean and high < _STEPS**2:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if 1 / np.exp(middle * (cosine - 1)).mean() < peak_to_mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2
