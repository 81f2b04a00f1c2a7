"""The laws behind a scenario's distributions: draws, quantiles and means.

A law is drawn as an array from a generator, which makes a million open-loop requests cheap, or singly from a
uniform number, which makes a later turn of a session a pure function of (session, turn).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NORMAL: Final = NormalDist()


def normal(u: float) -> float:
    """Return the `u` quantile of the standard normal distribution; a drawn 0 counts as the next number."""
    return _NORMAL.inv_cdf(max(u, 2.0**-54))


class Distribution(Protocol):
    """The law of a number: a length in tokens, a count, or a time in seconds."""

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        ...

    def quantile(self, u: float) -> float:
        """Return the value below which a share `u` of the draws lies, 0 <= u < 1."""
        ...

    def mean(self) -> float:
        """Return the mean."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value."""

    value: float

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - nothing random
        """Return the value `size` times."""
        return np.full(size, self.value)

    def quantile(self, u: float) -> float:  # noqa: ARG002 - every quantile is the value
        """Return the value."""
        return self.value

    def mean(self) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal, told by its median and the logarithm's standard deviation, cut at `low` and `high`."""

    median: float
    sigma: float
    low: float = 0.0
    high: float = math.inf

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        values = random.standard_normal(size)
        values *= self.sigma
        np.exp(values, out=values)
        values *= self.median
        return np.clip(values, self.low, self.high, out=values)

    def quantile(self, u: float) -> float:
        """Return the `u` quantile."""
        value = self.median * math.exp(self.sigma * normal(u))
        return min(max(value, self.low), self.high)

    def mean(self) -> float:
        """Return the mean of the cut variable, from the partial expectations of the lognormal."""
        whole = self.median * math.exp(self.sigma**2 / 2)
        if self.sigma == 0.0:
            return min(max(self.median, self.low), self.high)
        below = -math.inf if self.low <= 0 else math.log(self.low / self.median) / self.sigma
        above = math.inf if math.isinf(self.high) else math.log(self.high / self.median) / self.sigma
        middle = whole * (_NORMAL.cdf(above - self.sigma) - _NORMAL.cdf(below - self.sigma))
        tail = 0.0 if math.isinf(above) else self.high * (1 - _NORMAL.cdf(above))
        return self.low * _NORMAL.cdf(below) + middle + tail


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential with a given mean, cut at `low` and `high`."""

    scale: float
    low: float = 0.0
    high: float = math.inf

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        values = random.standard_exponential(size)
        values *= self.scale
        return np.clip(values, self.low, self.high, out=values)

    def quantile(self, u: float) -> float:
        """Return the `u` quantile."""
        return min(max(-self.scale * math.log1p(-u), self.low), self.high)

    def mean(self) -> float:
        """Return the mean of the cut variable: `low` plus the survival function's integral up to `high`."""
        return self.low + self.scale * (math.exp(-self.low / self.scale) - math.exp(-self.high / self.scale))


@dataclass(frozen=True, slots=True)
class Geometric:
    """Geometric on 1, 2, 3 ... with a given mean of at least 1, cut at `low` and `high`."""

    expected: float
    low: float = 1.0
    high: float = math.inf

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        values = random.geometric(1 / self.expected, size).astype(np.float64)
        return np.clip(values, self.low, self.high, out=values)

    def quantile(self, u: float) -> float:
        """Return the `u` quantile."""
        if self.expected <= 1.0:
            return min(max(1.0, self.low), self.high)
        value = 1.0 + math.floor(math.log1p(-u) / math.log1p(-1 / self.expected))
        return min(max(value, self.low), self.high)

    def mean(self) -> float:
        """Return the mean of the cut variable: `low` plus the survival function summed up to `high`."""
        stay = 1 - 1 / self.expected
        beyond = 0.0 if math.isinf(self.high) else math.pow(stay, self.high)
        return self.low + self.expected * (math.pow(stay, self.low) - beyond)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform between two bounds; `whole` makes it uniform over the integers, both bounds included."""

    low: float
    high: float
    whole: bool = False

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        values = random.random(size)
        values *= self.high - self.low + self.whole
        if self.whole:
            np.floor(values, out=values)
        values += self.low
        return values

    def quantile(self, u: float) -> float:
        """Return the `u` quantile."""
        step = u * (self.high - self.low + self.whole)
        return self.low + (math.floor(step) if self.whole else step)

    def mean(self) -> float:
        """Return the mean."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Empirical:
    """One of the given values, each as likely as its weight says."""

    values: tuple[float, ...]
    weights: tuple[float, ...] = ()
    _share: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Accumulate the weights once, so that a draw is a search."""
        weights = self.weights or (1.0,) * len(self.values)
        total = math.fsum(weights)
        share = [weight / total for weight in accumulate(weights)]
        share[-1] = math.inf  # rounding may leave the last one just below a drawn number
        object.__setattr__(self, "_share", share)

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws."""
        which = np.searchsorted(np.asarray(self._share), random.random(size), side="right")
        return np.asarray(self.values, dtype=np.float64)[which]

    def quantile(self, u: float) -> float:
        """Return the `u` quantile, in the order in which the values were given."""
        return self.values[bisect_right(self._share, u)]

    def mean(self) -> float:
        """Return the weighted mean."""
        if not self.weights:
            return math.fsum(self.values) / len(self.values)
        return math.fsum(map(mul, self.values, self.weights)) / math.fsum(self.weights)
