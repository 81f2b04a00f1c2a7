"""Everything edgesim raises on purpose, as one tree.

    EdgesimError
    |-- ScenarioError         wrong file, key, unit or reference; carries a list of problems
    |   `-- UnitError         a quantity that cannot be read
    |-- PolicyError           an unknown or misbehaving policy
    |-- SimulationError       a broken invariant, a stalled run
    |-- ResultsError          a run folder that is missing, unfinished or of another version
    `-- MissingExtraError     a feature whose optional packages are not installed

Exceptions rebuild from their `args`, because SimPy re-raises them that way and process pools pickle them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class EdgesimError(Exception):
    """Base of all errors that edgesim raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a scenario, and where.

    Attributes:
        path: Keys and list positions that lead to it, from the top of the scenario.
        text: What is wrong, in the user's words.
        help: What to do next; may be empty.
        file: File that holds it, or the argument that said it.
        line: Line in the file, from 1.
        column: Column in the line, from 1.
        source: That line as written.
        length: Characters to underline, from `column`.
    """

    path: tuple[str | int, ...]
    text: str
    help: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    source: str | None = None
    length: int = 1

    def __str__(self) -> str:
        """Return place, source line with carets, text and help, a line each."""
        lines = [self._heading(), *self._excerpt(), *_indented(self.text)]
        if self.help:
            lines += _indented(f"help: {self.help}")
        return "\n".join(line for line in lines if line)

    def _heading(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return "  ".join(part for part in (place, path_text(self.path)) if part)

    def _excerpt(self) -> list[str]:
        if self.source is None or self.line is None:
            return []
        gutter = f"{self.line:4}"
        source = "".join(letter if letter.isprintable() else " " for letter in self.source)
        lines = [f"{gutter} | {source}".rstrip()]
        if self.column is not None:
            room = max(1, len(self.source) - self.column + 1)
            carets = "^" * max(1, min(self.length, room))
            lines.append(f"{'':{len(gutter)}} | {'':{self.column - 1}}{carets}")
        return lines


def path_text(path: Iterable[str | int]) -> str:
    """Write a path as people do: `topology.links[0].latency`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class ScenarioError(EdgesimError):
    """A scenario that cannot be used, with all its problems at once.

    Args:
        problems: What is wrong; a plain sentence stands for one problem without a place.
    """

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = [Problem((), problems)] if isinstance(problems, str) else list(problems)
        super().__init__(problems)

    def __str__(self) -> str:
        """Return the report that the command line prints."""
        count = len(self.problems)
        files = list(dict.fromkeys(problem.file for problem in self.problems if problem.file))
        where = f" in {_enumeration(files)}" if files else ""
        return "\n\n".join(
            [
                f"error: {count} problem{'' if count == 1 else 's'}{where}",
                *(str(item) for item in self.problems),
            ]
        )


class UnitError(ScenarioError):
    """A quantity that cannot be read: no unit, the wrong unit, no number."""


class PolicyError(EdgesimError):
    """An unknown or misbehaving policy."""


class SimulationError(EdgesimError):
    """A broken invariant or a stalled run."""


class ResultsError(EdgesimError):
    """A run folder that is missing, unfinished or of another version."""


class MissingExtraError(EdgesimError):
    """A feature whose optional packages are not installed.

    Args:
        package: The package that is missing.
        extra: The extra of edgesim that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(package, extra)

    def __str__(self) -> str:
        """Return the sentence with the command that helps."""
        return f"needs {self.package}: pip install 'edgesim[{self.extra}]'"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _enumeration(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
