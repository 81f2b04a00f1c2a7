"""Loads scenarios: a file or a mapping, what it extends, and overrides, checked as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgesim import registry
from edgesim.errors import Problem, ScenarioError
from edgesim.registry import suggestion
from edgesim.scenario import template
from edgesim.scenario.check import check
from edgesim.scenario.merge import merged, overridden
from edgesim.scenario.names import check_names
from edgesim.scenario.problems import located, translated
from edgesim.scenario.schema import Scenario
from edgesim.scenario.sweep import SECTION, asked
from edgesim.scenario.text import Entry, Place, Text, read, walk
from edgesim.units import shown


def load(
    source: str | os.PathLike[str] | Mapping[str, Any], sets: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Scenario:
    """Load a scenario.

    Args:
        source: A YAML file, the name of a packaged scenario, or the same as a mapping.
        sets: Overrides of the form `key.path=value`; the value is YAML.
        plugins: Further files with policies, relative to the working directory.

    Raises:
        ScenarioError: Something is wrong; holds every problem, with its place in the file.
    """
    found = opened(source, sets, plugins)
    problems = list(found.problems)
    if found.sweep is not None:
        try:
            asked(found.sweep)
        except ScenarioError as error:
            problems += error.problems
    made = validated(found.entry, problems, policies=not found.broken_plugins)
    if made.problems or made.senseless or made.scenario is None:
        raise ScenarioError(in_order([*made.problems, *made.senseless], found.entry))
    return made.scenario


@dataclass(frozen=True)
class Opened:
    """A scenario that was read, with what it extends and overrides applied, and not validated yet.

    Attributes:
        entry: The scenario without its section `sweep`.
        sweep: That section; None without one.
        problems: What is wrong so far.
        broken_plugins: Whether plugins are among it, so that policies cannot be judged.
    """

    entry: Entry
    sweep: Entry | None
    problems: tuple[Problem, ...]
    broken_plugins: bool


def opened(
    source: str | os.PathLike[str] | Mapping[str, Any], sets: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Opened:
    """Read a scenario; the arguments are those of `load`."""
    problems: list[Problem] = []
    entry = _extended(_opened(source, problems), problems, ())
    entry = overridden(entry, sets)
    sweep = entry.child(SECTION)
    sweep = None if sweep is None or sweep.value is None else sweep
    if isinstance(entry.value, dict):
        without = {key: value for key, value in entry.value.items() if key != SECTION}
        entry = Entry(without, entry.place, entry.key)
    entry = with_absolute_paths(_with_plugins(entry, plugins))
    broken_plugins = _plugin_problems(entry)
    return Opened(entry, sweep, (*problems, *broken_plugins), bool(broken_plugins))


@dataclass(frozen=True)
class Validated:
    """What became of a scenario.

    Attributes:
        scenario: The scenario; None if its keys or values are wrong.
        problems: What is wrong with keys, values and names.
        senseless: What does not make sense of a scenario whose values and names are fine, such as LLMs that do
            not fit.
    """

    scenario: Scenario | None
    problems: list[Problem]
    senseless: list[Problem]


def validated(entry: Entry, known: Sequence[Problem] = (), *, policies: bool = True) -> Validated:
    """Validate a scenario that was read.

    Args:
        entry: The scenario.
        known: What is known to be wrong with it.
        policies: Whether all plugins are loaded, so that policies can be judged.
    """
    unread = {(problem.file, problem.line, problem.path) for problem in known}
    problems = list(known)
    data = entry.plain()
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        found = translated(error, entry)
        problems += [one for one in found if (one.file, one.line, one.path) not in unread]
    problems += [located(problem, entry) for problem in check_names(data, policies=policies)]
    senseless = []
    if scenario is not None and not problems:
        senseless = [located(problem, entry) for problem in check(scenario)]
    return Validated(scenario, problems, senseless)


def _opened(source: str | os.PathLike[str] | Mapping[str, Any], problems: list[Problem]) -> Entry:
    """Read the outermost scenario."""
    if isinstance(source, Mapping):
        return entry_of(source, Place(Text("", Path.cwd())))
    path = Path(source)
    if not path.suffix and not path.exists() and str(source) in template.packaged():
        path = template.path(str(source))
    return _file(path, problems)


def entry_of(value: Any, place: Place) -> Entry:
    """Give data from Python the form of data that was read."""
    if isinstance(value, Mapping):
        return Entry({str(key): entry_of(item, place) for key, item in value.items()}, place, place)
    if isinstance(value, list | tuple):
        return Entry([entry_of(item, place) for item in value], place, place)
    return Entry(value, place, place)


def _file(path: Path, problems: list[Problem]) -> Entry:
    """Read a scenario file; what does not prevent that goes to the other problems."""
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = suggestion(path.name, [*_neighbours(path), *template.packaged()])
        help_ = "" if near or path.suffix else f"scenarios known by name: {', '.join(template.packaged())}"
        raise ScenarioError([Problem((), f"no such file{near}", help_, file=name)]) from None
    except IsADirectoryError:
        inside = path / "scenario.yaml"
        help_ = f"give the file in it: {inside}" if inside.exists() else ""
        raise ScenarioError(
            [Problem((), "this is a folder, not a scenario file", help_, file=name)]
        ) from None
    except UnicodeDecodeError as error:
        text = f"not text in UTF-8: byte {error.object[error.start]:#04x} at position {error.start}"
        raise ScenarioError([Problem((), text, file=name)]) from None
    except OSError as error:
        raise ScenarioError([Problem((), f"cannot be read: {error.strerror}", file=name)]) from None
    entry = read(text, name, path.absolute().parent, problems)
    if entry.value is None:
        help_ = "`edgesim init FILE` writes a scenario to start from"
        raise ScenarioError([Problem((), "the file is empty", help_, file=name)])
    if not isinstance(entry.value, dict):
        text = f"a scenario is a mapping of sections such as 'topology:', not {shown(entry.value)}"
        raise ScenarioError([entry.place.problem((), text)])
    return entry


def _neighbours(path: Path) -> list[str]:
    """List the YAML files beside a path."""
    try:
        return sorted(item.name for item in path.parent.iterdir() if item.suffix in (".yaml", ".yml"))
    except OSError:
        return []


def _extended(entry: Entry, problems: list[Problem], seen: tuple[Path, ...]) -> Entry:
    """Lay a scenario over the one it extends, and that over what it extends in turn."""
    base = entry.child("extends")
    if base is None or not isinstance(entry.value, dict):
        return entry
    own = Entry(
        {key: value for key, value in entry.value.items() if key != "extends"}, entry.place, entry.key
    )
    path = _base(base)
    if path in seen:
        chain = " -> ".join(item.name for item in (*seen[seen.index(path) :], path))
        raise ScenarioError([base.place.problem(("extends",), f"this goes in a circle: {chain}")])
    return merged(_extended(_file(_shown_path(path), problems), problems, (*seen, path)), own)


def _base(base: Entry) -> Path:
    """Find the file that `extends` names."""
    if not isinstance(base.value, str):
        text = f"{shown(base.value)} is not a path or the name of a packaged scenario"
        raise ScenarioError([base.spot().problem(("extends",), text)])
    path = Path(os.path.normpath(base.place.text.folder / base.value))
    if path.is_file():
        return path
    known = template.packaged()
    if base.value in known:
        return template.path(base.value)
    near = suggestion(base.value, [*_neighbours(path), *known])
    text = f"no scenario file {base.value!r}{near}"
    help_ = "paths are relative to this file" + (f"; packaged: {', '.join(known)}" if known else "")
    raise ScenarioError([base.place.problem(("extends",), text, help_)])


def _shown_path(path: Path) -> Path:
    """Shorten a path to what a person below the working directory would write."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _with_plugins(entry: Entry, plugins: Sequence[str]) -> Entry:
    """Append plugins of the command line to those of the file."""
    if not plugins or not isinstance(entry.value, dict):
        return entry
    listed = entry.child("plugins")
    items = listed.value if listed is not None and isinstance(listed.value, list) else []
    place = entry.place if listed is None else listed.place
    new = []
    for plugin in plugins:
        here = Place(Text(f"--plugin {plugin}", Path.cwd()))
        new.append(Entry(str(plugin), here, here))
    return Entry({**entry.value, "plugins": Entry([*items, *new], place, place)}, entry.place, entry.key)


