"""Differences between runs: paired where they share their random numbers, unpaired elsewhere, and all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import ResultsError
from edgesim.metrics import METRICS
from edgesim.results.comparison import Candidate, Row
from edgesim.results.folder import SCENARIO
from edgesim.results.run import Run, RunSet
from edgesim.stats import Difference, holm, paired, section_interval, welch
from edgesim.stats.intervals import quantile_of_t
from edgesim.stats.pairs import difference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgesim.results.quantity import Quantity

Json = dict[str, Any]

_OF_SERIES: Final = {"mean": None, "p50": 50, "p90": 90, "p95": 95, "p99": 99}
"""Statistics that stretches of a single run have, with their percents; the mean has none."""


@dataclass
class Subject:
    """A candidate with its run at hand.

    Attributes:
        name: Its name.
        result: Its run, or its replications.
    """

    name: str
    result: Run | RunSet

    @property
    def runs(self) -> list[Run]:
        """Its replications."""
        return list(self.result) if isinstance(self.result, RunSet) else [self.result]

    @property
    def seed(self) -> int:
        """Seed of its scenario."""
        return int(self.result.manifest["seed"])

    @cached_property
    def asked(self) -> Json:
        """What is asked of the system: the workloads of its scenario, spelled out."""
        if self.result.folder is None:
            return dict(self.result.scenario.model_dump(mode="json", exclude_none=True)["workloads"])
        from edgesim.scenario.text import read  # noqa: PLC0415 - loading it would need its plugins and traces

        folder = self.result.folder
        path = folder / SCENARIO if (folder / SCENARIO).is_file() else folder.parent / SCENARIO
        try:
            return dict(read(path.read_text(encoding="utf-8"), str(path), folder).plain()["workloads"])
        except (OSError, KeyError, TypeError) as error:
            raise ResultsError(f"cannot read the scenario of {self.name} in '{path}': {error}") from error

    def candidate(self, quantities: Sequence[Quantity]) -> Candidate:
        """What a comparison keeps of it."""
        values = {each.name: [each.of(run.summary) for run in self.runs] for each in quantities}
        folder = self.result.folder
        return Candidate(self.name, None if folder is None else str(folder), self.seed, values)

    def series(self, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Arrival [s] of each request of the only run, and its value of a metric, NaN where it does not count."""
        (run,) = self.runs
        table = run.requests
        formula = METRICS[metric]
        needed = {"request", "arrived_at", "status", *formula.columns}
        if missing := sorted(needed - set(table.columns)):
            raise ResultsError(f"the requests of {self.name} lack the column {missing[0]!r}; run it again")
        order = np.argsort(table["request"].to_numpy(), kind="stable")
        columns = {name: table[name].to_numpy(float)[order] for name in {"arrived_at", *formula.columns}}
        counts = (table["status"] == "completed").to_numpy()[order]
        counts &= columns["arrived_at"] >= run.summary["warmup"]["seconds"]
        return columns["arrived_at"], np.where(counts, formula.formula(columns), np.nan)


def why_unpaired(a: Subject, b: Subject) -> str:
    """Say why two candidates do not share their random numbers; "" if they do."""
    if a.seed != b.seed:
        return f"different seeds ({a.seed} and {b.seed})"
    if a.asked != b.asked:
        return "different workloads"
    return ""


def differences(
    subjects: Sequence[Subject], quantities: Sequence[Quantity], confidence: float
) -> tuple[list[Row], list[str]]:
    """Compare all pairs of candidates; answers the rows, and what must be said about how it was done."""
    found: list[tuple[Subject, Subject, Quantity, float, float, Difference]] = []
    notes: list[str] = []
    for a, b in combinations(subjects, 2):
        why = why_unpaired(a, b)
        counts = len(a.runs), len(b.runs)
        if why:
            notes.append(f"{a.name} and {b.name} are compared unpaired: {why}")
        elif counts[0] != counts[1]:
            notes.append(
                f"{a.name} has {counts[0]} replications, {b.name} {counts[1]}:"
                f" the first {min(counts)} of each are compared, pair by pair"
            )
        for each in quantities:
            values = [[each.of(run.summary) for run in one.runs] for one in (a, b)]
            if all(any(value is not None for value in one) for one in values):
                found.append((a, b, each, *_difference(a, b, each, values, not why, confidence)))
    adjusted = holm([one[-1].p for one in found])
    rows = [_row(*one, p, 1 - confidence) for one, p in zip(found, adjusted, strict=True)]
    if any(math.isnan(one[-1].p) for one in found):
        notes.append("one run each does not tell how far totals and rates may differ by chance; -n 10 does")
    return rows, notes


