"""Names that stand for nothing, and what was probably meant."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def suggestion(name: str, known: Iterable[str]) -> str:
    """Answer "; did you mean 'x'?" for the known name nearest to a misspelt one, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


MOST: Final = 20
"""Known names that are all listed; of more, the nearest are."""

NEAREST: Final = 6

_CATALOGUE: Final = {
    "catalogue entry": "",
    "accelerator": " accelerator",
    "engine": " engine",
    "llm": " llm",
    "variant": " variant",
}
"""Kinds of names that the catalogue has many of, and how its list is narrowed to them."""


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Known names that hold a misspelt one, and those that are spelt alike."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    holding = [each for each in known if plain and plain in each]
    alike = difflib.get_close_matches(plain, known, n=NEAREST, cutoff=0.5)
    return list(dict.fromkeys([*holding, *alike]))[:NEAREST]


def _listed(kind: str, name: str, known: Sequence[str]) -> str:
    """What could have been written instead, in a line."""
    if len(known) <= MOST:
        return f"known: {', '.join(known)}"
    near = nearest(name, known)
    text = f"nearest: {', '.join(near)}; " if near else ""
    if kind in _CATALOGUE:
        return f"{text}`edgesim catalog list{_CATALOGUE[kind]}` lists all {len(known)}"
    return (
        f"{text}known are {len(known)}, from {known[0]} to {known[-1]}"
        if near
        else f"known: {', '.join(known)}"
    )


class UnknownNameError(EdgesimError):
    """A name that stands for nothing of its kind.

    Args:
        kind: What was looked up, in the user's word: "router", "accelerator".
        name: What the user wrote.
        known: Everything that could have been written instead.
        help: The next step; lists what is known, or of much the nearest, if not given.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], help: str = "") -> None:  # noqa: A002
        self.kind = kind
        self.name = name
        self.known = tuple(known)
        self.help = help or _listed(kind, name, self.known)
        super().__init__(kind, name, self.known, self.help)

    def __str__(self) -> str:
        return f"no {self.kind} named {self.name!r}{suggestion(self.name, self.known)}"
