"""The contract of the views as data: what may be read, read off the protocols themselves so that it cannot go stale."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from edgesim.policies.steps import BatchView, LegView
from edgesim.policies.views import PrefixView, ReplicaView, RequestView, SystemView

VIEWS: dict[str, type[Any]] = {
    "request": RequestView,
    "replica": ReplicaView,
    "view": SystemView,
    "prefix": PrefixView,
    "leg": LegView,
    "batch": BatchView,
}
"""What policies call a view -> its protocol."""

ORACLE_ONLY = ("output_tokens", "next_use")
"""What only policies with `oracle = True` may read."""


class Member(NamedTuple):
    """Something that a view answers."""

    name: str
    text: str
    """First sentence of what it says."""
    call: str = ""
    """How it is called, if it is a method: "(request, replica)"."""


def members(view: type[Any]) -> list[Member]:
    """List what a view answers, inherited things first, in the order in which they are written."""
    found: dict[str, Member] = {}
    for base in reversed(view.__mro__):
        if base.__module__ not in {RequestView.__module__, LegView.__module__}:
            continue
        for name, item in vars(base).items():
            if not name.startswith("_") and (isinstance(item, property) or inspect.isfunction(item)):
                text = (inspect.getdoc(item) or "").partition("\n\n")[0].replace("\n", " ")
                call = (
                    f"({', '.join([*inspect.signature(item).parameters][1:])})"
                    if inspect.isfunction(item)
                    else ""
                )
                found[name] = Member(name, text, call)
    return list(found.values())


def names(view: type[Any]) -> frozenset[str]:
    """The names of what a view answers."""
    return frozenset(member.name for member in members(view))