FILES = {("workloads",), ("deployments",)}
"""Sections in which the key `path` names a file."""


def with_absolute_paths(entry: Entry) -> Entry:
    """Resolve the paths of traces, value files, profiles and plugins against the file (or argument) that names them."""
    for path, item in list(walk(entry)):
        is_path = path[:1] == ("plugins",) or (path[:1] in FILES and path[-1:] == ("path",))
        if is_path and isinstance(item.value, str):
            item.value = os.path.normpath(item.place.text.folder / item.value)
    return entry


def _plugin_problems(entry: Entry) -> list[Problem]:
    """Load the plugins, so that their policies are known; answer what is wrong with them."""
    problems: list[Problem] = []
    listed = entry.child("plugins")
    for index, item in enumerate(
        listed.value if listed is not None and isinstance(listed.value, list) else ()
    ):
        if not isinstance(item.value, str):
            continue
        if not Path(item.value).is_file():
            problems.append(
                item.place.problem(("plugins", index), f"no such file: {_shown_path(Path(item.value))}")
            )
            continue
        try:
            registry.load_plugin(item.value)
        except ScenarioError as error:
            problems += [
                problem if problem.file else replace(problem, file=item.value) for problem in error.problems
            ]
    return problems


def in_order(problems: Sequence[Problem], entry: Entry) -> list[Problem]:
    """Sort problems as a reader meets them: the scenario's own file first, from top to bottom."""
    own = entry.place.text.name
    files = list(dict.fromkeys([own, *(problem.file for problem in problems)]))
    return sorted(
        dict.fromkeys(problems),
        key=lambda problem: (files.index(problem.file), problem.line or 0, problem.column or 0),
    )
