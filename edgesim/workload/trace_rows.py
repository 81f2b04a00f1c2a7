"""The rows of trace files: the formats, how their lines are told apart, and what can be wrong with one.

| format     | a request is a                    | time        | seen in                       |
|------------|-----------------------------------|-------------|-------------------------------|
| `azure`    | CSV row: TIMESTAMP, ContextTokens, GeneratedTokens | date | AzurePublicDataset 2023, 2024 |
| `mooncake` | JSON line: timestamp, input_length, output_length  | ms   | Mooncake (FAST '25)           |
| `csv`      | CSV row: arrived_at, prompt_tokens, output_tokens  | s    | anywhere                      |

Each may be compressed with gzip. Other columns and keys are left alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edgesim.errors import Problem, ScenarioError
from edgesim.workload.distributions import MOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+]\d\d:?\d\d)?")
"""Dates and times as the traces write them; all of one file are taken to be of one time zone."""


EXCERPT: Final = 100
"""Characters of a malformed line that are shown."""


class Format(NamedTuple):
    """How one kind of trace file is read.

    Attributes:
        name: What the scenario calls it.
        time: Column of the arrival time.
        prompt: Column of the prompt length [tokens].
        output: Column of the reply length [tokens].
        unit: Length of the time column's unit [s]; None for dates.
    """

    name: str
    time: str
    prompt: str
    output: str
    unit: float | None

    @property
    def columns(self) -> tuple[str, str, str]:
        """The three columns that are read."""
        return self.time, self.prompt, self.output


FORMATS: Final = {
    layout.name: layout
    for layout in (
        Format("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", None),
        Format("mooncake", "timestamp", "input_length", "output_length", 1e-3),
        Format("csv", "arrived_at", "prompt_tokens", "output_tokens", 1.0),
    )
}
"""The formats by name."""


class Row(NamedTuple):
    """One line of a trace: its number, its three fields, what is wrong with it as a whole, its blocks' names."""

    line: int
    fields: tuple[Any, ...]
    fault: str = ""
    hashes: Sequence[int] = ()


class Fault(NamedTuple):
    """What is wrong with a row, and the text of the cell at fault (empty: the row as a whole)."""

    text: str
    cell: str = ""


def open_text(path: str) -> IO[str]:
    """Open a file for reading text, unpacking it when it starts as gzip does."""
    with Path(path).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return Path(path).open(encoding="utf-8-sig", newline="")


def detect(opening: str, path: str) -> Format:
    """Return the format that a file's first line shows."""
    if opening.lstrip().startswith("{"):
        return FORMATS["mooncake"]
    header = [cell.strip() for cell in next(csv.reader([opening]))]
    for layout in (FORMATS["azure"], FORMATS["csv"]):
        if len(set(layout.columns) & set(header)) > 1:
            return layout
    known = "; ".join(f"{layout.name} has {', '.join(layout.columns)}" for layout in FORMATS.values())
    text = f"no known trace format has the columns {shorten(', '.join(header), 80)}"
    raise ScenarioError([Problem((), text, known, path, 1, source=opening.rstrip()[:EXCERPT])])


def rows_of(file: IO[str], layout: Format, path: str) -> Iterator[Row]:
    """Yield the rows of a trace file in its own order."""
    return _json_rows(file, layout) if layout.name == "mooncake" else _csv_rows(file, layout, path)


def _csv_rows(file: IO[str], layout: Format, path: str) -> Iterator[Row]:
    """Yield the rows of a CSV file, each cut down to the three columns."""
    reader = csv.reader(file)
    header = next((row for row in reader if row), [])
    names = [cell.strip() for cell in header]
    absent = [repr(column) for column in layout.columns if column not in names]
    if absent:
        word = "column" if len(absent) == 1 else "columns"
        text = (
            f"{layout.name} traces have the {word} {' and '.join(absent)}; this file has {', '.join(names)}"
        )
        raise ScenarioError([Problem((), text, "", path, reader.line_num, source=",".join(header))])
    time, prompt, output = (names.index(column) for column in layout.columns)
    width, whole = max(time, prompt, output) + 1, len(header)
    for row in reader:
        if width <= len(row) <= whole or (len(row) > whole and not any(row[whole:])):
            yield Row(reader.line_num, (row[time], row[prompt], row[output]))
        elif row:
            of = "of" if len(row) < whole else "instead of"
            yield Row(reader.line_num, (), f"the row has {len(row)} {of} {whole} columns")


def _json_rows(file: IO[str], layout: Format) -> Iterator[Row]:
    """Yield the objects of a JSON lines file, each cut down to the three keys."""
    time, prompt, output = layout.columns
    for number, line in enumerate(file, start=1):
        try:
            row = json.loads(line.rstrip())
            yield Row(number, (row[time], row[prompt], row[output]), hashes=_names(row.get("hash_ids")))
        except json.JSONDecodeError as error:
            if line.strip():
                yield Row(number, (), f"the line is not JSON: {error.msg} (column {error.colno})")
        except KeyError as error:
            yield Row(number, (), f"the key {error} is missing")
        except TypeError:
            yield Row(number, (), "the line is not a JSON object")
        except ValueError as error:
            yield Row(number, (), str(error))


def _names(listed: Any) -> Sequence[int]:
    """Names of a prompt's blocks, if the line has them."""
    if listed is None:
        return ()
    if isinstance(listed, list) and all(type(name) is int and name >= 0 for name in listed):
        return listed
    raise ValueError("hash_ids is not a list of whole numbers")


def whole_number(text: str | float) -> int:
    """Return a whole number; `12.0` is one, too.

    Raises:
        ValueError: It is no number, or not whole.
    """
    if isinstance(text, str):
        try:
            return int(text)
        except ValueError:
            text = float(text)
    if not float(text).is_integer():
        raise ValueError("not whole")
    return int(text)


def diagnose(row: Row, layout: Format) -> Fault | None:
    """Say what is wrong with a row, if anything."""
    if row.fault:
        return Fault(row.fault)
    time, prompt, output = row.fields
    return (
        _time_fault(time, layout)
        or _length_fault(prompt, layout.prompt, least=1)
        or _length_fault(output, layout.output, least=0)
    )


def _time_fault(text: Any, layout: Format) -> Fault | None:
    if layout.unit is None:
        if not DATE.fullmatch(text):
            return Fault(
                f"{layout.time} {text!r} is not a date and time such as 2023-11-16 18:17:03.97996", text
            )
        try:
            datetime.fromisoformat(text[:19])
        except ValueError:
            return Fault(f"{layout.time} {text!r} does not exist in the calendar", text)
        return None
    try:
        value = float(text)
    except (ValueError, TypeError):
        return Fault(f"{layout.time} {text!r} is not a number", str(text))
    if not math.isfinite(value) or value < 0:
        return Fault(f"{layout.time} is {text}; a time is 0 or more", str(text))
    return None


def _length_fault(text: Any, column: str, least: int) -> Fault | None:
    try:
        value = whole_number(text)
    except (ValueError, TypeError, OverflowError):
        return Fault(f"{column} {text!r} is not a whole number", str(text))
    if value < least:
        need = "at least 1 token" if least else "no fewer than 0 tokens"
        return Fault(f"{column} is {value}; a request has {need}", str(text))
    if value > MOST:
        return Fault(f"{column} is {value}, more than {MOST}", str(text))
    return None
