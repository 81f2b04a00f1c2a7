"""Capacity: the largest rate, the fewest replicas or the cheapest hardware with which objectives are still met."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ResultsError, ScenarioError
from edgesim.studies import capacity_search as searches
from edgesim.studies.capacity_goal import SKEWED, Criterion, Goal, criteria, looks_at
from edgesim.studies.capacity_levers import Load, Mix, Replicas, choices
from edgesim.studies.capacity_mix import MOST, PRICE, MixSearch
from edgesim.studies.capacity_points import MEASURED, Point, Points

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from edgesim.scenario import Scenario
    from edgesim.studies.capacity_points import Tell

Json = dict[str, Any]

KIND: Final = "capacity"
ANSWER: Final = "capacity.json"
TABLE: Final = "points.parquet"


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        search: "rate", "replicas" or "mix".
        of: Whose replicas, or which mixes, as text.
        confidence: With which confidence everything must be met.
        attainment: Share of requests that must keep all limits; None demands the objectives as they are written.
        precision: Relative width at which the search for a rate ends.
        objective: What a mix should cost least of: "cost" or "energy".
        lowest: Lowest factor of the load to try.
        highest: Highest factor of the load to try.
        most: Most replicas to try.
        looks: Numbers of replications after which a verdict is tried; of percentiles, not before the eighth.
            The answer is confirmed by the largest number.
        trials: Mixes that Optuna tries, if there are too many to try all.
    """

    search: str = "rate"
    of: str = ""
    confidence: float = 0.95
    attainment: float | None = None
    precision: float = 0.01
    objective: str = "cost"
    lowest: float = 2.0**-10
    highest: float = 2.0**10
    most: int = 1024
    looks: tuple[int, ...] = (4, 8, 16, 32)
    trials: int = 60

    def checked(self) -> Asked:
        """Raise an error that says everything that is wrong with the question."""
        wrong = {
            "confidence": (0.5 <= self.confidence < 1, "must lie between 50 % and 100 %"),
            "attainment": (
                self.attainment is None or 0 < self.attainment < 1,
                "must lie between 0 % and 100 %",
            ),
            "precision": (0 < self.precision < 1, "must lie between 0 % and 100 %"),
            "objective": (self.objective in ("cost", "energy"), "must be 'cost' or 'energy'"),
            "lowest": (0 < self.lowest <= self.highest < math.inf, "must be positive and at most 'highest'"),
            "most": (self.most >= 1, "must be at least 1"),
            "looks": (
                bool(self.looks) and self.looks[0] >= 2 and list(self.looks) == sorted(set(self.looks)),
                "must begin with at least 2 replications and ascend",
            ),
            "trials": (self.trials >= 1, "must be at least 1"),
        }
        problems = [
            Problem((), f"'{name}' is {getattr(self, name)!r}, but {rule}")
            for name, (fine, rule) in wrong.items()
            if not fine
        ]
        if problems:
            raise ScenarioError(problems)
        return self


