"""The section `sweep`: which keys of the scenario take which values, and what becomes of each point.

It is taken out before the scenario itself is validated, as `extends` is: a scenario with it can be run, and
each of its points is a scenario without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from edgesim.errors import Problem, ScenarioError
from edgesim.scenario.base import Count, Section, WholeNumber
from edgesim.scenario.merge import assigned
from edgesim.scenario.problems import translated
from edgesim.scenario.text import Entry, Place, Text, read
from edgesim.units import shown

SECTION: Final = "sweep"
MOST_POINTS: Final = 100_000
"""A sweep has no more points."""

_FORBIDDEN: Final = (SECTION, "extends", "plugins")
_NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(\s*.*)", re.DOTALL)
_SAMPLES: Final = ("latin_hypercube", "sobol")
_EXAMPLE: Final = {"workloads.chat.arrivals.rate": ["1/s", "2/s", "4/s"]}


class Samples(Section):
    """Points that fill a space evenly."""

    points: Count = Field(description="How many points; of a Sobol sequence a power of two.", examples=[32])
    over: dict[str, Any] = Field(
        description="Key of the scenario -> its range, `{from: 1/s, to: 10/s, scale: log}`, or a list of choices.",
        examples=[{"workloads.chat.arrivals.rate": {"from": "1/s", "to": "10/s", "scale": "log"}}],
        min_length=1,
    )
    seed: WholeNumber = Field(default=0, description="Seed of the points; the scenario has its own.")


class Range(Section):
    """From one value to another."""

    from_: Any = Field(alias="from", description="One end.", examples=["1/s"])
    to: Any = Field(description="The other end, in the same unit.", examples=["10/s"])
    scale: Literal["linear", "log"] = Field(
        default="linear", description="Whether differences or ratios are spread evenly."
    )


class SweepSection(Section):
    """Many runs: which keys take which values. Of several ways every combination is a point."""

    grid: dict[str, list[Any]] = Field(
        default={},
        description="Key of the scenario -> its values; every combination is a point.",
        examples=[_EXAMPLE],
    )
    zipped: dict[str, list[Any]] = Field(
        default={},
        alias="zip",
        description="Key -> its values; the first ones together are a point, then the second ones ...",
        examples=[{"topology.nodes.edge.count": [1, 2], "workloads.chat.arrivals.rate": ["1/s", "2/s"]}],
    )
    listed: list[dict[str, Any]] = Field(
        default=[],
        alias="list",
        description="Points one by one, each as key -> value.",
        examples=[[{"workloads.chat.arrivals.rate": "1/s", "policies.router": "nearest"}]],
    )
    latin_hypercube: Samples | None = Field(
        default=None, description="Random points, one in each slice of every key's range."
    )
    sobol: Samples | None = Field(
        default=None, description="Points of a scrambled Sobol sequence, more even than random ones."
    )
    keep: Literal["summary", "requests"] = Field(
        default="summary",
        description="What is kept of a point: its summary, or all tables that `output` lists as well.",
    )


@dataclass(frozen=True)
class Assigned:
    """A value that a point gives to a key.

    Attributes:
        key: The key as it is written: a path from the top of the scenario.
        value: The value, with the place that it comes from.
        place: Where the key stands.
    """

    key: str
    value: Entry
    place: Place

    def __str__(self) -> str:
        """Return what `--set` would say."""
        return f"{self.key}={written(self.value.plain())}"


@dataclass(frozen=True)
class Axis:
    """A key with its values, in order."""

    key: str
    place: Place
    values: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.values)

    def at(self, share: float) -> Assigned:
        """Answer the value at a share of the list, from 0 to less than 1."""
        return self[min(int(share * len(self)), len(self) - 1)]

    def __getitem__(self, index: int) -> Assigned:
        return Assigned(self.key, self.values[index], self.place)


@dataclass(frozen=True)
class Span:
    """A key with a range.

    Attributes:
        key: The key.
        place: Where the key stands.
        low: Number of one end.
        high: Number of the other end.
        tail: The unit as it is written behind both numbers; None where they are plain numbers.
        logarithmic: Whether ratios are spread evenly, not differences.
        whole: Whether only whole numbers are meant.
    """

    key: str
    place: Place
    low: float
    high: float
    tail: str | None
    logarithmic: bool
    whole: bool

    def at(self, share: float) -> Assigned:
        """Answer the value at a share of the range, from 0 to less than 1, with six significant digits."""
        low, high = self.low, self.high + self.whole  # the last whole number has a slice of its own
        number = low * (high / low) ** share if self.logarithmic else low + share * (high - low)
        value: Any = min(math.floor(number), int(self.high)) if self.whole else float(f"{number:.6g}")
        if self.tail is not None:
            value = f"{value:.6g}{self.tail}"
        return Assigned(self.key, Entry(value, self.place), self.place)


@dataclass(frozen=True)
class Sample:
    """Points that fill a space evenly."""

    kind: str
    points: int
    seed: int
    axes: tuple[Axis | Span, ...]


@dataclass(frozen=True)
class Asked:
    """A sweep as it is written.

    Attributes:
        grid: Keys of which every combination of values is meant.
        zipped: Keys whose values go together, one by one.
        listed: Points one by one.
        samples: Points that fill a space.
        keep: What is kept of a point: "summary" or "requests".
    """

    grid: tuple[Axis, ...]
    zipped: tuple[Axis, ...]
    listed: tuple[tuple[Assigned, ...], ...]
    samples: tuple[Sample, ...]
    keep: str

    @property
    def keys(self) -> dict[str, Place]:
        """The swept keys in order, each with where it stands first."""
        found: dict[str, Place] = {}
        parts: list[Sequence[Axis | Span | Assigned]] = [self.grid, self.zipped, *self.listed]
        for part in (*parts, *(sample.axes for sample in self.samples)):
            for each in part:
                found.setdefault(each.key, each.place)
        return found

    @property
    def size(self) -> int:
        """The number of points."""
        sizes = [len(axis) for axis in self.grid]
        sizes += [len(self.zipped[0])] if self.zipped else []
        sizes += [len(self.listed)] if self.listed else []
        return math.prod([*sizes, *(sample.points for sample in self.samples)])


def written(value: Any) -> str:
    """Write a value in one line, as YAML has it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def overs(arguments: Sequence[str], keep: Entry | None) -> Entry:
    """Make a section of `KEY=V1,V2,...` arguments, a grid; `keep` is taken over from the scenario's own.

    Raises:
        ScenarioError: Arguments that are malformed, all at once.
    """
    axes: dict[str, Entry] = {}
    problems: list[Problem] = []
    for argument in arguments:
        name = f"--over {argument}"
        place = Place(Text(name, Path.cwd()))
        key, equals, values = argument.partition("=")
        if not equals or not key.strip():
            problems.append(Problem((), "this is not of the form key.path=value,value,...", file=name))
            continue
        try:
            found = read(f"[{values}]", name, Path.cwd(), argument=True)
        except ScenarioError as error:
            problems += error.problems
            continue
        if len(found.value) == 1 and isinstance(found.value[0].value, list):
            found = found.value[0]  # a list that was given as one
        if key.strip() in axes:
            problems.append(Problem((), f"{key.strip()!r} is swept twice", file=name))
        axes[key.strip()] = _moved(Entry(found.value, place, place), place)
    if problems:
        raise ScenarioError(problems)
    place = Place(Text("", Path.cwd()))
    section = {"grid": Entry(axes, place, place)}
    return Entry(section if keep is None else section | {"keep": keep}, place, place)


