"""Layouts of serving logs: CSV, JSON lines, and the result files of benchmark tools, as plain rows.

| kind                | a request is                                                                          |
|---------------------|---------------------------------------------------------------------------------------|
| lines, CSV or JSON  | a line                                                                                |
| vLLM, SGLang        | an entry of the lists `input_lens`, `output_lens`, `ttfts`, `itls`, `start_times`      |
| guidellm            | an entry of `benchmarks[].requests.successful`, times in it or in `info.timings`       |
| inference-perf      | an entry of `per_request_lifecycle_metrics.json`: `start_time`, `end_time`, `info`     |
| JSON of anything    | an entry of a list, or of the key `requests`                                          |
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from edgesim.calibrate.table import shortened
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Row = dict[str, Any]

KNOWN: Final = "lines of CSV or JSON, or the result file of vllm bench serve, guidellm or inference-perf"

FAILED: Final = "failed"
"""Key that a layout adds to requests it knows to have failed."""


def rows_of(text: str, path: Path) -> list[tuple[int, Row]]:
    """Requests of any kind of file as plain objects, with the number of each from 1.

    Raises:
        ScenarioError: The file is of no known kind, or broken.
    """
    start = text.lstrip()[:1]
    if start not in {"{", "["}:
        return _of_csv(text, path)
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError:
        return _of_lines(text, path)
    if isinstance(content, dict) and not _is_result(content):
        _check_detailed(content, path)
        content = [content]  # a log of one line
    return list(enumerate(_listed(content, path), 1))


def _of_csv(text: str, path: Path) -> list[tuple[int, Row]]:
    lines = text.splitlines()
    if not lines:
        return []
    comma = max(",;\t", key=lines[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=comma)
    problems = []
    rows: list[tuple[int, Row]] = []
    for number, record in enumerate(reader, 1):
        if None in record:
            problems.append(
                Problem((), f"row {number}: more cells than the header", file=str(path), line=reader.line_num)
            )
        rows.append((number, {str(key): value for key, value in record.items() if key is not None}))
    if problems:
        raise ScenarioError(problems[:10])
    return rows


def _of_lines(text: str, path: Path) -> list[tuple[int, Row]]:
    """Lines of JSON, one request each."""
    rows: list[tuple[int, Row]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            text_ = f"row {number}: not valid JSON: {error.msg}"
            raise ScenarioError([Problem((), text_, file=str(path), line=number)]) from None
        if not isinstance(entry, dict):
            raise ScenarioError([Problem((), f"row {number}: no object", file=str(path), line=number)])
        rows.append((number, entry))
        _check_detailed(entry, path)
    results = [entry for _, entry in rows if _is_result(entry)]
    if len(results) > 1:
        text_ = f"the file holds the results of {len(results)} benchmarks, one a line"
        raise ScenarioError([Problem((), text_, "keep one of them", file=str(path))])
    return list(enumerate(_listed(results[0], path), 1)) if results else rows


def _is_result(content: Row) -> bool:
    """Whether an object is a benchmark's result, not a request."""
    return any(isinstance(content.get(key), list) for key in ("input_lens", "benchmarks", "requests"))


def _check_detailed(content: Row, path: Path) -> None:
    """Refuse the totals of a benchmark without its requests.

    Raises:
        ScenarioError: There is nothing else.
    """
    if not _is_result(content) and {"completed", "total_input_tokens"} <= content.keys():
        text = "the file holds a benchmark's totals and none of its requests"
        raise ScenarioError([Problem((), text, "save it with --save-detailed", file=str(path))])


def _listed(content: Any, path: Path) -> Iterator[Row]:
    """Requests of a benchmark's result file."""
    if isinstance(content, list):
        for number, entry in enumerate(content, 1):
            if not isinstance(entry, dict):
                raise ScenarioError([Problem((), f"row {number}: no object", file=str(path))])
            yield _inference_perf(entry) if isinstance(entry.get("info"), dict) else entry
    elif "input_lens" in content:
        yield from _vllm(content, path)
    elif "benchmarks" in content:
        for number, benchmark in enumerate(content["benchmarks"], 1):
            yield from _guidellm(benchmark, number, path)
    else:
        yield from _listed(content["requests"], path)


