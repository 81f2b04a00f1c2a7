"""Logs of serving runs: when each request came, how long it was, when its first and last token left.

Columns are known under the names that engines and benchmarks give them, in any order; `edgesim.calibrate.formats`
knows the layouts. Times are in seconds unless a column's name ends in a unit, as `ttft_ms` does; clock times may be
counted from 1970 or from anything else. Requests that failed are left out, and counted.

Engines stamp events by a clock of their own, while requests are stamped by that of the wall when they arrive. A column
that has both, such as `queued_ts` beside `arrival_time`, ties them: arrivals are moved such that the promptest request
is queued as it arrives.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.formats import FAILED, KNOWN, rows_of
from edgesim.calibrate.table import shortened, text_of
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAMES: Final = {
    "arrived": (
        "arrival_time",
        "arrived_at",
        "arrival_ts",
        "arrival",
        "arrived",
        "request_start_time",
        "request_start",
        "start_time",
        "start_ts",
        "sent_at",
        "send_time",
        "submitted_at",
        "queued_ts",
        "queued_at",
        "queued_time",
        "enqueue_time",
        "timestamp",
        "start",
    ),
    "queued": ("queued_ts", "queued_at", "queued_time", "enqueue_time", "scheduled_ts"),
    "prompt": (
        "input_toks",
        "prompt_tokens",
        "input_tokens",
        "num_prompt_tokens",
        "num_input_tokens",
        "input_len",
        "prompt_len",
        "input_length",
        "prompt_length",
        "num_prefill_tokens",
        "prefill_tokens",
        "context_tokens",
        "isl",
    ),
    "output": (
        "output_toks",
        "output_tokens",
        "completion_tokens",
        "num_output_tokens",
        "num_generation_tokens",
        "num_generated_tokens",
        "generated_tokens",
        "generation_tokens",
        "output_len",
        "output_length",
        "num_decode_tokens",
        "decode_tokens",
        "osl",
    ),
    "first": (
        "first_token_ts",
        "first_token_at",
        "first_token_time",
        "first_token",
        "first_chunk_time",
    ),
    "last": (
        "last_token_ts",
        "last_token_at",
        "last_token_time",
        "last_token",
        "finished_at",
        "finished_time",
        "finish_time",
        "finish_ts",
        "completed_at",
        "request_end_time",
        "end_time",
        "end_ts",
        "end",
    ),
    "ttft": ("ttft", "time_to_first_token", "first_token_latency"),
    "tpot": ("tpot", "time_per_output_token", "itl", "inter_token_latency", "mean_itl"),
    "e2e": (
        "e2e",
        "e2el",
        "latency",
        "e2e_latency",
        "request_latency",
        "end_to_end_latency",
        "total_latency",
        "total_time",
        "duration",
        "elapsed",
    ),
    "request": ("request_id", "id", "req_id", "request"),
}
"""What a column may be called, by preference; spelling of letters, spaces and hyphens do not matter."""

UNITS: Final = {"": 1.0, "_s": 1.0, "_sec": 1.0, "_seconds": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}

SINCE_1970: Final = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""Clock times beyond these are counted from 1970 in nano-, micro- or milliseconds, whatever the column is called."""

APART: Final = 1e7
"""Times further apart than this are on different clocks [s]."""

TOO_LONG: Final = 3600.0
"""A typical request that takes longer is more likely in another unit [s]."""

BAD_ENDS: Final = ("fail", "error", "abort", "cancel", "timeout", "timed_out", "reject", "incomplete")


@dataclass(frozen=True)
class Log:
    """A run as it was served, by order of arrival; times from the first arrival on [s].

    Attributes:
        arrived: When each request came.
        prompt: Its prompt [tokens].
        output: Its reply [tokens].
        first: When its first token left.
        last: When its last token left.
        failed: Requests that failed, which are left out.
        notes: What the reader took for granted.
    """

    arrived: NDArray[np.float64]
    prompt: NDArray[np.int64]
    output: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    failed: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many requests there are."""
        return len(self.arrived)

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """TTFT, TPOT (NaN for a single token) and end-to-end time of each request [s]."""
        return metrics_of(self.arrived, self.first, self.last, self.output)


def metrics_of(
    arrived: NDArray[np.float64],
    first: NDArray[np.float64],
    last: NDArray[np.float64],
    output: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """TTFT, TPOT (NaN for a single token) and end-to-end time [s]."""
    gaps = np.where(output > 1, output - 1, np.nan)
    return {"ttft": first - arrived, "tpot": (last - first) / gaps, "e2e": last - arrived}


def read_log(path: Path) -> Log:
    """Read the log of a serving run.

    Raises:
        ScenarioError: The file cannot be read, is of no known kind, or has wrong rows; they are told by number.
    """
    rows = [(number, _plain(row)) for number, row in rows_of(text_of(path), path)]
    kept = [(number, row) for number, row in rows if not _failed(row)]
    if not kept:
        text = f"all {len(rows)} requests failed" if rows else "the log holds no request"
        raise ScenarioError([Problem((), text, f"a log is {KNOWN}", file=str(path))])
    reader = _Reader(path, kept)
    log = reader.log(len(rows) - len(kept))
    if log.failed:
        note = f"{log.failed} of {len(rows)} requests failed and are left out, with the load they were"
        return Log(log.arrived, log.prompt, log.output, log.first, log.last, log.failed, (note, *log.notes))
    return log


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose keys are spelt alike: `TTFT (ms)` becomes `ttft_ms`."""
    return {re.sub(r"[^a-z0-9]+", "_", str(key).lower()).strip("_"): value for key, value in row.items()}


