"""Differences between two systems: paired under common random numbers, unpaired, and many of them at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.stats.intervals import Interval, quantile_of_t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FEWEST_ALIKE: Final = 5
"""Values without any spread that make a difference certain: fewer may agree by chance, as counts often do."""
NO_SPREAD: Final = "none: no spread is known"
"""Kind of a difference of single values."""
ALIKE: Final = "none: all alike"
"""How the kind of a difference begins that fewer values without spread leave open."""


@dataclass(frozen=True, slots=True)
class Difference(Interval):
    """The second mean less the first, with its interval."""

    p: float = math.nan
    """Probability of a difference at least as large if there were none (two-sided)."""


def paired(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Difference:
    """Answer the mean of `second - first` over pairs, by Student's t.

    Pairs that share their random numbers make the interval narrower; they need not be alike to make it right.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values cannot be paired with {len(b)}")
    kind = f"paired t over {len(a)} replications"
    if len(a) < 2:
        mean = float((b - a).mean()) if len(a) else math.nan
        return Difference(mean, math.nan, len(a), NO_SPREAD)
    differences = b - a
    error = float(differences.std(ddof=1)) / math.sqrt(len(a))
    mean, error = without_noise(float(differences.mean()), error, _largest(a, b))
    if mean and not error and len(a) < FEWEST_ALIKE:
        return Difference(mean, math.nan, len(a), f"{ALIKE} over {len(a)} pairs")
    return difference(mean, error, len(a) - 1, confidence, len(a), kind)


def without_noise(mean: float, error: float, largest: float) -> tuple[float, float]:
    """Take what is lost in adding floats up neither for a difference nor for a spread.

    Args:
        mean: A difference.
        error: Its standard error.
        largest: The largest of the values that it is made of.
    """
    noise = 1e-12 * abs(largest)
    return (mean if abs(mean) > noise else 0.0), (error if error > noise else 0.0)


def _largest(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return max(float(np.abs(a).max()), float(np.abs(b).max()))


def welch(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Difference:
    """Answer the difference of two means of independent samples, whatever their spreads.

    Degrees of freedom after Satterthwaite (Welch: The generalization of Student's problem, Biometrika 34, 1947).
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    kind = f"Welch t over {len(a)} and {len(b)} replications"
    if min(len(a), len(b)) < 2:
        mean = float(b.mean() - a.mean()) if len(a) and len(b) else math.nan
        return Difference(mean, math.nan, min(len(a), len(b)), NO_SPREAD)
    u, v = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    freedom = (u + v) ** 2 / (u * u / (len(a) - 1) + v * v / (len(b) - 1)) if u + v else 1.0
    mean, error = without_noise(float(b.mean() - a.mean()), math.sqrt(u + v), _largest(a, b))
    if mean and not error and min(len(a), len(b)) < FEWEST_ALIKE:
        return Difference(mean, math.nan, len(a) + len(b), f"{ALIKE} over {len(a)} and {len(b)} replications")
    return difference(mean, error, freedom, confidence, len(a) + len(b), kind)


def difference(
    mean: float, error: float, freedom: float, confidence: float, count: int, kind: str
) -> Difference:
    """Make a difference out of its standard error and degrees of freedom."""
    from scipy.special import stdtr  # noqa: PLC0415 - scipy takes longer to import than most runs to report

    if not error:
        return Difference(mean, 0.0, count, kind, None, 0.0 if mean else 1.0)
    p = min(1.0, 2 * float(stdtr(freedom, -abs(mean) / error)))
    return Difference(mean, quantile_of_t(confidence, freedom) * error, count, kind, None, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of many comparisons, so that one that falls below 5 % is wrong in 5 % of all families.

    Holm: A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6(2), 1979. NaN stands
    for a comparison that was not made, and stays.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = list(map(float, p_values))
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted
