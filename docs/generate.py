"""Writes the reference from the code: scenario keys, metrics, policies, catalogue, commands."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import click
import yaml

import edgesim.policies  # noqa: F401 - fills the registry
from edgesim import registry
from edgesim.cli import main
from edgesim.metrics import METRICS, OBJECTIVES, RATES
from edgesim.report import catalogue as book
from edgesim.scenario.outline import plain_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from edgesim.registry.listing import Parameter

_PLAIN = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "object": "keys and values",
}
"""Types of JSON as people call them."""


def write_reference(folder: Path) -> None:
    """Write one page a subject."""
    folder.mkdir(exist_ok=True)
    pages = {
        "scenario": scenario_keys,
        "metrics": metrics,
        "policies": policies,
        "catalogue": catalogue,
        "commands": commands,
    }
    for name, page in pages.items():
        text = "\n".join(page()) + "\n"
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:  # Sphinx rebuilds what changed
            path.write_text(text, encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lay out a table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _cell(text: object) -> str:
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())


def scenario_keys() -> Iterator[str]:
    """Every key of a scenario, in the order of the file."""
    schema = plain_schema()
    yield "# Keys of a scenario\n"
    yield (
        "Quantities are written with their unit (`20 ms`, `1 Gbps`, `16 GiB`, `6/s`, `65 W`, `90 %`); a key that is "
        "not listed here is an error that names the nearest one. `edgesim init --commented` writes the same as a "
        "YAML file, `edgesim schema` as a JSON schema for editors. In the "
        "headings below NAME stands for a name that you choose.\n"
    )
    yield (
        "A scenario may build on another one: `extends: quickstart.yaml` takes over whatever this file does not say. "
        "On the command line `--set KEY=VALUE` changes a key by its path, such as `topology.nodes.edge.count=2` or "
        "`deployments.0.weights=int4`.\n"
    )
    sections = _Sections(schema)
    yield "## The file\n"
    yield from _keys(schema, sections.named)
    for name, paths in sections.paths.items():
        section = sections.named[name]
        depth = "##" if "." not in paths[0] else "###"
        yield f"({_anchor(name)})=\n"
        yield f"{depth} {_heading(section, paths[0])}\n"
        if text := section.get("description", ""):
            yield text + "\n"
        if paths[1:]:
            yield f"The same at {', '.join(f'`{path}`' for path in paths[1:])}.\n"
        yield from _keys(section, sections.named)


class _Sections:
    """The sections of a scenario, in the order in which a reader of the file meets them.

    Attributes:
        named: Section by its short name; laws of times and of counts are one section.
        paths: The places where each may stand, first met first.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.named = {_short(n, s): s for n, s in reversed(schema["$defs"].items()) if "properties" in s}
        self._full = {n: _short(n, s) for n, s in schema["$defs"].items()}
        self.paths: dict[str, list[str]] = {}
        self._walk(schema, "")

    def _walk(self, part: dict[str, Any], path: str) -> None:
        for key, field in part.get("properties", {}).items():
            for name, place in self._below(field, f"{path}.{key}".removeprefix(".")):
                known = name in self.paths
                places = self.paths.setdefault(name, [])
                if place not in places:
                    places.append(place)
                if not known:
                    self._walk(self.named[name], place)

    def _below(self, field: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
        """Find the sections that a key may hold, with the path of each."""
        if "$ref" in field:
            name = self._full[field["$ref"].rpartition("/")[2]]
            if name in self.named:
                yield name, path
        for part in (*field.get("anyOf", ()), *field.get("oneOf", ())):
            yield from self._below(part, path)
        if "items" in field:
            yield from self._below(field["items"], f"{path}.0")
        if isinstance(field.get("additionalProperties"), dict):
            yield from self._below(field["additionalProperties"], f"{path}.NAME")


def _heading(section: dict[str, Any], path: str) -> str:
    """Name a section by its place, and by its kind where a place may hold several."""
    kind = section["properties"].get("kind", {})
    kinds = [kind["const"]] if "const" in kind else kind.get("enum", [])
    return f"`{path}`" + (f" of kind {' or '.join(f'`{name}`' for name in kinds)}" if kinds else "")


def _keys(section: dict[str, Any], sections: dict[str, Any]) -> Iterator[str]:
    """Lay out the keys of a section; one that says nothing itself is told by the section that it holds."""
    needed = set(section.get("required", ()))
    rows = []
    for key, field in section["properties"].items():
        default = "required" if key in needed else "" if "$ref" in field else _written(field.get("default"))
        inner = sections.get(field.get("$ref", "").rpartition("/")[2], {})
        meaning = field.get("description") or inner.get("description", "")
        examples = " or ".join(filter(None, map(_written, field.get("examples", ())[:2])))
        if examples and examples != default:
            meaning = f"{meaning.removesuffix('.')}, e.g. {examples}."
        rows.append((f"`{key}`", _type(field), default, meaning))
    yield from table(("key", "value", "by default", "meaning"), rows)


def _short(name: str, section: dict[str, Any]) -> str:
    """Name of a section; a law is explained once, whatever it is a law of."""
    if "Annotated_" in name:
        return re.sub("(Seconds|Tokens|Count)$", "", str(section["title"]))
    return name


def _anchor(name: str) -> str:
    return f"key-{name.lower()}"


def _written(value: object) -> str:
    """Write a value as YAML has it."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict | list) and len(repr(value)) > 120:
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return f"`{text.removesuffix('...').strip()}`"


def _type(field: dict[str, Any]) -> str:
    """Say what a key may hold."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if "Annotated_" in name:
            name = re.sub("_.*", "", name.removeprefix("edgesim__scenario__distributions__"))
        return f"[{_spaced(name)}](#{_anchor(name)})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            parts = dict.fromkeys(_type(part) for part in field[several] if part.get("type") != "null")
            return " or ".join(part for part in parts if part)
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {})) or 'values'}"
    if isinstance(field.get("additionalProperties"), dict):
        inner = _type(field["additionalProperties"])
        return f"by name: {'keys and values' if inner == 'object' else inner or 'a value'}"
    kind = field.get("type", "")
    if kind == "string" and re.match(r"[-\d.]+ ?[A-Za-z%$/]", str((field.get("examples") or [""])[0])):
        return "quantity"
    names = kind if isinstance(kind, list) else [kind]
    return " or ".join(_PLAIN.get(name, name) for name in names)


