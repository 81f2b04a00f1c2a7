"""Confidence intervals of independent values: means by Student's t, quantiles by their ranks, ratios.

Values are independent across replications. Those of one run are not: `edgesim.stats.batches` is for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and how far the true value may lie from it."""

    mean: float
    """The estimate: a mean, a quantile or a ratio."""
    half_width: float
    """NaN where the values tell nothing about the spread."""
    count: int
    """How many values, or batches of values, it rests on."""
    kind: str = "t"
    """How it was made, in words."""
    ends: tuple[float, float] | None = None
    """Where the interval is not symmetric: its ends."""

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half_width if self.ends is None else self.ends[0]

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half_width if self.ends is None else self.ends[1]

    @property
    def relative(self) -> float:
        """Half-width as a share of the estimate; infinite for an estimate of 0 that is not certain."""
        if not self.half_width:
            return 0.0
        return self.half_width / abs(self.mean) if self.mean else math.inf


def quantile_of_t(confidence: float, freedom: float) -> float:
    """How many standard errors a two-sided interval reaches to each side."""
    from scipy.special import stdtrit  # noqa: PLC0415 - scipy takes longer to import than most runs to report

    return float(stdtrit(freedom, (1 + confidence) / 2))


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Answer the mean of independent values with its Student t confidence interval."""
    sample = np.asarray(values, float)
    count = len(sample)
    if not count:
        return Interval(math.nan, math.nan, 0)
    mean = float(sample.mean())
    if count == 1:
        return Interval(mean, math.nan, 1)
    error = float(sample.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, quantile_of_t(confidence, count - 1) * error, count)


def quantile_interval(
    values: ArrayLike | Sequence[ArrayLike],
    share: float,
    confidence: float = 0.95,
    kind: Literal["ranks", "replications", "sections"] = "ranks",
) -> Interval:
    """Answer a quantile with its confidence interval.

    Args:
        values: Independent values; for "replications" a series each; for "sections" the series of one run.
        share: Which quantile, from 0 to 1.
        confidence: Of the interval.
        kind: "ranks": between two values of the sample whose ranks enclose the quantile with at least that
            probability, whatever the distribution (David & Nagaraja: Order Statistics, 2003, section 7.1).
            "replications": Student's t over the quantiles of the replications. "sections": see
            `edgesim.stats.section_interval`.
    """
    if not 0 < share < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {share}")
    if kind == "replications":
        found = t_interval([np.quantile(np.asarray(each, float), share) for each in values], confidence)  # type: ignore[union-attr]
        return Interval(found.mean, found.half_width, found.count, "t over the quantiles of replications")
    sample = np.asarray(values, float)
    if kind == "sections":
        from edgesim.stats.batches import section_interval  # noqa: PLC0415 - it imports this file

        return section_interval(sample, lambda part: float(np.quantile(part, share)), confidence)
    return _by_ranks(np.sort(sample), share, confidence)


def _by_ranks(ordered: NDArray[np.float64], share: float, confidence: float) -> Interval:
    """Enclose a quantile between two of the ordered values; without such a value, an end is infinite."""
    from scipy.special import bdtr  # noqa: PLC0415 - see above

    count = len(ordered)
    if not count:
        return Interval(math.nan, math.nan, 0, "order statistics")
    around, spread = count * share, 10 * math.sqrt(count * share * (1 - share)) + 10
    ranks = np.arange(max(0, int(around - spread)), min(count, int(around + spread)) + 1)
    below = np.asarray(bdtr(ranks, count, share))  # P(at most so many values lie below the quantile)
    tail = (1 - confidence) / 2
    low = (
        int(ranks[0]) + int(np.searchsorted(below, tail, side="right")) - 1
    )  # the last rank with below <= tail
    high = int(ranks[0]) + int(np.searchsorted(below, 1 - tail, side="left"))
    ends = (
        float(ordered[low]) if low >= ranks[0] else -math.inf,
        float(ordered[high]) if high < count else math.inf,
    )
    middle = float(np.quantile(ordered, share))
    return Interval(middle, (ends[1] - ends[0]) / 2, count, "order statistics", ends)


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    confidence: float = 0.95,
    kind: Literal["jackknife", "fieller"] = "jackknife",
) -> Interval:
    """Answer the ratio of two means, from pairs that are independent of each other, with its interval.

    Args:
        numerators: Values above.
        denominators: Values below, one for each above.
        confidence: Of the interval.
        kind: "jackknife": Student's t over pseudo-values, which takes the bias of a ratio away (Miller: The
            jackknife, a review, Biometrika 61(1), 1974). "fieller": exact for normal values (Fieller: Some
            problems in interval estimation, J. R. Stat. Soc. B 16(2), 1954); unbounded, here infinite, where
            the denominator may be 0.

    Where the denominators add up to 0 there is no ratio: it is NaN, and the kind says why.
    """
    above, below = np.asarray(numerators, float), np.asarray(denominators, float)
    if len(above) != len(below):
        raise ValueError(f"{len(above)} numerators for {len(below)} denominators")
    count = len(above)
    if not count:
        return Interval(math.nan, math.nan, 0, kind)
    total = float(below.sum())
    if total == 0:
        return Interval(math.nan, math.nan, count, f"{kind}: the denominators add up to 0")
    ratio = float(above.sum()) / total
    if count == 1:
        return Interval(ratio, math.nan, 1, kind)
    if kind == "fieller":
        return _fieller(above, below, confidence)
    rest = total - below
    if not rest.all():
        return Interval(ratio, math.nan, count, f"{kind}: all denominators but one add up to 0")
    others = (above.sum() - above) / rest
    found = t_interval(count * ratio - (count - 1) * others, confidence)
    return Interval(found.mean, found.half_width, count, kind)


def _fieller(above: NDArray[np.float64], below: NDArray[np.float64], confidence: float) -> Interval:
    """Solve (x - r y)^2 <= t^2 var(x - r y) for r."""
    count = len(above)
    x, y = float(above.mean()), float(below.mean())
    covariance = np.cov(above, below) / count
    t2 = quantile_of_t(confidence, count - 1) ** 2
    a = y * y - t2 * float(covariance[1, 1])
    b = x * y - t2 * float(covariance[0, 1])
    c = x * x - t2 * float(covariance[0, 0])
    if a <= 0:
        return Interval(x / y, math.inf, count, "fieller", (-math.inf, math.inf))
    root = math.sqrt(max(b * b - a * c, 0.0))
    ends = (b - root) / a, (b + root) / a
    return Interval(x / y, (ends[1] - ends[0]) / 2, count, "fieller", ends)
