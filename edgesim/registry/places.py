"""Where in the source something of the user is written."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(NamedTuple):
    """A line of somebody's source file."""

    file: str
    line: int

    @property
    def path(self) -> str:
        """The file as seen from here."""
        path, here = Path(self.file), Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class BrokenPolicyError(PolicyError):
    """A policy class that cannot be used, and where it is written."""

    def __init__(self, text: str, place: Place, help: str = "") -> None:  # noqa: A002
        self.text = text
        self.place = place
        self.help = help
        super().__init__(text, place, help)

    def __str__(self) -> str:
        return f"{self.text} ({self.place})"


def place_of(target: Callable[..., Any]) -> Place:
    """Find where a class or a function is written."""
    plain = inspect.unwrap(target)
    code = getattr(plain, "__code__", None)
    if code is not None:
        return Place(code.co_filename, code.co_firstlineno)
    try:
        lines, first = inspect.getsourcelines(plain)
        decorators = next((i for i, line in enumerate(lines) if line.lstrip().startswith("class ")), 0)
        return Place(inspect.getsourcefile(plain) or "?", first + decorators)
    except (OSError, TypeError):  # a class typed into a console: any of its functions knows
        functions = [place_of(item) for item in vars(plain).values() if inspect.isfunction(item)]
        return functions[0] if functions else Place(plain.__module__, 0)


def raised_at(error: BaseException, default: Place) -> Place:
    """Find the innermost line of a file that an error came through, or keep the default place in it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == default.file and frame.lineno]
    return Place(default.file, lines[-1]) if lines else default
