"""The start of a policy file: commented, runnable, with what its views answer listed from the views themselves."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from string import Template
from textwrap import wrap
from typing import TYPE_CHECKING

from edgesim.errors import PolicyError
from edgesim.policies.contract import ORACLE_ONLY, VIEWS, members
from edgesim.registry import UnknownNameError, registries

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = resources.files("edgesim.policies") / "templates"
READS = {
    "router": ("request", "replica", "view"),
    "admission": ("request", "replica", "view"),
    "scheduler": ("request", "replica", "view"),
    "cache": ("prefix",),
}
"""Role -> the views that its hook is given."""
WIDTH = 110


def roles(*, compiled: bool = False) -> list[str]:
    """The roles that a file can be started for."""
    ending = "-compiled.txt" if compiled else ".txt"
    return [role for role in registries if (FOLDER / f"{role}{ending}").is_file()]


def start(role: str, file: Path, *, compiled: bool = False) -> str:
    """Write the start of a policy file.

    Args:
        role: Role of the policy.
        file: Where it will stand; names the policy.
        compiled: Whether the policy brings its compiled form, too.

    Raises:
        PolicyError: There is no such start.
    """
    if role not in registries:
        raise UnknownNameError("policy role", role, list(registries))
    if role not in roles(compiled=compiled):
        what = "compiled form: its decisions are taken in Python only" if compiled else "template"
        known = ", ".join(roles(compiled=compiled))
        raise PolicyError(f"the role {role!r} has no {what}; there is one for {known}")
    name = name_of(file)
    text = (FOLDER / f"{role}{'-compiled' if compiled else ''}.txt").read_text(encoding="utf-8")
    views = "\n#\n".join(listing(view) for view in READS.get(role, ()))
    return Template(text).substitute(
        name=name,
        title="".join(part.capitalize() for part in name.split("-")),
        file=file.name,
        module=file.stem,
        views=views,
    )


def name_of(file: Path) -> str:
    """The name of the policy that a file of this name holds.

    Raises:
        PolicyError: The file could not be imported under its name.
    """
    stem = file.stem
    if file.suffix != ".py" or not stem.isidentifier() or keyword.iskeyword(stem):
        raise PolicyError(f"{file.name!r} is no name of a Python module; give one such as 'my_router.py'")
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "mine"


def listing(view: str) -> str:
    """List, as comments, what a view answers."""
    lines = [f"# What `{view}` answers:"]
    for member in members(VIEWS[view]):
        secret = member.name in ORACLE_ONLY and "oracle" not in member.text
        text = f"{member.text} Only with `oracle = True`." if secret else member.text
        head = f"#   {f'{view}.{member.name}{member.call}':<34} "
        first, *rest = wrap(text, WIDTH - len(head)) or [""]
        lines += [f"{head}{first}".rstrip(), *(f"#{'':<{len(head) - 1}}{line}" for line in rest)]
    return "\n".join(lines)
