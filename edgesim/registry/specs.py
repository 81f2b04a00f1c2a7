"""Policies as scenarios ask for them: a name, or a mapping with `kind` and parameters."""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from edgesim.errors import Problem, ScenarioError
from edgesim.registry.names import UnknownNameError, suggestion
from edgesim.registry.places import BrokenPolicyError, place_of
from edgesim.registry.register import BUILT_IN, Registry, registries

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails


def lookup(role: str, name: str) -> type[Any]:
    """Find the class of a policy; other packages are searched only for names we do not know."""
    registry = registry_of(role)
    broken = load_entry_points() if name not in registry else ()
    if name not in registry:
        if broken:  # the policy may be among theirs
            help_ = f"{'; '.join(broken)}; if it is one of theirs, mend or uninstall that package"
            raise UnknownNameError(role, name, registry.names(), help_)
        help_ = "`edgesim policies list` lists all; add yours with --plugin FILE.py"
        raise UnknownNameError(role, name, registry.names(), help_)
    return registry[name]


def check(role: str, spec: object) -> list[Problem]:
    """List everything wrong with a policy as written in a scenario; paths are relative to it."""
    registry = registry_of(role)
    if isinstance(spec, registry.base):
        return []
    match spec:
        case str(name):
            path: tuple[str, ...] = ()
            parameters: Mapping[Any, Any] = {}
        case {"kind": str(name), **rest}:
            path, parameters = ("kind",), rest
        case _:
            text = f"{spec!r} names no {role}; write a name, or a mapping with `kind` and parameters"
            return [Problem((), text)]
    try:
        validator = adapter(lookup(role, name))
    except UnknownNameError as error:
        return [Problem(path, str(error), error.help)]
    from pydantic import ValidationError  # noqa: PLC0415 - only when a scenario is read

    try:
        validator.validate_python(parameters)
    except ValidationError as error:
        return [_problem(role, name, detail) for detail in error.errors(include_url=False)]
    return []


def build(role: str, spec: object) -> Any:
    """Make the policy that a scenario asks for: a name, a mapping with `kind`, or a finished policy."""
    problems = check(role, spec)
    if problems:
        raise ScenarioError(problems)
    match spec:
        case str():
            return lookup(role, spec)()
        case Mapping():
            parameters = {key: value for key, value in spec.items() if key != "kind"}
            return adapter(lookup(role, spec["kind"])).validate_python(parameters)
    return spec


def registry_of(role: str) -> Registry:
    """Answer the registry of a role, with the built-in policies in it."""
    importlib.import_module(BUILT_IN)
    if role not in registries:
        raise UnknownNameError("policy role", role, registries)
    return registries[role]


@cache
def load_entry_points() -> tuple[str, ...]:
    """Import, once, the policies that installed packages announce; warn of what fails, and answer it."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 30 ms that only some commands need

    broken = []
    for point in entry_points(group=BUILT_IN):
        try:
            point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - of others; what does not need it goes on
            package = point.dist.name if point.dist else point.value
            broken.append(
                f"the policies of package {package!r} cannot be loaded: {error or type(error).__name__}"
            )
            warnings.warn(broken[-1], stacklevel=2)
    return tuple(broken)


def adapter(policy: type[Any]) -> TypeAdapter[Any]:
    """Answer the validator of a policy's parameters, made when it is first needed."""
    if "__edgesim_adapter__" in vars(policy):
        return cast("TypeAdapter[Any]", policy.__edgesim_adapter__)
    from pydantic import PydanticUserError, TypeAdapter  # noqa: PLC0415 - listing names needs none

    try:
        made = TypeAdapter(policy)
        made.rebuild()  # or a type that does not exist would be found only when it is used
    except (PydanticUserError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise BrokenPolicyError(
            f"{policy.kind!r} has a parameter whose type cannot be checked: {reason}", place_of(policy)
        ) from error
    policy.__edgesim_adapter__ = made
    return made


def _problem(role: str, name: str, detail: ErrorDetails) -> Problem:
    """Say what pydantic found in the user's words."""
    path = detail["loc"]
    known = [field.name for field in parameters_of(lookup(role, name))]
    match detail["type"]:
        case "unexpected_keyword_argument":
            text = f"{role} {name!r} has no parameter {path[-1]!r}{suggestion(str(path[-1]), known)}"
            return Problem(path, text, f"it takes: {', '.join(known)}" if known else "it takes no parameters")
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return Problem(path[:-1], f"{role} {name!r} needs the parameter {path[-1]!r}")
    text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return Problem(path, text if "value_error" in detail["type"] else f"{text}; not {detail['input']!r}")


def parameters_of(policy: type[Any]) -> list[dataclasses.Field[Any]]:
    """List what may be given as parameters; fields with `init=False` are state."""
    return [field for field in dataclasses.fields(policy) if field.init]
