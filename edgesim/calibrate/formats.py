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
    results = [entry for _, entry in rows if _is_result(entry)]
    if len(results) > 1:
        text_ = f"the file holds the results of {len(results)} benchmarks, one a line"
        raise ScenarioError([Problem((), text_, "keep one of them", file=str(path))])
    return list(enumerate(_listed(results[0], path), 1)) if results else rows


def _is_result(content: Row) -> bool:
    """Whether an object is a benchmark's result, not a request."""
    return any(isinstance(content.get(key), list) for key in ("input_lens", "benchmarks", "requests"))


def _listed(content: Any, path: Path) -> Iterator[Row]:
    """Requests of a benchmark's result file."""
    if isinstance(content, list):
        for entry in content:
            if not isinstance(entry, dict):
                raise ScenarioError(
                    [Problem((), "the list holds something that is no request", file=str(path))]
                )
            yield _inference_perf(entry) if isinstance(entry.get("info"), dict) else entry
    elif "input_lens" in content:
        yield from _vllm(content, path)
    elif "benchmarks" in content:
        for benchmark in content["benchmarks"]:
            yield from _guidellm(benchmark)
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
    for start, prompt, output, ttft, gaps, error in zip(*columns, errors, strict=True):
        yield {
            "arrived_at": start,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "first_token_at": start + ttft,
            "finished_at": start + ttft + sum(gaps),
            FAILED: bool(error) or not output,
        }


def _guidellm(benchmark: Row) -> Iterator[Row]:
    """Requests of one benchmark of guidellm: those that succeeded, and those that did not."""
    requests = benchmark.get("requests") or {}
    if isinstance(requests, list):
        yield from (_timed(entry) for entry in requests)
        return
    for outcome, entries in requests.items():
        for entry in entries or ():
            yield _timed(entry) | ({} if outcome == "successful" else {FAILED: True})


def _timed(entry: Row) -> Row:
    """A request with the times that newer versions keep apart."""
    timings = (entry.get("info") or entry.get("scheduler_info") or {}).get("timings") or {}
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


def _inference_perf(entry: Row) -> Row:
    """A request of inference-perf's per-request metrics; newer versions keep the reply's apart."""
    info = entry["info"]
    reply = info.get("response_metrics") or info
    prompt = info.get("input_tokens")
    if prompt is None:
        prompt = ((info.get("request_metrics") or {}).get("text") or {}).get("input_tokens")
    times = reply.get("output_token_times") or [entry.get("end_time")]
    return {
        "arrived_at": entry.get("start_time"),
        "prompt_tokens": prompt,
        "output_tokens": reply.get("output_tokens"),
        "first_token_at": times[0],
        "finished_at": times[-1] if len(times) > 1 else entry.get("end_time"),
        FAILED: bool(entry.get("error")),
    }