def _spaced(name: str) -> str:
    """Write the name of a class as words."""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Section")).lower()


def metrics() -> Iterator[str]:
    """Every metric with its formula."""
    yield "# Metrics\n"
    yield (
        "Metrics are those of completed requests that arrived after the warm-up. One that does not exist for a "
        "request is missing, never 0. Percentiles are exact, interpolated linearly.\n"
    )
    rows = [(f"`{m.name}`", m.unit, m.text, f"`{m.written}`") for m in METRICS.values()]
    yield from table(("metric", "unit", "meaning", "formula over requests.parquet"), rows)
    yield "## Rates\n"
    yield from table(("rate", "unit", "meaning"), [(f"`{n}`", u, t) for n, (u, t) in RATES.items()])
    yield "## Objectives\n"
    yield OBJECTIVES


def policies() -> Iterator[str]:
    """Every policy of every role."""
    yield "# Policies\n"
    yield (
        "Each is named in the section [`policies`](#key-policies) of a scenario, by its name alone "
        "(`router: nearest`) or with its parameters (`router: {kind: threshold-offload, max_queue: 1}`). "
        "`edgesim policies list` adds those of your plugins; [a policy of your own](../policies.md) tells how to "
        "write one.\n"
    )
    for role in registry.roles():
        yield f"(role-{role})=\n"
        yield f"## {role}\n"
        yield registry.prose_of(registry.registries[role].base) + "\n"
        rows = [
            (f"`{row.name}`", row.summary, " ".join(map(_parameter, row.parameters)))
            for row in registry.describe(role)
            if row.source == "built-in"
        ]
        yield from table(("policy", "what it does", "parameters"), rows)
        common = registry.common_parameters(role)
        if common:
            yield f"Every {role} takes, too: {' '.join(map(_parameter, common))}\n"


def _parameter(one: Parameter) -> str:
    """Write a parameter of a policy as people read it."""
    default = f", by default `{one.default}`" if one.default else ", required"
    return f"`{one.name}` ({one.kind}{default}): {one.meaning}"


def catalogue() -> Iterator[str]:
    """What the catalogue holds, kind by kind."""
    yield "# Catalogue\n"
    yield (
        "`edgesim catalog show NAME` tells every figure of an entry with its unit, its source and how far it can be "
        "trusted; `edgesim catalog find WORDS` finds entries by what drivers and hubs call them.\n"
    )
    filters = book.Filters(None, None)
    for kind in book.kinds(None, filters):
        head, rows = book.listed(kind, filters)
        yield f"## {kind}\n"
        yield from table(head, rows)


def commands() -> Iterator[str]:
    """Every command with its options."""
    yield "# Commands\n"
    yield (
        "Results go to stdout, progress and errors to stderr. Exit status: 0 fine, 1 an objective or a check failed, "
        "2 wrong input, 3 an error of edgesim itself. Every command takes `--help`, and `--debug` for tracebacks.\n"
    )
    yield from _command(main, "edgesim", click.Context(main, info_name="edgesim", show_default=True))


def _command(command: click.Command, name: str, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for key in command.list_commands(context):
            inner = command.get_command(context, key)
            assert inner is not None
            yield from _command(inner, f"{name} {key}", click.Context(inner, info_name=key, parent=context))
        return
    yield f"## `{name}`\n"
    yield f"```text\n{name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    records = (p.get_help_record(context) for p in command.get_params(context) if isinstance(p, click.Option))
    rows = [(f"`{record[0]}`", record[1]) for record in records if record and record[0] not in _EVERYWHERE]
    if rows:
        yield from table(("option", "meaning"), rows)


_EVERYWHERE = ("--help", "--debug")
"""Options of every command, told once."""
