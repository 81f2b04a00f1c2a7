"""Logs of serving runs: every layout gives the same requests, and what is wrong is told by file and row."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.calibrate.logs import Log, read_log
from edgesim.errors import ScenarioError

ARRIVED = [100.0, 100.5, 102.0]
PROMPT, OUTPUT = [700, 30, 1200], [40, 1, 200]
FIRST = [100.25, 100.6, 102.5]
LAST = [101.03, 100.6, 106.48]


def written(path: Path, content: Any) -> Log:
    """A log read from text, or from what JSON can hold."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_log(path)


def lines(**columns: list[Any]) -> str:
    """JSON lines."""
    return "\n".join(
        json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
    )


def table(**columns: list[Any]) -> str:
    """A CSV file."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(",".join(str(cell) for cell in row) for row in rows)


def same(log: Log) -> None:
    """It holds the three requests above."""
    assert log.arrived == pytest.approx(np.array(ARRIVED) - 100)
    assert log.prompt.tolist() == PROMPT
    assert log.output.tolist() == OUTPUT
    assert log.first == pytest.approx(np.array(FIRST) - 100, abs=1e-6)
    assert log.last == pytest.approx(np.array(LAST) - 100, abs=1e-6)


def problems(path: Path, content: Any) -> list[str]:
    """What the reader complains about; always with the file's name."""
    with pytest.raises(ScenarioError) as caught:
        written(path, content)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return [problem.text for problem in caught.value.problems]


def test_engine_events(tmp_path: Path) -> None:
    """As vLLM stamps them: arrivals by the wall's clock, the rest by the engine's."""
    late = [0.0, 0.03, 0.01]
    content = lines(
        request_id=["a", "b", "c"],
        last_token_ts=LAST,
        input_toks=PROMPT,
        arrival_time=[1.7e9 + at for at in ARRIVED],
        queued_ts=[at + wait for at, wait in zip(ARRIVED, late, strict=True)],
        scheduled_ts=[at + wait + 0.01 for at, wait in zip(ARRIVED, late, strict=True)],
        output_toks=OUTPUT,
        first_token_ts=FIRST,
    )
    log = written(tmp_path / "log.jsonl", content)
    same(log)
    assert log.notes == ("arrival_time is on another clock than queued_ts; the promptest request ties them",)


def test_the_run_of_the_reference_data(reference_data: Path) -> None:
    """300 requests at about ten a second, none of which waits less than nothing."""
    log = read_log(reference_data / "replays/vllm_replay_RTX4090_Llama-3.1-8B.jsonl")
    assert len(log) == 300
    assert 27 < log.arrived[-1] < 33
    assert log.metrics["ttft"].min() > 0.05
    assert np.nanmean(log.metrics["tpot"]) == pytest.approx(0.03245, rel=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        table(
            arrived_at=ARRIVED,
            prompt_tokens=PROMPT,
            completion_tokens=OUTPUT,
            first_token_at=FIRST,
            finished_at=LAST,
        ),
        table(end_time=LAST, first_token_time=FIRST, osl=OUTPUT, isl=PROMPT, start_time=ARRIVED),
        table(
            **{
                "Arrival": ARRIVED,
                "TTFT (ms)": [round(1e3 * (f - a), 6) for f, a in zip(FIRST, ARRIVED, strict=True)],
                "E2E-Latency (s)": [round(e - a, 6) for e, a in zip(LAST, ARRIVED, strict=True)],
                "Prompt Tokens": PROMPT,
                "Output tokens": OUTPUT,
            }
        ),
        table(
            arrival_ms=[1e3 * at for at in ARRIVED],
            ttft_us=[round(1e6 * (f - a), 3) for f, a in zip(FIRST, ARRIVED, strict=True)],
            tpot_ms=[20.0, 0.0, 20.0],
            input_len=PROMPT,
            output_len=OUTPUT,
        ),
        table(
            timestamp=["2026-08-20T23:00:00Z", "2026-08-20T23:00:00.500Z", "2026-08-20T23:00:02+00:00"],
            num_prefill_tokens=PROMPT,
            num_decode_tokens=OUTPUT,
            ttft=[0.25, 0.1, 0.5],
            latency=[1.03, 0.1, 4.48],
        ),
        table(
            arrival_time=[int((1.7e9 + at) * 1e9) for at in ARRIVED],
            input_tokens=PROMPT,
            output_tokens=OUTPUT,
            first_token=[int((1.7e9 + at) * 1e9) for at in FIRST],
            end=[int((1.7e9 + at) * 1e9) for at in LAST],
        ),
        table(
            start=ARRIVED, prompt_len=PROMPT, generated_tokens=OUTPUT, first_token=FIRST, end_ts=LAST
        ).replace(",", ";"),
    ],
    ids=["edgesim", "any order", "spoken names", "units", "dates", "nanoseconds", "semicolons"],
)
def test_columns_of_any_name_and_order(tmp_path: Path, content: str) -> None:
    """Names, units and separators that tools use."""
    same(written(tmp_path / "log.csv", content))


