"""YAML as scenarios use it: version 1.2 scalars, data only, and a place in the file for every value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

from edgesim.errors import Problem, ScenarioError
from edgesim.units import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAG: Final = "tag:yaml.org,2002:"
_MOST_COPIES: Final = 20_000
"""More copies than this come from aliases that multiply, not from a person."""

_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
)
"""Plain scalars of the YAML 1.2 core schema: yes, no, on, off and 12:30:45 are text, 1e9 is a number."""


class _Resolver(BaseResolver):
    """Tells numbers, truth values and nothing from text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class's own way of declaring it


for _kind, _pattern, _first in _SCALARS:
    _Resolver.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)


class _Composer(
    yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver
):
    """Reads text into nodes with marks; constructs no objects."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        _Resolver.__init__(self)


class _Dumper(yaml.SafeDumper):
    """Writes data that `_Composer` reads back equal."""

    yaml_implicit_resolvers = _Resolver.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same for all data
        """Write a value wherever it stands."""
        return True


def _quoted_breaks(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote text with unusual line breaks, which YAML would fold into spaces."""
    style = '"' if any(letter in text for letter in "\r\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style)


_Dumper.add_representer(str, _quoted_breaks)


def dump(data: Any) -> str:
    """Write plain data as YAML: small mappings and lists in one line."""
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110
    )
    return str(text)


