"""Writes the reference from the code: scenario keys, metrics, policies, catalogue, commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click


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
    """Every key of a scenario, section by section."""
    from edgesim.scenario.outline import plain_schema

    schema = plain_schema()
    yield "# Keys of a scenario\n"
    yield (
        "Quantities are written with their unit (`20 ms`, `1 Gbps`, `16 GiB`, `6/s`, `65 W`, `90 %`). "
        "`edgesim init --commented` writes the same as a YAML file, `edgesim schema` as a JSON schema for editors.\n"
    )
    yield "## The file\n"
    yield from _keys(schema)
    sections = {_short(name): section for name, section in reversed(schema["$defs"].items())}
    for name, section in sorted(sections.items()):
        if "properties" in section:
            yield f"## {name}\n"
            if "description" in section:
                yield section["description"] + "\n"
            yield from _keys(section)


def _keys(section: dict[str, Any]) -> Iterator[str]:
    needed = set(section.get("required", ()))
    rows = []
    for key, field in section["properties"].items():
        default = "required" if key in needed else _default(field.get("default"))
        rows.append((f"`{key}`", _type(field), default, field.get("description", "")))
    yield from table(("key", "value", "by default", "meaning"), rows)


def _short(name: str) -> str:
    """Name of a section; laws of times and of counts are explained once."""
    return name.partition("_")[0]


def _default(value: object) -> str:
    return "" if value is None or isinstance(value, dict) else f"`{value}`"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = _short(field["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
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
        return f"by name: {_type(field['additionalProperties'])}"
    kind = field.get("type", "")
    return ", ".join(kind) if isinstance(kind, list) else str(kind)


def metrics() -> Iterator[str]:
    """Every metric with its formula."""
    from edgesim.metrics import METRICS, OBJECTIVES, RATES

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
    import edgesim.policies  # noqa: F401 - fills the registry
    from edgesim import registry

    yield "# Policies\n"
    yield "Each is named in the section `policies` of a scenario, with its parameters as keys.\n"
    for role in registry.registries:
        yield f"## {role}\n"
        yield inspect.cleandoc(registry.registries[role].base.__doc__ or "").split("\n\n")[0] + "\n"
        rows = [
            (f"`{row.name}`", row.summary, ", ".join(f"`{p}`" for p in row.parameters))
            for row in registry.describe(role)
            if row.source == "built-in"
        ]
        yield from table(("policy", "what it does", "parameters"), rows)
        common = registry.common_parameters(role)
        if common:
            yield f"Every {role} takes, too: {', '.join(f'`{p}`' for p in common)}.\n"


def catalogue() -> Iterator[str]:
    """What the catalogue holds, kind by kind."""
    from edgesim.report import catalogue as book

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
    from edgesim.cli import main

    yield "# Commands\n"
    yield from _command(main, "edgesim", click.Context(main, info_name="edgesim"))


def _command(command: click.Command, name: str, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for key in command.list_commands(context):
            inner = command.get_command(context, key)
            assert inner is not None
            yield from _command(inner, f"{name} {key}", click.Context(inner, info_name=key, parent=context))
        return
    yield f"## `{name}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record:
            rows.append((f"`{record[0]}`", record[1]))
    yield from table(("option", "meaning"), rows)