def test_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    """Engines write requests as they end."""
    content = lines(
        arrived_at=ARRIVED, input_toks=PROMPT, output_toks=OUTPUT, first_token_at=FIRST, finished_at=LAST
    )
    same(written(tmp_path / "log.jsonl", "\n".join(reversed(content.splitlines()))))


VLLM: dict[str, Any] = {
    "input_lens": PROMPT,
    "output_lens": OUTPUT,
    "ttfts": [0.25, 0.1, 0.5],
    "itls": [[0.02] * 39, [], [0.02] * 199],
    "start_times": ARRIVED,
}


def test_vllm_bench_serve(tmp_path: Path) -> None:
    """`--save-detailed`: lists of equal length; a failed request has an error and no tokens."""
    gaps = [[0.02] * 39, [], [0.02] * 199, []]
    content = {
        "backend": "vllm",
        "request_rate": 2.0,
        "completed": 3,
        "failed": 1,
        "input_lens": [*PROMPT, 50],
        "output_lens": [*OUTPUT, 0],
        "ttfts": [0.25, 0.1, 0.5, 0.0],
        "itls": gaps,
        "start_times": [*ARRIVED, 103.0],
        "generated_texts": [""] * 4,
        "errors": ["", "", "", "Internal Server Error"],
    }
    log = written(tmp_path / "result.json", content)
    same(log)
    assert log.failed == 1
    assert log.notes == ("1 of 4 requests failed and are left out, with the load they were",)
    assert "not equally long" in problems(tmp_path / "r.json", content | {"ttfts": [0.1]})[0]
    no_starts = {key: value for key, value in content.items() if key != "start_times"}
    assert "does not say when requests came" in problems(tmp_path / "r.json", no_starts)[0]
    at_once = written(tmp_path / "r.json", no_starts | {"request_rate": "inf", "max_concurrency": None})
    assert at_once.arrived.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (VLLM | {"ttfts": [0.25, None, 0.5]}, "row 2: ttfts holds None, which is no time"),
        (VLLM | {"itls": [[0.02] * 39, [], [0.02, "x"]]}, "row 3: itls holds 'x', which is no time"),
        (VLLM | {"itls": [[0.02] * 39, 7, "x"]}, "row 3: itls holds 'x', which is no time"),
        (
            {"completed": 3, "failed": 1, "total_input_tokens": 99},
            "the file holds a benchmark's totals and none of its",
        ),
        ({"benchmarks": [1]}, "benchmark 1 holds no requests"),
        ({"benchmarks": [{"requests": {"successful": [1]}}]}, "benchmark 1, successful request 1: no object"),
        ([{"arrived_at": 1.0}, 7], "row 2: no object"),
        ([{"info": {"output_tokens": 5}, "start_time": 1}], "row 1: no prompt_tokens"),
    ],
)
def test_odd_results_are_told(tmp_path: Path, content: Any, complaint: str) -> None:
    """By row, and without a word from numpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problems(tmp_path / "result.json", content)[0].startswith(complaint)


def test_lines_of_totals_are_told(tmp_path: Path) -> None:
    """As SGLang appends them without details."""
    content = json.dumps({"completed": 3, "total_input_tokens": 99})
    assert "totals and none" in problems(tmp_path / "result.jsonl", f"{content}\n{content}")[0]


def test_replies_in_one_piece_are_refused(tmp_path: Path) -> None:
    """inference-perf without streaming keeps no tokens' times."""
    entries = [
        {
            "start_time": start,
            "end_time": last,
            "info": {"input_tokens": prompt, "output_tokens": output, "output_token_times": []},
        }
        for start, last, prompt, output in zip(ARRIVED, LAST, PROMPT, OUTPUT, strict=True)
    ]
    complaint = "2 of 2 replies of several tokens came in one piece, not as a stream"
    assert problems(tmp_path / "metrics.json", entries) == [complaint]


