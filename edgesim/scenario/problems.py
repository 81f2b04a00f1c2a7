"""From what pydantic found to problems that people can read, at their place in the file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgesim.registry import suggestion
from edgesim.units import shown

if TYPE_CHECKING:
    from pydantic import ValidationError

    from edgesim.errors import Problem
    from edgesim.scenario.text import Entry

Path = tuple[str | int, ...]


def translated(error: ValidationError, entry: Entry) -> list[Problem]:
    """Turn the errors of a validation into located problems."""
    details = error.errors(include_url=False)
    return [_translated(detail, entry) for detail in details if not _only_follows(detail)]


def _only_follows(detail: Any) -> bool:
    """Tell whether a list is too short only because its entries have problems of their own."""
    return detail["type"] == "too_short" and bool(len(detail["input"]) >= detail["ctx"]["min_length"])


def located(problem: Problem, entry: Entry) -> Problem:
    """Add the place of a problem that knows only its path: the deepest part of it that the file holds."""
    if problem.file is not None:
        return problem
    found = entry
    for part in problem.path:
        below = found.child(part)
        if below is None:
            break
        found = below
    if _blames_key(problem) and found.key is not None:
        return found.key.problem(problem.path, problem.text, problem.help)
    return found.spot().problem(problem.path, problem.text, problem.help)


def _blames_key(problem: Problem) -> bool:
    """Tell whether the last key of the path is wrong, not its value; the registry words it in its own way."""
    return problem.text.startswith("unknown key") or (
        bool(problem.path) and f"no parameter {problem.path[-1]!r}" in problem.text
    )


def _translated(detail: Any, entry: Entry) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    text, help_ = _words(kind, context, detail)
    path, found = _found(detail["loc"], entry)
    key = "kind" if kind == "union_tag_invalid" else context.get("key", "")
    below = found.child(key) if key else None
    if below is not None:
        path, found = (*path, key), below
    if (kind == "unknown_key" or detail["loc"][-1:] == ("[key]",)) and found.key is not None:
        return found.key.problem(path, text, help_)
    return found.spot().problem(path, text, help_)


def _found(location: Path, entry: Entry) -> tuple[Path, Entry]:
    """Follow pydantic's location; parts without an entry name union members, or keys that are missing."""
    path: Path = ()
    for part in location:
        below = entry.child(part)
        if below is not None:
            path, entry = (*path, part), below
    return path, entry


def _words(kind: str, context: dict[str, Any], detail: Any) -> tuple[str, str]:
    """Say what is wrong, and what to do."""
    given = detail["input"]
    value = shown(given)
    if "text" in context:
        return context["text"], context.get("help", "")
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", context["expected_tags"])
        near = suggestion(str(context["tag"]), known)
        return f"unknown kind {context['tag']!r}{near}", "" if near else f"known: {', '.join(known)}"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        return f"{value} is not a choice{suggestion(str(given), known)}", f"one of {', '.join(known)}"
    if kind in _EXPECTED:
        help_ = "put it in quotes" if kind == "string_type" and isinstance(given, int | float) else ""
        expected = _EXPECTED[kind]
        return (
            f"this is empty; it must be {expected}" if given is None else f"{value} is not {expected}",
            help_,
        )
    return detail["msg"].removeprefix("Value error, ").replace("Input should be", f"{value} should be"), ""


_EXPECTED: Final = {
    "bool_type": "true or false",
    "string_type": "text",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping of keys to values"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "too_short": "enough; at least one entry is needed",
}
"""What a value of the wrong sort should have been."""


def shifted(problem: Problem, *path: str | int) -> Problem:
    """Put a path in front of a problem's own."""
    return replace(problem, path=(*path, *problem.path))
