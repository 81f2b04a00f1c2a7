"""Request traces: what real users asked, and when, read from a file.

Dates count from the first request of the trace; so do numbers beyond ten years, which can only be a clock's.
Other numbers count from the start of the run. Rows that go back in time are sorted, rows of one time keeping
their order. A reply of 0 tokens counts as one token, because the prefill of a prompt ends with one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from edgesim.errors import Problem, ScenarioError
from edgesim.workload.distributions import FOREVER, MOST, PS
from edgesim.workload.trace_rows import (
    DATE,
    EXCERPT,
    FORMATS,
    Format,
    Row,
    detect,
    diagnose,
    open_text,
    rows_of,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from numpy.typing import NDArray

NEVER_AGAIN: Final = 1 << 40
"""Next use of a block that nobody asks for again."""

_BLOCK: Final = 65_536
"""Rows that are parsed at a time, so that text never fills the memory."""

_SHOWN: Final = 5
"""Malformed rows that are shown one by one; the others are counted."""

_EPOCH: Final = 10 * 365 * 86_400.0
"""Numeric times beyond this [s] are those of a clock, not of a run."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The requests of a trace, ascending in time: 16 bytes each.

    Attributes:
        at: Arrival times [ps].
        prompt: Prompt lengths [tokens].
        output: Reply lengths [tokens].
        path: The file they come from.
        first_name: Where the names of each prompt's blocks begin in `names`; None without any.
        name_count: How many each has.
        names: Names of prompt blocks; equal ones stand for equal tokens, and equal tokens before them.
    """

    at: NDArray[np.int64]
    prompt: NDArray[np.int32]
    output: NDArray[np.int32]
    path: str
    first_name: NDArray[np.int64] | None = None
    name_count: NDArray[np.int64] | None = None
    names: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.at)

    def cut(
        self,
        *,
        start: float | None = None,
        stop: float | None = None,
        limit: int | None = None,
        time_scale: float = 1.0,
    ) -> Trace:
        """Return the requests from `start` up to before `stop`, with `start` as the new time 0.

        Args:
            start: First time to keep, on the trace's own clock [s].
            stop: First time to leave out, on the trace's own clock [s].
            limit: Keep only this many, the earliest.
            time_scale: What times are multiplied by after cutting: 0.5 makes twice the load.

        Raises:
            ScenarioError: Nothing is left, or what is left lasts longer than a run may.
        """
        begin = 0 if start is None else round(start * PS)
        first = 0 if start is None else int(np.searchsorted(self.at, begin))
        last = len(self) if stop is None else int(np.searchsorted(self.at, round(stop * PS)))
        if limit is not None:
            last = min(last, first + limit)
        if first >= last:
            kept = f"from {start or 0.0:.9g} s" + ("" if stop is None else f" to {stop:.9g} s")
            span = f"from {self.at[0] / PS:.9g} s to {self.at[-1] / PS:.9g} s"
            raise _wrong(self.path, f"no request is left {kept}; the trace runs {span}")
        at = self.at[first:last] - begin
        if float(at[-1]) * time_scale >= FOREVER:
            days = float(at[-1]) * time_scale / PS / 86_400
            text = f"the trace lasts {days:.3g} days; a run may last 50"
            raise _wrong(self.path, text, "keep a part of it with start, stop or limit")
        if time_scale != 1.0:
            at = np.rint(at * time_scale).astype(np.int64)
        part = slice(first, last)
        return replace(
            self,
            at=at,
            prompt=self.prompt[part],
            output=self.output[part],
            first_name=None if self.first_name is None else self.first_name[part],
            name_count=None if self.name_count is None else self.name_count[part],
        )

    def next_uses(self) -> NDArray[np.int64]:
        """For each place in `names`, the number of the request that next asks for that block."""
        assert self.names is not None
        assert self.first_name is not None
        assert self.name_count is not None
        found = np.full(len(self.names), NEVER_AGAIN)
        row = np.repeat(np.arange(len(self)), self.name_count)
        first = np.repeat(self.first_name - np.cumsum(self.name_count) + self.name_count, self.name_count)
        place = first + np.arange(len(row))
        order = np.lexsort((row, self.names[place]))
        same = self.names[place][order][1:] == self.names[place][order][:-1]
        found[place[order][:-1][same]] = row[order][1:][same]
        return found


class _Columns(NamedTuple):
    at: NDArray[np.int64]
    prompt: NDArray[np.int32]
    output: NDArray[np.int32]
    name_count: NDArray[np.int64]
    names: NDArray[np.int64]


def read_trace(path: str, format: str = "auto") -> Trace:  # noqa: A002 - the scenario's word
    """Read a trace file.

    Args:
        path: The file, plain or gzipped.
        format: `azure`, `mooncake`, `csv`, or `auto` to tell by its first line.

    Raises:
        ScenarioError: The file cannot be read, is empty, or has malformed rows; problems name file and row.
    """
    try:
        with open_text(path) as file:
            return _read(file, path, format)
    except FileNotFoundError:
        raise _wrong(path, f"there is no trace file {path!r}") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise _wrong(path, f"the trace file cannot be read: {error}") from None


def _wrong(path: str, text: str, help_: str = "") -> ScenarioError:
    return ScenarioError([Problem((), text, help_, file=path)])


def _read(file: IO[str], path: str, name: str) -> Trace:
    opening = next((line for line in file if line.strip()), "")
    if not opening:
        raise _wrong(path, "the trace file is empty")
    layout = detect(opening, path) if name == "auto" else FORMATS[name]
    file.seek(0)
    rows = rows_of(file, layout, path)
    clock, names = _Clock(layout), _Names()
    blocks: list[_Columns] = []
    problems: list[Problem] = []
    read = bad = 0
    while block := list(islice(rows, _BLOCK)):
        try:
            blocks.append(_parse(block, clock, names))
        except (ValueError, OverflowError, TypeError):
            faults = _faults(block, read, layout, path)
            bad += len(faults)
            problems += faults[: max(0, _SHOWN - len(problems))]
        read += len(block)
    if problems:
        raise ScenarioError(_shown(problems, bad, read, path))
    if not blocks:
        raise _wrong(path, "the trace holds no request")
    return _in_order(blocks, path)


class _Names(dict[tuple[int, int], int]):
    """Number of each name behind the number of the one before it, so that a name stands for a whole beginning."""

    def of(self, row: Row) -> Iterator[int]:
        """Numbers of a row's names."""
        before = -1
        for name in row.hashes:
            before = self.setdefault((before, name), len(self))
            yield before