def test_guidellm(tmp_path: Path) -> None:
    """Older versions keep times in the request, newer ones in its `info`; what did not succeed is counted."""
    old = [
        {
            "request_id": str(i),
            "start_time": start,
            "end_time": last + 0.001,
            "first_token_time": first,
            "last_token_time": last,
            "prompt_tokens": prompt,
            "output_tokens": output,
        }
        for i, (start, prompt, output, first, last) in enumerate(
            zip(ARRIVED, PROMPT, OUTPUT, FIRST, LAST, strict=True)
        )
    ]
    new = [
        {
            "request_id": entry["request_id"],
            "info": {
                "status": "completed",
                "timings": {
                    "request_start": entry["start_time"],
                    "first_token_iteration": entry["first_token_time"],
                    "last_token_iteration": entry["last_token_time"],
                    "request_end": entry["end_time"],
                },
            },
            "request_start_time": entry["start_time"],
            "request_end_time": entry["end_time"],
            "time_to_first_token_ms": 1e3 * (entry["first_token_time"] - entry["start_time"]),
            "prompt_tokens": entry["prompt_tokens"],
            "output_tokens": entry["output_tokens"],
        }
        for entry in old
    ]
    for requests in (old, new):
        lost = {"request_id": "x", "start_time": 101.0, "prompt_tokens": 9, "output_tokens": None}
        parts = {"successful": requests[:2], "errored": [lost], "incomplete": [lost | {"request_id": "y"}]}
        content = {
            "benchmarks": [{"requests": parts}, {"requests": {"successful": requests[2:], "errored": []}}]
        }
        log = written(tmp_path / "benchmarks.json", content)
        same(log)
        assert log.failed == 2


def test_inference_perf(tmp_path: Path) -> None:
    """Older versions keep the tokens' times in `info`, newer ones in its `response_metrics`."""
    times = [
        np.linspace(first, last, output).tolist()
        for first, last, output in zip(FIRST, LAST, OUTPUT, strict=True)
    ]
    old = [
        {
            "start_time": start,
            "end_time": last,
            "request": "{}",
            "response": "",
            "info": {"input_tokens": prompt, "output_tokens": output, "output_token_times": at},
            "error": None,
        }
        for start, last, prompt, output, at in zip(ARRIVED, LAST, PROMPT, OUTPUT, times, strict=True)
    ]
    new = [
        entry
        | {
            "info": {
                "request_metrics": {"text": {"input_tokens": entry["info"]["input_tokens"]}},
                "response_metrics": {
                    "output_tokens": entry["info"]["output_tokens"],
                    "output_token_times": entry["info"]["output_token_times"],
                },
            }
        }
        for entry in old
    ]
    failed = old[0] | {
        "start_time": 101.0,
        "error": {"error_type": "Timeout", "error_msg": ""},
        "info": {"input_tokens": 5},
    }
    for entries in (old, new):
        log = written(tmp_path / "per_request_lifecycle_metrics.json", [*entries, failed])
        same(log)
        assert log.failed == 1


def test_failed_requests_are_left_out_and_counted(tmp_path: Path) -> None:
    """Whatever a log calls them; their other cells may be empty."""
    rows = [
        {"arrived_at": a, "input_toks": p, "output_toks": o, "first_token_at": f, "finished_at": e}
        for a, p, o, f, e in zip(ARRIVED, PROMPT, OUTPUT, FIRST, LAST, strict=True)
    ]
    bad = [
        {"success": False},
        {"error": "boom"},
        {"status": "FAILED"},
        {"finish_reason": "abort"},
        {"status": "timeout"},
    ]
    good = [
        {"success": True, "error": None},
        {"error": "", "status": "completed"},
        {"finish_reason": "length"},
    ]
    lost = [{"arrived_at": 101.0} | mark for mark in bad]
    kept = [row | mark for row, mark in zip(rows, good, strict=True)]
    log = written(tmp_path / "log.json", lost + kept)
    same(log)
    assert log.failed == len(bad)
    assert problems(tmp_path / "log.json", lost) == [f"all {len(bad)} requests failed"]