@dataclass
class Capacity:
    """An answer, and the points that show why.

    Attributes:
        asked: The question.
        scenario: Name of the scenario.
        answer: The answer: requests/s, a number, or a mix; None if there is none.
        sentence: The answer in words.
        outcome: "found", "missed" (nowhere met), "met" (met even at the highest load tried).
        estimate: Where the worst mean crosses its bound: a best guess, where `answer` is on the safe side [1/s].
        limit: The nearest rate or number tried at which something is surely missed.
        points: Everything that was evaluated, in the order of `table`.
        criteria: What was demanded.
        notes: What the reader must know.
        folder: Where it is stored; None if it is not.
    """

    asked: Asked
    scenario: str
    answer: float | int | Json | None
    sentence: str
    outcome: str
    points: list[Json]
    criteria: tuple[Criterion, ...]
    estimate: float | None = None
    limit: float | None = None
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a point: what was varied, every number with the ends of its interval (`_low`, `_high`), verdict.

        Units are those of `units`. Intervals are one-sided limits at the error of a single look, on both sides.
        """
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.DataFrame(self.points)

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns of `table`."""
        found = MEASURED | {one.name: one.unit for one in self.criteria} | {PRICE: "USD/h"}
        both = {name + end: unit for name, unit in found.items() for end in ("", "_low", "_high")}
        return {name: unit for name, unit in both.items() if any(name in point for point in self.points)}

    def as_json(self) -> Json:
        """Everything, as `--json` prints it; numbers that do not exist, or are infinite, are null."""
        asked = {name: getattr(self.asked, name) for name in Asked.__dataclass_fields__}
        return {
            "kind": KIND,
            "scenario": self.scenario,
            "asked": asked | {"looks": list(self.asked.looks)},
            "criteria": [vars(one) for one in self.criteria],
            "outcome": self.outcome,
            "answer": self.answer,
            "estimate": self.estimate,
            "limit": self.limit,
            "sentence": self.sentence,
            "notes": self.notes,
            "units": self.units,
            "points": [{name: _finite(value) for name, value in point.items()} for point in self.points],
        }

    @classmethod
    def load(cls, folder: str | Path) -> Capacity:
        """Open a stored answer.

        Raises:
            ResultsError: There is none, or the search was not finished.
        """
        from edgesim.results.folder import read_json  # noqa: PLC0415

        path = Path(folder)
        if not (path / ANSWER).is_file():
            help_ = f"'{path}' holds no finished capacity search: {ANSWER} is missing"
            raise ResultsError(f"{help_}; `edgesim capacity ... -o {path} --resume` finishes one")
        found = read_json(path / ANSWER)
        asked = Asked(**found["asked"] | {"looks": tuple(found["asked"]["looks"])})
        same = ("scenario", "answer", "sentence", "outcome", "points", "estimate", "limit", "notes")
        demanded = tuple(Criterion(**one) for one in found["criteria"])
        return cls(asked=asked, criteria=demanded, folder=path, **{name: found[name] for name in same})

    def __repr__(self) -> str:
        return f"<Capacity {self.sentence}>"

    def _repr_html_(self) -> str:
        """Show the answer and its points in a notebook."""
        shown = [name for name in self.table.columns if not name.endswith(("_low", "_high"))]
        rows = self.table[shown].to_html(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p>{f'<ul>{notes}</ul>' if notes else ''}{rows}"


def capacity(
    scenario: Scenario | str | os.PathLike[str] | Mapping[str, Any],
    *,
    replicas: str | None = None,
    mix: str | None = None,
    slo: Mapping[str, str] | Sequence[str] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Tell | None = None,
    **settings: Any,
) -> Capacity:
    """Find the largest rate, the fewest replicas or the cheapest mix that meets the objectives.

    Without `replicas` or `mix` the load is varied: the arrivals of all open workloads by one factor, traces by
    their time scale.

    Args:
        scenario: A scenario, a YAML file, the name of a packaged scenario, or the same as a mapping.
        replicas: Vary how many there are of this deployment, or of this node group.
        mix: Vary the hardware, e.g. "edge: nvidia-l4|nvidia-a10 x 1..4; cloud: nvidia-h100-sxm x 1..2".
        slo: Objectives instead of the scenario's: {"ttft.p95": "1 s"}, or ["ttft.p95=1 s"].
        sets: Overrides of the form "key.path=value".
        plugins: Python files with policies.
        jobs: Processes that run replications side by side; the answer does not depend on it.
        out: Folder for the table, the answer and every replication as it ends.
        resume: Go on with a search that was interrupted in `out`.
        force: Replace an earlier search in `out`.
        progress: Hears how far the search is, a line at a time.
        **settings: Further settings of `Asked`: confidence, attainment, precision, objective, lowest, highest,
            most, looks, trials.

    Raises:
        EdgesimError: Something is wrong with the scenario or the question.
        KeyboardInterrupt: As usual; replications that had ended are in `out`.
    """
    loaded = with_slo(scenario, slo, sets, plugins)
    asked = _asked(loaded, replicas, mix, settings)
    demanded = criteria(loaded, asked.attainment)
    goal = Goal(demanded, asked.confidence, looks_at(demanded, asked.looks))
    lever = _lever(loaded, asked)
    if out is None:
        return _found(loaded, lever, asked, Points(goal, jobs=jobs, tell=progress))
    from edgesim.studies import capacity_store as store  # noqa: PLC0415 - only where something is written
    from edgesim.studies.sweep_folder import locked  # noqa: PLC0415

    folder = Path(out)
    with locked(folder):
        journal = store.opened(folder, loaded, asked, goal, resume=resume, force=force)
        try:
            points = Points(goal, jobs=jobs, tell=progress, journal=journal)
            found = _found(loaded, lever, asked, points)
        except BaseException as error:
            store.ended(folder, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        store.stored(found, folder)
    return found


def _found(scenario: Scenario, lever: Load | Replicas | Mix, asked: Asked, points: Points) -> Capacity:
    if isinstance(lever, Load):
        return _rate(scenario, lever, asked, points)
    if isinstance(lever, Replicas):
        return _replicas(scenario, lever, asked, points)
    return _mix(scenario, lever, asked, points)


def with_slo(
    scenario: Any, slo: Mapping[str, str] | Sequence[str], sets: Sequence[str], plugins: Sequence[str]
) -> Scenario:
    """Load a scenario, with other objectives if some are given."""
    from edgesim.scenario import Scenario as Loaded  # noqa: PLC0415 - pydantic is not for --help
    from edgesim.scenario import load  # noqa: PLC0415

    given = [f"{key}={value}" for key, value in slo.items()] if hasattr(slo, "items") else list(slo)
    if isinstance(scenario, Loaded):
        if sets or plugins or given:
            raise TypeError(
                "sets, slo and plugins belong to load_scenario() when the scenario is loaded already"
            )
        return scenario
    instead = ["slo={}", *(f"slo.{one.strip()}" for one in given)] if given else []
    return load(scenario, [*sets, *instead], plugins)


def _asked(scenario: Scenario, replicas: str | None, mix: str | None, settings: Mapping[str, Any]) -> Asked:
    """Put a question together: what is given, then the scenario's section `capacity`."""
    section = scenario.capacity
    given: dict[str, Any] = {} if section is None else section.settings()
    if replicas is not None and mix is not None:
        raise ScenarioError("either the replicas or the mix can be searched for, not both")
    if replicas is not None:
        given |= {"search": "replicas", "of": replicas}
    elif mix is not None:
        given |= {"search": "mix", "of": mix}
    elif settings.get("search") == "rate":
        given["of"] = ""
    given |= {name: value for name, value in settings.items() if value is not None}
    if "looks" in given:
        given["looks"] = tuple(given["looks"])
    return Asked(**given).checked()


def _lever(scenario: Scenario, asked: Asked) -> Load | Replicas | Mix:
    if asked.search == "replicas":
        return Replicas(scenario, asked.of)
    if asked.search == "mix":
        return Mix(scenario, choices(asked.of, scenario))
    return Load(scenario)


def _rate(scenario: Scenario, load: Load, asked: Asked, points: Points) -> Capacity:
    """The largest rate."""

    def at(factor: float, *, whole: bool = False) -> Point:
        rate = load.rate(factor)
        facts = {} if rate is None else {"rate_rps": rate}
        return points.at({"load": factor}, load.at(factor), facts, whole=whole)

    found = searches.largest(at, lowest=asked.lowest, highest=asked.highest, precision=asked.precision)
    order = [found.points[place] for place in sorted(found.points)]

    def rate(place: float | None) -> float | None:
        """Requests/s of a place: as offered, or as seen."""
        if place is None:
            return None
        known = load.rate(place)
        return known if known is not None else found.points[place].interval("rate_rps").mean

    answer, limit = rate(found.place), rate(found.beyond)
    crossing = searches.crossing(found.points)
    estimate = None
    if crossing is not None and answer is not None and found.place is not None:
        estimate = crossing / found.place * answer
    surely = f"with {_percent(asked.confidence)} confidence"
    if found.outcome == "met" and found.place is not None:
        sentence = (
            f"No limit found: even at the highest rate tried, {answer:.4g} requests/s ({found.place:.4g} times the"
            f" scenario's), the objectives are met {surely}."
        )
    elif answer is not None and found.place is not None:
        sentence = (
            f"Up to {answer:.4g} requests/s ({found.place:.4g} times the scenario's load):"
            f" at that load the objectives are met {surely}."
        )
    else:
        sentence = _nowhere(order, "the lowest load tried", "load")
    return _capacity(
        scenario, asked, points, found, order, sentence, answer=answer, estimate=estimate, limit=limit
    )


def _nowhere(order: list[Point], where: str, key: str) -> str:
    """Say that there is no answer, and why."""
    easiest = next((point for point in order if point.verdict != "empty"), None)
    if easiest is None:
        return (
            "No answer: nowhere came enough requests to judge anything;"
            " run longer (scenario.duration) or offer more load."
        )
    place = f"{key} {_number(easiest.key[key])}"
    if easiest.verdict == "open":
        return (
            f"No answer: even at {where} with enough requests ({place}), {len(easiest.rows)} replications do not tell"
            " whether the objectives are met; run longer (scenario.duration), or more replications."
        )
    verdict = {
        "unstable": f"the system does not keep up ({easiest.reason})",
        "impossible": easiest.reason,
    }.get(easiest.verdict, _values(easiest))
    return f"No answer: the objectives are missed even at {where} ({place}): {verdict}."


def _values(point: Point) -> str:
    """What was measured where something is missed."""
    from edgesim.units import format_percent, format_seconds  # noqa: PLC0415

    parts = []
    for one in point.judged:
        if one.verdict == "missed":
            write = {"s": format_seconds, "": format_percent}.get(one.criterion.unit, lambda v: f"{v:.4g}")
            demanded = f"{'>=' if one.criterion.at_least else '<='} {write(one.criterion.bound)}"
            value = write(one.mean) if math.isfinite(one.mean) else "not reached, as too many are turned away"
            parts.append(f"{one.criterion.name.replace('_', ' ')} is {value}, demanded {demanded}")
    return "; ".join(parts) or "objectives are missed"


def _replicas(scenario: Scenario, lever: Replicas, asked: Asked, points: Points) -> Capacity:
    """The fewest replicas."""

    def at(number: float, *, whole: bool = False) -> Point:
        return points.at({"replicas": int(number)}, *_tested(lever.at(int(number))), whole=whole)

    found = searches.smallest(at, start=min(lever.now, asked.most), most=asked.most)
    order = [found.points[place] for place in sorted(found.points)]
    answer = None if found.place is None else int(found.place)
    surely = f"with {_percent(asked.confidence)} confidence"
    what = f"nodes '{asked.of}'" if lever.group else f"replicas of {asked.of}"
    if answer is None:
        sentence = _nowhere(order[::-1], f"the largest number of {what} tried", "replicas")
    elif answer == 1:
        sentence = f"A single one of the {what} is enough: with it the objectives are met {surely}."
    else:
        sentence = f"At least {answer} {what} are needed: with them the objectives are met {surely}."
    return _capacity(scenario, asked, points, found, order, sentence, answer=answer, limit=found.beyond)


def _tested(scenario: Scenario) -> tuple[Scenario, dict[str, float], str]:
    """A variant, with what is wrong with it."""
    from edgesim.scenario.check import check  # noqa: PLC0415 - reads the catalogue

    problems = check(scenario)
    return scenario, {}, problems[0].text if problems else ""


def _mix(scenario: Scenario, lever: Mix, asked: Asked, points: Points) -> Capacity:
    """The cheapest mix."""
    search = MixSearch(lever, points, asked.objective)
    few = lever.size <= MOST
    best = search.enumerate() if few else search.optimise(asked.trials, scenario.scenario.seed)
    surely = f"with {_percent(asked.confidence)} confidence"
    answer: Json | None = None
    if best is None:
        sentence = f"No answer: none of the {len(search.tried)} mixes tried meets the objectives {surely}."
    else:
        answer = dict(best.key)
        parts = [f"{answer[f'{one.group} x']} x {answer[one.group]} as {one.group}" for one in lever.offered]
        worth = (
            f"at ${best.facts[PRICE]:.4g} per hour"
            if asked.objective == "cost"
            else f"at {best.interval('power_w').mean:.4g} W on average"
        )
        least = "cheapest" if asked.objective == "cost" else "most frugal"
        sentence = (
            f"{' and '.join(parts)}, {worth}: the {least} mix found; with it the objectives are met {surely}."
        )
        sentence = sentence[0].upper() + sentence[1:]
    found = searches.Found(None, None, "missed" if best is None else "found", {}, search.notes)
    return _capacity(scenario, asked, points, found, search.tried, sentence, answer=answer)


def _capacity(
    scenario: Scenario,
    asked: Asked,
    points: Points,
    found: searches.Found,
    order: list[Point],
    sentence: str,
    *,
    answer: float | Json | None,
    estimate: float | None = None,
    limit: float | None = None,
) -> Capacity:
    """Put an answer together."""
    notes = list(found.notes)
    undecided = sum(point.verdict == "open" for point in order)
    if undecided:
        notes.append(
            f"{undecided} near the limit stayed undecided after {asked.looks[-1]} replications and"
            f" count{'' if undecided > 1 else 's'} as not met; longer runs or more replications would narrow the answer"
        )
    shaky = sum(point.verdict == "open" and bool(point.unstable) for point in order)
    if shaky:
        notes.append(
            f"{shaky} of {len(order)} points {'are' if shaky > 1 else 'is'} undecided because the backlog grew without"
            " end in some replications, but not in most"
        )
    if points.goal.looks[-1] < SKEWED and any(one.skewed for one in points.goal.criteria):
        notes.append(
            f"percentiles are skewed: {points.goal.looks[-1]} replications may overstate the confidence; {SKEWED} or"
            " more (-n) would not"
        )
    unstable = [point for point in order if point.verdict == "unstable"]
    if unstable and found.outcome != "missed":
        notes.append(f"{len(unstable)} of {len(order)} points were unstable: the backlog grew without end")
    return Capacity(
        asked=asked,
        scenario=scenario.scenario.name,
        answer=answer,
        sentence=sentence,
        outcome=found.outcome,
        points=[point.flat() for point in order],
        criteria=points.goal.criteria,
        estimate=estimate,
        limit=limit,
        notes=notes,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
