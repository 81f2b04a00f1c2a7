"""The points of a sweep as scenarios: every one is made and validated before anything runs."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError
from edgesim.scenario.base import Section
from edgesim.scenario.load import entry_of, in_order, opened, validated, with_absolute_paths
from edgesim.scenario.merge import assigned, lookup
from edgesim.scenario.schema import Scenario
from edgesim.scenario.sweep import SECTION, Assigned, asked, overs
from edgesim.scenario.text import Entry, Place, Text, dump, walk
from edgesim.studies import design
from edgesim.studies.backends import local_policies, sentence

if TYPE_CHECKING:
    import os

    from edgesim.scenario.load import Opened
    from edgesim.scenario.sweep import Asked
    from edgesim.studies.backends import Policies

Source = Scenario | str | Path | Mapping[str, Any]

MOST_PROBLEMS: Final = 50
"""A report lists no more problems; those of 10,000 points are mostly alike."""
_LOOSE: Final = ("policies", "accelerators", "llms", "variants")
"""Sections whose quantities the scenario keeps as they are written."""


@dataclass(frozen=True)
class Setting:
    """A point that can run, or whose scenario makes no sense.

    Attributes:
        label: What it sets, in one line.
        scenario: Its scenario, pickled.
        fault: Why it cannot run, such as an LLM that does not fit; "" if it can.
    """

    label: str
    scenario: bytes
    fault: str

    @property
    def loaded(self) -> Scenario:
        """Its scenario."""
        found: Scenario = pickle.loads(self.scenario)  # noqa: S301 - made here
        return found


@dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to run.

    Attributes:
        scenario: The scenario of the first point.
        keys: The swept keys.
        values: Values of each point in the order of the keys, as they were written; None where it sets none.
        columns: Swept key -> its value at each point, in SI units, or as text.
        units: Swept key -> unit of its column.
        settings: The points.
        keep: "summary" or "requests".
        text: The sweep as a scenario file with its points one by one.
        files: Files that it reads, plugins and traces, with the digests of their contents.
        policies: Classes of policies that workers cannot import, by role and name.
    """

    scenario: Scenario
    keys: list[str]
    values: list[list[Any]]
    columns: dict[str, list[Any]]
    units: dict[str, str]
    settings: list[Setting]
    keep: str
    text: str
    files: dict[str, str]
    policies: Policies

    @property
    def digest(self) -> str:
        """SHA-256 of all that the sweep asks for: equal for sweeps that mean the same."""
        return hashlib.sha256(f"{self.text}\n{sorted(self.files.items())}".encode()).hexdigest()


def prepare(
    source: Source | os.PathLike[str],
    *,
    over: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    keep: str | None = None,
) -> Prepared:
    """Read a scenario with its sweep, and make and validate every point.

    Args:
        source: A scenario, a YAML file, the name of a packaged scenario, or the same as a mapping.
        over: What to sweep over instead of the scenario's own section: key -> values, or "KEY=V1,V2" each.
        sets: Overrides of the form "key.path=value", for all points.
        plugins: Further files with policies.
        keep: "summary" or "requests", instead of what the scenario says.

    Raises:
        ScenarioError: Something is wrong with the sweep, or with keys and values of points; all at once.
    """
    if isinstance(source, Scenario):
        source = source.model_dump(mode="json", exclude_none=True)
    read = opened(source, sets, plugins)
    found = asked(_section(read, over, keep))
    points = design.points(found)
    settings, scenario = _validated(read, points)
    return _prepared(read, found, points, settings, scenario)


def check(
    source: str | Path | Mapping[str, Any], sets: Sequence[str] = (), plugins: Sequence[str] = ()
) -> int:
    """Check the section `sweep` of a scenario with all its points; answer how many there are, 0 without one.

    Raises:
        ScenarioError: What is wrong with the sweep, or with keys and values of points; all at once.
    """
    read = opened(source, sets, plugins)
    if read.sweep is None:
        return 0
    return len(_validated(read, design.points(asked(read.sweep)))[0])


def _section(read: Opened, over: Mapping[str, Sequence[Any]] | Sequence[str], keep: str | None) -> Entry:
    """Find what to sweep over."""
    own, here = read.sweep, Place(Text("", Path.cwd()))
    kept = own.child("keep") if own is not None else None
    if keep is not None:
        kept = Entry(keep, here)
    if isinstance(over, Mapping):
        section = {"grid": {key: _listed(values) for key, values in over.items()}} if over else None
        own = own if section is None else entry_of(section, here)
    elif over:
        own = overs(over, kept)
    if own is None:
        name = read.entry.place.text.name
        help_ = "write a section 'sweep:', or give --over KEY=VALUE,VALUE,..."
        raise ScenarioError([Problem((), "nothing to sweep over", help_, file=name or None)])
    if kept is not None and isinstance(own.value, dict):
        own = Entry({**own.value, "keep": kept}, own.place, own.key)
    return own


