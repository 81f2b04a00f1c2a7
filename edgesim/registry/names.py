"""Names that stand for nothing, and what was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """Answer "; did you mean 'x'?" for the known name nearest to a misspelt one, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


class UnknownNameError(EdgesimError):
    """A name that stands for nothing of its kind.

    Args:
        kind: What was looked up, in the user's word: "router", "accelerator".
        name: What the user wrote.
        known: Everything that could have been written instead.
        help: The next step; lists what is known if not given.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], help: str = "") -> None:  # noqa: A002
        self.kind = kind
        self.name = name
        self.known = tuple(known)
        self.help = help or f"known: {', '.join(self.known)}"
        super().__init__(kind, name, self.known, self.help)

    def __str__(self) -> str:
        return f"no {self.kind} named {self.name!r}{suggestion(self.name, self.known)}"
