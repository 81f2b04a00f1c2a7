"""Logs of serving runs: when each request came, how long it was, when its first and last token left.

| kind                | a request is                                                                   |
|---------------------|--------------------------------------------------------------------------------|
| lines, CSV or JSON  | arrival, tokens in and out, first and last token, under the usual names        |
| vLLM benchmark JSON | an entry of `input_lens`, `output_lens`, `ttfts`, `itls`, `start_times`         |
| guidellm JSON       | an entry of `benchmarks[].requests.successful`                                 |
| inference-perf JSON | an object with `start_time`, `end_time`, `info.output_token_times`             |
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.table import shortened, text_of
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NAMES: Final = {
    "arrived": ("queued_ts", "arrived_at", "arrival_time", "arrival", "start_time", "timestamp"),
    "prompt": (
        "input_toks",
        "prompt_tokens",
        "input_tokens",
        "input_len",
        "num_prefill_tokens",
        "prompt_len",
    ),
    "output": ("output_toks", "output_tokens", "output_len", "num_decode_tokens", "completion_tokens"),
    "first": ("first_token_ts", "first_token_at", "first_token_time"),
    "last": ("last_token_ts", "finished_at", "end_time", "last_token_time", "finish_time"),
    "ttft": ("ttft", "ttft_s", "time_to_first_token"),
    "e2e": ("e2e", "e2e_s", "latency", "e2el"),
}
"""What a column may be called; times in seconds, on one clock."""

_MS: Final = {"ttft": ("ttft_ms", "time_to_first_token_ms"), "e2e": ("e2e_ms", "latency_ms")}


@dataclass(frozen=True)
class Log:
    """A run as it was served, by order of arrival; times from the first arrival on [s].

    Attributes:
        arrived: When each request came.
        prompt: Its prompt [tokens].
        output: Its reply [tokens].
        first: When its first token left.
        last: When its last token left.
    """

    arrived: NDArray[np.float64]
    prompt: NDArray[np.int64]
    output: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

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
    text = text_of(path)
    rows: list[tuple[int, dict[str, Any]]] = list(_rows(text, path))
    if not rows:
        raise ScenarioError([Problem((), "the log holds no request", file=str(path))])
    problems: list[Problem] = []
    kept: list[tuple[float, int, int, float, float]] = []
    for number, row in rows:
        try:
            kept.append(_request(row))
        except ValueError as error:
            problems.append(Problem((), f"row {number}: {error}", file=str(path)))
    if problems:
        raise ScenarioError(shortened(problems))
    kept.sort()
    arrived, prompt, output, first, last = (np.array(column) for column in zip(*kept, strict=True))
    zero = arrived[0]
    return Log(arrived - zero, prompt.astype(np.int64), output.astype(np.int64), first - zero, last - zero)


def _rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Requests of any kind of file, as plain objects with their number."""
    start = text.lstrip()[:1]
    if start not in {"{", "["}:
        reader = csv.DictReader(io.StringIO(text))
        for number, record in enumerate(reader, 1):
            yield number, dict(record)
        return
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    problem = Problem(
                        (), f"row {number}: not valid JSON: {error.msg}", file=str(path), line=number
                    )
                    raise ScenarioError([problem]) from None
        return
    yield from enumerate(_listed(content, path), 1)


def _listed(content: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Requests of a benchmark's result file."""
    if isinstance(content, list):
        for entry in content:
            yield _inference_perf(entry) if "info" in entry else entry
    elif "input_lens" in content:
        yield from _vllm(content, path)
    elif "benchmarks" in content:
        for benchmark in content["benchmarks"]:
            requests = benchmark["requests"]
            yield from requests.get("successful", []) if isinstance(requests, dict) else requests
    elif "requests" in content:
        yield from content["requests"]
    else:
        known = "lines of CSV or JSON, or the result file of vllm bench serve, guidellm or inference-perf"
        raise ScenarioError(
            [Problem((), "this is no log of a serving run", f"known are {known}", file=str(path))]
        )


def _vllm(content: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """Requests of `vllm bench serve --save-detailed`."""
    if "start_times" not in content:
        text = "the file does not say when requests came"
        help_ = "save it with a version of vllm bench serve that writes 'start_times', and --save-detailed"
        raise ScenarioError([Problem((), text, help_, file=str(path))])
    columns = ("start_times", "input_lens", "output_lens", "ttfts", "itls")
    for start, prompt, output, ttft, gaps in zip(*(content[name] for name in columns), strict=True):
        first = start + ttft
        yield {
            "arrived_at": start,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "first_token_at": first,
            "finished_at": first + sum(gaps),
        }


def _inference_perf(entry: dict[str, Any]) -> dict[str, Any]:
    """A request of inference-perf's per-request metrics."""
    info = entry["info"]
    times = info.get("output_token_times") or [entry["end_time"]]
    return {
        "arrived_at": entry["start_time"],
        "prompt_tokens": info["input_tokens"],
        "output_tokens": info["output_tokens"],
        "first_token_at": times[0],
        "finished_at": entry["end_time"],
    }


def _request(row: dict[str, Any]) -> tuple[float, int, int, float, float]:
    """Arrival, lengths and tokens' times of one request.

    Raises:
        ValueError: Something is missing or cannot be.
    """
    arrived = _number(row, "arrived")
    prompt, output = round(_number(row, "prompt")), round(_number(row, "output"))
    first = _moment(row, "first", "ttft", arrived)
    last = _moment(row, "last", "e2e", arrived)
    if prompt < 1 or output < 1:
        raise ValueError(f"a request of {prompt} prompt and {output} output tokens")
    if not arrived <= first <= last:
        raise ValueError("arrival, first and last token are not in this order")
    return arrived, prompt, output, first, last


def _moment(row: dict[str, Any], name: str, span: str, arrived: float) -> float:
    """A time, or the arrival plus a span."""
    if any(key in row for key in NAMES[name]):
        return _number(row, name)
    return arrived + _number(row, span)


def _number(row: dict[str, Any], name: str) -> float:
    """A number under any of its names."""
    for scale, keys in ((1.0, NAMES[name]), (1e-3, _MS.get(name, ()))):
        for key in keys:
            if row.get(key) not in {None, ""}:
                try:
                    value = float(row[key])
                except (TypeError, ValueError):
                    raise ValueError(f"{key} {row[key]!r} is not a number") from None
                if not math.isfinite(value):
                    raise ValueError(f"{key} is {row[key]}, which is no measurement")
                return value * scale
    raise ValueError(f"no {name}; it may be called {_listing(NAMES[name])}")


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names)