def _listed(values: Any) -> Any:
    """Spell out the values of a key, those of an array as plain numbers; what is no list is left to be told."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return values
    return [each.item() if hasattr(each, "item") else each for each in values]


def _made(read: Opened, point: Sequence[Assigned]) -> tuple[Entry, list[Problem]]:
    """Set what a point sets, as far as that leads somewhere."""
    entry = read.entry
    problems: list[Problem] = []
    for each in sorted(point, key=lambda one: len(one.key)):  # a policy before its parameters
        value = Entry(each.value.value, each.value.place, each.place)
        try:
            entry = assigned(entry, each.key, value, each.place)
        except ScenarioError as error:
            problems += error.problems
    return with_absolute_paths(entry), problems


def _validated(read: Opened, points: Sequence[Sequence[Assigned]]) -> tuple[list[Setting], Scenario]:
    """Validate every point; those that make no sense are kept, unless none does."""
    problems: dict[Problem, list[int]] = {}
    senseless: dict[Problem, list[int]] = {}
    settings: list[Setting] = []
    first: Scenario | None = None
    for number, point in enumerate(points):
        entry, lost = _made(read, point)
        found = validated(entry, [*read.problems, *lost], policies=not read.broken_plugins)
        for problem in found.problems:
            problems.setdefault(problem, []).append(number)
        for problem in found.senseless:
            senseless.setdefault(problem, []).append(number)
        if found.scenario is not None and not problems:
            first = first or found.scenario
            fault = sentence(ScenarioError(found.senseless)) if found.senseless else ""
            label = design.label({each.key: each.value.plain() for each in point})
            settings.append(Setting(label, pickle.dumps(found.scenario), fault))
    if problems or all(setting.fault for setting in settings):
        raise ScenarioError(_told(problems or senseless, read, points))
    assert first is not None
    return settings, first


def _told(
    problems: Mapping[Problem, Sequence[int]], read: Opened, points: Sequence[Sequence[Assigned]]
) -> list[Problem]:
    """Add to each problem which points have it, unless all have."""
    told = []
    for problem, numbers in problems.items():
        where = ""
        if len(numbers) < len(points):
            label = design.label({each.key: each.value.plain() for each in points[numbers[0]]})
            more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
            where = f"\nin point {numbers[0]} ({label}){more}"
        told.append(replace(problem, text=problem.text + where))
    told = in_order(told, read.entry)
    if (rest := len(told) - MOST_PROBLEMS) > 0:
        told = [*told[:MOST_PROBLEMS], Problem((SECTION,), f"and {rest} more problems like these")]
    return told


def _prepared(
    read: Opened,
    found: Asked,
    points: Sequence[Sequence[Assigned]],
    settings: list[Setting],
    scenario: Scenario,
) -> Prepared:
    """Write down what was found."""
    keys = list(found.keys)
    plain = [{each.key: each.value.plain() for each in point} for point in points]
    base = {key: _plain(lookup(read.entry, key)) for key in keys}
    values = [[point.get(key, base[key]) for key in keys] for point in plain]
    columns, units = {}, {}
    for index, key in enumerate(keys):
        names = _holds_names(scenario, key)
        columns[key], units[key] = design.column([row[index] for row in values], names=names)
    section = {"list": plain, "keep": found.keep}
    return Prepared(
        scenario=scenario,
        keys=keys,
        values=values,
        columns=columns,
        units=units,
        settings=settings,
        keep=found.keep,
        text=dump({**read.entry.plain(), SECTION: section}),
        files=_files(read, points),
        policies=local_policies(setting.loaded for setting in settings),
    )


def _plain(entry: Entry | None) -> Any:
    return None if entry is None else entry.plain()


def _holds_names(scenario: Scenario, key: str) -> bool:
    """Whether a key holds names, even where they look like quantities, as the link kind "5g" does."""
    place = Place(Text("", Path.cwd()))
    found = lookup(entry_of(_bare(scenario), place), key)
    return key.partition(".")[0] not in _LOOSE and found is not None and isinstance(found.value, str)


def _bare(value: Any) -> Any:
    """Strip a scenario to mappings, lists and values in SI units."""
    if isinstance(value, Section):
        return {key: _bare(getattr(value, name, None)) for key, name in type(value).keys().items()}
    if isinstance(value, Mapping):
        return {key: _bare(item) for key, item in value.items()}
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value


def _files(read: Opened, points: Sequence[Sequence[Assigned]]) -> dict[str, str]:
    """Digest the files that the points read."""
    paths = {
        str(item.value)
        for path, item in walk(read.entry)
        if path[-1:] == ("path",) or path[:1] == ("plugins",)
    }
    paths |= {str(each.value.value) for point in points for each in point if each.key.endswith("path")}
    return {path: _digest(path) for path in sorted(paths) if Path(path).is_file()}


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
