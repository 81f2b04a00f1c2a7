"""Capacity: the largest rate, the fewest replicas or the cheapest hardware with which objectives are still met."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.errors import ScenarioError
from edgesim.results import folder as folders
from edgesim.results.capacity import KIND, PRICE, Asked, Capacity
from edgesim.scenario import given as settings_given
from edgesim.studies import capacity_search as searches
from edgesim.studies.backends import processes
from edgesim.studies.capacity_goal import SKEWED, Goal, criteria, looks_at
from edgesim.studies.capacity_levers import Load, Mix, Replicas, choices
from edgesim.studies.capacity_mix import MOST, MixSearch
from edgesim.studies.capacity_points import Point, Points
from edgesim.units import parse_share

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from edgesim.scenario import Scenario
    from edgesim.studies.capacity_points import Tell

Json = dict[str, Any]


def capacity(
    scenario: Scenario | str | os.PathLike[str] | Mapping[str, Any],
    *,
    replicas: str | None = None,
    mix: str | None = None,
    slo: Mapping[str, str] | Sequence[str] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    seed: int | None = None,
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
        seed: Seed, instead of the scenario's.
        jobs: Processes that run replications side by side, 0 for one a processor; the answer does not depend on it.
        out: Folder for the table, the answer and every replication as it ends.
        resume: Go on with a search that was interrupted in `out`.
        force: Replace an earlier search in `out`.
        progress: Hears how far the search is, a line at a time.
        **settings: Further settings of `Asked`: confidence, attainment, tolerance, objective, lowest, highest,
            most, looks, trials.

    Raises:
        EdgesimError: Something is wrong with the scenario or the question.
        KeyboardInterrupt: As usual; replications that had ended are in `out`.
    """
    loaded = with_slo(scenario, slo, sets, plugins, seed)
    asked = _asked(loaded, replicas, mix, settings)
    demanded = criteria(loaded, asked.attainment)
    goal = Goal(demanded, asked.confidence, looks_at(demanded, asked.looks))
    lever = _lever(loaded, asked)
    if out is None:
        with processes(jobs, goal.looks[-1]) as pool:
            return _found(loaded, lever, asked, Points(goal, pool=pool, tell=progress))
    from edgesim.studies import capacity_store as store  # noqa: PLC0415 - only where something is written

    folder = Path(out)
    folders.earlier(folder, KIND, store.OURS)
    with folders.locked(folder):
        journal = store.opened(folder, loaded, asked, goal, resume=resume, force=force)
        try:
            with processes(jobs, goal.looks[-1]) as pool:
                points = Points(goal, pool=pool, tell=progress, journal=journal)
                found = _found(loaded, lever, asked, points)
            found.notes += journal.notes
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
    scenario: Any,
    slo: Mapping[str, str] | Sequence[str],
    sets: Sequence[str],
    plugins: Sequence[str],
    seed: int | None,
) -> Scenario:
    """Load a scenario, with other objectives and another seed if some are given."""
    from edgesim.scenario import Scenario as Loaded  # noqa: PLC0415 - pydantic is not for --help
    from edgesim.scenario import load  # noqa: PLC0415

    listed = [f"{key}={value}" for key, value in slo.items()] if hasattr(slo, "items") else list(slo)
    if isinstance(scenario, Loaded):
        if sets or plugins or listed:
            raise TypeError(
                "sets, slo and plugins belong to load_scenario() when the scenario is loaded already"
            )
        return settings_given.changed(scenario, seed=seed)
    instead = ["slo={}", *(f"slo.{one.strip()}" for one in listed)] if listed else []
    return load(scenario, [*sets, *instead, *settings_given.overrides(seed=seed)], plugins)


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
    for name in ("confidence", "attainment", "tolerance"):
        if isinstance(given.get(name), str):
            given[name] = parse_share(given[name])
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

    found = searches.largest(at, lowest=asked.lowest, highest=asked.highest, tolerance=asked.tolerance)
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
    undecided = sum(point.verdict == "open" and not point.unstable for point in order)
    if undecided:
        notes.append(
            f"{undecided} point{'s' if undecided > 1 else ''} near the limit stayed undecided"
            f" after {asked.looks[-1]} replications and"
            f" count{'' if undecided > 1 else 's'} as not met; longer runs or more replications would narrow the answer"
        )
    shaky = sum(point.verdict == "open" and bool(point.unstable) for point in order)
    if shaky:
        notes.append(
            f"{shaky} of {len(order)} points stayed undecided and count{'' if shaky > 1 else 's'} as not met because"
            " the backlog grew without end in some replications, but not in most; longer runs would tell chance from"
            " overload, more replications would not"
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
