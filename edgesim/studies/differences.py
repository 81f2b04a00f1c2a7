"""Differences between runs: paired where they share their random numbers, unpaired elsewhere, and all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import ResultsError
from edgesim.metrics import METRICS, RATES
from edgesim.results.comparison import OF_ONE_RUN, Candidate, Row
from edgesim.results.folder import SCENARIO, is_run
from edgesim.results.run import Run, RunSet
from edgesim.stats import Difference, holm, paired, welch
from edgesim.stats.batches import LEAST, WIDER, WIDER_SECTIONS, paired_sections, section, too_short
from edgesim.stats.pairs import ALIKE, NO_SPREAD, difference, without_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgesim.results.quantity import Quantity

Json = dict[str, Any]

NONE: Final = "none: "
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
    _series: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    @property
    def runs(self) -> list[Run]:
        """Its replications."""
        return list(self.result) if isinstance(self.result, RunSet) else [self.result]

    @property
    def seed(self) -> int:
        """Seed of its scenario."""
        return int(self.result.manifest["seed"])

    @cached_property
    def numbered(self) -> dict[int, Run]:
        """Its replications by their numbers, which decide about their random numbers."""
        return {_number(run, place): run for place, run in enumerate(self.runs)}

    @property
    def gap(self) -> str:
        """Say which replications are missing; "" if none is."""
        done = int(self.result.manifest.get("finished_replications") or 0)
        missing = [str(each) for each in range(done) if each not in self.numbered]
        if not isinstance(self.result, RunSet) or not missing:
            return ""
        return f"{self.name} lacks replication {', '.join(missing)} of {done}: its summary still counts them"

    @property
    def asked(self) -> Json:
        """What is asked of the system: the workloads of its scenario, spelled out; their names seed their draws."""
        return dict(self._spelled_out["workloads"])

    @property
    def length(self) -> Json:
        """How long it is observed: duration [s], number of requests, warm-up [s or auto]."""
        settings = self._spelled_out.get("scenario", {})
        auto = settings.get("warmup") == "auto" or settings.get("find_warmup")
        told = {"duration": settings.get("duration"), "requests": settings.get("requests")}
        return told | {"warmup": "auto" if auto else settings.get("warmup", 0.0)}

    @cached_property
    def _spelled_out(self) -> Json:
        """Its scenario."""
        if self.result.folder is None:
            return dict(self.result.scenario.model_dump(mode="json", exclude_none=True))
        from edgesim.scenario.text import read  # noqa: PLC0415 - loading it would need its plugins and traces

        folder = self.result.folder
        path = (folder if is_run(folder) else folder.parent) / SCENARIO
        try:
            found = dict(read(path.read_text(encoding="utf-8"), str(path), folder).plain())
            return found | {"workloads": dict(found["workloads"])}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ResultsError(f"cannot read the scenario of {self.name} in '{path}': {error}") from error

    def candidate(self, quantities: Sequence[Quantity], shared: Sequence[int] | None) -> Candidate:
        """What a comparison keeps of it; `shared` are the replications that its means are over, None for all."""
        places = None
        if shared is not None and len(shared) < len(self.numbered):
            places = [place for place, number in enumerate(self.numbered) if number in shared]
        values = {each.name: [each.of(run.summary) for run in self.runs] for each in quantities}
        folder = self.result.folder
        return Candidate(self.name, None if folder is None else str(folder), self.seed, values, places)

    def series(self, metric: str) -> NDArray[np.float64]:
        """A metric of each request of the only run, from the first that counts to the last; NaN where one does not."""
        if metric not in self._series:  # each pair that it is part of asks
            self._series[metric] = self._in_order(metric)
        return self._series[metric]

    def _in_order(self, metric: str) -> NDArray[np.float64]:
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
        values: NDArray[np.float64] = np.where(counts, formula.formula(columns), np.nan)
        known = np.flatnonzero(~np.isnan(values))
        return values[known[0] : known[-1] + 1] if len(known) else values[:0]


def _number(run: Run, place: int) -> int:
    """Number of a replication: that of its folder, or its place where it has none of its own."""
    folder = run.folder
    if folder is None or is_run(folder) or not folder.name.startswith("rep-"):
        return place
    return int(folder.name[4:])


def why_unpaired(a: Subject, b: Subject) -> str:
    """Say why two candidates do not share their random numbers; "" if they do."""
    if a.seed != b.seed:
        return f"different seeds ({a.seed} and {b.seed})"
    if set(a.asked) != set(b.asked):
        return "different workloads"
    if not set(a.numbered) & set(b.numbered):
        return "they have no replication of the same number"
    return ""


def shared_replications(subjects: Sequence[Subject]) -> list[int] | None:
    """Numbers of the replications that all candidates have; None where they do not share random numbers."""
    if any(why_unpaired(a, b) for a, b in combinations(subjects, 2)):
        return None
    return sorted(set.intersection(*(set(each.numbered) for each in subjects))) or None


def differences(
    subjects: Sequence[Subject], quantities: Sequence[Quantity], confidence: float
) -> tuple[list[Row], list[str]]:
    """Compare all pairs of candidates; answers the rows, and what must be said about how it was done."""
    found: list[tuple[Subject, Subject, Quantity, float, float, Difference]] = []
    notes = [each.gap for each in subjects if each.gap]
    said: list[tuple[str, str, str, str]] = []
    for a, b in combinations(subjects, 2):
        why, lengths = why_unpaired(a, b), _lengths(a, b)
        if why:
            said.append(
                (a.name, b.name, f"compared unpaired: {why}", f"compared unpaired: {why.partition(' (')[0]}")
            )
        elif told := _pairing(a, b):
            notes.append(told)
        if lengths:
            left_out = "totals are left out"
            said.append(
                (a.name, b.name, f"not equally long ({lengths}): {left_out}", f"not equally long: {left_out}")
            )
        for each in quantities:
            if lengths and is_total(each):
                continue
            values = [{n: each.of(run.summary) for n, run in one.numbered.items()} for one in (a, b)]
            if all(any(value is not None for value in one.values()) for one in values):
                found.append((a, b, each, *_difference(a, b, each, values, not why, confidence)))
    adjusted = holm([one[-1].p for one in found])
    rows = [_row(*one, p, 1 - confidence) for one, p in zip(found, adjusted, strict=True)]
    return rows, notes + _of_pairs(said) + _unknown(found)


def _of_pairs(said: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Say something of pairs: of one with the particulars, of several alike only once.

    Args:
        said: Names of both candidates, what is to be said of them, and the same without particulars.
    """
    alike: dict[str, list[tuple[str, str, str]]] = {}
    for a, b, told, general in said:
        alike.setdefault(general, []).append((a, b, told))
    notes = []
    for general, pairs in alike.items():
        names = dict.fromkeys(name for a, b, _ in pairs for name in (a, b))
        one = f"{' and '.join(names)} are {pairs[0][2]}"
        notes.append(one if len(pairs) == 1 else f"{len(pairs)} pairs of {', '.join(names)} are {general}")
    return notes