def _failed(row: dict[str, Any]) -> bool:
    """Whether a row says that its request failed."""
    if str(row.get(FAILED)) in {"True", "true", "1"}:
        return True
    if str(row.get("success", True)).lower() in {"false", "0"}:
        return True
    if row.get("error") not in (None, "", "None", "null", False):
        return True
    ends = (str(row.get(key, "")).lower() for key in ("status", "outcome", "finish_reason"))
    return any(end.startswith(bad) for end in ends for bad in BAD_ENDS)


class _Reader:
    """Takes the columns of a log out of its rows, and finds what is wrong."""

    def __init__(self, path: Path, rows: list[tuple[int, dict[str, Any]]]) -> None:
        self.path, self.rows = path, rows
        self.names = {name for _, row in rows for name in row}
        self.problems: dict[int, str] = {}
        self.notes: list[str] = []

    def log(self, failed: int) -> Log:
        """Put the log together.

        Raises:
            ScenarioError: Columns are missing, or rows are wrong.
        """
        prompt, output = self._tokens("prompt"), self._tokens("output")
        first, last, spans = self._column("first"), self._column("last"), None
        anchor = first if first is not None else last
        arrived = self._arrivals(anchor)
        if first is None:
            spans = self._column("ttft")
            first = self._needed("first", "ttft") if spans is None else arrived + spans
        if last is None:
            last = self._last(arrived, first, output)
        self._raise()
        self._duplicates(arrived, prompt, output, first, last)
        self._order(arrived, first, last)
        self._raise()
        self._streamed(first, last, output)
        self._units(last - arrived)
        order = np.lexsort((last, output, prompt, arrived))
        zero = float(arrived.min())
        return Log(
            arrived[order] - zero,
            prompt[order].astype(np.int64),
            output[order].astype(np.int64),
            first[order] - zero,
            last[order] - zero,
            failed,
            tuple(self.notes),
        )

    def _spelt(self, field: str) -> tuple[str, float] | None:
        """How the log spells a field, and what its unit is [s]."""
        for name in NAMES[field]:
            for suffix, unit in UNITS.items():
                if name + suffix in self.names:
                    return name + suffix, unit
        return None

    def _column(self, field: str, spelt: tuple[str, float] | None = None) -> Floats | None:
        """A column of times; None where no row has it."""
        found = spelt or self._spelt(field)
        if found is None:
            return None
        name, unit = found
        values = np.array([self._number(number, row, name) for number, row in self.rows])
        if field in {"arrived", "queued", "first", "last"}:
            middle = float(np.nanmedian(np.abs(values))) if not np.isnan(values).all() else 0.0
            unit = next((scale for least, scale in SINCE_1970 if middle >= least), unit)
        return values * unit

    def _number(self, number: int, row: dict[str, Any], name: str) -> float:
        """A cell as a number; what is wrong with it is kept."""
        cell = row.get(name)
        if cell is None or cell == "":
            self._wrong(number, f"no {name}")
            return math.nan
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = _moment(cell)
            if math.isnan(value):
                self._wrong(number, f"{name} {cell!r} is not a number")
            return value
        if not math.isfinite(value):
            self._wrong(number, f"{name} is {cell}, which is no measurement")
            return math.nan
        return value

    def _tokens(self, field: str) -> Floats:
        """A column of counts."""
        values = self._column(field, (found[0], 1.0) if (found := self._spelt(field)) else None)
        if values is None:
            return self._needed(field)
        for (number, _), value in zip(self.rows, values, strict=True):
            if not math.isnan(value) and (value < 1 or value != int(value)):
                self._wrong(number, f"a request of {value:g} {field} tokens")
        return values

    def _arrivals(self, anchor: Floats | None) -> Floats:
        """When requests came, on the clock of their tokens."""
        found = self._spelt("arrived")
        if found is None:
            return self._needed("arrived")
        arrived = self._column("arrived", found)
        assert arrived is not None
        if anchor is None or _together(arrived, anchor):
            return arrived
        queued_as = next(
            ((name, 1.0) for name in NAMES["queued"] if name in self.names and name != found[0]), None
        )
        queued = self._column("queued", queued_as) if queued_as else None
        if queued is None or queued_as is None or not _together(queued, anchor):
            text = f"{found[0]} is on another clock than the tokens' times"
            help_ = f"add a column on their clock, called {NAMES['queued'][0]}, or spans such as ttft and e2e"
            raise ScenarioError([Problem((), text, help_, file=str(self.path))])
        self.notes.append(
            f"{found[0]} is on another clock than {queued_as[0]}; the promptest request ties them"
        )
        moved: Floats = arrived + np.nanmin(queued - arrived)
        return moved

    def _last(self, arrived: Floats, first: Floats, output: Floats) -> Floats:
        """When the last token left, from spans."""
        spans = self._column("e2e")
        if spans is not None:
            return arrived + spans
        gaps = self._column("tpot")
        return self._needed("last", "e2e", "tpot") if gaps is None else first + gaps * (output - 1)

    def _needed(self, *fields: str) -> Floats:
        """Complain about a column that no row has.

        Raises:
            ScenarioError: Always.
        """
        names = [", ".join(NAMES[field][:6]) for field in fields]
        text = f"no column says {_MEANING[fields[0]]}; the log has {', '.join(sorted(self.names))}"
        raise ScenarioError(
            [Problem((), text, f"it may be called {' or '.join(names)}", file=str(self.path))]
        )

    def _wrong(self, number: int, text: str) -> None:
        self.problems.setdefault(number, text)

    def _raise(self) -> None:
        """Tell the rows that are wrong.

        Raises:
            ScenarioError: There are any.
        """
        if self.problems:
            found = [
                Problem((), f"row {number}: {text}", file=str(self.path))
                for number, text in sorted(self.problems.items())
            ]
            raise ScenarioError(shortened(found))

    def _duplicates(self, *columns: Floats) -> None:
        """Find requests that stand there twice."""
        named = self._spelt("request")
        seen: dict[object, int] = {}
        for i, (number, row) in enumerate(self.rows):
            own = row.get(named[0]) if named else None
            key: object = own if own not in (None, "") else tuple(float(c[i]) for c in columns)
            if key in seen:
                what = f" ({named[0]} {own})" if named and own not in (None, "") else ""
                self._wrong(number, f"the same request as row {seen[key]}{what}")
            seen.setdefault(key, number)

    def _order(self, arrived: Floats, first: Floats, last: Floats) -> None:
        """Find requests whose tokens left before they came."""
        for (number, _), came, began, ended in zip(self.rows, arrived, first, last, strict=True):
            if not came <= began <= ended:
                self._wrong(number, "arrival, first and last token are not in this order")

    def _streamed(self, first: Floats, last: Floats, output: Floats) -> None:
        """Refuse replies that came in one piece.

        Raises:
            ScenarioError: Most did.
        """
        longer = output > 1
        whole = int((longer & (last <= first)).sum())
        if whole > longer.sum() / 2:
            text = (
                f"{whole} of {int(longer.sum())} replies of several tokens came in one piece, not as a stream"
            )
            help_ = "neither TTFT nor TPOT can be told from them; measure with streaming on"
            raise ScenarioError([Problem((), text, help_, file=str(self.path))])

    def _units(self, spans: Floats) -> None:
        """Doubt times that no request takes.

        Raises:
            ScenarioError: They are likely in another unit.
        """
        typical = float(np.median(spans))
        if typical > TOO_LONG:
            text = f"half of the requests take longer than {typical:,.0f} s; are these times in milliseconds?"
            help_ = "say so in the columns' names, as in arrival_ms, ttft_ms and e2e_ms"
            raise ScenarioError([Problem((), text, help_, file=str(self.path))])


_MEANING: Final = {
    "arrived": "when requests came",
    "prompt": "how long prompts are",
    "output": "how long replies are",
    "first": "when first tokens left",
    "last": "when last tokens left",
}


def _together(one: Floats, other: Floats) -> bool:
    """Whether two columns of times may be on one clock."""
    gaps = np.abs(one - other)
    known = gaps[~np.isnan(gaps)]
    return not len(known) or bool(np.median(known) < APART)


def _moment(cell: object) -> float:
    """A date and time as seconds since 1970; NaN if it is none."""
    try:
        return datetime.fromisoformat(str(cell)).timestamp()
    except ValueError:
        return math.nan


__all__: Sequence[str] = ("Log", "metrics_of", "read_log")