def _vllm(content: Row, path: Path) -> Iterator[Row]:
    """Requests of `vllm bench serve --save-detailed`, and of SGLang's `bench_serving`, which saves no starts."""
    together = str(content.get("request_rate")) == "inf" and not content.get("max_concurrency")
    starts = content.get("start_times") or ([0.0] * len(content["input_lens"]) if together else None)
    if starts is None:
        text = "the file does not say when requests came"
        help_ = "save it with a version of vllm bench serve that writes 'start_times', and --save-detailed"
        raise ScenarioError([Problem((), text, help_, file=str(path))])
    columns = [starts, *(content.get(name) or [] for name in ("input_lens", "output_lens", "ttfts", "itls"))]
    errors = content.get("errors") or [""] * len(starts)
    if len({len(column) for column in (*columns, errors)}) > 1:
        text = "the lists start_times, input_lens, output_lens, ttfts, itls and errors are not equally long"
        raise ScenarioError([Problem((), text, "save the file with --save-detailed", file=str(path))])
    served: list[Row] = []
    problems = []
    for number, (start, prompt, output, ttft, gaps, error) in enumerate(
        zip(*columns, errors, strict=True), 1
    ):
        failed = bool(error) or not output
        cells = {"start_times": [start], "ttfts": [ttft], "itls": gaps if isinstance(gaps, list) else [gaps]}
        odd = next(
            ((name, cell) for name, each in cells.items() for cell in each if not _is_time(cell)), None
        )
        if failed:
            served.append({FAILED: True})
        elif odd:
            problems.append(
                Problem((), f"row {number}: {odd[0]} holds {odd[1]!r}, which is no time", file=str(path))
            )
        else:
            served.append(
                {
                    "arrived_at": start,
                    "prompt_tokens": prompt,
                    "output_tokens": output,
                    "first_token_at": start + ttft,
                    "finished_at": start + ttft + sum(cells["itls"]),
                }
            )
    if problems:
        raise ScenarioError(shortened(problems))
    yield from served


def _is_time(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _guidellm(benchmark: Any, number: int, path: Path) -> Iterator[Row]:
    """Requests of one benchmark of guidellm: those that succeeded, and those that did not."""
    requests = (benchmark.get("requests") or {}) if isinstance(benchmark, dict) else None
    if isinstance(requests, list):
        requests = {"successful": requests}
    if not isinstance(requests, dict):
        raise ScenarioError([Problem((), f"benchmark {number} holds no requests", file=str(path))])
    for outcome, entries in requests.items():
        for row, entry in enumerate(entries if isinstance(entries, list) else (), 1):
            if not isinstance(entry, dict):
                text = f"benchmark {number}, {outcome} request {row}: no object"
                raise ScenarioError([Problem((), text, file=str(path))])
            yield _timed(entry) | ({} if outcome == "successful" else {FAILED: True})


def _timed(entry: Row) -> Row:
    """A request with the times that newer versions keep apart."""
    timings = _part(_part(entry, "info") or _part(entry, "scheduler_info"), "timings")
    renamed = {
        "arrived_at": ("request_start",),
        "first_token_at": ("first_token_iteration", "first_iteration"),
        "finished_at": ("last_token_iteration", "last_iteration", "request_end"),
    }
    found = {
        name: next((timings[key] for key in keys if timings.get(key) is not None), None)
        for name, keys in renamed.items()
    }
    return entry | {name: value for name, value in found.items() if value is not None}


def _part(row: Row, key: str) -> Row:
    """An object inside another; empty where it is missing or something else."""
    found = row.get(key)
    return found if isinstance(found, dict) else {}


def _inference_perf(entry: Row) -> Row:
    """A request of inference-perf's per-request metrics; newer versions keep the reply's apart."""
    info = entry["info"]
    reply = _part(info, "response_metrics") or info
    prompt = info.get("input_tokens")
    if prompt is None:
        prompt = _part(_part(info, "request_metrics"), "text").get("input_tokens")
    times = reply.get("output_token_times")
    times = times if isinstance(times, list) and times else [entry.get("end_time")]
    return {
        "arrived_at": entry.get("start_time"),
        "prompt_tokens": prompt,
        "output_tokens": reply.get("output_tokens"),
        "first_token_at": times[0],
        "finished_at": times[-1] if len(times) > 1 else entry.get("end_time"),
        FAILED: bool(entry.get("error")),
    }