def _unknown(found: Sequence[tuple[Subject, Subject, Quantity, float, float, Difference]]) -> list[str]:
    """Say of which quantities no difference can be judged, and why."""
    open_ = [(one[2], one[-1].kind) for one in found if math.isnan(one[-1].p)]
    within = {each.name: kind for each, kind in open_ if each.statistic in _OF_SERIES and NONE in kind}
    told = [
        f"{', '.join(name for name in within if within[name] == why)}: unknown, {why.removeprefix(NONE)}"
        for why in dict.fromkeys(within.values())
        if ALIKE not in why and why != NO_SPREAD
    ]
    if any(ALIKE not in kind for _, kind in open_):
        told.append("one run each does not tell how far totals and rates may differ by chance; -n 10 does")
    return told


def is_total(each: Quantity) -> bool:
    """Whether a quantity grows with the length of the run."""
    return not each.statistic and each.name not in RATES


def _pairing(a: Subject, b: Subject) -> str:
    """Say which replications are paired; "" if all are."""
    first, second = set(a.numbered), set(b.numbered)
    shared = sorted(first & second)
    if first == second:
        return ""
    counts = f"{a.name} has {_replications(len(first))}, {b.name} {len(second)}"
    if len(shared) == 1:
        return f"{counts}: one pair does not tell what is chance; run both with as many replications"
    if shared == list(range(len(shared))):
        return f"{counts}: the first {len(shared)} of each are compared, pair by pair"
    return f"{counts}: replications {', '.join(map(str, shared))} are compared, pair by pair"


def _replications(count: int) -> str:
    return f"{count} replication{'' if count == 1 else 's'}"


def _lengths(a: Subject, b: Subject) -> str:
    """Say how the lengths of two candidates differ; "" if they do not."""
    units = {"duration": " s", "requests": "", "warmup": " s"}
    apart = [
        f"{name} {_length(a.length[name], units[name])} and {_length(b.length[name], units[name])}"
        for name in units
        if a.length[name] != b.length[name]
    ]
    return "; ".join(apart)


def _length(value: Any, unit: str) -> str:
    if value is None:
        return "unlimited"
    return value if isinstance(value, str) else f"{value:g}{unit}"


def _difference(
    a: Subject,
    b: Subject,
    each: Quantity,
    values: list[dict[int, float | None]],
    alike: bool,
    confidence: float,
) -> tuple[float, float, Difference]:
    """Means of a quantity of two candidates, and how they differ."""
    if alike:
        pairs = [(x, values[1].get(number)) for number, x in sorted(values[0].items())]
        both = [(x, y) for x, y in pairs if x is not None and y is not None]
        first, second = [x for x, _ in both], [y for _, y in both]
    else:
        first, second = ([v for v in one.values() if v is not None] for one in values)
    if len(a.runs) == len(b.runs) == len(first) == len(second) == 1 and each.statistic in _OF_SERIES:
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
    """How two single runs differ, from stretches of their requests; paired where they share their random numbers."""
    of_a, of_b = a.series(each.metric), b.series(each.metric)
    estimate = _estimate(each.statistic)
    wider = WIDER if each.statistic == "mean" else WIDER_SECTIONS
    if alike:
        parts = [paired_sections(of_a, of_b, estimate, wider)]
        kind = f"{parts[0].number} paired {OF_ONE_RUN}"
    else:
        parts = [section(one, estimate, wider) for one in (of_a, of_b)]
        kind = f"Welch t over {parts[0].number} and {parts[1].number} {OF_ONE_RUN} each"
    for part in parts:
        if part.why or part.rounds < LEAST:
            return Difference(means[1] - means[0], math.nan, part.number, part.why or too_short(part.rounds))
    squares = [part.widened**2 for part in parts]
    mean, error = without_noise(means[1] - means[0], math.sqrt(sum(squares)), max(map(abs, means)))
    below = sum(square**2 / (part.number - 1) for square, part in zip(squares, parts, strict=True))
    freedom = sum(squares) ** 2 / below if below else 1.0
    return difference(mean, error, freedom, confidence, parts[0].number, kind)


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
