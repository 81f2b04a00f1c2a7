"""Measurement files: CSV tables, plain or gzipped, whose wrong rows are reported by file and row."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

MOST_PROBLEMS: Final = 10
"""Wrong rows that are listed; one more line counts the others."""


@dataclass
class Table:
    """A table of measurements.

    Attributes:
        path: The file.
        columns: Values by column name; numbers where all of a column are numbers.
        rows: Number of each row in the file, from 1 for the first behind the header.
    """

    path: Path
    columns: dict[str, list[float] | list[str]]
    rows: list[int] = field(default_factory=list)

    def numbers(self, name: str) -> list[float]:
        """A column of numbers."""
        return [float(value) for value in self.columns[name]]

    def words(self, name: str) -> list[str]:
        """A column of words."""
        return [str(value) for value in self.columns[name]]


def text_of(path: Path) -> str:
    """Text of a file that may be gzipped.

    Raises:
        ScenarioError: It cannot be read.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
    except (EOFError, zlib.error) as error:
        reason = f"its compression is broken ({error})"
    except UnicodeDecodeError as error:
        reason = str(error)
    raise ScenarioError([Problem((), f"'{path}' cannot be read: {reason}", file=str(path))])


def read_table(
    path: Path,
    numbers: Sequence[str],
    words: Sequence[str] = (),
    *,
    key: Sequence[str] = (),
    check: Callable[[Mapping[str, Any]], str] = lambda _: "",
) -> Table:
    """Read columns of a CSV file.

    Args:
        path: The file.
        numbers: Columns of finite numbers that are not negative.
        words: Columns of text.
        key: Columns that name a point; two rows of one point are refused.
        check: Values of a row -> what else is wrong with them; empty for nothing.

    Raises:
        ScenarioError: A column is missing, or rows are wrong; all of them are told, by row.
    """
    text = text_of(path)
    if "\0" in text:
        raise ScenarioError([Problem((), "the file is no text: it holds zero bytes", file=str(path))])
    reader = csv.DictReader(io.StringIO(text))
    has = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in (*numbers, *words) if name not in has]
    if missing:
        wanted = ", ".join((*numbers, *words))
        text = f"the column '{missing[0]}' is missing; it has {', '.join(has) or 'no columns'}"
        raise ScenarioError([Problem((), text, f"a table of this kind has {wanted}", file=str(path), line=1)])
    columns: dict[str, list[float] | list[str]] = {name: [] for name in (*numbers, *words)}
    problems: list[Problem] = []
    seen: dict[tuple[str | float, ...], int] = {}
    for row, record in enumerate(reader, 1):
        complaint = _complaint(record, numbers)
        values: dict[str, Any] = {name: str(record[name]).strip() for name in words}
        if not complaint:
            values |= {name: float(record[name]) for name in numbers}
            complaint = check(values)
        point = () if complaint else _point(record, key, numbers)
        if not complaint and key and point in seen:
            complaint = f"the same point as row {seen[point]}"
        if complaint:
            problems.append(Problem((), f"row {row}: {complaint}", file=str(path), line=reader.line_num))
            continue
        seen[point] = row
        for name, value in values.items():
            columns[name].append(value)
    if not problems and not seen:
        problems = [Problem((), "the table holds no row", file=str(path))]
    if problems:
        raise ScenarioError(shortened(problems))
    return Table(path, columns)


def _point(
    record: dict[str, str | None], key: Sequence[str], numbers: Sequence[str]
) -> tuple[str | float, ...]:
    """What a row measures; 1 and 1.0 are the same."""
    cells = ((name, str(record[name]).strip()) for name in key)
    return tuple(float(cell) if name in numbers else cell for name, cell in cells)


def shortened(problems: list[Problem]) -> list[Problem]:
    """The first problems, and how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return problems
    last = problems[MOST_PROBLEMS]
    return [*problems[:MOST_PROBLEMS], Problem((), f"and {more} more rows are wrong", file=last.file)]


def _complaint(record: dict[str, str | None], numbers: Sequence[str]) -> str:
    """What is wrong with a row."""
    for name in numbers:
        text = (record[name] or "").strip()
        try:
            value = float(text)
        except ValueError:
            return f"{name} {text!r} is not a number"
        if not math.isfinite(value):
            return f"{name} is {text}, which is no measurement"
        if value < 0:
            return f"{name} is {text}, which cannot be negative"
    return ""