def _moved(entry: Entry, place: Place) -> Entry:
    """Give an argument's values the place of the argument, which has no lines."""
    value = entry.value
    if isinstance(value, dict):
        value = {key: _moved(item, place) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_moved(item, place) for item in value]
    return Entry(value, place, place)


def asked(section: Entry) -> Asked:
    """Read the section.

    Raises:
        ScenarioError: What is wrong with it, all at once.
    """
    problems: list[Problem] = []
    try:
        checked = SweepSection.model_validate(section.plain())
    except ValidationError as error:
        raise ScenarioError(_below(translated(error, section))) from None
    axes = {name: tuple(_axes(section.child(name), (name,), problems)) for name in ("grid", "zip")}
    lengths = {len(axis) for axis in axes["zip"]}
    if len(lengths) > 1:
        text = f"these lists go together, so they must be equally long, not {_sizes(axes['zip'])}"
        problems.append(axes["zip"][0].place.problem(("zip",), text))
    found = Asked(
        axes["grid"],
        axes["zip"],
        tuple(_listed(section.child("list"), problems)),
        tuple(_samples(section, checked, problems)),
        checked.keep,
    )
    problems += _twice(found)
    if not problems:
        problems += _sized(found, section)
    if problems:
        raise ScenarioError(_below(problems))
    return found


def _below(problems: Sequence[Problem]) -> list[Problem]:
    """Put the section in front of the paths."""
    from dataclasses import replace  # noqa: PLC0415 - only where something is wrong

    return [replace(problem, path=(SECTION, *problem.path)) for problem in problems]


def _sizes(axes: Sequence[Axis]) -> str:
    return " and ".join(str(len(axis)) for axis in axes)


def _axes(entry: Entry | None, path: tuple[str, ...], problems: list[Problem]) -> Iterator[Axis]:
    """Read keys with their lists of values."""
    for key, values in (entry.value if entry is not None and entry.value else {}).items():
        place = values.key or values.place
        problems += _key_problems(key, place, (*path, key))
        if not values.value:
            problems.append(place.problem((*path, key), "no values; write a list of at least one"))
        yield Axis(key, place, tuple(values.value))


