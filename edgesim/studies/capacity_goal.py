"""What a system must keep to, how surely, and what replications say about it.

A bound on a statistic is met with confidence c if the one-sided upper limit at c of its mean over the
replications lies within the bound, and missed if the one-sided lower limit lies beyond it (Student's t). Where
neither holds, more replications are run; as that looks at the data several times, the error 1 - c is divided
by the number of looks (Bonferroni), and for "missed", which a single bound can cause, by the number of bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError
from edgesim.experiment import slo_of
from edgesim.metrics import METRICS
from edgesim.results.capacity import ATTAINMENT, Criterion
from edgesim.results.slo import limits
from edgesim.stats import t_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgesim.scenario import Scenario

SKEWED: Final = 8
"""Fewer replications than this are no base for a limit of a percentile: Student's t takes their values for normal."""

_NOTHING: Final = "there is nothing to meet: no objective demands anything"
_HELP: Final = "write e.g. `slo: {ttft: {p95: 1 s}}`, or give --slo 'ttft.p95=1 s'"


@dataclass(frozen=True)
class Judged:
    """What replications say about a criterion.

    Attributes:
        criterion: What is demanded.
        mean: Mean over the replications; infinite if one of them answered too few requests.
        low: One-sided lower limit.
        high: One-sided upper limit.
        verdict: "met", "missed" or "open".
    """

    criterion: Criterion
    mean: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Goal:
    """Everything that must be met, and how surely.

    Attributes:
        criteria: What is demanded.
        confidence: With which confidence.
        looks: Numbers of replications after which the verdict is tried, ascending.
    """

    criteria: tuple[Criterion, ...]
    confidence: float = 0.95
    looks: tuple[int, ...] = (4, 8, 16, 32)

    @property
    def needed(self) -> int:
        """Requests that a replication must measure to be judged."""
        return max(one.needed for one in self.criteria)

    @property
    def error(self) -> float:
        """Probability of error of each single look."""
        return (1 - self.confidence) / len(self.looks)

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> list[Judged]:
        """Judge every criterion by the rows of replications."""
        return [
            judged(
                criterion,
                [criterion.worst if row[criterion.name] is None else row[criterion.name] for row in rows],
                self.error,
                self.error / len(self.criteria),
            )
            for criterion in self.criteria
        ]


def looks_at(criteria: Sequence[Criterion], looks: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out the looks that are too early for what is demanded; the last one stays in any case."""
    if not any(one.skewed for one in criteria):
        return looks
    return tuple(look for look in looks if look >= SKEWED) or looks[-1:]


def judged(criterion: Criterion, values: Sequence[float], met: float, missed: float) -> Judged:
    """Judge a criterion.

    Args:
        criterion: What is demanded.
        values: The number in each replication; infinite where too few requests were answered.
        met: Probability of error of the verdict "met".
        missed: Probability of error of the verdict "missed".
    """
    infinite = sum(map(math.isinf, values))
    if infinite:
        verdict = "missed" if 2 * infinite > len(values) else "open"
        finite = [value for value in values if not math.isinf(value)]
        return Judged(criterion, math.inf, min(finite, default=math.inf), math.inf, verdict)
    surely = t_interval(values, 1 - 2 * met)
    strictly = t_interval(values, 1 - 2 * missed)
    inside, outside = (surely.low, strictly.high) if criterion.at_least else (surely.high, strictly.low)
    verdict = "open"
    if criterion.keeps(inside) and (not criterion.name.endswith("_max") or all(map(criterion.keeps, values))):
        verdict = "met"
    elif not math.isnan(outside) and not criterion.keeps(outside):
        verdict = "missed"
    return Judged(criterion, surely.mean, surely.low, surely.high, verdict)


def criteria(scenario: Scenario, attainment: float | None = None) -> tuple[Criterion, ...]:
    """Answer what a scenario's objectives demand.

    Args:
        scenario: Its section `slo` says.
        attainment: Share of requests that must keep all limits together: every bound on a percentile or
            `within` becomes such a limit. By default each bound is demanded as it is written.

    Raises:
        ScenarioError: Nothing is demanded.
    """
    slo = slo_of(scenario)
    found: list[Criterion] = []
    for name, bounds in slo.items():
        for statistic, bound in bounds.items():
            if statistic == ATTAINMENT:
                found.append(Criterion(f"{name}_{ATTAINMENT}", bound, "", at_least=True))
            elif statistic != "within":
                found.append(Criterion(f"{name}_{statistic}", bound, METRICS[name].unit))
    if attainment is not None:
        if not limits(slo):
            raise ScenarioError([Problem(("slo",), "an attainment needs a limit for single requests", _HELP)])
        found = [one for one in found if one.name.endswith("_mean")]
        found.append(Criterion(ATTAINMENT, attainment, "", at_least=True))
    if not found:
        help_ = "add 'attainment' beside 'within', or give --attainment 95%" if slo else _HELP
        raise ScenarioError([Problem(("slo",), _NOTHING, help_)])
    return tuple(found)
