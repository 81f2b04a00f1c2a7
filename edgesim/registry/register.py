"""The policies of each role, and the decorator that puts a class among them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar, dataclass_transform

from edgesim.registry.places import BrokenPolicyError, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

P = TypeVar("P")


BUILT_IN: Final = "edgesim.policies"
"""The package of the built-in policies, and the entry-point group of everybody else's."""


class Registry:
    """The policies of one role, by name.

    Args:
        role: The key in a scenario's `policies:` section.
        base: The class every policy of the role derives from; its hooks define the right signatures.
    """

    def __init__(self, role: str, base: type[Any]) -> None:
        self.role = role
        self.base = base
        self._classes: dict[str, type[Any]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __getitem__(self, name: str) -> type[Any]:
        return self._classes[name]

    def names(self) -> list[str]:
        """Everything registered so far, in alphabetical order."""
        return sorted(self._classes)

    def add(self, name: str, policy: type[Any]) -> None:
        """Take a policy in; the same class may come again, another one of the same name may not."""
        other = self._classes.get(name)
        if other is not None and _identity(other) != _identity(policy):
            owner = "built in" if source_of(other) == "built-in" else f"defined at {place_of(other)}"
            text = f"{self.role} {name!r} exists already, {owner}"
            raise BrokenPolicyError(text, place_of(policy), "register it under another name")
        self._classes[name] = policy

    def forget(self, module: str) -> None:
        """Drop what a module registered."""
        self._classes = {name: cls for name, cls in self._classes.items() if cls.__module__ != module}


registries: dict[str, Registry] = {}
"""Role -> its policies; complete once `edgesim.policies` is imported."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
def register(name: str) -> Callable[[type[P]], type[P]]:
    """Register a policy class under the name that scenarios use; its base class tells the role.

    Annotated class attributes become the policy's parameters: keyword arguments in Python, validated keys in
    YAML, listed by `edgesim policies list`.
    """

    def decorate(policy: type[P]) -> type[P]:
        registry = _registry_of(name, policy)
        _check_hooks(registry, name, policy)
        policy.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
        try:
            made = dataclasses.dataclass(kw_only=True, eq=False)(policy)
        except (TypeError, ValueError) as error:
            raise BrokenPolicyError(f"{registry.role} {name!r}: {error}", place_of(policy)) from error
        made.kind = name  # type: ignore[attr-defined]
        registry.add(name, made)
        return made

    return decorate


def source_of(policy: type[Any]) -> str:
    """Answer "built-in", or the place of the class."""
    return "built-in" if policy.__module__.startswith(f"{BUILT_IN}.") else str(place_of(policy))


def _identity(policy: type[Any]) -> tuple[str, str]:
    """Tell two definitions of one class (a plugin run again, a notebook cell) from two classes."""
    return policy.__module__, "" if policy.__module__ == "__main__" else policy.__qualname__


def _registry_of(name: str, policy: type[Any]) -> Registry:
    """Find the role that a class plays by what it derives from."""
    for registry in registries.values():
        if issubclass(policy, registry.base):
            return registry
    *bases, last = sorted(registry.base.__name__ for registry in registries.values())
    advice = f"derive it from {', '.join(bases)} or {last}"
    text = f"{policy.__name__}, registered as {name!r}, plays no role; {advice}"
    raise BrokenPolicyError(text, place_of(policy))


def _check_hooks(registry: Registry, name: str, policy: type[Any]) -> None:
    """Refuse a class whose hooks are missing or cannot be called as they will be."""
    what = f"{registry.role} {name!r}"
    base = registry.base
    if "__init__" in vars(policy):
        text = f"{what} has an __init__(); annotate parameters in the class, prepare state in setup()"
        raise BrokenPolicyError(text, place_of(vars(policy)["__init__"]))
    if "kind" in vars(policy).get("__annotations__", {}):
        raise BrokenPolicyError(f"{what}: a parameter cannot be called 'kind'", place_of(policy))
    own = [hook for hook in base.other_hooks if getattr(policy, hook) is not getattr(base, hook)]
    for hook in (base.hook, *base.other_hooks, "setup", "on_outcome"):
        expected, found = getattr(base, hook), getattr(policy, hook)
        inputs = list(inspect.signature(expected).parameters)
        wanted = f"{hook}({', '.join(inputs)})"
        if found is expected:
            if hook == base.hook and not (base.either_hook and own):
                raise BrokenPolicyError(f"{what} lacks its hook {wanted}", place_of(policy))
            continue
        problem = _misfit(found, len(inputs))
        if problem:
            place = place_of(found if inspect.isfunction(found) else policy)
            raise BrokenPolicyError(f"{what}: {hook}() {problem}; it must be {wanted}", place)


def _misfit(hook: object, inputs: int) -> str:
    """Say why a hook cannot be called with so many positional arguments, if it cannot."""
    if not callable(hook):
        return "is not a function"
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        return "must answer at once, without async or yield"
    signature = inspect.signature(hook)
    try:
        signature.bind(*range(inputs))
    except TypeError:
        return f"takes ({', '.join(signature.parameters)})"
    return ""
