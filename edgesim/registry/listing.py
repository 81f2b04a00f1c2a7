"""What there is to choose from, for people and for editors."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import GenericAlias, UnionType
from typing import Any, NamedTuple

from edgesim.registry.register import source_of
from edgesim.registry.specs import adapter, load_entry_points, parameters_of, registry_of


class Parameter(NamedTuple):
    """One parameter of a policy, as people read it."""

    name: str
    type: str
    default: str
    """As Python prints it; empty when the parameter has no default."""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + (f" = {self.default}" if self.default else "")


class Row(NamedTuple):
    """One policy, as `edgesim policies list` shows it."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    source: str
    """"built-in", or where the class is written."""


def describe(role: str) -> list[Row]:
    """List the policies of a role, with the parameters that are theirs alone."""
    registry = registry_of(role)
    load_entry_points()
    return [
        Row(name, summary_of(policy), parameters_alone(registry.base, policy), source_of(policy))
        for name, policy in ((name, registry[name]) for name in registry.names())
    ]


def common_parameters(role: str) -> tuple[Parameter, ...]:
    """List the parameters that every policy of a role takes."""
    base = registry_of(role).base
    return tuple(map(_parameter, parameters_of(base))) if dataclasses.is_dataclass(base) else ()


def parameters_alone(base: type[Any], policy: type[Any]) -> tuple[Parameter, ...]:
    """List what a policy takes beyond what all of its role take."""
    common = {field.name for field in parameters_of(base)} if dataclasses.is_dataclass(base) else set()
    return tuple(_parameter(field) for field in parameters_of(policy) if field.name not in common)


def json_schema(role: str) -> dict[str, Any]:
    """Describe to an editor what a scenario may write for a role."""
    registry = registry_of(role)
    load_entry_points()
    options: list[dict[str, Any]] = [{"enum": registry.names()}]
    for name in registry.names():
        schema = adapter(registry[name]).json_schema()
        schema["properties"] = {"kind": {"const": name}, **schema.get("properties", {})}
        schema["required"] = ["kind", *schema.get("required", [])]
        options.append({**schema, "title": name, "description": summary_of(registry[name])})
    return {"oneOf": options}


def summary_of(policy: type[Any]) -> str:
    """Answer the first line of a policy's docstring."""
    return (inspect.cleandoc(policy.__doc__ or "").splitlines() or [""])[0]


def _parameter(field: dataclasses.Field[Any]) -> Parameter:
    """Show a dataclass field as a parameter."""
    written: Any = field.type
    if isinstance(written, str):
        written = re.sub(r"^Annotated\[([^,]+),.*\]$", r"\1", written.removeprefix("units."))
    elif not isinstance(written, GenericAlias | UnionType):  # those print well as they are
        written = getattr(written, "__origin__", written)  # what is annotated
        written = getattr(written, "__name__", str(written))
    if field.default is not dataclasses.MISSING:
        return Parameter(field.name, written, repr(field.default))
    factory = field.default_factory
    return Parameter(field.name, written, "" if factory is dataclasses.MISSING else repr(factory()))