def _parse(block: Sequence[Row], clock: _Clock, names: _Names) -> _Columns:
    """Turn a block of rows into columns, or raise without saying which row is wrong."""
    times, prompts, outputs = zip(*(row.fields for row in block), strict=True)
    prompt, output = _whole(prompts), _whole(outputs)
    if prompt.min() < 1 or output.min() < 0 or max(prompt.max(), output.max()) > MOST:
        raise ValueError("impossible length")
    counts = np.array([len(row.hashes) for row in block], np.int64)
    listed = [number for row in block for number in names.of(row)]
    lengths = prompt.astype(np.int32), np.maximum(output, 1).astype(np.int32)
    return _Columns(clock(times), *lengths, counts, np.array(listed, np.int64))


def _whole(texts: Sequence[Any]) -> NDArray[np.int64]:
    """Read whole numbers, the usual way first; floats among them may be whole, too."""
    try:
        if set(map(type, texts)) == {str}:
            return np.array(list(map(int, texts)), np.int64)
    except ValueError:
        pass
    return np.array([whole_number(text) for text in texts], np.int64)


class _Clock:
    """Turns the time column into picoseconds.

    Dates and clock times count from the first row, which need not be the earliest.
    """

    def __init__(self, layout: Format) -> None:
        self._unit = layout.unit
        self._zero: np.datetime64 | None = None
        self._offset: float | None = None

    def __call__(self, texts: Sequence[Any]) -> NDArray[np.int64]:
        """Return the times [ps].

        Raises:
            ValueError: Some text is no time.
            OverflowError: Some time is very far from the first.
        """
        if self._unit is not None:
            return self._numbers(np.array([float(text) for text in texts]) * self._unit)
        if not all(map(DATE.fullmatch, texts)):
            raise ValueError("not a date")
        stamps = np.array([text.rstrip("Z").partition("+")[0] for text in texts], "datetime64[ns]")
        if self._zero is None:
            self._zero = stamps[0]
        since = (stamps - self._zero).astype(np.int64)
        _near(float(np.abs(since).max()) * 1e-9)
        return since * 1000

    def _numbers(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        if not np.isfinite(seconds).all() or seconds.min() < 0:
            raise ValueError("not a time")
        if self._offset is None:
            self._offset = float(seconds[0]) if seconds[0] > _EPOCH else 0.0
        seconds -= self._offset
        _near(float(np.abs(seconds).max()))
        return np.rint(seconds * PS).astype(np.int64)


def _near(seconds: float) -> None:
    """Refuse times whose picoseconds would not fit."""
    if seconds > 2 * FOREVER / PS:
        raise OverflowError("too far apart")


def _faults(block: Sequence[Row], before: int, layout: Format, path: str) -> list[Problem]:
    """Say what is wrong with each malformed row of a block that could not be parsed."""
    found = [
        Problem((), f"row {number}: {fault.text}", fault.cell, path, row.line)
        for number, row in enumerate(block, start=before + 1)
        if (fault := diagnose(row, layout)) is not None
    ]
    if found:
        return found
    text = f"rows {before + 1} to {before + len(block)}: some times lie more than 100 days from the first"
    return [Problem((), text, "", path, block[0].line)]


def _shown(problems: Sequence[Problem], bad: int, read: int, path: str) -> list[Problem]:
    """Add the rows' text to the problems, and say how many more there are."""
    lines = {problem.line: "" for problem in problems}
    with open_text(path) as file:
        for number, line in enumerate(islice(file, max(line or 0 for line in lines)), start=1):
            if number in lines:
                lines[number] = line.rstrip()[:EXCERPT]
    located = []
    for problem in problems:
        # Until here `help` holds the cell at fault.
        source, cell = lines[problem.line], problem.help
        match = re.search(rf"(?<![\w.:+-]){re.escape(cell)}(?![\w.:+-])", source) if cell else None
        column = match.start() + 1 if match else None
        located.append(replace(problem, help="", source=source, column=column, length=max(1, len(cell))))
    if bad > len(problems):
        located.append(Problem((), f"{bad - len(problems)} more of {read} rows are malformed", file=path))
    return located


def _in_order(blocks: Sequence[_Columns], path: str) -> Trace:
    """Join the blocks and put them in the order of time."""
    at, prompt, output, count, names = (np.concatenate(column) for column in zip(*blocks, strict=True))
    first = np.cumsum(count) - count
    if (np.diff(at) < 0).any():
        order = np.argsort(at, kind="stable")
        at, prompt, output, first, count = (column[order] for column in (at, prompt, output, first, count))
    if at[0] < 0:  # the first row was not the earliest
        at -= at[0]
    if not len(names):
        return Trace(at, prompt, output, path)
    return Trace(at, prompt, output, path, first, count, names)
