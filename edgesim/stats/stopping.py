"""When to stop: replications are added until an interval is narrow enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edgesim.stats.intervals import t_interval

if TYPE_CHECKING:
    from collections.abc import Sequence


class Precision(NamedTuple):
    """How near the true mean an estimate has come, against how near it should.

    Attributes:
        reached: Relative half-width of the interval; NaN while nothing can be said.
        enough: Whether that will do.
    """

    reached: float
    enough: bool


def narrow_enough(values: Sequence[float | None], share: float, confidence: float = 0.95) -> Precision:
    """Judge the values of the replications so far.

    The mean is known to `share` of the true one if the half-width is at most share / (1 + share) of the estimate
    (Law: Simulation Modeling and Analysis, 5th ed. 2015, section 9.4.1).

    Args:
        values: One of each replication; None where it is missing.
        share: Largest relative error.
        confidence: Of the interval.
    """
    known = [value for value in values if value is not None]
    found = t_interval(known, confidence)
    if math.isnan(found.half_width):
        return Precision(math.nan, enough=False)
    return Precision(found.relative, found.relative <= share / (1 + share))