def _key_problems(key: str, place: Place, path: tuple[str | int, ...]) -> list[Problem]:
    """Say why a key cannot be swept."""
    first = re.split(r"[.\[]", key.strip(), maxsplit=1)[0]
    if first in _FORBIDDEN:
        return [place.problem(path, f"{first!r} cannot be swept; all points share it")]
    try:
        assigned(Entry({}, place), key, Entry(None, place), place)
    except ScenarioError as error:
        return [place.problem(path, problem.text, problem.help) for problem in error.problems]
    return []


def _listed(entry: Entry | None, problems: list[Problem]) -> Iterator[tuple[Assigned, ...]]:
    """Read points one by one."""
    for index, point in enumerate(entry.value if entry is not None and entry.value else ()):
        found = []
        for key, value in point.value.items():
            place = value.key or value.place
            problems += _key_problems(key, place, ("list", index, key))
            found.append(Assigned(key, value, place))
        if not found:
            problems.append(point.place.problem(("list", index), "this point sets nothing"))
        yield tuple(found)


def _samples(section: Entry, checked: SweepSection, problems: list[Problem]) -> Iterator[Sample]:
    """Read what fills a space."""
    for kind in _SAMPLES:
        settings, entry = getattr(checked, kind), section.child(kind)
        if settings is None or entry is None:
            continue
        over = entry.child("over")
        assert over is not None
        axes: list[Axis | Span] = []
        for key, value in over.value.items():
            path = (kind, "over", key)
            if isinstance(value.value, list):
                axes += _axes(Entry({key: value}, over.place), path[:-1], problems)
                continue
            place = value.key or value.place
            problems += _key_problems(key, place, path)
            span = _span(key, value, path, problems)
            axes += [] if span is None else [span]
        points = settings.points
        if kind == "sobol" and points & (points - 1):
            place = (entry.child("points") or entry).spot()
            low = 1 << (points.bit_length() - 1)
            text = f"a Sobol sequence is even only if its length is a power of two, not {points}"
            problems.append(place.problem((kind, "points"), text, f"use {low} or {2 * low}"))
        yield Sample(kind, points, settings.seed, tuple(axes))


def _span(key: str, entry: Entry, path: tuple[str | int, ...], problems: list[Problem]) -> Span | None:
    """Read a range, with or without a unit."""
    place = entry.key or entry.place
    try:
        checked = Range.model_validate(entry.plain())
    except ValidationError as error:
        from edgesim.scenario.problems import shifted  # noqa: PLC0415 - only where something is wrong

        problems += [shifted(problem, *path) for problem in translated(error, entry)]
        return None
    ends = [_number(end) for end in (checked.from_, checked.to)]
    for end, name, value in zip(ends, ("from", "to"), (checked.from_, checked.to), strict=True):
        if end is None:
            spot = (entry.child(name) or entry).spot()
            text = f"{shown(value)} is no number, with or without a unit"
            problems.append(spot.problem((*path, name), text, "give a list of values instead"))
    if ends[0] is None or ends[1] is None:
        return None
    (low, tail), (high, other) = ends[0], ends[1]
    logarithmic = checked.scale == "log"
    if (tail or "").strip() != (other or "").strip():
        text = f"write both ends in the same unit, not {shown(checked.from_)} and {shown(checked.to)}"
        problems.append(place.problem(path, text))
    elif not low < high:
        problems.append(place.problem(path, f"{shown(checked.from_)} is not less than {shown(checked.to)}"))
    elif logarithmic and low <= 0:
        problems.append(place.problem(path, "a logarithmic scale needs a range above 0", "scale: linear"))
    whole = isinstance(checked.from_, int) and isinstance(checked.to, int)
    return Span(key, place, low, high, tail, logarithmic, whole)


def _number(value: Any) -> tuple[float, str | None] | None:
    """Take a number and its unit apart."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value), None
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    return (float(match[1]), match[2]) if match else None


def _twice(found: Asked) -> Iterator[Problem]:
    """Yield the keys that two ways both set."""
    ways: list[tuple[str, dict[str, Place]]] = [
        ("grid", {axis.key: axis.place for axis in found.grid}),
        ("zip", {axis.key: axis.place for axis in found.zipped}),
        ("list", {one.key: one.place for point in found.listed for one in point}),
    ]
    ways += [(sample.kind, {axis.key: axis.place for axis in sample.axes}) for sample in found.samples]
    seen: dict[str, str] = {}
    for way, keys in ways:
        for key, place in keys.items():
            if key in seen:
                yield place.problem((way, key), f"{key!r} is swept twice: here and under '{seen[key]}'")
            seen.setdefault(key, way)


def _sized(found: Asked, section: Entry) -> Iterator[Problem]:
    """A sweep has points, and not too many."""
    spot = section.spot()
    if not found.keys:
        yield spot.problem((), "this sweeps over nothing", f"write e.g. grid: {written(_EXAMPLE)}")
    elif found.size > MOST_POINTS:
        yield spot.problem((), f"{found.size:,} points are too many; a sweep has up to {MOST_POINTS:,}")
