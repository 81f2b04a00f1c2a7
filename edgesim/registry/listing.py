"""What there is to choose from, for people and for editors."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from types import GenericAlias, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from edgesim.registry.register import registries, source_of
from edgesim.registry.specs import adapter, load_entry_points, parameters_of, registry_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN: Final = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    type(None): "none",
}
"""Types as people call them."""


class Parameter(NamedTuple):
    """One parameter of a policy, as people read it."""

    name: str
    kind: str
    """What it is: "whole number", "quantity, such as 20 ms"."""
    default: str
    """As a scenario would write it; empty when the parameter has no default."""
    meaning: str
    """What the docstring of the class says of it."""

    def __str__(self) -> str:
        return f"{self.name} = {self.default}" if self.default else f"{self.name}: {self.kind}"


class Row(NamedTuple):
    """One policy, as `edgesim policies list` shows it."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    source: str
    """"built-in", or where the class is written."""


_FIRST: Final = ("router", "scheduler", "admission", "cache")


def roles() -> list[str]:
    """List the roles, those that most scenarios name first."""
    return sorted(registries, key=lambda role: _FIRST.index(role) if role in _FIRST else len(_FIRST))


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
    return _parameters(base, parameters_of(base)) if dataclasses.is_dataclass(base) else ()


def parameters_alone(base: type[Any], policy: type[Any]) -> tuple[Parameter, ...]:
    """List what a policy takes beyond what all of its role take."""
    common = {field.name for field in parameters_of(base)} if dataclasses.is_dataclass(base) else set()
    return _parameters(policy, [field for field in parameters_of(policy) if field.name not in common])


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


def prose_of(policy: type[Any]) -> str:
    """Answer what a policy's docstring says before it lists its attributes."""
    return _ATTRIBUTES.split(inspect.cleandoc(policy.__doc__ or ""))[0].strip()


_ATTRIBUTES: Final = re.compile(r"^Attributes:\n", re.MULTILINE)


def _parameters(policy: type[Any], fields: Iterable[dataclasses.Field[Any]]) -> tuple[Parameter, ...]:
    """Show dataclass fields as parameters, with what the class says of them."""
    listed = "".join(_ATTRIBUTES.split(inspect.cleandoc(policy.__doc__ or ""))[1:])
    told = dict(re.findall(r"^ +(\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE))
    return tuple(
        _parameter(field, _type(policy, field), " ".join(told.get(field.name, "").split()))
        for field in fields
    )


def _type(policy: type[Any], field: dataclasses.Field[Any]) -> Any:
    """Answer the type of a field; in modules that postpone annotations it is there as text."""
    home = next(base for base in policy.__mro__ if field.name in inspect.get_annotations(base))
    alone = SimpleNamespace(__annotations__={field.name: field.type})
    return get_type_hints(alone, vars(sys.modules[home.__module__]), include_extras=True)[field.name]


def _parameter(field: dataclasses.Field[Any], kind: Any, meaning: str) -> Parameter:
    default, factory = field.default, field.default_factory
    if default is dataclasses.MISSING and factory is not dataclasses.MISSING:
        default = factory()
    if default is dataclasses.MISSING:
        return Parameter(field.name, _kind(kind), "", meaning)
    written = [part.func for part in getattr(kind, "__metadata__", ()) if hasattr(part, "when_used")]
    if written:
        return Parameter(field.name, _kind(kind), written[0](default), meaning)
    plain = default is None or isinstance(default, bool)
    return Parameter(field.name, _kind(kind), str(default).lower() if plain else str(default), meaning)


def _kind(kind: Any) -> str:
    """Say in words what a parameter of a type is."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if isinstance(kind, UnionType):
        return " or ".join(map(_kind, get_args(kind)))
    parts = getattr(kind, "__metadata__", ())
    for part in parts:
        if hasattr(part, "json_schema"):  # a quantity of edgesim.units
            return f"quantity, such as {part.json_schema['examples'][0]}"
    plain = getattr(kind, "__origin__", kind) if parts else kind
    if plain not in _PLAIN:
        return str(kind if isinstance(kind, GenericAlias) else getattr(plain, "__name__", plain))
    above = "".join(f" above {part.gt}" for part in parts if getattr(part, "gt", None) is not None)
    least = "".join(f" from {part.ge}" for part in parts if getattr(part, "ge", None) is not None)
    return _PLAIN[plain] + above + least