def _difference(
    a: Subject,
    b: Subject,
    each: Quantity,
    values: list[list[float | None]],
    alike: bool,
    confidence: float,
) -> tuple[float, float, Difference]:
    """Means of a quantity of two candidates, and how they differ."""
    if alike:
        pairs = [(x, y) for x, y in zip(*values, strict=False) if x is not None and y is not None]
        first, second = [x for x, _ in pairs], [y for _, y in pairs]
    else:
        first, second = ([v for v in one if v is not None] for one in values)
    if len(first) == len(second) == 1 and each.statistic in _OF_SERIES:
        return first[0], second[0], _within(a, b, each, (first[0], second[0]), alike, confidence)
    found = paired(first, second, confidence) if alike else welch(first, second, confidence)
    return _mean(first), _mean(second), found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _within(
    a: Subject,
    b: Subject,
    each: Quantity,
    means: tuple[float, float],
    alike: bool,
    confidence: float,
) -> Difference:
    """How two single runs differ, from stretches of their requests; paired where the same requests arrive."""
    (came_a, of_a), (came_b, of_b) = a.series(each.metric), b.series(each.metric)
    estimate = _estimate(each.statistic)
    if alike and len(came_a) == len(came_b) and np.array_equal(came_a, came_b):
        table = np.column_stack([of_a, of_b])
        table = table[~np.isnan(table).all(axis=1)]
        found = section_interval(table, lambda part: estimate(part[:, 1]) - estimate(part[:, 0]), confidence)
        if math.isnan(found.half_width):
            return Difference(means[1] - means[0], math.nan, found.count, found.kind)
        error = found.half_width / quantile_of_t(confidence, found.count - 1)
        kind = f"{found.count} paired stretches of one run"
        return difference(means[1] - means[0], error, found.count - 1, confidence, found.count, kind)
    parts = [section_interval(one[~np.isnan(one)], estimate, confidence) for one in (of_a, of_b)]
    if any(math.isnan(part.half_width) for part in parts):
        return Difference(
            means[1] - means[0], math.nan, 0, next(p.kind for p in parts if math.isnan(p.half_width))
        )
    squares = [(p.half_width / quantile_of_t(confidence, p.count - 1)) ** 2 for p in parts]
    total = sum(squares)
    below = sum(square**2 / (part.count - 1) for square, part in zip(squares, parts, strict=True))
    kind = f"Welch t over {parts[0].count} and {parts[1].count} stretches of one run each"
    freedom = total**2 / below if below else 1.0
    return difference(means[1] - means[0], math.sqrt(total), freedom, confidence, parts[0].count, kind)


def _estimate(statistic: str) -> Callable[[NDArray[np.float64]], float]:
    """A statistic of values of which some are missing."""
    percent = _OF_SERIES[statistic]

    def estimate(values: NDArray[np.float64]) -> float:
        known = values[~np.isnan(values)]
        if not len(known):
            return math.nan
        return float(known.mean() if percent is None else np.percentile(known, percent))

    return estimate


def _row(
    a: Subject,
    b: Subject,
    each: Quantity,
    mean_a: float,
    mean_b: float,
    found: Difference,
    adjusted: float,
    level: float,
) -> Row:
    """Bring a difference to the form of the table."""
    known = not math.isnan(found.p)
    if abs(found.mean) < 1e-12 * abs(mean_a):  # what is lost in adding floats up is no difference
        found = replace(found, mean=0.0)
    real = known and adjusted < level
    better = ""
    if real and each.better:
        better = (b if (found.mean < 0) == (each.better == "lower") else a).name
    return Row(
        a=a.name,
        b=b.name,
        quantity=each.name,
        metric=each.metric,
        statistic=each.statistic,
        unit=each.unit,
        mean_a=mean_a,
        mean_b=mean_b,
        difference=found.mean,
        low=found.low if known else None,
        high=found.high if known else None,
        relative=found.mean / abs(mean_a) if mean_a else None,
        p=found.p if known else None,
        p_adjusted=adjusted if known else None,
        real=real,
        better=better,
        kind=found.kind,
    )