GOOD = {
    "arrived_at": ARRIVED,
    "input_toks": PROMPT,
    "output_toks": OUTPUT,
    "first_token_at": FIRST,
    "finished_at": LAST,
}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"input_toks": [700, "many", 1200]}, "row 2: input_toks 'many' is not a number"),
        ({"input_toks": [700, 0, 1200]}, "row 2: a request of 0 prompt tokens"),
        ({"output_toks": [40, 1, 2.5]}, "row 3: a request of 2.5 output tokens"),
        ({"first_token_at": [100.25, "nan", 102.5]}, "row 2: first_token_at is nan, which is no measurement"),
        ({"first_token_at": [100.25, "", 102.5]}, "row 2: no first_token_at"),
        (
            {"finished_at": [101.03, 100.55, 106.48]},
            "row 2: arrival, first and last token are not in this order",
        ),
        ({"arrived_at": [100.0, 100.7, 102.0]}, "row 2: arrival, first and last token are not in this order"),
        ({"request_id": ["a", "b", "a"]}, "row 3: the same request as row 1 (request_id a)"),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, changes: dict[str, list[Any]], complaint: str) -> None:
    """By number, in words."""
    assert problems(tmp_path / "log.csv", table(**(GOOD | changes))) == [complaint]


def test_all_wrong_rows_are_told_at_once(tmp_path: Path) -> None:
    """Ten of them, and how many more there are."""
    count = 30
    content = table(
        arrived_at=[1.0] * count,
        input_toks=["x"] * count,
        output_toks=[1] * count,
        ttft=[1] * count,
        e2e=[1] * count,
    )
    found = problems(tmp_path / "log.csv", content)
    assert found[0] == "row 1: input_toks 'x' is not a number"
    assert found[-1] == "and 20 more rows are wrong"
    assert len(found) == 11


def test_equal_rows_are_one_request(tmp_path: Path) -> None:
    """Without names, a row that repeats all of another."""
    content = table(**GOOD).splitlines()
    assert problems(tmp_path / "log.csv", "\n".join([*content, content[1]])) == [
        "row 4: the same request as row 1"
    ]


@pytest.mark.parametrize("gone", ["arrived_at", "input_toks", "output_toks", "first_token_at", "finished_at"])
def test_missing_columns_are_told(tmp_path: Path, gone: str) -> None:
    """What is missing, and what there is."""
    columns = {key: value for key, value in GOOD.items() if key != gone}
    found = problems(tmp_path / "log.csv", table(**columns))
    assert len(found) == 1
    assert found[0].startswith("no column says ")
    assert ", ".join(sorted(columns)) in found[0]


def test_clocks_that_nothing_ties_are_told(tmp_path: Path) -> None:
    """Arrivals since 1970, tokens since the machine started, and no column that has both."""
    changed = GOOD | {"arrived_at": [1.7e9 + at for at in ARRIVED]}
    assert problems(tmp_path / "log.csv", table(**changed)) == [
        "arrived_at is on another clock than the tokens' times"
    ]


def test_times_in_another_unit_are_doubted(tmp_path: Path) -> None:
    """Nobody waits hours for a reply: milliseconds in columns that do not say so."""
    columns = {
        "arrived": [0, 500, 2000],
        "prompt_len": PROMPT,
        "output_len": OUTPUT,
        "ttft": [250, 100, 500],
        "e2e": [5030, 4100, 4480],
    }
    assert "are these times in milliseconds?" in problems(tmp_path / "log.csv", table(**columns))[0]
    scaled = {key if "len" in key else f"{key}_ms": value for key, value in columns.items()}
    assert written(tmp_path / "log.csv", table(**scaled)).metrics["e2e"] == pytest.approx([5.03, 4.1, 4.48])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "the log holds no request"),
        ('{"a": 1}\n{"a": ', "row 2: not valid JSON: Expecting value"),
        ('{"a": 1}\n7', "row 2: no object"),
        ("[1, 2]", "row 1: no object"),
        ("a,b\n1,2,3", "row 1: more cells than the header"),
    ],
)
def test_broken_files_are_told(tmp_path: Path, content: str, complaint: str) -> None:
    """With the file's name."""
    assert problems(tmp_path / "log", content)[0].startswith(complaint)


def test_a_single_token_has_no_time_per_token(tmp_path: Path) -> None:
    """It is missing, not nothing."""
    metrics = written(tmp_path / "log.csv", table(**GOOD)).metrics
    assert np.isnan(metrics["tpot"]).tolist() == [False, True, False]
    assert metrics["tpot"][0] == pytest.approx(0.02)