@dataclass(frozen=True, slots=True)
class Text:
    """A file, or an argument, that holds YAML.

    Attributes:
        name: What messages call it; empty for data that comes from Python.
        folder: Paths in it are relative to this.
        lines: Its lines; empty for arguments, which messages show whole.
    """

    name: str
    folder: Path
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a line, counted from 1."""

    text: Text
    line: int = 0
    column: int = 0
    length: int = 1

    def problem(self, path: tuple[str | int, ...], text: str, help_: str = "") -> Problem:
        """Make a problem that points here."""
        if not 0 < self.line <= len(self.text.lines):
            return Problem(path, text, help_, file=self.text.name or None)
        source = self.text.lines[self.line - 1]
        return Problem(
            path,
            text,
            help_,
            file=self.text.name,
            line=self.line,
            column=self.column,
            source=source,
            length=self.length,
        )


@dataclass(slots=True)
class Entry:
    """A value and where it stands: a scalar, a list of entries, or entries by key.

    Attributes:
        value: The scalar, list or dict.
        place: Where the value stands.
        key: Where its key stands, for values of mappings.
    """

    value: Any
    place: Place
    key: Place | None = None

    def plain(self) -> Any:
        """Strip the places."""
        match self.value:
            case dict():
                return {key: entry.plain() for key, entry in self.value.items()}
            case list():
                return [entry.plain() for entry in self.value]
        return self.value

    def child(self, part: str | int) -> Entry | None:
        """Answer the entry below a key or a list position, if there is one."""
        match self.value, part:
            case dict(), str():
                return self.value.get(part)
            case list(), int() if 0 <= part < len(self.value):
                found: Entry = self.value[part]
                return found
        return None

    def spot(self) -> Place:
        """Answer what to underline: a scalar itself, or the key of a mapping or list."""
        collection = isinstance(self.value, dict | list)
        return self.key if self.key is not None and (collection or self.value is None) else self.place


def read(
    text: str, name: str, folder: Path, problems: list[Problem] | None = None, *, argument: bool = False
) -> Entry:
    """Read YAML.

    Args:
        text: What to read.
        name: What messages call it.
        folder: Paths in it are relative to this.
        problems: Takes up duplicate keys and what is not data, to be reported with what is found later.
        argument: Whether it is the value of a command-line argument, shown whole in messages.

    Raises:
        ScenarioError: It is no YAML, or there are problems and nowhere to put them.
    """
    origin = Text(name, folder, () if argument else tuple(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)))
    reader = _Reader(origin)
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ScenarioError([_syntax_problem(error, origin)]) from None
    except yaml.reader.ReaderError as error:
        raise ScenarioError([_character_problem(error, origin, text)]) from None
    except RecursionError:
        raise ScenarioError([Problem((), "the YAML is nested too deeply", file=name)]) from None
    if node is None:
        return Entry(None, Place(origin))
    entry = reader.entry(node, ())
    if problems is not None:
        problems += reader.problems
    elif reader.problems:
        raise ScenarioError(reader.problems)
    return entry


class _Reader:
    """Turns YAML nodes into entries and collects what scenarios may not hold."""

    def __init__(self, text: Text) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._seen: set[int] = set()
        self._copies = 0
        self._open: set[int] = set()

    def entry(self, node: Node, path: tuple[str | int, ...], key: Place | None = None) -> Entry:
        """Read a node with all that is below it."""
        place = self._place(node)
        self._copies += id(node) in self._seen
        self._seen.add(id(node))
        if self._copies > _MOST_COPIES or id(node) in self._open:
            if not self.problems or "alias" not in self.problems[-1].text:
                self.problems.append(
                    place.problem(path, "this alias contains itself, or multiplies without end")
                )
            return Entry(None, place, key)
        if not self._is_data(node, path, place):
            return Entry(None, place, key)
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return Entry(self._mapping(node, path), place, key)
            if isinstance(node, SequenceNode):
                return Entry(
                    [self.entry(item, (*path, index)) for index, item in enumerate(node.value)], place, key
                )
            return Entry(_scalar(node), place, key)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: tuple[str | int, ...]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if not isinstance(key_node, ScalarNode):
                self.problems.append(place.problem(path, "a key is a word, not a list or a mapping"))
                continue
            key = str(key_node.value)
            if key in entries:
                first = entries[key].key
                where = f"; it stands already in line {first.line}" if first else ""
                self.problems.append(place.problem((*path, key), f"duplicate key{where}"))
                continue
            entries[key] = self.entry(value_node, (*path, key), place)
        return entries

    def _is_data(self, node: Node, path: tuple[str | int, ...], place: Place) -> bool:
        kinds = {"map", "seq", "str", "null", "bool", "int", "float"}
        if node.tag.removeprefix(_TAG) in kinds:
            return True
        tag = node.tag.replace(_TAG, "!!")
        self.problems.append(place.problem(path, f"the tag {tag!r} is not allowed; a scenario is data only"))
        return False

    def _place(self, node: Node) -> Place:
        start, end = node.start_mark, node.end_mark
        whole = isinstance(node, ScalarNode) and start.line == end.line
        length = end.column - start.column if whole else 1
        return Place(self._text, start.line + 1, start.column + 1, max(1, length))


def _scalar(node: Node) -> Any:
    """Read a scalar of the core schema."""
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return _number(text, int)
        case "float":
            return _number(text.lower().replace(".inf", "inf").replace(".nan", "nan"), float)
    return text


def _number(text: str, kind: type[int | float]) -> Any:
    try:
        base = {"0o": 8, "0x": 16}.get(text[:2].lower())
        return int(text, base) if base and kind is int else kind(text)
    except ValueError:  # `!!int abc`, or more digits than Python converts
        return text


def _syntax_problem(error: yaml.MarkedYAMLError, origin: Text) -> Problem:
    """Say in plain words what the YAML parser stumbled over, and where."""
    mark = error.problem_mark or error.context_mark
    text = error.problem or "cannot be read"
    help_ = ""
    if "'\\t'" in text:
        text, help_ = "a tab cannot indent YAML", "indent with spaces"
    elif text.startswith("mapping values are not allowed"):
        text, help_ = "a colon where no key can stand", "quote text that holds ': '; check the indentation"
    elif text.startswith("but found another document"):
        text, help_ = "a second YAML document", "one file holds one scenario; remove '---'"
    elif text.startswith("could not find expected ':'"):
        text, help_ = "a key without ':'", ""
    elif "undefined alias" in text:
        text = text.removeprefix("found ")
    else:
        context = f" {error.context}" if error.context else ""
        text = f"not valid YAML:{context}, {text}" if context else f"not valid YAML: {text}"
    if mark is None:
        return Problem((), text, help_, file=origin.name)
    line, column = mark.line + 1, mark.column + 1
    if line > len(origin.lines) or (line == len(origin.lines) and not origin.lines[-1] and line > 1):
        line = max(
            1, len(origin.lines) - (not origin.lines[-1] if origin.lines else 0)
        )  # the end of the file
        column = len(origin.lines[line - 1]) + 1 if origin.lines else 1
    return Place(origin, line, column).problem((), text, help_)


def _character_problem(error: yaml.reader.ReaderError, origin: Text, text: str) -> Problem:
    """Point at a character that YAML does not allow."""
    position = text.find(chr(error.character)) if isinstance(error.character, int) else -1
    before = text[: max(position, 0)]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Place(origin, line, column).problem(
        (), f"the character {shown(text[position])} is not allowed in YAML"
    )


def walk(entry: Entry, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Entry]]:
    """Yield every entry with its path, parents first."""
    yield path, entry
    children = (
        entry.value.items()
        if isinstance(entry.value, dict)
        else enumerate(entry.value)
        if isinstance(entry.value, list)
        else ()
    )
    for part, child in children:
        yield from walk(child, (*path, part))
