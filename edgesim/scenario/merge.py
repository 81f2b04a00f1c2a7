"""Scenarios on top of scenarios: `extends:` and `--set`, before anything is validated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.errors import Problem, ScenarioError, path_text
from edgesim.scenario.text import Entry, Place, Text, read
from edgesim.units import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def merged(base: Entry, over: Entry) -> Entry:
    """Lay a scenario over the one it extends.

    Mappings merge key by key; anything else replaces. A mapping of another `kind` replaces as a whole, as the
    parameters of the old kind mean nothing to the new one; the name of the same kind keeps them. An empty value (null)
    removes what the base says.
    """
    if _is_named(base, over):
        return base
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or _other_kind(base, over):
        return over
    entries = dict(base.value)
    for key, entry in over.value.items():
        if entry.value is None and key in entries:
            del entries[key]
        else:
            entries[key] = merged(entries[key], entry) if key in entries else entry
    return Entry(entries, over.place, over.key)


def _other_kind(base: Entry, over: Entry) -> bool:
    before, after = base.child("kind"), over.child("kind")
    return after is not None and (before is None or before.value != after.value)


def _is_named(base: Entry, over: Entry) -> bool:
    """Whether a plain name is the `kind` of what stands there already, with parameters."""
    kind = base.child("kind")
    return kind is not None and isinstance(over.value, str) and kind.value == over.value


def overridden(entry: Entry, sets: Sequence[str]) -> Entry:
    """Apply `key.path=value` arguments, in order.

    Raises:
        ScenarioError: Arguments that are malformed or lead nowhere, all at once.
    """
    problems: list[Problem] = []
    for argument in sets:
        try:
            entry = _set(entry, argument)
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(problems)
    return entry


def _set(entry: Entry, argument: str) -> Entry:
    name = f"--set {argument}"
    place = Place(Text(name, Path.cwd()))
    written, equals, value = argument.partition("=")
    if not equals or not written.strip():
        raise ScenarioError([Problem((), "this is not of the form key.path=value", file=name)])
    new = read(value, name, Path.cwd(), argument=True)
    return assigned(entry, written, Entry(new.value, place, place), place)


def assigned(entry: Entry, path: str, value: Entry, place: Place) -> Entry:
    """Copy a scenario with what lies at a path (`key.path`, `list[0].key`) replaced.

    The name of the kind that stands there already keeps its parameters: `policies.router=threshold-offload` means
    the one of the scenario. A parameter may be set of what is named without any.

    Args:
        entry: The scenario.
        path: The path.
        value: What stands there from now on.
        place: Where the path is written.

    Raises:
        ScenarioError: The path is malformed or leads nowhere.
    """
    parts = list(_parts(path.strip(), place))
    if not parts:
        raise ScenarioError([place.problem((), "an empty path of keys")])
    return _replaced(entry, parts, value, place, ())


def lookup(entry: Entry, path: str) -> Entry | None:
    """Answer what lies at a path, if anything does."""
    parts = list(_parts(path.strip(), entry.place))
    found: Entry | None = entry
    while parts and found is not None:
        if isinstance(found.value, dict):
            key, used = _key(found.value, parts)
            found, parts = found.child(key), parts[used:]
        else:
            index = parts[0][0]
            found, parts = found.child(int(index)) if index.isdecimal() else None, parts[1:]
    return found


def _parts(text: str, place: Place) -> Iterator[tuple[str, bool]]:
    """Split a path at its dots and brackets; yields parts, and whether each was quoted."""
    pattern = re.compile(r"""\.?(?:"([^"]*)"|'([^']*)'|\[(\d+)\]|([^.\[\]"']+))""")
    position = 0
    while position < len(text):
        match = pattern.match(text, position)
        if match is None:
            raise ScenarioError([place.problem((), f"{text!r} is not a path of keys")])
        double, single, index, word = match.groups()
        quoted = double if double is not None else single
        yield (quoted, True) if quoted is not None else (index or word, False)
        position = match.end()


def _replaced(
    entry: Entry, parts: Sequence[tuple[str, bool]], new: Entry, place: Place, path: tuple[str | int, ...]
) -> Entry:
    """Copy an entry with what lies at a path replaced; shared parts are never changed in place."""
    if not parts:
        return entry if _is_named(entry, new) else new
    if isinstance(entry.value, str) and _holds_kind(path):
        entry = Entry({"kind": Entry(entry.value, entry.place)}, entry.place, entry.key)
    match entry.value:
        case list() as items:
            index = _index(parts[0][0], len(items), place, path)
            child = _replaced(items[index], parts[1:], new, place, (*path, index))
            return Entry([*items[:index], child, *items[index + 1 :]], entry.place, entry.key)
        case dict() | None:
            entries = entry.value or {}
            key, used = _key(entries, parts)
            below = entries.get(key, Entry(None, place, place))
            child = _replaced(below, parts[used:], new, place, (*path, key))
            return Entry({**entries, key: child}, entry.place, entry.key)
    inside = ".".join(part for part, _ in parts)
    text = f"{path_text(path)} is {shown(entry.value)}, which has no {inside!r} inside"
    raise ScenarioError(
        [place.problem(path, text, f"set {path_text(path)} as a whole, e.g. to a mapping {{...}}")]
    )


def _holds_kind(path: tuple[str | int, ...]) -> bool:
    """Whether a plain name at a path is short for a mapping with that `kind`."""
    return path[-1:] == ("costs",) or (path[:1] == ("policies",) and len(path) == 2)


def _key(entries: dict[str, Entry], parts: Sequence[tuple[str, bool]]) -> tuple[str, int]:
    """Find the key that a path means; keys may hold dots (`llama-3.2-1b`), so the longest one wins."""
    if not parts[0][1]:
        for used in range(len(parts), 1, -1):
            key = ".".join(part for part, _ in parts[:used])
            if key in entries:
                return key, used
    return parts[0][0], 1


def _index(part: str, size: int, place: Place, path: tuple[str | int, ...]) -> int:
    if part.isdecimal() and int(part) < size:
        return int(part)
    have = f"{path_text(path)} is a list of {size}"
    text = (
        f"{have}; there is no [{part}]"
        if part.isdecimal()
        else f"{have}; give a position from 0, not {part!r}"
    )
    raise ScenarioError([place.problem(path, text)])
